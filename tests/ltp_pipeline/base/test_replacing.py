"""Replacing a result: killed at every change to the disk, or refused by it, no complete result is lost."""

import errno
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ltp_pipeline.base import result_folder
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.result_folder import RESULT_MARK, check_overwrite, finish_replacing, new_result
from tests.ltp_pipeline.base.kills import is_killed, kills

FILES = (RESULT_MARK, "sub/log.txt")


def write(folder, text, files=FILES):
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def tree(folder):
    return {str(path.relative_to(folder)): path.read_text() for path in folder.glob("**/*") if path.is_file()}


def whole(text, later=False):
    return dict.fromkeys((*FILES, *(["hard/" + RESULT_MARK] if later else [])), text)


@pytest.fixture
def tmp_path(memory_folder):
    return memory_folder


@pytest.fixture(params=["nothing inside", "a later stage inside"])
def place(request, tmp_path, monkeypatch):
    """`place.prepare()` makes an old result, in which a later stage may be, and an interrupted run set aside."""

    class Place:
        later = request.param != "nothing inside"
        target = tmp_path / "soft"

        def prepare(self):
            shutil.rmtree(tmp_path)
            write(self.target, "old")
            if self.later:
                write(self.target / "hard", "old", [RESULT_MARK])
            write(tmp_path / "soft.unfinished.previous", "aside", ["checkpoint-3/model.safetensors"])

        def replace(self):
            with new_result(self.target) as work:
                write(work, "new")

        def old_places(self):
            """Where the old result is, whole."""
            folders = [self.target, *tmp_path.glob("soft.previous*")]
            return [folder for folder in folders if folder.exists() and tree(folder) == whole("old", self.later)]

        def check_end(self):
            """The new result is in place; the old one is kept if it must be; nothing else is there."""
            assert tree(self.target) == whole("new")
            names = {path.name for path in tmp_path.iterdir()}
            assert names == ({"soft", "soft.previous"} if self.later else {"soft"})
            assert not self.later or tree(tmp_path / "soft.previous") == whole("old", True)

    monkeypatch.setattr(os, "fsync", lambda file: None)  # slow, and a kill does not lose what it writes
    return Place()


def test_killed_at_every_change_the_old_or_the_new_result_is_whole_and_the_next_run_does_the_rest(place):
    ends = []
    for _ in kills(place.replace, place.prepare):
        new = place.target.exists() and {k: v for k, v in tree(place.target).items() if k != ".complete"} == whole(
            "new"
        )
        assert new or place.old_places()
        finish_replacing(place.target)  # what the next run does first
        if place.target.exists() and tree(place.target) == whole("new"):
            place.check_end()
            ends.append("new")
        else:
            assert place.old_places() == [place.target]
            assert (place.target.parent / "soft.unfinished.previous" / "checkpoint-3").exists()
            ends.append("old")
    assert ends == sorted(ends, reverse=True) and ends.count("old") > 3 and ends.count("new") > 4


def test_killed_again_while_it_does_the_rest(place):
    def killed():
        place.prepare()
        with pytest.raises(KeyboardInterrupt), pytest.MonkeyPatch.context() as patch:
            patch.setattr(result_folder, "finish_replacing", interrupt)
            place.replace()

    def interrupt(target):
        raise KeyboardInterrupt

    count = 0
    for _ in kills(lambda: finish_replacing(place.target), killed):
        finish_replacing(place.target)
        place.check_end()
        count += 1
    assert count > 4


def test_killed_while_it_sets_an_interrupted_run_aside(tmp_path):
    target, work = tmp_path / "soft", tmp_path / "soft.unfinished"

    def prepare():
        shutil.rmtree(tmp_path)
        write(work, "interrupted", ["checkpoint-9/model.safetensors"])

    def start_again():
        with new_result(target) as folder:
            assert folder == work and not list(folder.iterdir())
            os._exit(0)

    count = 0
    for _ in kills(start_again, prepare):
        assert [path.read_text() for path in tmp_path.glob("soft.unfinished*/checkpoint-9/*")] == ["interrupted"]
        count += 1
    assert count == 3  # before the folder is renamed, before the new one is made, and not killed


@pytest.mark.parametrize("number", [errno.EXDEV, errno.EACCES, errno.EBUSY])
@pytest.mark.parametrize(
    "failing", [(0,), (1,), (1, 2)], ids=["the first", "the second", "the second and its undoing"]
)
def test_a_rename_that_fails_loses_nothing_and_the_message_says_where_all_is(place, monkeypatch, number, failing):
    place.prepare()
    rename, calls = os.rename, []

    def fails(source, target):
        calls.append(source)
        if len(calls) - 1 in failing:
            raise OSError(number, os.strerror(number))
        rename(source, target)

    with monkeypatch.context() as patch, pytest.raises(UserError) as error:
        patch.setattr(os, "rename", fails)
        place.replace()
    said, work = str(error.value), place.target.with_name("soft.unfinished")
    assert os.strerror(number) in said and f"mv {work}" in said and "--output_dir" in said
    assert {k: v for k, v in tree(work).items() if k != ".complete"} == whole("new")
    (old,) = place.old_places()
    assert (old == place.target) == (len(failing) == 1) and (old == place.target or str(old) in said)
    assert finish_replacing(place.target)  # the next run, when the folder can be renamed
    place.check_end()


