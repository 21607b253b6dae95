import json

import pandas as pd
import pytest

from ltp_pipeline.commands.extract import main
from ltp_pipeline.model.ranking_note import ranking_note
from ltp_pipeline.task.tasks import CODE
from ltp_pipeline.view import pruned_files
from ltp_pipeline.view.encode import encode
from ltp_pipeline.view.kept_text import kept_text
from ltp_pipeline.view.kept_tokens import prune_functions
from tests.pruned_checkpoint import FUNCTIONS, LABELS, MAX_LENGTH, copy_with_teacher, save_functions
from transformer_revised import LTPConfig
from transformer_revised.models.ltp.configuration_ltp import RANK_TEACHERS

EXTRACTED = ["README.md", "dev_pruned.csv", "extraction.json", "train_pruned.csv"]


def run(checkpoint, *flags):
    flags = ["--model_name_or_path", checkpoint, "--max_length", MAX_LENGTH, "--use_cpu", *flags]
    main([str(flag) for flag in flags])


@pytest.mark.parametrize("layer", [None, 1])
def test_both_files_read_back_exactly_and_in_order(pruned_checkpoint, pruned_model, tmp_path, layer):
    train = save_functions(tmp_path / "train.csv")
    dev = save_functions(tmp_path / "dev.csv", FUNCTIONS[::-1], LABELS[::-1])
    flags = ["--train_file", train, "--validation_file", dev, "--per_device_eval_batch_size", 4]
    flags += [] if layer is None else ["--keep_layer", layer]
    flags += ["--task_name", "code", "--pad_to_max_length", "--temperature", "1e-5", "--masking_mode", "hard"]
    flags += ["--dtype", "float32"]
    run(pruned_checkpoint, *flags, tmp_path / "out")

    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == EXTRACTED
    codes = []
    for source in FUNCTIONS:  # one at a time
        (function,) = encode([source], pruned_model[1], MAX_LENGTH)
        ((_, pruned),) = prune_functions(pruned_model[0], [function])
        codes.append(kept_text(source, function, pruned.kept[(layer or 4) - 1]))
    for name, order in (("train_pruned.csv", 1), ("dev_pruned.csv", -1)):
        frame = pd.read_csv(tmp_path / "out" / name, keep_default_na=False)
        assert list(frame.columns) == ["label", "code"]
        assert frame["label"].dtype == "int64" and frame["label"].tolist() == LABELS[::order]
        assert frame["code"].tolist() == codes[::order]
    if layer == 1:
        assert {"\n", '"', ","} <= set(codes[1])
        assert "NA" in codes

    report = json.loads((tmp_path / "out" / "extraction.json").read_text())
    assert (report["max_length"], report["after_layer"]) == (MAX_LENGTH, layer or 4)
    assert [counts["written"] for counts in report["files"]] == ["train_pruned.csv", "dev_pruned.csv"]
    for counts in report["files"]:
        assert counts["functions"] == len(FUNCTIONS)
        assert counts["empty_functions"] == codes.count("")
        assert 0 < counts["tokens_kept"] < counts["tokens"]
        assert counts["share_kept"] == counts["tokens_kept"] / counts["tokens"]


@pytest.fixture
def extract(monkeypatch, pruned_checkpoint, tmp_path):
    """A call `extract(train, kept, *flags)` that runs the script as if the model kept the code `kept[source]`."""

    def extract(train, kept, *flags):
        monkeypatch.setattr(pruned_files, "kept_texts", lambda texts, *_: [kept[texts[0]]])
        run(pruned_checkpoint, "--train_file", train, "--output_dir", tmp_path / "out", *flags)
        return tmp_path / "out" / "train_pruned.csv"

    return extract


def test_strings_that_break_hand_written_csv_survive(extract, tmp_path):
    codes = ['a "quoted", b', "x\r\ny\rz\n", "NA", "", "null", "'single'\t,", "é漢", " 1", "\x00\x1b"]
    functions = [f"int f{i};" for i in range(len(codes))]
    train = save_functions(tmp_path / "train.csv", functions, [0, 1, 0, 1, 0, 1, 0, 1, 0])
    frame = pd.read_csv(extract(train, dict(zip(functions, codes))), keep_default_na=False)
    assert frame["code"].tolist() == codes
    assert frame["label"].tolist() == [0, 1, 0, 1, 0, 1, 0, 1, 0]


