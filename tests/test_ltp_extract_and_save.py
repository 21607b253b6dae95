import json
import sys

import pandas as pd
import pytest

import ltp_extract_and_save
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.view.extract import PrunedModelArguments, encode, kept_text, load_pruned, prune
from tests.pruned_checkpoint import FUNCTIONS, LABELS, MAX_LENGTH, save_checkpoint, save_functions


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return save_checkpoint(tmp_path_factory.mktemp("checkpoint"))


def run(monkeypatch, checkpoint, *flags):
    flags = ["--model_name_or_path", checkpoint, "--max_length", MAX_LENGTH, "--use_cpu", *flags]
    monkeypatch.setattr(sys, "argv", ["ltp_extract_and_save.py", *map(str, flags)])
    ltp_extract_and_save.main()


def expected_codes(checkpoint, layer):
    """The kept text of each function, one function at a time."""
    model, tokenizer = load_pruned(PrunedModelArguments(str(checkpoint), max_length=MAX_LENGTH, use_cpu=True))
    codes = []
    for source in FUNCTIONS:
        (encoding,) = encode([source], tokenizer, MAX_LENGTH)
        ((_, pruned),) = prune(model, [encoding], 1)
        codes.append(kept_text(source, encoding, pruned.kept[layer]))
    return codes


@pytest.mark.parametrize("layer", [None, 1])
def test_both_files_read_back_exactly_and_in_order(monkeypatch, checkpoint, tmp_path, layer):
    train = save_functions(tmp_path / "train.csv")
    dev = save_functions(tmp_path / "dev.csv", FUNCTIONS[::-1], LABELS[::-1])
    flags = ["--train_file", train, "--validation_file", dev, "--per_device_eval_batch_size", 4]
    original = ["--task_name", "code", "--pad_to_max_length", "--temperature", "1e-5", "--masking_mode", "hard"]
    run(
        monkeypatch,
        checkpoint,
        *flags,
        *([] if layer is None else ["--keep_layer", layer]),
        *original,
        tmp_path / "out",
    )

    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "dev_pruned.csv",
        "extraction.json",
        "train_pruned.csv",
    ]
    codes = expected_codes(checkpoint, -1 if layer is None else layer - 1)
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


def test_strings_that_break_hand_written_csv_survive(monkeypatch, checkpoint, tmp_path):
    codes = ['a "quoted", b', "x\r\ny\rz\n", "NA", "", "null", "'single'\t,", "é漢", " 1", "\x00\x1b"]
    functions = [f"int f{i};" for i in range(len(codes))]
    train = save_functions(tmp_path / "train.csv", functions, [0, 1, 0, 1, 0, 1, 0, 1, 0])
    monkeypatch.setattr(
        ltp_extract_and_save, "kept_texts", lambda texts, encoding, kept: [codes[functions.index(*texts)]]
    )
    run(monkeypatch, checkpoint, "--train_file", train, "--output_dir", tmp_path)
    frame = pd.read_csv(tmp_path / "train_pruned.csv", keep_default_na=False)
    assert frame["code"].tolist() == codes
    assert frame["label"].tolist() == [0, 1, 0, 1, 0, 1, 0, 1, 0]


def test_empty_functions_are_kept_counted_and_reported(monkeypatch, checkpoint, tmp_path, capsys):
    train = save_functions(tmp_path / "train.csv", ["int f;", "int g;"], [1, 0])
    monkeypatch.setattr(ltp_extract_and_save, "kept_texts", lambda texts, *_: ["" if "f" in texts[0] else "int g;"])
    run(monkeypatch, checkpoint, "--train_file", train, "--output_dir", tmp_path / "out")
    assert (tmp_path / "out" / "train_pruned.csv").read_text() == '"label","code"\n1,""\n0,"int g;"\n'
    assert not (tmp_path / "out" / "dev_pruned.csv").exists()
    assert json.loads((tmp_path / "out" / "extraction.json").read_text())["files"][0]["empty_functions"] == 1
    assert "functions that lost every token of code: 1;" in capsys.readouterr().out


def test_a_run_cut_short_leaves_the_old_files(monkeypatch, checkpoint, tmp_path):
    train = save_functions(tmp_path / "train.csv", FUNCTIONS[:2], [0, 1])
    dev = save_functions(tmp_path / "dev.csv", FUNCTIONS[1:3], [1, 0])
    out = tmp_path / "out"
    out.mkdir()
    (out / "train_pruned.csv").write_text("old")
    extract_file = ltp_extract_and_save.extract_file

    def cut_short(path, flag, *rest):
        if flag == "--validation_file":
            raise KeyboardInterrupt
        return extract_file(path, flag, *rest)

    monkeypatch.setattr(ltp_extract_and_save, "extract_file", cut_short)
    with pytest.raises(KeyboardInterrupt):
        run(monkeypatch, checkpoint, "--train_file", train, "--validation_file", dev, out)
    assert [(path.name, path.read_text()) for path in out.iterdir()] == [("train_pruned.csv", "old")]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "give --train_file, --validation_file or both"),
        (["--train_file", "missing.csv"], "--train_file missing.csv: no such file"),
        (["--keep_layer", 5], "--keep_layer 5: expected 1 to 4"),
        (["--keep_layer", 0], "--keep_layer 0: expected 1 to 4"),
    ],
)
def test_bad_input_is_told_before_anything_is_written(monkeypatch, checkpoint, tmp_path, flags, message):
    if "--keep_layer" in flags:
        flags = ["--train_file", save_functions(tmp_path / "train.csv"), *flags]
    with pytest.raises(UserError) as error:
        run(monkeypatch, checkpoint, *flags, "--output_dir", tmp_path / "out")
    assert message in str(error.value)
    assert not (tmp_path / "out").exists()


def test_an_output_dir_that_is_a_file(monkeypatch, checkpoint, tmp_path):
    train = save_functions(tmp_path / "train.csv")
    with pytest.raises(UserError, match="--output_dir .*train.csv: cannot be written: File exists"):
        run(monkeypatch, checkpoint, "--train_file", train, train)


def test_rows_left_out_are_named_and_the_others_keep_their_labels(monkeypatch, checkpoint, tmp_path, capsys):
    (tmp_path / "train.csv").write_text('src,verdict\n"int f;",ok\n"  ",ok\n"int g;",bad\n"int h;",?\n')
    flags = ["--text_column", "src", "--label_column", "verdict", "--label_map", "ok=0,bad=1", "--on_bad_rows", "skip"]
    monkeypatch.setattr(ltp_extract_and_save, "kept_texts", lambda texts, *_: [texts[0]])
    run(monkeypatch, checkpoint, "--train_file", tmp_path / "train.csv", *flags, "--output_dir", tmp_path / "out")
    assert (tmp_path / "out" / "train_pruned.csv").read_text() == '"label","code"\n0,"int f;"\n1,"int g;"\n'
    assert json.loads((tmp_path / "out" / "extraction.json").read_text())["files"][0]["skipped_rows"] == [2, 4]
    assert f"train_pruned.csv lacks these rows of {tmp_path / 'train.csv'} (extraction.json): 2, 4\n" in (
        capsys.readouterr().out
    )
