"""Importing a small tree in the layout of cb-multios, with programs of our own."""

import json

import pandas as pd
import pytest

from Data.import_cb_multios import lines_before_insertions, main, name_of, plain, removed_lines
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.code.code_tokens import code_tokens
from ltp_pipeline.data.readers import read_functions
from ltp_pipeline.files.layouts import flaw_lines_of, pairs_of

SERVICE = """#include "libc.h"
/* A service. */
int copy{n}(char *to, char *from) {{
  int i{n};
#ifdef PATCHED_1
  if (strlen(from) > {n})  // the patch
    return -1;
#endif

  for (i{n} = 0; i{n} < {n}; i{n}++)
    to[i{n}] = from[i{n}];
  return i{n} + {n};
}}
#ifndef PATCHED
# define SIZE {n}
#else
# define SIZE 2 * {n}
#endif
void other{n}(void) {{
#if DEBUG
  puts("UNPATCHED debug {n}");
#endif
  run{n}(SIZE, "{n}", {n} * {n}); /* two
  lines */
}}
int read{n}(int x{n}) {{
  char buffer{n}[{n}1];
#if !defined(PATCHED)
  return get{n}(buffer{n}, x{n});  // no bound
#else
  return get{n}(buffer{n}, sizeof(buffer{n}));
#endif
}}
"""


@pytest.fixture
def tree(tmp_path):
    """Ten programs with two patched functions each; line ends are those of Windows in every second one."""
    for n in range(10):
        program = tmp_path / "clone" / "challenges" / f"Program_{n}"
        (program / "src").mkdir(parents=True)
        text = SERVICE.format(n=n)
        (program / "src" / "service.c").write_bytes(text.replace("\n", "\r\n" if n % 2 else "\n").encode())
        (program / "README.md").write_text(f"# Program\nCWE-{120 + n}: Overflow\n\nAlso CWE 20 and CWE-20.\n")
        for tool in ("pov_1", "poller/for-testing"):
            (program / tool).mkdir(parents=True)
            (program / tool / "pov.c").write_text("int attack(void) { return 1; }")
    (tmp_path / "clone" / "challenges" / "CMakeLists.txt").write_text("")
    return tmp_path / "clone"


def imported(tree, tmp_path):
    """All rows, with the number of their table and their flaw lines, and the report."""
    main(["--source", str(tree), "--output_dir", str(tmp_path / "out")])
    frames = [read_functions(tmp_path / "out" / f"{name}.csv") for name in ("train_subset", "validation", "test")]
    frames = [
        frame.assign(table=number, flaws=flaw_lines_of(frame), pairs=pairs_of(frame))
        for number, frame in enumerate(frames)
    ]
    return pd.concat(frames), json.loads((tmp_path / "out" / "import.json").read_text())


def test_pairs_lines_and_programs(tree, tmp_path):
    rows, report = imported(tree, tmp_path)
    counts = report["counts"]
    assert (counts["files"], counts["files_with_patches"], counts["pairs"]) == (10, 10, 20)
    assert (counts["functions_without_patch"], counts["pairs_with_removed_lines"]) == (10, 10)
    assert rows.groupby("project")["table"].nunique().eq(1).all() and rows["table"].nunique() == 3
    assert len(rows) == 50 and rows["label"].sum() == 20
    assert sum(bool(pair) for pair in rows["pairs"]) == 40
    for _, row in rows[rows["label"] == 1].iterrows():
        flawed = [row["functionSource"].split("\n")[line - 1].strip() for line in row["flaws"]]
        n = row["project"][-1]
        expected = f"return get{n}(buffer{n}, x{n});" if "read" in row["functionSource"] else f"int i{n};"
        assert flawed == [expected]
        assert row["cwes"] == f"CWE-20 CWE-{120 + int(n)}"
    assert not rows.loc[rows["label"] == 0, "cwes"].any()


def test_nothing_tells_which_version_a_text_is(tree, tmp_path):
    rows, _ = imported(tree, tmp_path)
    texts = "\n".join(rows["functionSource"])
    assert "PATCHED" not in texts and "//" not in texts and "/*" not in texts and "\r" not in texts
    assert all(line.strip() for line in texts.split("\n"))
    assert "#if DEBUG" in texts and "BUILD debug" in texts and "attack" not in texts


