import html
import json
import sys

import numpy as np
import pandas as pd
import pytest
import torch

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.commands.show import main
from ltp_pipeline.model.ranking_note import ranking_note
from ltp_pipeline.task.tasks import CODE
from ltp_pipeline.view import report
from ltp_pipeline.view.line_scores import line_scores
from tests.ltp_pipeline.view.page_reader import Page
from tests.pruned_checkpoint import FUNCTIONS, LABELS, MAX_LENGTH, THRESHOLDS, copy_with_teacher, save_functions
from transformer_revised import LTPConfig
from transformer_revised.models.ltp.configuration_ltp import RANK_TEACHERS


@pytest.fixture
def functions(tmp_path):
    return save_functions(
        tmp_path / "dev.csv",
        project=["zlib"] * 6,
        path=["a.c"] * 6,
        first_line=range(10, 16),
        finding_lines=["", "5", "", "1", "", "2 3 99"],
    )


@pytest.fixture
def figures(monkeypatch):
    """What is drawn, in place of drawing it: `(alive, name of the function)` of each figure."""
    drawn = []
    monkeypatch.setattr(report, "save_figure", lambda path, alive, trace, note: drawn.append((alive, trace.name)))
    return drawn


def run(checkpoint, functions, output_dir, *flags):
    flags = ["--max_length", MAX_LENGTH, "--output_dir", output_dir, "--use_cpu", *flags]
    flags = ["--model_name_or_path", checkpoint, "--validation_file", functions, *flags]
    main([str(flag) for flag in flags])
    return json.loads((output_dir / "visualisation.json").read_text())["functions"]


def test_all_outputs_agree_with_the_model(pruned_checkpoint, pruned_model, functions, tmp_path, capsys):
    published = ["--train_file", functions, "--task_name", "code", "--per_device_eval_batch_size", 4]
    published += ["--pad_to_max_length", "--temperature", "1e-5", "--masking_mode", "hard", "--dtype", "float32"]
    shown = run(pruned_checkpoint, functions, tmp_path / "out", *published)

    assert [f["name"] for f in shown] == [f"dev.csv row {row} (zlib/a.c:{row + 9})" for row in (2, 4, 1, 3)]
    model, tokenizer = pruned_model
    for function, row in zip(shown, (1, 3, 0, 2), strict=True):
        batch = tokenizer(FUNCTIONS[row], truncation=True, max_length=MAX_LENGTH, return_tensors="pt")
        with torch.no_grad():
            output = model(**batch, output_pruning=True)
        assert function["source"] == FUNCTIONS[row] and function["label"] == LABELS[row]
        assert function["tokens"] == tokenizer.convert_ids_to_tokens(batch["input_ids"][0].tolist())
        assert function["alive_until"] == torch.stack(output.kept_tokens).sum(0)[0].tolist()
        scores = torch.stack(output.pruning_scores)[:, 0].numpy()
        assert np.allclose(np.array(function["scores"], dtype=float), scores, rtol=1e-4, equal_nan=True)
        assert np.allclose(function["probabilities"], output.logits.softmax(-1)[0].numpy(), atol=1e-5)
        assert function["prediction"] == output.logits.argmax().item()
        assert np.allclose(function["thresholds"], THRESHOLDS)
        assert len(function["offsets"]) == len(function["tokens"])
        (lines,) = line_scores(model, tokenizer, [FUNCTIONS[row]], MAX_LENGTH)
        shown_lines = np.array(function["line_scores"], dtype=float)
        assert np.allclose(shown_lines, np.where(np.isfinite(lines), lines, np.nan), rtol=1e-4, equal_nan=True)
    assert [function["flaw_lines"] for function in shown] == [[5], [1], [], []]

    captured = capsys.readouterr()
    assert captured.out.count("== dev.csv row") == 4 and "\x1b" not in captured.out
    assert captured.out.index("row 2") < captured.out.index("row 4") < captured.out.index("row 1")
    assert "\\x1b[2J\\u202e" in captured.out
    on_page = Page((tmp_path / "out" / "visualisation.html").read_text(encoding="utf-8")).data["functions"]
    assert [one["name"] for one in on_page] == [function["name"] for function in shown]
    assert any(one.get("lines") for one in on_page)
    (function,) = run(pruned_checkpoint, functions, tmp_path / "none", "--num_functions", 1, "--line_scores", "none")
    assert function["line_scores"] is None
    assert (tmp_path / "out" / "visualisation.png").read_bytes().startswith(b"\x89PNG")


