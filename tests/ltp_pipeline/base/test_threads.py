"""--num_threads: the rule of `auto`, what it reads from the system, and what reaches PyTorch in every command."""

import os
import subprocess
import sys

import pytest
import torch

from ltp_pipeline import comparison
from ltp_pipeline.base import threads
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.program import ROOT
from ltp_pipeline.base.threads import Reading, auto_threads, chosen_threads, use_threads, use_threads_again
from ltp_pipeline.commands import extract, finetune, prune, scan, show


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine of four cores, and what other processes have computed on them in the 2 seconds since the start."""
    for name in threads.SET_BY_USER:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(threads, "SYSTEM", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    monkeypatch.setattr(threads, "_STARTED", Reading(clock=0.0, busy=50.0, own=1.0))

    def load(busy, own=2.0):
        monkeypatch.setattr(threads, "read_load", lambda: Reading(2.0, 50 + busy + own, 1.0 + own))

    load(0)
    return load


@pytest.fixture
def used(monkeypatch):
    """The numbers that PyTorch was given."""
    numbers = []
    monkeypatch.setattr(torch, "set_num_threads", numbers.append)
    return numbers


@pytest.mark.parametrize(
    "cores, busy, expected",
    [(2, 0, 2), (2, 0.4, 2), (2, 0.97, 1), (2, 1.4, 1), (2, 2.0, 1), (1, 0, 1), (8, 1.1, 7), (8, 20, 1), (4, 2.51, 1)],
)
def test_as_many_threads_as_cores_are_idle(cores, busy, expected):
    assert auto_threads(cores, cores, busy) == expected


@pytest.mark.parametrize("busy, expected", [(0, 4), (0.9, 4), (2, 3), (4.2, 2), (8, 1), (float("nan"), 4)])
def test_auto_reads_the_load_of_other_processes(machine, capsys, busy, expected):
    machine(busy)
    assert chosen_threads("auto") == expected
    note = capsys.readouterr().err
    assert note == ("" if expected == 4 else note)
    if expected == 3:
        assert note == "note: other processes use 1.0 of 4 cores; 3 threads will compute (--num_threads 4: use all)\n"
    assert chosen_threads("auto", quiet=True) == expected and capsys.readouterr().err == ""


def test_with_a_quota_the_load_of_all_cores_counts(machine, monkeypatch, capsys):
    """A container that may use two of four cores: two of them busy leave two idle ones, three leave one."""
    monkeypatch.setattr(threads, "_quota", lambda: 2.0)
    machine(4)
    assert chosen_threads("auto") == 2 and capsys.readouterr().err == ""
    machine(6)
    assert chosen_threads("auto") == 1
    assert capsys.readouterr().err == (
        "note: other processes use 3.0 of 4 cores; 1 thread will compute (--num_threads 2: use all)\n"
    )


@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "MKL_NUM_THREADS"])
def test_the_environment_comes_first(machine, monkeypatch, used, name):
    monkeypatch.setenv(name, "3")
    assert chosen_threads("auto") is None
    use_threads("auto")
    use_threads("2")
    assert used == [2]


@pytest.mark.parametrize("local, expected", [("2", 2), ("3", 1), ("8", 1)])
def test_processes_of_one_run_share_the_cores_and_ignore_each_others_load(machine, monkeypatch, local, expected):
    for name, value in {"LOCAL_RANK": "0", "RANK": "0", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": local}.items():
        monkeypatch.setenv(name, value)
    machine(8)
    assert chosen_threads("auto") == expected


@pytest.mark.parametrize(
    "files, expected",
    [
        ({}, 4),
        ({"cpu.max": "max 100000\n"}, 4),
        ({"cpu.max": "250000 100000\n"}, 2),
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"a.slice/b.service/cpu.max": "max 100000\n", "a.slice/cpu.max": "200000 100000\n"}, 2),
        ({"a.slice/b.service/cpu.max": "100000 100000\n", "a.slice/cpu.max": "200000 100000\n"}, 1),
        ({"cpu.max": "nonsense"}, 4),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 4),
        ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
    ],
)
def test_the_quota_of_the_control_group(machine, tmp_path, files, expected):
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("1:name=systemd:/else\n0::/a.slice/b.service\n")
    for name, text in files.items():
        place = tmp_path / "sys/fs/cgroup" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    assert threads.usable_cores() == expected


def test_two_threads_of_one_core_count_once(machine, tmp_path):
    for number in range(4):
        place = tmp_path / f"sys/devices/system/cpu/cpu{number}/topology/thread_siblings_list"
        place.parent.mkdir(parents=True)
        place.write_text(f"{number % 2},{number % 2 + 2}\n")
    assert threads.usable_cores() == 2


def test_the_load_is_that_of_the_usable_cores(monkeypatch, tmp_path):
    monkeypatch.setattr(threads, "SYSTEM", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1}, raising=False)
    (tmp_path / "proc").mkdir()
    second = os.sysconf("SC_CLK_TCK")
    rows = ["cpu 9 9 9 9 9 9 9 9 0 0", "cpu0 9 9 9 9 9 9 9 9 0 0", "cpu11 9 9 9 9 9 9 9 9 0 0"]
    # user, nice, system, idle, iowait, irq, softirq, steal
    own = " ".join(str(n * second) for n in (1, 2, 3, 40, 50, 6, 7, 80))
    (tmp_path / "proc/stat").write_text("\n".join([*rows, f"cpu1 {own} 0 0", "intr 5 6"]))
    assert threads.read_load().busy == 1 + 2 + 3 + 6 + 7
    (tmp_path / "proc/stat").unlink()
    assert threads.read_load().busy != threads.read_load().busy  # NaN


@pytest.mark.parametrize("text", ["0", "-1", "many", "1.5", "", "²", "4097", "9" * 5000])
def test_anything_but_auto_and_numbers_above_0_is_an_error(text):
    with pytest.raises(UserError, match=f"^--num_threads {text}: expected auto, or 1 to 4096$"):
        use_threads(text)


def test_more_threads_than_cores_are_a_warning(machine, capsys, used):
    use_threads("9")
    assert used == [9]
    assert capsys.readouterr().err.startswith("warning: --num_threads 9: this process may use 4 cores; ")
    use_threads("4")
    assert used == [9, 4] and capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "text, earlier, expected", [("auto", 3, [3]), ("auto", 5, []), ("auto", None, []), ("2", 3, [])]
)
def test_a_resumed_training_has_as_many_threads_as_before(machine, used, text, earlier, expected):
    use_threads_again(text, earlier)
    assert used == expected


COMMANDS = {
    finetune.main: "--model_name_or_path none --do_train --train_file none.csv --output_dir out",
    prune.main: "--restore none --masking_mode soft --train_file none.csv --output_dir out",
    extract.main: "--model_name_or_path none --train_file none.csv",
    show.main: "--model_name_or_path none --train_file none.csv",
    comparison.main: "--checkpoints a=none --test_file none.csv",
    scan.main: ". --model_name_or_path none",
}


@pytest.mark.parametrize("main", COMMANDS, ids=lambda main: main.__module__)
@pytest.mark.parametrize("text", ["0", "some"])
def test_every_command_refuses_a_wrong_number_first(main, text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=f"^--num_threads {text}: "):
        main([*COMMANDS[main].split(), "--num_threads", text])


@pytest.mark.parametrize("main", [main for main in COMMANDS if main != scan.main], ids=lambda main: main.__module__)
def test_every_command_passes_the_number_on(main, tmp_path, monkeypatch, used):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="none"):
        main([*COMMANDS[main].split(), "--num_threads", "1"])
    assert used == [1]


@pytest.mark.parametrize(
    "given, expected", [({}, "2000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, None)]
)
def test_threads_spin_for_a_short_time_only_if_nothing_else_was_set(given, expected):
    names = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    environment = {name: value for name, value in os.environ.items() if name not in names} | given
    program = "import sys, os, ltp_pipeline.commands; print('torch' in sys.modules, os.environ.get('GOMP_SPINCOUNT'))"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == f"False {expected}\n"


def test_the_setting_comes_before_torch_in_every_command():
    program = """
import sys, os
class Finder:
    def find_spec(self, name, *_):
        if name == "torch":
            print(os.environ.get("GOMP_SPINCOUNT"), flush=True)
            os._exit(0)
sys.meta_path.insert(0, Finder())
import importlib
importlib.import_module(sys.argv[1]).main(["--help"])
"""
    environment = {name: value for name, value in os.environ.items() if name not in threads.SPINNING_SET_BY_USER}
    for module in ("commands.finetune", "commands.prune", "commands.extract", "commands.show", "comparison"):
        command = [sys.executable, "-c", program, f"ltp_pipeline.{module}"]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        assert done.stdout == "2000\n", module
