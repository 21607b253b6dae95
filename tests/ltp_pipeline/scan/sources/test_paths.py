"""Which files a scan finds."""

import io
import os
import sys
from collections import Counter
from pathlib import Path

import pytest

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.scan.sources import paths
from ltp_pipeline.scan.sources.paths import find_files, path_bytes, shown_path

CODE = "int f(void) { return 1; }\n"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """An empty current folder, in no repository."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def tree(*names, text=CODE):
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text)


def found(*given, **options):
    files, skipped = find_files(given or ["."], **options)
    for file in files:
        assert file.path.is_file()
    return [file.shown for file in files], {one.path: one.reason for one in skipped}


def errors(*given, **options):
    return {one.path: one.reason for one in find_files(given or ["."], **options)[1] if one.is_error}


def test_an_empty_folder():
    assert found() == ([], {})
    Path("a", "b").mkdir(parents=True)
    tree("README.md", "Makefile")
    assert found() == ([], {})


def test_endings_of_every_language_in_a_stable_order():
    tree("b/z.py", "b/a.C", "a.h", "B.HPP", "c.ps1", "d.psm1", "e.inl", "x.java", "y.go", "README", "z.txt", ".c", "c")
    files, skipped = found()
    assert files == ["B.HPP", "a.h", "b/a.C", "b/z.py", "c.ps1", "d.psm1", "e.inl"]
    assert skipped == {"x.java": paths.OTHER_LANGUAGE, "y.go": paths.OTHER_LANGUAGE}
    assert found("c.ps1", "b", ".")[0] == files


def test_vendored_and_hidden_files_are_left_out_and_counted():
    vendored = (
        "third_party",
        "ThirdParty",
        "3rdparty",
        "vendor",
        "node_modules",
        "external",
        "src/deps",
        "vendored-x",
    )
    tree(*(f"{folder}/{name}" for folder in vendored for name in ("lib/a.c", "README", "x.js")))
    tree(
        "venv/pyvenv.cfg",
        "venv/lib/python/a.py",
        "sub/b.c",
        "sub/depends/vendor.c",
        ".hidden/a.c",
        "sub/.b.c",
        ".git/a.c",
    )
    files, skipped = found()
    assert files == ["sub/b.c", "sub/depends/vendor.c"]
    assert Counter(skipped.values()) == {paths.VENDORED: len(vendored) + 1, paths.HIDDEN: 2}
    assert skipped[".hidden/"] == skipped["sub/.b.c"] == paths.HIDDEN
    assert not errors()


def test_what_is_named_is_found_in_any_case():
    tree("third_party/a/b.c", ".hidden/a.c", ".hidden/third_party/c.c", "build/d.c", "build/e.c")
    Path(".gitignore").write_text("build/\n")
    assert found("third_party/a", ".hidden", "build/d.c")[0] == [".hidden/a.c", "build/d.c", "third_party/a/b.c"]
    assert found("build")[0] == ["build/d.c", "build/e.c"]
    files = {file.shown: file.is_named for file in find_files(["build/d.c", ".", ".hidden/"])[0]}
    assert files == {"build/d.c": True, ".hidden/a.c": False}


def test_a_path_given_twice_or_inside_another_is_found_once():
    tree("a/b/c.c", "a/vendor/d.c")
    every = ["a/b/c.c"]
    for given in (
        ["a", "a"],
        ["a", "./a/", "a/b/c.c"],
        ["a/b", "a"],
        [os.path.abspath("a"), "../here/a"],
        [".", "a/../a"],
    ):
        assert found(*given) == (every, {"a/vendor/d.c": paths.VENDORED})
    assert found("a", "a/vendor") == (["a/b/c.c", "a/vendor/d.c"], {})


def test_links(here):
    tree("src/a.c", "src/sub/b.c", "../outside/o.c", "../outside/deep/p.c")
    links = {"src/again": ".", "src/sub/up": "../..", "src/out": "../../outside", "src/l.c": "a.c", "src/k.c": "a.c"}
    links |= {"src/o1.c": "../../outside/o.c", "src/o2.c": "o1.c", "src/broken.c": "none.c", "src/self.c": "self.c"}
    for name, target in links.items():
        os.symlink(target, name)
    files, skipped = found()
    assert files == ["src/a.c", "src/o1.c", "src/sub/b.c"]
    assert skipped == {
        **dict.fromkeys(("src/again/", "src/sub/up/", "src/out/"), paths.FOLDER_LINK),
        **dict.fromkeys(("src/l.c", "src/k.c", "src/o2.c"), paths.LINK_TO_SCANNED),
        **dict.fromkeys(("src/broken.c", "src/self.c"), paths.BROKEN_LINK),
    }
    assert set(errors()) == {"src/broken.c", "src/self.c"}
    assert found("src/out")[0] == ["src/out/deep/p.c", "src/out/o.c"]  # a link that is named is followed
    assert found("src/l.c")[0] == ["src/l.c"]
    for named in (["src/l.c", "src/a.c"], ["src/a.c", "src/l.c"], ["src", "src/l.c"]):
        assert "src/a.c" in found(*named)[0] and "src/l.c" not in found(*named)[0]
    with pytest.raises(UserError, match="PATH src/self.c"):
        found("src/self.c")


def test_odd_names():
    names = [
        b"a b.c",
        b"-x.c",
        b"new\nline.c",
        b"caf\xe9.c",
        "\u00fc\u202e.c".encode(),
        b"'\"$x`.c",
        b"tab\t.c",
        b"--/-.c",
        b"caf\\xe9.c",
        "\u0080.c".encode(),
    ]
    for name in names:
        tree(os.fsdecode(name))
    expected = ["a b.c", "-x.c", "new\\nline.c", "caf\\xe9.c", "\u00fc\\u202e.c", "'\"$x`.c", "tab\\t.c", "--/-.c"]
    expected += [r"caf\\xe9.c", r"\u0080.c"]
    assert found()[0] == sorted(expected)
    assert found(*map(os.fsdecode, names))[0] == sorted(expected)
    assert found("--", "./-x.c")[0] == ["--/-.c", "-x.c"]
    assert [path_bytes(shown) for shown in expected] == names


def test_very_deep_folders(here):
    folder = os.open(".", os.O_RDONLY)
    try:
        for _ in range(30):  # 6,000 characters: more than a path may have
            os.mkdir("d" * 200, dir_fd=folder)
            deeper = os.open("d" * 200, os.O_RDONLY, dir_fd=folder)
            os.close(folder)
            folder = deeper
            with os.fdopen(os.open("a.c", os.O_CREAT | os.O_WRONLY, dir_fd=folder), "w") as file:
                file.write(CODE)
    finally:
        os.close(folder)
    files, skipped = find_files(["."])
    assert 10 < len(files) < 30 and [one.is_error for one in skipped] == [True]
    assert "too long" in skipped[0].reason


def test_what_is_no_file_and_what_cannot_be_read(monkeypatch):
    tree("a/b.c", "c/d.c")
    os.mkfifo("pipe.c")
    assert found() == (["a/b.c", "c/d.c"], {"pipe.c": paths.NOT_REGULAR})
    scan = os.scandir

    def refuse(folder):
        if str(folder).endswith("c"):
            raise PermissionError(13, "Permission denied", str(folder))
        return scan(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    assert found()[0] == ["a/b.c"]
    assert errors() == {"c/": "unreadable: Permission denied"}


@pytest.mark.parametrize(
    "given, words",
    [
        ("none", "No such file"), ("none/a.c", "No such file"), ("a.c/b.c", "Not a directory"),
        ("README.md", r"\.c .*\.py"),
        ("pipe.c", "no regular file"), ("/dev/null", "no regular file"), ("", "No such file"), ("a\0b", "null"),
        ("x" * 5000, "too long"), ("~/a.c", "No such file"),
    ],
)  # fmt: skip
def test_a_path_that_cannot_be_scanned(given, words):
    tree("README.md", "a.c")
    os.mkfifo("pipe.c")
    with pytest.raises(UserError, match=f"(?s)^PATH .*{words}"):
        find_files([given])


@pytest.mark.parametrize("separator", ["\n", "\r\n", "\0"])
def test_a_list_on_standard_input(monkeypatch, separator):
    names = ["a b.c", "-x.c", os.fsdecode(b"caf\xe9.c"), "sub", "README.md", "", "gone.c", "a b.c", "link"]
    os.symlink(".", "link")
    tree("a b.c", "-x.c", os.fsdecode(b"caf\xe9.c"), "sub/d.c", "README.md", "other.c")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(os.fsencode(separator.join(names)))))
    files, skipped = find_files(["-", "other.c"])
    assert [file.shown for file in files] == ["-x.c", "a b.c", "caf\\xe9.c", "other.c", "sub/d.c"]
    assert {one.path: (one.reason, one.is_error) for one in skipped} == {
        "README.md": (paths.OTHER_ENDING, False),
        "gone.c": (paths.MISSING, True),
        "link/": (paths.FOLDER_LINK, False),
    }
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    assert find_files(["-"]) == ([], [])
    for closed in (None, io.TextIOWrapper(io.BytesIO())):
        if closed:
            closed.close()
        monkeypatch.setattr(sys, "stdin", closed)
        with pytest.raises(UserError, match="PATH -: .*closed"):
            find_files(["-"])


@pytest.mark.parametrize(
    "options, left",
    [
        ({"exclude": ["tests/"]}, ["a.c", "src/a.py", "src/gen/b.c"]),
        ({"exclude": ["gen"]}, ["a.c", "src/a.py", "tests/t.c"]),
        ({"exclude": ["src/gen", "tests/*.c"]}, ["a.c", "src/a.py"]),
        ({"exclude": ["*.c"]}, ["src/a.py"]),
        ({"exclude": ["/a.c"]}, ["src/a.py", "src/gen/b.c", "tests/t.c"]),
        ({"exclude": ["*.c", "!t.c"]}, ["src/a.py", "tests/t.c"]),
        ({"exclude": ["./src", "./t.c"]}, ["a.c", "tests/t.c"]),
        ({"include": ["./a.c"]}, ["a.c"]),
        ({"include": ["*.c"]}, ["a.c", "src/gen/b.c", "tests/t.c"]),
        ({"include": ["src/"]}, ["src/a.py", "src/gen/b.c"]),
        ({"include": ["src/**/*.c", "*.py"], "exclude": ["a.*"]}, ["src/gen/b.c"]),
        ({"include": ["*.txt"]}, []),
    ],
    ids=str,
)
def test_globs(here, monkeypatch, options, left):
    tree("a.c", "src/a.py", "src/gen/b.c", "tests/t.c", "x.txt")
    assert found(**options)[0] == left
    assert found("a.c", "src", "tests/t.c", **options)[0] == left  # they hold for named files, too
    skipped = found(**options)[1]
    assert set(skipped.values()) <= {paths.EXCLUDED, paths.NOT_INCLUDED} and skipped
    monkeypatch.chdir(here.parent)
    inside = [name.replace("here/", "") for name in found("here", **options)[0]]
    assert inside == left  # a glob may begin at the folder that is given


@pytest.mark.parametrize(
    "options", [{"include": ["/"]}, {"exclude": [""]}, {"exclude": ["# x"]}, {"include": ["a[b"]}]
)
def test_a_broken_glob(options):
    (flag,) = options
    with pytest.raises(UserError, match=f"--{flag} "):
        find_files(["."], **options)


def test_paths_as_shown(here, monkeypatch):
    tree("a/b.c", "../x/y.c")
    outside = str(here.parent / "x")
    given = (".", "./a//b.c", str(here), f"{here}/a/b.c", "../x", outside, "../here/a")
    assert [shown_path(one) for one in given] == [".", "a/b.c", ".", "a/b.c", "../x", outside, "a"]
    assert found("../x")[0] == ["../x/y.c"] and found(outside)[0] == [f"{outside}/y.c"]
    os.symlink(here, "../link")
    assert shown_path(f"{here.parent}/link/a/b.c") == "a/b.c"
    monkeypatch.chdir("/")
    assert shown_path("/etc") == "etc" and shown_path("/") == "."
