"""Which functions a diff changes, in which lines, and what it makes of them."""

import textwrap

from Data.ground_truth.fixes.changed_functions import functions_of_diff
from Data.ground_truth.fixes.unified_diffs import parse_diff
from ltp_pipeline.code.functions import SourceFile

FILE = """\
#include <a.h>
int first(int n)
{
    int i = n;

    return i;
}

/* second */
int second(char *s)
{
    /* a comment */
    s[9] = 0;
    use(s);
    return 0;
}

int third(void)
{
    return 3;
}
"""


def divided(*hunks, file=FILE, heading=""):
    """The result for hunks of lines of a diff, as text; their line numbers are those of the first line found."""
    lines = file.split("\n")
    text = "--- a\n+++ a\n"
    for hunk in hunks:
        body = textwrap.dedent(hunk.strip("\n")).split("\n")
        old = [line[1:] for line in body if line[:1] != "+"]
        first = lines.index(old[0]) + 1 if old[0] in lines else 1
        text += f"@@ -{first},{len(old)} +{first},{sum(line[:1] != '-' for line in body)} @@ {heading}\n"
        text += "\n".join(body) + "\n"
    return functions_of_diff(SourceFile("p", "a.c", file), parse_diff(text)[0].hunks)


def names(functions):
    return [function.source.split("(")[0].split()[-1] for function in functions]


def only(result):
    (changed,) = result.changed
    return changed


def test_deleted_lines_are_flaw_lines_and_the_fixed_form_is_known():
    result = divided("-    s[9] = 0;\n+    if (n > 9)\n+        s[9] = 0;\n     use(s);")
    changed = only(result)
    assert names([changed.function]) == ["second"] and names(result.others) == ["first", "third"]
    assert changed.flaw_lines == (4,) and changed.has_deleted
    assert changed.fixed == changed.function.source.replace("    s[9]", "    if (n > 9)\n        s[9]")


def test_without_deleted_code_the_line_with_code_before_the_insertion():
    changed = only(divided("     int i = n;\n \n+    check(i);\n     return i;"))
    assert (changed.flaw_lines, changed.has_deleted) == ((3,), False)  # not the empty line 4
    changed = only(divided("-    /* a comment */\n+    check(s);\n     s[9] = 0;"))
    assert (changed.flaw_lines, changed.has_deleted) == ((2,), False)  # a comment is no code
    assert "check(s);" in changed.fixed and "a comment" not in changed.fixed


def test_changes_of_comments_layout_and_directives_of_a_generator_are_none():
    assert not divided("-    /* a comment */\n+    /* another */\n     s[9] = 0;").changed
    assert not divided("     use(s);\n-    return 0;\n+        return  0;").changed
    assert not divided(" /* second */\n-int second(char *s)\n+int second(char *s) \n {").changed
    file = FILE.replace("    use(s);", '#line 3 "a.y"\n    use(s);')
    assert not divided('-#line 3 "a.y"\n+#line 4 "a.y"\n     use(s);', file=file).changed


def test_changes_outside_functions_are_in_none():
    for hunk in (
        "-#include <a.h>\n+#include <b.h>\n int first(int n)",
        " }\n \n+int new_one(void) { return 1; }\n+\n /* second */",
        "     return 3;\n }\n+int last;",
    ):
        result = divided(hunk)
        assert not result.changed and len(result.others) == 3 and not result.hunks_not_found


def test_a_change_that_leaves_no_single_function_has_no_fixed_form():
    split = only(divided("     use(s);\n+    return 1;\n+}\n+int more(void)\n+{\n     return 0;"))
    assert split.flaw_lines == (5,) and split.fixed == ""
    removed = divided(
        "-int first(int n)\n-{\n-    int i = n;\n-\n-    return i;\n-}\n \n /* second */",
    )
    assert only(removed).flaw_lines == (1, 2, 3, 5, 6) and only(removed).fixed == ""
    across = divided(" #include <a.h>\n-int first(int n)\n-{\n+#include <b.h>\n+int first(long n) {\n     int i = n;")
    assert only(across).flaw_lines == (1, 2) and only(across).fixed == ""
    across = divided("     return i;\n-}\n-\n-/* second */\n-int second(char *s)\n+}\n+int second(void)\n {")
    assert names(one.function for one in across.changed) == ["first", "second"]
    assert [one.fixed for one in across.changed] == ["", ""]


def test_a_head_that_changes_has_a_fixed_form():
    changed = only(divided("-int first(int n)\n+int first(long n)\n {\n     int i = n;"))
    assert changed.flaw_lines == (1,) and changed.fixed.startswith("int first(long n)\n{")


def test_several_hunks_in_one_function_and_one_hunk_in_two():
    changed = only(divided("-    s[9] = 0;\n     use(s);", "     use(s);\n-    return 0;\n+    return 1;"))
    assert changed.flaw_lines == (4, 6) and "s[9]" not in changed.fixed and "return 1;" in changed.fixed
    lines = FILE.split("\n")
    both = "\n".join(f" {line}" for line in lines[4:13]).replace("     return i;", "-    return i;\n+    return n;")
    result = divided("     int i = n;\n" + both + "\n+    check(s);\n     use(s);\n")
    assert names(one.function for one in result.changed) == ["first", "second"]


def test_functions_where_a_hunk_that_was_not_found_may_belong_are_left_out():
    lost = divided("     nowhere();\n-    to_be_found();", heading="int second(char *s)")
    assert names(lost.others) == ["third"] and (lost.unsure, lost.hunks_not_found) == (2, 1)  # first: by its lines
    both = divided(
        "     nowhere();\n-    to_be_found();",
        "-    s[9] = 0;\n     use(s);",
        heading="second(char *s)",
    )
    assert only(both).fixed == "" and only(both).flaw_lines == (4,) and names(both.others) == ["third"]


def test_a_file_that_already_has_the_fix_has_no_changed_function():
    result = divided("     int i = n;\n-    old(i);\n \n     return i;")
    assert (result.hunks_applied, result.hunks_not_found, len(result.others)) == (1, 0, 3)
    assert not result.changed


def test_white_space_that_a_copy_lost_gives_a_label_but_no_fixed_form():
    changed = only(divided("-        s[9] = 0;\n         use(s);", file=FILE.replace("    ", "\t")))
    assert changed.flaw_lines == (4,) and changed.fixed == ""


def test_branches_of_if_and_files_without_functions():
    file = (
        "int f(void)\n{\n#ifdef A\n    if (a) {\n#else\n    if (b) {\n#endif\n        c();\n    }\n    return 0;\n}\n"
    )
    result = divided("-    if (b) {\n+    if (d) {\n #endif", file=file)
    assert len(only(result).flaw_lines) == 1 and "if (b)" in only(result).function.source
    assert len(result.others) == 1  # the form with A does not hold the deleted line
    for empty in ("", "int a;\nint b;\n", "/* only a comment"):
        result = functions_of_diff(
            SourceFile("p", "a.c", empty), parse_diff("@@ -1,2 +1 @@\n-int a;\n int b;")[0].hunks
        )
        assert not result.changed and not result.others