def test_empty_functions_are_kept_and_counted(extract, tmp_path, capsys):
    train = save_functions(tmp_path / "train.csv", ["int f;", "int g;"], [1, 0])
    written = extract(train, {"int f;": "", "int g;": "int g;"})
    assert written.read_text() == '"label","code"\n1,""\n0,"int g;"\n'
    assert not written.with_name("dev_pruned.csv").exists()
    report = json.loads(written.with_name("extraction.json").read_text())
    assert report["files"][0]["empty_functions"] == 1
    assert "functions without any kept token of code: 1;" in capsys.readouterr().out


@pytest.mark.parametrize("teacher", [None, *RANK_TEACHERS])
def test_the_summary_and_the_terminal_say_how_the_ranking_was_taught(teacher, pruned_checkpoint, tmp_path, capsys):
    checkpoint = copy_with_teacher(pruned_checkpoint, tmp_path / "taught", teacher)
    run(checkpoint, "--train_file", save_functions(tmp_path / "train.csv"), tmp_path / "out")
    note = ranking_note(LTPConfig(rank_teacher=teacher), CODE)
    assert capsys.readouterr().out.count(f"\n{note}\n") == 1
    report = json.loads((tmp_path / "out" / "extraction.json").read_text())
    assert (report["rank_teacher"], report["ranking"]) == (teacher, note)


def test_skipped_rows_are_named_and_the_others_keep_their_labels(extract, tmp_path, capsys):
    train = tmp_path / "train.csv"
    train.write_text('src,verdict\n"int f;",ok\n"  ",ok\n"int g;",bad\n"int h;",?\n')
    flags = ["--text_column", "src", "--label_column", "verdict", "--label_map", "ok=0,bad=1", "--on_bad_rows", "skip"]
    written = extract(train, {"int f;": "int f;", "int g;": "int g;"}, *flags)
    assert written.read_text() == '"label","code"\n0,"int f;"\n1,"int g;"\n'
    assert json.loads(written.with_name("extraction.json").read_text())["files"][0]["skipped_rows"] == [2, 4]
    assert f"train_pruned.csv lacks these rows of {train} (extraction.json): 2, 4\n" in capsys.readouterr().out


def test_an_interrupted_run_leaves_the_old_files(monkeypatch, pruned_checkpoint, tmp_path):
    train = save_functions(tmp_path / "train.csv", FUNCTIONS[:2], [0, 1])
    dev = save_functions(tmp_path / "dev.csv", FUNCTIONS[1:3], [1, 0])
    out = tmp_path / "out"
    out.mkdir()
    (out / "train_pruned.csv").write_text("old")
    write_json = pruned_files.write_json

    def interrupt(path, report):
        write_json(path, report)
        raise KeyboardInterrupt

    monkeypatch.setattr(pruned_files, "write_json", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(pruned_checkpoint, "--train_file", train, "--validation_file", dev, out)
    assert [(path.name, path.read_text()) for path in out.iterdir()] == [("train_pruned.csv", "old")]


def test_a_file_without_labels_gives_a_file_without_labels(pruned_checkpoint, tmp_path, capsys):
    pd.DataFrame({"functionSource": FUNCTIONS, "label": LABELS}).to_csv(tmp_path / "with.csv", index=False)
    pd.DataFrame({"functionSource": FUNCTIONS}).to_csv(tmp_path / "without.csv", index=False)
    run(
        pruned_checkpoint,
        "--train_file",
        tmp_path / "with.csv",
        "--validation_file",
        tmp_path / "without.csv",
        tmp_path,
    )
    labelled, unlabelled = (pd.read_csv(tmp_path / f"{name}_pruned.csv") for name in ("train", "dev"))
    assert list(unlabelled.columns) == ["code"]
    assert unlabelled["code"].equals(labelled["code"])
    assert "Next:" not in capsys.readouterr().out  # nothing can be trained on them
