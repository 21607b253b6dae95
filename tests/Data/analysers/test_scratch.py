"""Temporary files of builds, also of builds that were killed."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from Data.analysers.scratch import scratch_folder, temporary_files_in
from ltp_pipeline.base.errors import UserError

ROOT = Path(__file__).resolve().parents[3]
HOLD = "import sys; from pathlib import Path; from Data.analysers.scratch import scratch_folder\n"
HOLD += (
    "with scratch_folder(Path(sys.argv[1])) as folder: (folder / 'file').write_text(''); print(1, flush=True); input()"
)


def test_folders_of_killed_builds_are_removed_and_those_of_running_ones_stay(tmp_path):
    running = [
        subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], cwd=ROOT, stdin=-1, stdout=-1) for _ in range(2)
    ]
    for build in running:
        build.stdout.readline()
    assert len(list(tmp_path.glob("scratch/*/file"))) == 2
    os.kill(running[0].pid, signal.SIGKILL)
    running[0].wait()
    with scratch_folder(tmp_path) as folder:
        assert sorted(map(len, map(os.listdir, (tmp_path / "scratch").iterdir()))) == [0, 1] and folder.is_dir()
    running[1].communicate(b"\n")
    assert not any((tmp_path / "scratch").iterdir())


def test_temporary_files_are_made_there(tmp_path):
    before = tempfile.gettempdir()
    with scratch_folder(tmp_path) as folder, temporary_files_in(folder), tempfile.TemporaryDirectory() as inner:
        assert Path(inner).parent == folder
    assert tempfile.gettempdir() == before


def test_a_cache_folder_that_cannot_be_written_to(tmp_path):
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(UserError, match="--cache_dir: cannot write to .*cache"), scratch_folder(tmp_path / "cache"):
        pass
