"""Source files of a folder, and how their content and names are decoded."""

import os

import pytest

from Data.sources.source_files import read_folder
from ltp_pipeline.base.errors import UserError

CODE = b"int f(void) { return 1; }\n"
C = frozenset({".c", ".h"})


def test_folder_skips_links_and_hidden(tmp_path):
    (tmp_path / "src" / ".git").mkdir(parents=True)
    for name in ("src/b.c", "src/a.h", "src/.git/no.c", "src/.no.c", "a.txt"):
        (tmp_path / name).write_bytes(CODE)
    (tmp_path / "outside.c").symlink_to(tmp_path / "src" / "b.c")
    (tmp_path / "again").symlink_to(tmp_path / "src")
    os.mkfifo(tmp_path / "pipe.c")
    assert [f.path for f in read_folder(tmp_path, "p", C)] == ["src/a.h", "src/b.c"]


def test_names_that_are_not_utf8_become_writable(tmp_path):
    (tmp_path / os.fsdecode(b"caf\xe9.c")).write_bytes(CODE)
    assert [f.path for f in read_folder(tmp_path, "p", C)] == ["caf?.c"]
    (tmp_path / os.fsdecode(b"caf\xe8.c")).write_bytes(CODE)
    assert sorted(f.path for f in read_folder(tmp_path, "p", C)) == ["caf%E9.c", "caf?.c"]


def test_encodings_and_files_left_out_are_counted(tmp_path, monkeypatch):
    from Data.sources import source_files
    from Data.sources.file_report import FileReport

    monkeypatch.setattr(source_files, "MAX_FILE_BYTES", 100)
    contents = {
        "a.c": CODE,
        "b.c": CODE.decode().encode("utf-16"),
        "c.c": b"// caf\xe9 and more\0\n",
        "large.c": CODE * 9,
        ".d.c": CODE,
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "link.c").symlink_to(tmp_path / "a.c")
    report = FileReport()
    assert [f.path for f in read_folder(tmp_path, "p", C, report)] == ["a.c", "b.c", "c.c"]
    counts = report.counts()
    assert counts["encodings"] == {"utf-8": 1, "utf-16-le with a mark": 1, "windows-1252, with NULs": 1}
    assert sorted(counts["files_left_out"].values()) == [1, 1, 1]
    assert set(report.left_out) == {("p", "large.c"), ("p", ".d.c"), ("p", "link.c")}


def test_a_folder_that_cannot_be_read_is_an_error(tmp_path, monkeypatch):
    (tmp_path / "a.c").write_bytes(CODE)

    def walk(folder, onerror=None):
        if onerror is not None:
            onerror(PermissionError(13, "Permission denied", f"{folder}/secret"))
        yield str(folder), [], ["a.c"]

    monkeypatch.setattr(os, "walk", walk)
    with pytest.raises(UserError, match="--source_dir: cannot read .*secret: Permission denied"):
        read_folder(tmp_path, "p", C)
