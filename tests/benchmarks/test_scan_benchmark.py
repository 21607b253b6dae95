"""benchmarks.scan: its runs, and what it compares."""

import json

import pytest

from benchmarks.scan import __main__ as command
from benchmarks.scan.__main__ import _targets, main
from benchmarks.scan.runs import run
from ltp_pipeline.base.errors import UserError
from tests.pruned_checkpoint import FUNCTIONS


def test_targets_are_medians_of_the_ratios_within_a_round():
    seconds = {"scan": [10, 20, 12], "model": [10, 10, 10], "roberta": [60, 60, 60]}
    more = {"relative_flops": 0.5, "cpu_seconds": 3}
    rows = {name: [{"seconds": value, **more} for value in own] for name, own in seconds.items()}
    time, speed = _targets(rows)
    assert (time["measured"], time["min"], time["max"], time["reached"]) == (1.2, 1, 2, True)
    assert (speed["measured"], speed["min"], speed["max"], speed["reached"]) == (5, 3, 6, True)
    assert time["processor"] == speed["processor"] == 1
    rows["scan"][0]["seconds"] = 14
    time, speed = _targets(rows)
    assert not time["reached"] and not speed["reached"] and "0.50" in time["what"]


def test_a_run(pruned_checkpoint, tmp_path, capfd, monkeypatch):
    def run_here(name, folder):
        """Only one run starts a process, which takes seconds."""
        if name == "model":
            return in_process(name, folder)
        run(name, folder)
        return {**json.loads((folder / f"{name}.json").read_text()), "peak_mib": 100}

    in_process = command._run_in_process
    monkeypatch.setattr(command, "_run_in_process", run_here)
    for number in range(3):  # the second is a copy: its functions do not count again
        name = f"int f{number // 2}(int x)"
        code = f"{name} {{ return x; }}\n{FUNCTIONS[1]}{FUNCTIONS[5]}"
        (tmp_path / f"{number}.c").write_text(code)
    flags = f"--functions 8 --top 1 --batch_size 2 --num_workers 0 --output_dir {tmp_path / 'out'}"
    main([str(tmp_path), "--model_name_or_path", str(pruned_checkpoint), *flags.split()])
    report = json.loads((tmp_path / "out/scan.json").read_text())
    assert report["work"]["functions"] == 4 and report["work"]["files"] == 3
    assert report["work"]["read"] > report["work"]["tokens"]  # one function has windows
    for name in ("scan", "model", "roberta"):
        (row,) = report["runs"][name]
        assert row["seconds"] > 0 and row["cpu_seconds"] > 0 and 50 < row["peak_mib"] < 5000
    assert report["runs"]["scan"][0]["findings"] == 1 and 0 < report["runs"]["scan"][0]["relative_flops"] < 1
    assert report["runs"]["roberta"][0]["batch_size"] == 2
    assert "functions/s" in capfd.readouterr().out and "| scan |" in (tmp_path / "out/scan.md").read_text()


@pytest.mark.parametrize("flags", ["--functions 0", "--rounds 0", "--top 0", "--batch_size 0"])
def test_refused(flags, tmp_path):
    with pytest.raises(UserError, match=f"{flags}: "):
        main([str(tmp_path), "--model_name_or_path", "x", *flags.split()])


def test_no_tree(pruned_checkpoint, tmp_path):
    with pytest.raises(UserError, match="FOLDER, --model_name_or_path"):
        main(["--rounds", "1"])
    with pytest.raises(UserError, match="no function"):
        main([str(tmp_path), "--model_name_or_path", str(pruned_checkpoint)])
