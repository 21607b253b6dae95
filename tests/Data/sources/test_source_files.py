"""Source files of a folder, and how their content and names are decoded."""

import os

import pytest

from Data.sources.source_files import decode_source, read_folder

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


@pytest.mark.parametrize(
    "content, text",
    [
        (b"a\r\nb\rc\n", "a\nb\nc\n"),
        (b"\xef\xbb\xbfint \xc3\xa4;", "int \u00e4;"),
        (b"int \xe4;", "int \u00e4;"),
        (b"a\0b", "ab"),
    ],
)
def test_decode_source(content, text):
    assert decode_source(content) == text
