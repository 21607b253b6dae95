"""Which files .gitignore names: compared with Git."""

import os
import random
import subprocess
import time
from pathlib import Path

import pytest

from ltp_pipeline.scan.sources.ignore_rules import IgnoreRules, repository_root
from ltp_pipeline.scan.sources.paths import IGNORED, find_files

PARTS = ["a", "b", "*.c", "a.c", "*", "**", "?", "[ab]", "x*", "*b", "a b", "[!a]*", "\\!x.c", "\\#x.c", " "]
PATTERNS = [
    "build/", "build", "/build", "src/build", "**/build", "build/**", "build/*\n!build/a.c", "build/\n!build/a.c",
    "*\n!*/\n!*.c", "*.c\n!a.c", "*.c\n!src/**/*.c", "/*\n!/src\n/src/*\n!/src/build", "**", "*/",
    "# build/\n\n\\#x.c", "build/   ", "a\\ b.c", "[ab].c", "[!a].c", "[a", "?.c", "src//build", "/",
    "\ufeffbuild/", "\\*.c", "src/build/", "./build", "BUILD", "a.c/", "src/**/a.c", "sr?/b*", "*.[ch]", "*.c\r",
    "!*.c", "src/*/a.c", "***/a.c", "src/***", "s**c/*", "*.*.c", "a*b*.c\n!*a*b*", "[[:alpha:]]", "[z-a].c",
    "a b .c/x", "[z-a]*\n*.c",
]  # fmt: skip
FILES = ["a.c", "b.c", "xb.c", "a b.c", "#x.c", "!x.c"]


def git(*arguments):
    return subprocess.run(["git", *arguments], check=True, capture_output=True).stdout


