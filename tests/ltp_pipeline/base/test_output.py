"""The reader of standard output or standard error goes away: the work goes on, and its files are written."""

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

import ltp_extract_and_save
import ltp_test
import run_glue_code_metrics
from ltp_pipeline.base.errors import UserError, run_main
from ltp_pipeline.check_data import main as check_data
from ltp_pipeline.comparison import main as compare
from ltp_pipeline.overlay.command import main as overlay
from ltp_pipeline.train_tokenizer import main as train_tokenizer

ROOT = Path(__file__).resolve().parents[3]


@contextmanager
def standard_streams(standard_output, standard_error=None):
    """In the block, descriptors 1 and 2 and the streams of `sys` are those that a process starts with."""
    kept, before = [os.dup(1), os.dup(2)], (sys.stdout, sys.stderr)
    try:
        for number, given in ((1, standard_output), (2, standard_error)):
            if given is not None:
                os.dup2(given, number)
        sys.stdout = open(1, "w", closefd=False)
        if standard_error is not None:
            sys.stderr = open(2, "w", buffering=1, closefd=False)
        yield
    finally:
        for number, descriptor in enumerate(kept, start=1):
            os.dup2(descriptor, number)
            os.close(descriptor)
        sys.stdout, sys.stderr = before


@pytest.fixture
def closed_pipe():
    """The write end of a pipe that nobody reads."""
    read, write = os.pipe()
    os.close(read)
    yield write
    os.close(write)


def status_of(main):
    with pytest.raises(SystemExit) as end:
        run_main(main)
    return end.value.code


def printing(file, lines=3000, then=None):
    """A command that prints more than a buffer holds, then writes a file."""

    def main():
        for line in range(lines):
            print("line", line, "é\ud800")
            print("progress", file=sys.stderr)
        file.write_text("written")
        if then is not None:
            raise then

    return main


@pytest.mark.parametrize("lines", [0, 1, 3000])
def test_a_command_goes_on_without_a_reader(closed_pipe, tmp_path, lines):
    with standard_streams(closed_pipe, closed_pipe):  # no line: status 0
        assert status_of(printing(tmp_path / "file", lines)) == (141 if lines else 0)
    assert (tmp_path / "file").read_text() == "written"


def test_libraries_and_child_processes_can_write_after_the_reader_has_left(closed_pipe, tmp_path):
    def main():
        print("x", flush=True)
        os.write(1, b"from a library")
        subprocess.run(["echo", "from a child"], check=True)

    with standard_streams(closed_pipe):
        assert status_of(main) == 141


@pytest.mark.parametrize(("then", "status"), [(UserError("x"), 2), (SystemExit(1), 1), (KeyboardInterrupt(), 130)])
def test_other_endings_keep_their_status(closed_pipe, tmp_path, then, status):
    with standard_streams(closed_pipe, closed_pipe):
        assert status_of(printing(tmp_path / "file", then=then)) == status


def test_a_full_disk_under_standard_output_is_said_and_the_files_are_written(tmp_path):
    full, log = os.open("/dev/full", os.O_WRONLY), os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    with standard_streams(full, log):
        assert status_of(printing(tmp_path / "file")) == 2
    assert (tmp_path / "file").read_text() == "written"
    last = (tmp_path / "log").read_text().splitlines()[-1]
    assert last.startswith("error: standard output: No space left on device")


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&-"])
def test_closed_streams(closed, tmp_path):
    code = (
        "import sys; from ltp_pipeline.base.errors import run_main\n"
        "def main():\n print('é'); sys.stdout.isatty(); sys.stderr.isatty(); print('e', file=sys.stderr)\n"
        " open('file', 'w').write('written')\n"
        "run_main(main)"
    )
    command = f'cd {tmp_path} && {sys.executable} -c "$CODE" {closed}'
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "CODE": code, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True)
    out, err = ("" if closed.startswith(">") else "\\xe9\n"), ("" if "2>&-" in closed else "e\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, out, err)
    assert (tmp_path / "file").read_text() == "written"


COMMANDS = {
    "check_data": (check_data, "train.csv test.csv --near_duplicates 0 --output_file out/a.json", ["a.json"]),
    "train_tokenizer": (train_tokenizer, "--train_file train.csv --output_dir out", ["tokenizer.json"]),
    "run_glue_code_metrics": (
        run_glue_code_metrics.main,
        "--model_name_or_path longformer --do_train --do_eval --train_file train.csv --validation_file test.csv "
        "--max_steps 2 --max_seq_length 96 --output_dir out --dtype float32",
        ["model.safetensors", "predictions.csv", "all_results.json"],
    ),
    "ltp_test": (
        ltp_test.main,
        "--model_name_or_path pruned --validation_file test.csv --max_length 96 --use_cpu --output_dir out",
        ["visualisation.html", "visualisation.png", "visualisation.json"],
    ),
    "ltp_extract_and_save": (
        ltp_extract_and_save.main,
        "--model_name_or_path pruned --validation_file test.csv --max_length 96 --use_cpu --output_dir out",
        ["dev_pruned.csv", "extraction.json"],
    ),
    "comparison": (
        compare,
        "--checkpoints a=pruned --test_file test.csv --max_length 96 --rounds 1 --output_dir out --dtype float32",
        ["comparison.json", "comparison.csv"],
    ),
    "overlay": (overlay, "--status", []),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_writes_its_files_without_a_reader(name, closed_pipe, workplace, pruned_checkpoint, monkeypatch):
    main, flags, files = COMMANDS[name]
    os.symlink(pruned_checkpoint, "pruned")
    monkeypatch.setattr(sys, "argv", ["command", *flags.split()])
    with standard_streams(closed_pipe, closed_pipe):
        assert status_of(main) in (141, 1)  # 1: check_data has found errors
    for file in files:
        assert Path("out", file).stat().st_size > 0
        if file.endswith(".json"):
            json.loads(Path("out", file).read_text())