def test_the_figure_covers_sampled_and_shown_functions(pruned_checkpoint, functions, tmp_path, figures):
    run(pruned_checkpoint, functions, tmp_path, "--function_index", 3, "--num_sampled", 2)
    run(pruned_checkpoint, functions, tmp_path, "--num_functions", 1, "--num_sampled", 0)
    (alive, first), (one, second) = figures
    assert alive.shape == (3, 5) and first.startswith("dev.csv row 3 ")
    assert (alive[:, 0] == 1).all() and (np.diff(alive) <= 0).all()
    assert one.shape == (1, 5) and second.startswith("dev.csv row 2 ")


@pytest.mark.parametrize("teacher", [None, *RANK_TEACHERS])
def test_terminal_page_figure_and_json_say_how_the_ranking_was_taught(
    teacher, pruned_checkpoint, functions, tmp_path, monkeypatch, capsys
):
    drawn = []
    monkeypatch.setattr(report, "save_figure", lambda *given: drawn.append(given[-1]))
    checkpoint = copy_with_teacher(pruned_checkpoint, tmp_path / "taught", teacher)
    run(checkpoint, functions, tmp_path / "out", "--num_functions", 2, "--num_sampled", 0)
    note = ranking_note(LTPConfig(rank_teacher=teacher), CODE)
    shown = capsys.readouterr().out
    assert shown.startswith(f"{note}\n\n== dev.csv row 2") and shown.count(note) == 1 and shown.count("==") == 4
    saved = json.loads((tmp_path / "out" / "visualisation.json").read_text())
    assert (saved["rank_teacher"], saved["ranking"], drawn) == (teacher, note, [note])
    assert html.escape(note) in (tmp_path / "out" / "visualisation.html").read_text().replace("&#39;", "&#x27;")


@pytest.mark.parametrize(
    ("flags", "no_color", "colored"),
    [([], None, True), (["--no_color"], None, False), ([], "1", False), ([], "", True)],
)
def test_colour_only_on_a_terminal_that_wants_it(
    monkeypatch, pruned_checkpoint, functions, tmp_path, capsys, figures, flags, no_color, colored
):
    monkeypatch.delenv("NO_COLOR", raising=False)
    if no_color is not None:
        monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    run(pruned_checkpoint, functions, tmp_path, "--num_functions", 1, "--num_sampled", 0, *flags)
    assert ("\x1b[" in capsys.readouterr().out) == colored


def test_rows_keep_their_numbers_if_some_are_skipped(pruned_checkpoint, tmp_path, figures):
    functions = save_functions(tmp_path / "dev.csv", ["", *FUNCTIONS[1:]], LABELS)
    flags = ["--on_bad_rows", "skip", "--function_index"]
    (shown,) = run(pruned_checkpoint, functions, tmp_path / "out", *flags, 3)
    assert shown["source"] == FUNCTIONS[2] and shown["name"] == "dev.csv row 3"
    with pytest.raises(UserError, match="--function_index 1: the file has rows 1 to 6 without"):
        run(pruned_checkpoint, functions, tmp_path / "other", *flags, 1)
    assert not (tmp_path / "other").exists()


def test_help_leaves_out_the_flags_that_change_nothing(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out
    assert "--num_functions" in shown and "--max_length" in shown
    assert not any(flag in shown for flag in ("pad_to_max_length", "--temperature", "--masking_mode", "SUPPRESS"))


def test_functions_without_labels_are_shown_in_order_with_what_names_them(
    pruned_checkpoint, figures, tmp_path, capsys
):
    unlabelled = {"idx": range(7, 13), "path": ["a.c"] * 6, "cwes": ["CWE-787"] * 6}
    file = tmp_path / "new.csv"
    pd.DataFrame({"functionSource": FUNCTIONS, "id": range(7, 13), **unlabelled}).to_csv(file, index=False)
    shown = run(pruned_checkpoint, file, tmp_path / "out", "--num_functions", 2)
    assert [function["name"] for function in shown] == [f"new.csv row {n} (id {n + 6}, a.c, CWE-787)" for n in (1, 2)]
    assert [(one["label"], one["id"], one["path"], one["cwe"]) for one in shown] == [
        (None, "7", "a.c", "CWE-787"),
        (None, "8", "a.c", "CWE-787"),
    ]
    page = (tmp_path / "out" / "visualisation.html").read_text()
    printed = capsys.readouterr().out
    for text in (page, printed):
        assert "predicted" in text and ", label" not in text and "label None" not in text