def test_first_lines_are_those_of_the_file(tree, tmp_path):
    rows, _ = imported(tree, tmp_path)
    for _, row in rows.iterrows():
        lines = (tree / row["path"]).read_text().split("\n")
        assert lines[row["first_line"] - 1].strip() == row["functionSource"].split("\n")[0].strip()


def test_what_other_programs_share(tree, tmp_path):
    """A copy of a vulnerable function that no patch names has both labels; near duplicates of others are dropped."""
    calls = "".join(f"  step{i}(a, {i}); b += a * {i};\n" for i in range(30))
    for n in (1, 2):
        shared = f"int shared(int a, int b) {{\n{calls}  return b + {n};\n}}\n"
        (tree / "challenges" / f"Program_{n}" / "src" / "lib.cc").write_text(shared)
    copy = SERVICE.format(n=3).split("\n")[2:13]
    (tree / "challenges" / "Program_4" / "copy.c").write_text("\n".join(copy[:2] + copy[6:]))
    _, report = imported(tree, tmp_path)
    counts = report["counts"]
    assert counts["near_duplicates_of_another_group"] == 1 and counts["with_both_labels"] == 2


def test_generated_files_are_left_out(tree, tmp_path):
    folder = tree / "challenges" / "EternalPass" / "src"
    folder.mkdir(parents=True)
    (folder / "verbs.c").write_text("char *generated() { return 0; }")
    _, report = imported(tree, tmp_path)
    assert (report["counts"]["files"], report["counts"]["files_generated"]) == (11, 1)


@pytest.mark.parametrize("content", ["#ifdef PATCHED\nint f() { return 1; }\n", "#if PATCHED +\n#endif\nint g() {}"])
def test_a_file_whose_versions_are_not_known_is_counted(tree, tmp_path, content):
    (tree / "challenges/Program_0/src/service.c").write_text(content)
    rows, report = imported(tree, tmp_path)
    assert report["counts"]["files_with_conditionals_not_understood"] == 1
    assert len(rows) == 45 and "Program_0" not in set(rows["project"])


def test_a_pointer_is_an_error(tree, tmp_path):
    (tree / "challenges/Program_0/src/service.c").write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(UserError, match="--source.*Program_0/src/service.c: this is a Git LFS pointer"):
        imported(tree, tmp_path)
    assert not list((tmp_path / "out").iterdir())


def test_another_folder(tmp_path):
    with pytest.raises(UserError, match="--source .*: holds no challenges; expected your clone of github.com/trailof"):
        main(["--source", str(tmp_path), "--output_dir", str(tmp_path / "out")])


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("static int f(int a) {}", "f"),
        ("void A::B::g (void) {}", "A::B::g"),
        ("__attribute__((noreturn)) void h(void) {}", "h"),
        ("A::~A() {}", "A::~A"),
        ("bool A::operator==(const A &a) {}", "A::operator=="),
        ("int x", ""),
    ],
)
def test_names(source, name):
    assert name_of(source) == name


@pytest.mark.parametrize(
    ("before", "after", "removed", "inserted"),
    [
        ("a\nb\nc", "a\n b \nc", (), ()),
        ("a\nb\nc", "a\nx\nc", (2,), (2,)),
        ("a\nb\nc", "a\nc", (2,), ()),
        ("a\nb\nc", "a\nb\nx\ny\nc\nz", (), (2, 3)),
        ("a\nb", "x\na\nb", (), (1,)),
        ("a\nb\nc\nd", "x\nb\ny\nd", (1, 3), (1, 3)),
    ],
)
def test_lines_of_a_patch(before, after, removed, inserted):
    assert removed_lines(before, after) == removed
    if not removed:
        assert lines_before_insertions(before, after) == inserted


def test_plain_keeps_the_tokens():
    source = 'int f() {\n  // one\n\n  g("//");  /* two\n */ h();\n#if 0\n  x;\n#endif\n}'
    assert plain(source, "a.c") == 'int f() {\n  g("//");\n h();\n#if 0\n  x;\n#endif\n}'
    assert code_tokens(plain(source, "a.c")) == code_tokens(source)
