"""Each script ends with what to type next. What is printed runs."""

import importlib
import json
import shlex
from pathlib import Path

import pytest

from ltp_pipeline.base import next_commands, program
from ltp_pipeline.base.next_commands import after_tables, command, fine_tuning_of, free_folder, show_next

MAIN = {
    "run_glue_code_metrics.py": "ltp_pipeline.commands.finetune",
    "run_code_metrics.py": "ltp_pipeline.commands.prune",
    "ltp_test.py": "ltp_pipeline.commands.show",
    "ltp_extract_and_save.py": "ltp_pipeline.commands.extract",
    "ltp_scan.py": "ltp_pipeline.commands.scan",
}


def _run(line, capsys, **replaced):
    """Runs a printed command in this process, with other values of some flags. Returns what it says comes next."""
    words = shlex.split(line)
    words = words[1:] if words[0].startswith("PYTHONPATH=") else words
    assert Path(words[0]).name.startswith("python")
    name, flags = (words[2], words[3:]) if words[1] == "-m" else (MAIN[Path(words[1]).name], words[2:])
    for flag, value in replaced.items():
        flags[flags.index(f"--{flag}") + 1] = value
    capsys.readouterr()
    try:
        importlib.import_module(name).main(flags)
    except SystemExit as end:
        assert end.code in (0, 1)  # a scan ends with 1 if it finds something
    shown = capsys.readouterr().out
    lines = [one.removeprefix("Next: ").strip() for one in shown.partition("Next:")[2].splitlines()]
    return [one for one in lines if one]


def test_the_printed_chain_runs(workplace, capsys):
    for name in ("train", "test"):
        (workplace / f"{name}.csv").rename(workplace / f"my {name}.csv")
    (fine_tune,) = _run("python -m ltp_pipeline.check_data 'my train.csv' 'my test.csv'", capsys)
    assert "--train_file 'my train.csv' --validation_file 'my test.csv'" in fine_tune
    (soft,) = _run(fine_tune, capsys, model_name_or_path="longformer", max_seq_length="96", num_train_epochs="1")
    assert "run_code_metrics.py --restore code_test --masking_mode soft --target_flops 0.9 --train_file" in soft
    (hard,) = _run(soft, capsys)
    assert "--restore soft --masking_mode hard --epoch 1 --train_file 'my train.csv'" in hard
    show, extract, compare, scan = _run(hard, capsys)
    assert json.loads((workplace / "hard/config.json").read_text())["target_flops"] == 0.9
    (again,) = _run(show, capsys)
    assert "ltp_extract_and_save.py --model_name_or_path hard" in again
    (on_kept_code,) = _run(extract, capsys)
    assert "--train_file pruned_data/train_pruned.csv" in on_kept_code
    assert _run(compare, capsys) == [scan]
    rows = json.loads((workplace / "comparison/comparison.json").read_text())["checkpoints"]
    assert [row["checkpoint"] for row in rows] == ["soft", "pruned"]
    assert _run(scan, capsys) == [] and (workplace / "scan.html").is_file()


def test_tables_of_a_data_set_are_checked_and_trained_on(tmp_path, monkeypatch):
    monkeypatch.setattr(next_commands, "runnable", lambda name: f"python {name}")
    monkeypatch.chdir(tmp_path)
    assert after_tables(Path("a b"), ("train_subset", "validation", "test"), "csv") == [
        "python -m ltp_pipeline.check_data 'a b/train_subset.csv' 'a b/validation.csv' 'a b/test.csv'",
        "python run_glue_code_metrics.py --model_name_or_path allenai/longformer-base-4096 --do_train --do_eval "
        "--do_predict --train_file 'a b/train_subset.csv' --validation_file 'a b/validation.csv' --test_file "
        "'a b/test.csv' --max_seq_length 1024 --per_device_train_batch_size 4 --learning_rate 2e-5 "
        "--num_train_epochs 3 --output_dir code_test",
    ]
    check, train = after_tables(Path("x"), ("a", "b"), "csv", text_column="body")
    assert check.endswith("check_data x/a.csv x/b.csv --text_column body") and " --text_column body " in train
    assert after_tables(Path("x"), ("test",), "parquet") == ["python -m ltp_pipeline.check_data x/test.parquet"]


def test_a_checkpoint_is_trained_at_a_length_that_it_can_read(tmp_path, monkeypatch):
    monkeypatch.setattr(next_commands, "runnable", lambda name: name)
    monkeypatch.setattr(next_commands, "ROOT", tmp_path)
    monkeypatch.chdir(tmp_path)
    assert fine_tuning_of("ltp") == []
    (tmp_path / "Data").mkdir()
    (tmp_path / "Data/build_dataset.py").touch()
    assert fine_tuning_of("ltp") == ["Data/build_dataset.py"]
    for name in ("train_subset", "validation"):
        (tmp_path / "Data" / f"{name}.csv").touch()
    (line,) = fine_tuning_of("ltp")
    assert "--model_name_or_path ltp " in line and "--max_seq_length" not in line
    assert "--train_file Data/train_subset.csv --validation_file Data/validation.csv" in line


def test_flags_of_a_command(monkeypatch):
    monkeypatch.setattr(next_commands, "runnable", lambda name: name)
    line = command("x.py", "a b", on=True, off=False, none=None, some=["1", "2"], empty=[], path="-odd")
    assert line == "x.py 'a b' --on --some 1 2 --path=-odd"


def test_a_folder_with_a_result_is_not_named(tmp_path):
    assert free_folder(tmp_path / "soft") == tmp_path / "soft"
    (tmp_path / "soft").mkdir()
    (tmp_path / "soft-2.unfinished").mkdir()
    assert free_folder(tmp_path / "soft") == tmp_path / "soft-3"
    assert free_folder(tmp_path / "scan", ".html") == tmp_path / "scan.html"
    (tmp_path / "scan.html").touch()
    assert free_folder(tmp_path / "scan", ".html") == tmp_path / "scan-2.html"


def test_only_the_main_process_prints(monkeypatch, capsys):
    show_next(["a"])
    show_next(["a", "b"])
    show_next([])
    monkeypatch.setattr(next_commands, "is_main", lambda: False)
    show_next(["a"])
    assert capsys.readouterr().out == "Next: a\nNext:\n  a\n  b\n"


@pytest.mark.parametrize(
    "started, name, expected",
    [
        ("/usr/bin/ltp-prune", "run_code_metrics.py", "ltp-prune"),
        ("/usr/bin/ltp-prune", "-m ltp_pipeline.comparison", "ltp-compare"),
        ("run_code_metrics.py", "run_code_metrics.py", "python ../root/run_code_metrics.py"),
        ("run_code_metrics.py", "-m ltp_pipeline.comparison", "PYTHONPATH=../root python -m ltp_pipeline.comparison"),
    ],
)
def test_commands_are_named_as_they_were_started(tmp_path, monkeypatch, started, name, expected):
    (tmp_path / "root").mkdir()
    (tmp_path / "root/run_code_metrics.py").touch()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.setattr(program, "ROOT", tmp_path / "root")
    monkeypatch.setattr(program, "_interpreter", lambda: "python")
    monkeypatch.setattr("sys.argv", [started])
    assert program.runnable(name) == expected
    assert program.as_typed("python run_code_metrics.py --eval").startswith(
        "ltp-prune --eval" if "bin" in started else "python run_code_metrics.py"
    )


def test_without_a_checkout_the_installed_commands_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(program, "ROOT", tmp_path)
    monkeypatch.setattr("sys.argv", ["__main__.py"])
    assert program.runnable("ltp_scan.py") == program.program("ltp_scan.py") == "ltp-scan"