def test_an_old_result_that_cannot_be_removed_is_named(place, monkeypatch, capsys):
    place.prepare()

    def fails(folder):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", fails)
        place.replace()
    assert tree(place.target) == whole("new")
    shown = capsys.readouterr().out
    assert "soft.unfinished.previous is no longer needed, but cannot be removed: Permission denied" in shown
    assert ("soft.previous is no longer needed" in shown) != place.later


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_disk_that_reports_its_error_only_when_files_are_flushed(place, monkeypatch, number):
    place.prepare()

    def fails(file):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(UserError, match=f"--output_dir .*{os.strerror(number)}.*--resume_from_checkpoint last"):
        place.replace()
    assert place.old_places() == [place.target]


def test_a_trained_model_that_was_not_moved_is_not_emptied(tmp_path):
    write(tmp_path / "soft.unfinished", "new")
    with pytest.raises(UserError, match=r"soft.unfinished holds a trained model.*--overwrite_output_dir"):
        check_overwrite(tmp_path / "soft", overwrite=False, resumes=False)
    check_overwrite(tmp_path / "soft", overwrite=True, resumes=False)


def test_an_earlier_result_beside_a_missing_folder_is_named(tmp_path, capsys):
    write(tmp_path / "soft.previous", "old")
    assert not finish_replacing(tmp_path / "soft")
    assert "soft.previous: rename it" in capsys.readouterr().out


def test_a_result_behind_a_symbolic_link_is_replaced_where_it_is(tmp_path):
    write(tmp_path / "disk" / "soft", "old")
    link = tmp_path / "soft"
    link.symlink_to(tmp_path / "disk" / "soft")
    with new_result(result_folder.place_of(link)) as work:
        assert work == tmp_path / "disk" / "soft.unfinished"
        write(work, "new")
    assert link.is_symlink() and tree(link) == whole("new")


SCRIPT = """
import sys
from pathlib import Path
from ltp_pipeline.base.errors import run_main
from ltp_pipeline.base.folder_lock import locked
from ltp_pipeline.base.result_folder import RESULT_MARK, check_replaceable, new_result, place_of

def main():
    target, size = Path(sys.argv[1]), int(sys.argv[2])
    check_replaceable(target, {})
    with locked(place_of(target), "a command", replaces=True), new_result(place_of(target)) as work:
        (work / "checkpoint-1").mkdir()
        (work / "checkpoint-1" / "model").write_bytes(b"1" * 1000)
        (work / RESULT_MARK).write_bytes(b"1" * size)

run_main(main)
"""
SITUATIONS = {
    "a full disk": ("mkdir d; mount -t tmpfs -o size=64k none d; cp -r old d/soft", "d/soft", "No space left"),
    "a read-only disk": (
        "mkdir d; mount -t tmpfs none d; cp -r old d/soft; mount -o remount,ro d",
        "d/soft",
        "Read-only",
    ),
    "a mount point": ("mkdir soft; mount -t tmpfs none soft; cp old/* soft", "soft", "is a mount point"),
    "a folder that is bound": ("mkdir soft; mount --bind old soft", "soft", "resource busy.* mv soft.unfinished"),
    "a missing parent on a read-only disk": ("mkdir d; mount -t tmpfs -o ro none d", "d/a/b", "Read-only"),
}


@pytest.mark.parametrize("situation", SITUATIONS)
def test_on_real_file_systems(situation, tmp_path):
    before, target, said = SITUATIONS[situation]
    write(tmp_path / "old", "old", [RESULT_MARK, "model.safetensors"])
    shown = (
        f"for f in {target}/{RESULT_MARK} {target}/model.safetensors; do [ -e $f ] && cat $f; done; ls -d {target}.*"
    )
    command = f"set -e; {before}; set +e; {sys.executable} -c '{SCRIPT}' {target} 100000; echo status $?; {shown}"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3])}
    namespace = ["unshare", "--user", "--map-root-user", "--mount"]
    if shutil.which("unshare") is None or subprocess.run([*namespace, "true"], capture_output=True).returncode:
        pytest.skip("needs user namespaces")
    done = subprocess.run(
        [*namespace, "bash", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
    )
    assert "status 2" in done.stdout, done.stdout + done.stderr
    assert re.search(rf"error: --output_dir {target}: .*{said}", done.stderr) and "Traceback" not in done.stderr
    assert done.stdout.count("old") == (0 if "parent" in situation else 2)
    assert "lock" not in done.stdout
    if situation == "a full disk":
        assert "--resume_from_checkpoint last" in done.stderr and "soft.unfinished" in done.stdout


def test_what_a_kill_can_leave_of_several_files_is_whole_and_the_report_is_last(tmp_path):
    from ltp_pipeline.base.files import replaced_together, write_text

    names, folder = ("train.csv", "dev.csv", "report.json"), tmp_path / "out"

    def prepare():
        shutil.rmtree(folder, ignore_errors=True)
        write(folder, "old", names)

    def replace():
        with replaced_together(folder) as staging:
            for name in names:
                write_text(staging / name, "new")

    for _ in kills(replace, prepare):
        found = {name: (folder / name).read_text() for name in names}
        assert set(found.values()) <= {"old", "new"}
        assert found["report.json"] == "old" or set(found.values()) == {"new"}
    write(folder / ".unfinished-1", "left by a killed run", names)
    assert not is_killed(replace, 10**6)
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)