@pytest.fixture(autouse=True)
def repository(tmp_path, monkeypatch):
    """The current folder: an empty repository."""
    monkeypatch.chdir(tmp_path)
    for name in ("GIT_DIR", "GIT_WORK_TREE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    git("init", "-q", "--template=")
    return tmp_path


def tree(*names, **texts):
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text("int a;\n")


def found(*given, **options):
    return [file.shown for file in find_files(given or ["."], **options)[0]]


def not_ignored():
    """What Git does not ignore."""
    names = git("ls-files", "-z", "--others", "--exclude-standard").split(b"\0")
    return sorted(os.fsdecode(name) for name in names if name.endswith(b".c"))


def test_patterns_as_git_reads_them():
    inside = ("", "build/", "src/", "src/build/", "src/build/deep/")
    for number, lines in enumerate(PATTERNS):
        tree(*(f"{number}/{folder}{name}" for folder in inside for name in ("a.c", "b.c", "a b.c", "#x.c", "x.py.c")))
        Path(f"{number}/.gitignore").write_text(lines + "\n", newline="")
    check_by_folder(PATTERNS)


def test_random_patterns_as_git_reads_them():
    folders = ["", "a/", "b/", "a/b/", "a/b/a/", "x/", "x/b/"]
    cases = []
    for seed in range(40):
        draw = random.Random(seed)
        tree(*(f"{seed}/{folder}{name}" for folder in folders for name in FILES))
        for folder in draw.sample(folders, 3):
            lines = []
            for _ in range(draw.randint(1, 5)):
                pattern = "/".join(draw.choices(PARTS, k=draw.choice([1, 1, 2, 3])))
                ends = draw.choice(["", "", "/", "**/"]), draw.choice(["", "/", "/**", "/*", " "])
                lines.append(f"{draw.choice(['', '', '!'])}{ends[0]}{pattern}{ends[1]}\n")
            Path(str(seed), folder, ".gitignore").write_text("".join(lines))
        cases.append(f"seed {seed}")
    check_by_folder(cases)


def check_by_folder(cases):
    """The folders 0, 1, ... hold a case each: the same files are found as Git does not ignore."""
    ours, theirs = ([[] for _ in cases] for _ in range(2))
    for paths, by_case in ((found(), ours), (not_ignored(), theirs)):
        for path in paths:
            number, _, inner = path.partition("/")
            by_case[int(number)].append(inner)
    assert {case: a for case, a, b in zip(cases, ours, theirs) if a != b} == {
        case: b for case, a, b in zip(cases, ours, theirs) if a != b
    }
    assert sum(map(len, ours)) > 100


def test_nested_files_and_info_exclude_hold_below_the_root(repository):
    tree("a.c", "src/a.c", "src/b.c", "src/deep/a.c", "src/deep/b.c", "lib/a.c", "lib/c.c")
    Path(".gitignore").write_text("a.c\n")
    Path("src/deep/.gitignore").write_text("!a.c\nb.c\n")
    Path(".git/info").mkdir()
    Path(".git/info/exclude").write_text("*.c\n!b.c\n!lib/**\n")
    expected = ["lib/c.c", "src/b.c", "src/deep/a.c"]
    assert found() == not_ignored() == expected
    assert found("src", "lib") == expected  # the rules above a folder hold in it
    assert found("src/deep") == ["src/deep/a.c"]
    os.chdir("src/deep")
    assert found("../..") == ["../../lib/c.c", "../b.c", "a.c"]
    os.chdir(repository)
    assert len(found(gitignore=False)) == 7


def test_what_is_ignored_is_counted_once_for_a_folder():
    tree("build/a.c", "build/deep/b.c", "src/a.c", "src/b.c")
    Path(".gitignore").write_text("build/\nb.c\n*.py\n")
    skipped = find_files(["."])[1]
    assert [(one.path, one.reason, one.is_error) for one in skipped] == [
        ("build/", IGNORED, False),
        ("src/b.c", IGNORED, False),
    ]


def test_a_named_folder_that_is_ignored_is_searched():
    tree("build/a.c", "build/gen/b.c", "build/gen/out/c.c")
    Path(".gitignore").write_text("build/\n*.c\n")
    Path("build/.gitignore").write_text("out\n")
    assert found() == []
    assert found("build") == ["build/a.c", "build/gen/b.c"]
    assert found("build/gen") == ["build/gen/b.c", "build/gen/out/c.c"]


def test_a_repository_inside_has_its_own_rules():
    tree("a.c", "b.c", "libs/x/a.c", "libs/x/b.c", "tree/a.c", "tree/b.c")
    Path(".gitignore").write_text("a.c\n")
    git("init", "-q", "libs/x")
    Path("libs/x/.gitignore").write_text("b.c\n")
    Path("tree/.git").write_text("gitdir: ../.git/worktrees/tree\n")  # a work tree: exclude of the main repository
    Path(".git/worktrees/tree").mkdir(parents=True)
    Path(".git/worktrees/tree/commondir").write_text("../..\n")
    Path(".git/info").mkdir()
    Path(".git/info/exclude").write_text("b.c\n")
    assert found() == ["libs/x/a.c", "tree/a.c"]


def test_folders_in_no_repository(tmp_path, monkeypatch):
    tree("sdist/a.c", "sdist/build/b.c", "sdist/.gitignore")
    Path("sdist/.gitignore").write_text("build\n")
    (tmp_path / ".git").rename(tmp_path / "git")
    Path(".gitignore").write_text("*.c\n")  # above the folder, where no repository is: it does not hold
    assert repository_root(str(tmp_path)) is None
    assert found("sdist") == ["sdist/a.c"]
    assert found() == []


@pytest.mark.parametrize("content", [b"\xff\xfe\0*", b"caf\xe9.c\n", b"[\n\\\n!\n//\n", b"a" * 10_000])
def test_odd_files_of_rules_are_read_as_git_reads_them(content):
    tree(os.fsdecode(b"caf\xe9.c"), "a.c")
    Path(".gitignore").write_bytes(content)
    assert [os.fsdecode(bytes(file.path)).removeprefix("./") for file in find_files(["."])[0]] == not_ignored()


@pytest.mark.parametrize(
    "pattern, path",
    [
        ("*a*a*a*a*a*a*b", "a" * 250),
        ("?*" * 50 + "b", "a" * 250),
        ("**/a/**/a/**/a/**/b", "a/" * 1000 + "b"),
        ("**/" * 300 + "b", "a/" * 1000 + "c"),
    ],
)
def test_patterns_of_an_attacker_take_linear_time(repository, pattern, path):
    Path(".gitignore").write_text(pattern + "\n")
    rules = IgnoreRules().inside(str(repository))
    begin = time.process_time()
    for _ in range(20):
        rules.ignores(f"{repository}/{path}")
    assert time.process_time() - begin < 1


def test_a_folder_called_gitignore():
    tree("a.c", ".gitignore/b.c", "sub/.gitignore/c.c")
    assert found() == ["a.c"]
