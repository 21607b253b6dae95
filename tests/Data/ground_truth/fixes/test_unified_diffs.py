"""Reading diffs of several programs, and copies of diffs that lost white space, blank lines or line ends."""

import pytest

from Data.ground_truth.fixes.unified_diffs import parse_diff

GIT = """\
diff --git a/src/a.c b/src/a.c
index 712bd4f..fb863c3 100644 (file)
--- a/src/a.c
+++ b/src/a.c
@@ -3,4 +3,4 @@ int f(int n)
 one
-two
+2

 four
@@ -20 +20,2 @@
-twenty
+20
+21
diff --git a/b.h b/b.h
new file mode 100644
--- /dev/null
+++ b/b.h
@@ -0,0 +1,2 @@
+new
+--- not a header
\\ No newline at end of file
"""


def shape(text):
    return [(one.path, [(hunk.first_line, hunk.old, hunk.new) for hunk in one.hunks]) for one in parse_diff(text)]


EXPECTED = [
    ("a/src/a.c", [(3, ["one", "two", "", "four"], ["one", "2", "", "four"]), (20, ["twenty"], ["20", "21"])]),
    ("b/b.h", [(0, [], ["new", "--- not a header"])]),
]


@pytest.mark.parametrize(
    "changed",
    [
        lambda text: text,
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", "\r\r\n"),
        lambda text: text.replace("\n", "\n\n"),  # as after another conversion of line ends
        lambda text: text.replace("@@ -", "@@-").replace(" +3,4 @@", "+3,4@@"),  # as copied from a web page
        lambda text: f"commit 1\nAuthor: -\n\n    Fix it\n\n{text}-- \n2.0\n",
        lambda text: text.replace("int f(int n)", "int f(int\nn)"),  # wrapped
    ],
)
def test_what_programs_and_copies_change(changed):
    assert shape(changed(GIT)) == EXPECTED
    assert parse_diff(changed(GIT))[0].hunks[0].heading.startswith("int f(int")


@pytest.mark.parametrize(
    ("header", "path"),
    [
        ("src/a.c\t2008/04/28 08:54:59\t4276", "src/a.c"),  # CVS
        ("src/a.c\t(revision 530)", "src/a.c"),  # Subversion
        ("src/a.c (working copy)", "src/a.c"),
        ("a/src/a.c  Wed Feb 06 10:17:16 2008 +0000", "a/src/a.c"),  # Mercurial
        ("src/a.c    2010-11-18 22:30:35.0 +0100", "src/a.c"),
        ("src/a.c 25 Nov 2010 12:28:28 -0000 1.64", "src/a.c"),
        ("linux-2.6.9/src/a.c.orig", "linux-2.6.9/src/a.c"),
        ("x-1.2034/src/a.c .old2010-11-18", "x-1.2034/src/a.c"),
        ("src/a.c.475136", "src/a.c"),
        ('"a/with space.c"', "a/with space.c"),
    ],
)
def test_paths_of_several_programs(header, path):
    assert shape(f"--- {header}\n+++ b/new.c\n@@ -1 +1 @@\n-a\n+b\n") == [(path, [(1, ["a"], ["b"])])]


def test_hunks_that_are_too_short_or_too_long_and_lines_that_were_wrapped():
    too_short = "--- a\n+++ a\n@@ -1,9 +1,9 @@\n x\n-y\n@@ -20,1 +19,1 @@\n-a very\nlong line\n+b\n"
    assert shape(too_short) == [("a", [(1, ["x", "y"], ["x"]), (20, ["a verylong line"], ["b"])])]
    assert shape("--- a\n+++ a\n@@ -1,1 +1,1 @@\n-a\n+b\n+left over\n") == [("a", [(1, ["a"], ["b"])])]
    mail = "--- a\n+++ a\n@@ -1,9 +1,9 @@\n-a\n" + "text of a mail\n" * 100_000 + "@@ -5 +5 @@\n-b\n"
    assert [hunk.old[1:] for hunk in parse_diff(mail)[0].hunks] == [[], []]
    next_file = "--- a\n+++ a\n@@ -1,9 +1,9 @@\n-x\n--- c\n+++ c\n@@ -1 +1 @@\n-x\n+y\n"
    assert [path for path, _ in shape(next_file)] == ["a", "c"]


def test_what_is_no_diff():
    assert parse_diff("") == parse_diff("int f() { return a--- b; }\n") == parse_diff("--- a\n+++ b\n") == []
    assert shape("@@ -1 +1 @@\n-a\n+b") == [("", [(1, ["a"], ["b"])])]
