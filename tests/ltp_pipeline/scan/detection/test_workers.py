"""Processes that do tasks beside the model: none is left over, and an end of one is known by its task."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ltp_pipeline.scan.detection import workers as module
from ltp_pipeline.scan.detection.prepare import Window, in_background, windows
from ltp_pipeline.scan.detection.workers import TaskFailed, Workers
from ltp_pipeline.scan.sources.paths import FoundFile
from tests.ltp_pipeline.scan.detection import worker_tasks
from tests.ltp_pipeline.scan.detection.worker_tasks import work

ROOT = Path(__file__).resolve().parents[4]


@pytest.fixture(scope="module")
def workers():
    with Workers(1) as own:
        yield own


def test_tasks_run_in_another_process_with_the_shared_value(workers):
    process, shared, rest = workers.submit(work, "", 1, "é").result()
    assert process != os.getpid() and shared is None and rest == (1, "é")
    workers.shared = {"a": 1}
    futures = [workers.submit(work, "print", i) for i in range(3)]
    assert [future.result() for future in futures] == [(process, {"a": 1}, (i,)) for i in range(3)]


@pytest.mark.parametrize(
    ("task", "says"), [("die", "SIGKILL"), ("exit", "status 3"), ("raise", "RecursionError: too")]
)
def test_a_task_that_ends_its_process_is_known_and_the_others_are_done(workers, task, says):
    workers.shared = "again"
    failing, other = workers.submit(work, task), workers.submit(work, "")
    with pytest.raises(TaskFailed, match=says):
        failing.result()
    assert other.result()[1] == "again"


@pytest.mark.parametrize(
    ("root", "here", "paths", "expected"),
    [
        ("/code", "/x", ["", "/std", "/site"], ["/code", "/std", "/site"]),  # an editable installation
        ("/code", "/x", ["/code", "/std", "/site"], ["/code", "/std", "/site"]),  # a script of a checkout
        ("/code", "/code", ["", "/std"], ["/code", "/std"]),
        ("/code", "/code", ["/code", "/std"], ["/code", "/std"]),
        ("/site", "/x", ["/bin", "/std", "/site"], ["/bin", "/std", "/site"]),  # nothing there hides Python's modules
        ("/code", "/x", ["/x", "/std"], ["/code", "/std"]),  # not from the folder that is scanned
    ],
)
def test_where_the_processes_look_for_modules(monkeypatch, root, here, paths, expected):
    monkeypatch.setattr(module, "ROOT", root)
    monkeypatch.setattr(sys, "path", paths)
    assert module._module_paths(here) == expected


def test_without_processes_tasks_run_here():
    with Workers(0) as own:
        own.shared = 5
        assert own.submit(work, "", 1).result() == (os.getpid(), 5, (1,))
        with pytest.raises(TaskFailed, match="too deep"):
            own.submit(work, "raise").result()


def test_no_process_is_left_at_the_end():
    with pytest.raises(KeyboardInterrupt), Workers(2) as own:
        process = own.submit(work, "").result()[0]
        futures = [own.submit(work, "sleep") for _ in range(3)]
        raise KeyboardInterrupt
    assert all(future.done() for future in futures)
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_processes_end_when_the_scan_is_killed():
    code = f"import sys, time; sys.path[:0] = [{str(ROOT)!r}]\n"
    code += "from ltp_pipeline.scan.detection.workers import Workers; own = Workers(1)\n"
    code += "own.submit(print, 1).result(); (process,) = own._running; print(process.pid, flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as scan:
        process = int(scan.stdout.readline())
        scan.kill()
    for _ in range(100):
        state = Path(f"/proc/{process}/stat")
        if not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z":
            return
        time.sleep(0.1)
    raise AssertionError("the process still runs")


def test_no_module_of_the_current_folder_is_imported(tmp_path, monkeypatch):
    for name in ("sys", "os", "json", "pickle", "signal", "multiprocessing", "sitecustomize", "ltp_pipeline", "numpy"):
        (tmp_path / f"{name}.py").write_text("open('imported', 'w')\n")
    (tmp_path / "a.c").write_text("int f(void) { return 0; }\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("")
    with Workers(1) as own:
        (window,) = windows([FoundFile(Path("a.c"), "a.c")], own, "auto", lambda unit: True, str.encode)
    assert [unit.name for unit in window.units] == ["f"] and not (tmp_path / "imported").exists()


def test_a_file_whose_process_dies_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("ltp_pipeline.scan.detection.prepare.read_file", worker_tasks.read_or_die)
    files = [FoundFile(Path(name), name) for name in ("a.c", "die.c", "b.c")]
    with Workers(1) as own:
        (window,) = windows(files, own, "auto", lambda unit: True, str.encode)
    names = [one.path for one in window.skipped]
    assert names == ["a.c", "die.c", "b.c"] and [one.is_error for one in window.skipped] == [False, True, False]
    assert "SIGKILL" in window.skipped[1].reason


def test_an_error_in_the_background_reaches_the_caller():
    def items():
        yield Window(names=["first"])
        raise ValueError("second")

    made = in_background(items())
    assert next(made).names == ["first"]
    with pytest.raises(ValueError, match="second"):
        next(made)


def test_only_one_window_is_made_ahead():
    made = []

    def items():
        for number in range(10):
            made.append(number)
            yield Window()

    background = in_background(items())
    next(background)
    time.sleep(0.3)
    assert len(made) <= 3  # the one that is read, one that is ready, and one that waits for its place
    background.close()
