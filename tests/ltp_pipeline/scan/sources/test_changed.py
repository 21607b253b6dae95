"""Which functions have changed since a commit."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.scan.finding import CodeUnit
from ltp_pipeline.scan.sources.changed import changed_since
from ltp_pipeline.scan.sources.paths import find_files
from ltp_pipeline.scan.sources.units import units_of

TEXT = "".join(
    f"int {name}(int a)\n{{\n    a++;\n    a += 2;\n    return a;\n}}\n\n" for name in "fgh"
)  # 7 lines each


def git(*arguments, cwd="."):
    settings = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "protocol.file.allow=always"]
    subprocess.run(["git", *settings, *arguments], cwd=cwd, check=True, capture_output=True)


def commit(cwd="."):
    git("add", "-A", cwd=cwd)
    git("commit", "-qm", "x", cwd=cwd)


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A repository with a.c, which has the functions f, g and h."""
    folder = tmp_path_factory.mktemp("template")
    git("init", "-q", "-b", "main", "--template=", cwd=folder)
    (folder / "a.c").write_text(TEXT)
    commit(folder)
    return folder


@pytest.fixture
def repository(template, tmp_path, monkeypatch):
    """The current folder: a copy of the template."""
    shutil.copytree(template, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def touched(*paths, ref="main"):
    """The names of the functions that have changed, by file."""
    files, _ = find_files(paths or ["."])
    changed = changed_since(ref, files)
    found = {
        file.shown: [unit for unit in units_of(file)[0] if changed.touches(unit)] for file in changed.files(files)
    }
    return {path: "".join(unit.name for unit in units) for path, units in found.items()}


@pytest.mark.parametrize(
    "old, new, names",
    [
        ("", "", None),
        ("g(int a)\n", "g(long a)\n", "g"),
        ("int f(int a)\n{\n    a++;\n", "int f(int a)\n{\n", "f"),  # lines inside are deleted
        ("int f(int a)\n{\n", "int f(int a)\n{\n    a--;\n", "f"),
        ("return a;\n}\n\nint g", "return a;\n}\n\n\n// more\nint g", ""),  # between two functions
        ("return a;\n}\n\nint g", "return a;\n}\nint g", ""),
        ("    return a;\n}\n\nint g", "    return a;\n}\n\n/* ++ */\nint new(void) { return 1; }\nint g", "new"),
        (TEXT[: len(TEXT) // 3], "", ""),  # a function is deleted
        ("a += 2;", "a += 3;", "fgh"),
        ("    a++;\n    a += 2;\n", "++ b/other.c\n-- a/a.c\n@@ -1 +1 @@\ndiff --git a/a.c b/a.c\n", "fgh"),
    ],
    ids=str,
)
def test_functions_whose_lines_have_changed(repository, old, new, names):
    count = -1 if names == "fgh" else 1
    Path("a.c").write_text(TEXT.replace(old, new, count) if old else TEXT)
    assert touched() == ({} if names is None else {"a.c": names})


def test_new_renamed_and_deleted_files(repository):
    (repository / "sub").mkdir()
    Path("b.c").write_text("int b;\n" * 9)
    commit()
    git("rm", "-q", "b.c")
    Path("a.c").rename('sub/a b\t"\u00e9.c')
    git("add", "-A")  # renamed without a change
    Path("new.c").write_text("char *n(void) { return 0; }\n")  # not tracked
    Path("staged.c").write_text("int s(void)\n{\n    return 1;\n}\n")
    git("add", "staged.c")
    assert touched() == {"new.c": "n", "staged.c": "s"}
    (renamed,) = (repository / "sub").iterdir()
    renamed.write_text(TEXT.replace("h(int a)", "h(int b)"))
    assert touched() == {"new.c": "n", "staged.c": "s", 'sub/a b\\t"\u00e9.c': "h"}
    commit()
    assert touched(ref="main~1")['sub/a b\\t"\u00e9.c'] == "h"
    assert touched() == {} == touched(ref="HEAD")


def test_a_last_line_without_an_end(repository):
    Path("z.c").write_text("int z(int a)\n{\n    return a;\n}")
    Path("y.c").write_text("int y(int a)\n{\n    return a;\n}")
    commit()
    Path("y.c").write_text("int y(int a)\n{\n    return a;\n}\n++ b/z.c")  # "+++ b/z.c" in the diff
    Path("z.c").write_text("int z(int b)\n{\n    return b;\n}")
    Path("a.c").write_text(TEXT.rstrip("\n"))
    assert touched(ref="HEAD") == {"a.c": "h", "y.c": "y", "z.c": "z"}


def test_names_of_odd_bytes_and_a_path_from_another_folder(repository, monkeypatch):
    name = os.fsdecode(b"\xe9 -a\n.c")
    Path(name).write_text(TEXT)
    commit()
    Path(name).write_text(TEXT.replace("g(int a)", "g(int b)"))
    assert touched() == {"\\xe9 -a\\n.c": "g"}
    monkeypatch.chdir(repository.parent)
    assert touched(str(repository)) == {f"{repository.name}/\\xe9 -a\\n.c": "g"}
    assert touched(f"{repository}/a.c") == {}


@pytest.mark.parametrize(
    "content, new",
    [
        (TEXT.encode("utf-16"), TEXT.replace("g(int a)", "g(int b)").encode("utf-16")),  # binary, for Git
        (TEXT.replace("\n", "\r").encode(), TEXT.replace("g(int a)", "g(int b)").replace("\n", "\r").encode()),
        (TEXT.encode(), TEXT.replace("\n", "\r\n").encode()),
    ],
    ids=["UTF-16", "CR", "CRLF"],
)
def test_files_whose_lines_git_counts_otherwise(repository, content, new):
    Path("b.c").write_bytes(content)
    commit()
    assert touched() == {}
    Path("b.c").write_bytes(new)
    assert touched() == {"b.c": "fgh"}


def test_links_to_files(repository, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "o.c"
    outside.write_text(TEXT)
    Path("sub").mkdir()
    os.symlink("../a.c", "sub/inside.c")
    os.symlink(outside, "sub/outside.c")
    commit()
    Path("a.c").write_text(TEXT.replace("g(int a)", "g(int b)"))
    outside.write_text(TEXT.replace("g(int a)", "g(int b)"))
    assert touched("sub") == {"sub/inside.c": "g"}  # of the file outside, Git knows only the link


def test_settings_of_the_user_change_nothing(repository):
    for name, value in (
        ("diff.noprefix", "true"), ("diff.mnemonicPrefix", "true"), ("diff.interHunkContext", "99"),
        ("diff.external", "false"), ("color.diff", "always"), ("diff.renames", "false"), ("core.fsmonitor", "false"),
        ("diff.relative", "true"), ("diff.context", "9"),
    ):  # fmt: skip
        git("config", name, value)
    Path("a.c").write_text(TEXT.replace("f(int a)", "f(int b)").replace("h(int a)", "h(int b)"))
    assert touched() == {"a.c": "fh"}


def test_files_of_a_submodule(repository):
    library = repository / "library"
    library.mkdir()
    git("init", "-q", "-b", "other", cwd=library)
    (library / "l.c").write_text(TEXT)
    commit(library)
    git("submodule", "--quiet", "add", str(library), "libs/l")
    git("rm", "-rq", "--cached", "library", "--ignore-unmatch")
    commit()
    assert touched("libs") == {}
    Path("libs/l/l.c").write_text(TEXT + "\n")
    assert touched("libs") == {"libs/l/l.c": "fgh"}


@pytest.mark.parametrize("ref", ["missing", "", "-h", "--output=x", "a b", "HEAD:a.c", "\n"])
def test_a_ref_that_is_no_commit(repository, ref):
    for paths in (["."], []):
        with pytest.raises(UserError, match="--changed_since"):
            changed_since(ref, find_files(paths)[0])
    assert [path.name for path in repository.iterdir() if path.name != ".git"] == ["a.c"]


def test_refs_of_every_kind(repository):
    git("tag", "v1")
    Path("a.c").write_text(TEXT.replace("f(int a)", "f(int b)"))
    commit()
    for ref in ("v1", "HEAD~1", "main^", "@{1}"):
        assert touched(ref=ref) == {"a.c": "f"}
    assert touched(ref="HEAD") == {}


def test_no_repository_and_no_git(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.c").write_text(TEXT)
    for paths in (["."], []):
        with pytest.raises(UserError, match="--changed_since main: .* no Git repository"):
            changed_since("main", find_files(paths)[0])
    (tmp_path / ".git").mkdir()
    with pytest.raises(UserError, match="--changed_since"):
        changed_since("main", find_files(["."])[0])
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="--changed_since needs Git"):
        changed_since("main", find_files(["."])[0])


def test_lines_of_units():
    from ltp_pipeline.scan.sources.changed import Changed

    changed = Changed({"a.c": [(4.5, 4.5), (9, 10)]})
    units = {
        (first, last): CodeUnit("a.c", first, "", "c", "\n" * (last - first) + "}")
        for first in (1, 4, 5, 10)
        for last in (4, 5, 8, 12)
        if first <= last
    }
    assert [lines for lines, unit in units.items() if changed.touches(unit)] == [
        (1, 5),
        (1, 8),
        (1, 12),
        (4, 5),
        (4, 8),
        (4, 12),
        (5, 12),
        (10, 12),
    ]
