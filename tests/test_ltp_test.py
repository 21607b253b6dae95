import json
import sys

import numpy as np
import pandas as pd
import pytest
import torch

import ltp_test
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.view.extract import PrunedModelArguments, load_pruned
from tests.pruned_checkpoint import FUNCTIONS, LABELS, MAX_LENGTH, THRESHOLDS, save_checkpoint, save_functions


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return save_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture
def functions(tmp_path):
    return save_functions(
        tmp_path / "dev.csv",
        project=["zlib"] * 6,
        path=["a.c"] * 6,
        first_line=range(10, 16),
        finding_lines=["", "5", "", "1", "", "2 3 99"],
    )


def run(monkeypatch, checkpoint, functions, output_dir, *flags):
    flags = [
        "--validation_file",
        functions,
        "--max_length",
        MAX_LENGTH,
        "--output_dir",
        output_dir,
        "--use_cpu",
        *flags,
    ]
    monkeypatch.setattr(sys, "argv", ["ltp_test.py", *map(str, ["--model_name_or_path", checkpoint, *flags])])
    ltp_test.main()
    return json.loads((output_dir / "visualisation.json").read_text())["functions"]


def test_terminal_page_figure_and_json_agree_with_the_model(monkeypatch, checkpoint, functions, tmp_path, capsys):
    original = ["--train_file", functions, "--task_name", "code", "--per_device_eval_batch_size", 4]
    original += ["--pad_to_max_length", "--temperature", "1e-5", "--masking_mode", "hard"]
    shown = run(monkeypatch, checkpoint, functions, tmp_path / "out", *original)

    assert [function["name"] for function in shown] == [
        f"dev.csv row {row} (zlib/a.c:{row + 9})" for row in (2, 4, 1, 3)
    ]
    model, tokenizer = load_pruned(PrunedModelArguments(str(checkpoint), max_length=MAX_LENGTH, use_cpu=True))
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
    assert [function["finding_lines"] for function in shown] == [[5], [1], [], []]

    captured = capsys.readouterr()
    assert captured.out.count("== dev.csv row") == 4 and "\x1b" not in captured.out
    assert captured.out.index("row 2") < captured.out.index("row 4") < captured.out.index("row 1")
    assert "\\x1b[2J\\u202e" in captured.out
    page = (tmp_path / "out" / "visualisation.html").read_text(encoding="utf-8")
    assert page.count("<section") == 4
    assert (tmp_path / "out" / "visualisation.png").read_bytes().startswith(b"\x89PNG")


def test_figure_covers_the_sampled_functions_and_those_shown(monkeypatch, checkpoint, functions, tmp_path):
    drawn = {}
    monkeypatch.setattr(ltp_test, "save_figure", lambda path, alive, trace: drawn.update(alive=alive, name=trace.name))
    run(monkeypatch, checkpoint, functions, tmp_path, "--function_index", 3, "--num_sampled", 2)
    assert drawn["alive"].shape == (3, 5) and drawn["name"].startswith("dev.csv row 3 ")
    assert (drawn["alive"][:, 0] == 1).all() and (np.diff(drawn["alive"]) <= 0).all()
    run(monkeypatch, checkpoint, functions, tmp_path, "--num_functions", 1, "--num_sampled", 0)
    assert drawn["alive"].shape == (1, 5) and drawn["name"].startswith("dev.csv row 2 ")


@pytest.mark.parametrize(
    ("labels", "count", "rows", "chosen"),
    [
        ([0, 0, 1, 1, 1, 0], 4, None, [2, 3, 0, 1]),
        ([0, 0, 1, 1, 1, 0], 3, None, [2, 3, 0]),
        ([0, 0, 1, 1, 1, 0], 1, None, [2]),
        ([0, 0, 0, 1], 4, None, [3, 0, 1, 2]),
        ([1, 1, 1, 0], 4, None, [0, 1, 2, 3]),
        ([0, 0], 4, None, [0, 1]),
        ([0, 1, 0], 4, [3, 1], [2, 0]),
    ],
)
def test_choose_takes_the_first_of_each_label_or_the_rows_named(labels, count, rows, chosen):
    assert ltp_test.choose(pd.Series(labels), count, rows) == chosen


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--function_index", 1, 7], "--function_index 7: the file has rows 1 to 6"),
        (["--function_index", 0], "--function_index 0: the file has rows 1 to 6"),
        (["--num_functions", 0], "--num_functions 0: expected 1 or more"),
        (["--max_length", 1000], f"--max_length 1000: expected 3 to {MAX_LENGTH}"),
        (["--validation_file", "missing.csv"], "--validation_file missing.csv: no such file"),
    ],
)
def test_bad_input_is_told_before_anything_is_written(monkeypatch, checkpoint, functions, tmp_path, flags, message):
    with pytest.raises(UserError) as error:
        run(monkeypatch, checkpoint, functions, tmp_path / "out", *flags)
    assert message in str(error.value)
    assert not (tmp_path / "out").exists()


class Terminal:
    """Standard output that says it is a terminal."""

    def __init__(self, stream):
        self.stream = stream

    def __getattr__(self, name):
        return getattr(self.stream, name)

    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("flags", "no_color", "colored"),
    [([], None, True), (["--no_color"], None, False), ([], "1", False), ([], "", True)],
)
def test_colour_only_on_a_terminal_that_wants_it(
    monkeypatch, checkpoint, functions, tmp_path, capsys, flags, no_color, colored
):
    monkeypatch.delenv("NO_COLOR", raising=False)
    if no_color is not None:
        monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setattr(sys, "stdout", Terminal(sys.stdout))
    monkeypatch.setattr(ltp_test, "save_figure", lambda *_: None)
    run(monkeypatch, checkpoint, functions, tmp_path, "--num_functions", 1, "--num_sampled", 0, *flags)
    assert ("\x1b[" in capsys.readouterr().out) == colored


def test_rows_are_those_of_the_file_also_where_some_are_left_out(monkeypatch, checkpoint, tmp_path):
    functions = save_functions(tmp_path / "dev.csv", ["", *FUNCTIONS[1:]], LABELS)
    flags = ["--on_bad_rows", "skip", "--function_index"]
    (shown,) = run(monkeypatch, checkpoint, functions, tmp_path / "out", *flags, 3)
    assert shown["source"] == FUNCTIONS[2] and shown["name"] == "dev.csv row 3"
    with pytest.raises(UserError, match="--function_index 1: the file has rows 1 to 6 without those that cannot be"):
        run(monkeypatch, checkpoint, functions, tmp_path / "out", *flags, 1)
