"""Branches of #if that open or close braces, or hold heads: each branch gives a function."""

from itertools import pairwise

import pytest

from ltp_pipeline.code import functions
from ltp_pipeline.code.functions import SourceFile, extract_functions


def found(text, path="a.c"):
    return extract_functions(SourceFile("p", path, text))


def lines_of(function):
    """The lines of a function that are not empty, without indentation."""
    return [line.strip() for line in function.source.split("\n") if line.strip()]


def check_places(text, path="a.c"):
    """Checks that each line of each function is empty or the line of the file at its place."""
    lines = text.split("\n")
    for function in found(text, path):
        for number, line in enumerate(function.source.split("\n"), function.first_line):
            assert line in lines[number - 1]


PATCHED = """int put(struct table *t, unsigned n, const char *text)
{
#ifndef FIXED
    if (n <= t->size) {
#else
    if (n < t->size) {
#endif
        strcpy(t->names[n], text);
        return 1;
    }
    return 0;
}
int after(void) { return 1; }
"""


def test_a_brace_in_each_branch():
    buggy, fixed, after = found(PATCHED)
    assert lines_of(buggy)[2:4] == ["if (n <= t->size) {", "strcpy(t->names[n], text);"]
    assert lines_of(fixed)[2:4] == ["if (n < t->size) {", "strcpy(t->names[n], text);"]
    assert all("#" not in function.source and function.source.count("{") == 2 for function in (buggy, fixed))
    assert [(f.first_line, f.last_line) for f in (buggy, fixed, after)] == [(1, 12), (1, 12), (13, 13)]
    check_places(PATCHED)


def test_lines_of_other_branches_are_not_part_of_the_function():
    buggy, fixed = found(PATCHED)[:2]
    assert [line for line in range(0, 14) if not buggy.has_line(line)] == [0, 3, 5, 6, 7, 13]
    assert [line for line in range(0, 14) if not fixed.has_line(line)] == [0, 3, 4, 5, 7, 13]


@pytest.mark.parametrize(
    "head",
    [
        "#ifdef A\nint get(struct t *t, long n)\n#else\nint get(struct t *t, int n)\n#endif\n{\n",
        "#ifdef A\nint get(struct t *t, long n) {\n#else\nint get(struct t *t, int n) {\n#endif\n",
        "#if A\nint get(long n)\n#elif B\nint get(int n)\n#else\nint get(n) char n;\n#endif\n{\n",
        "PyMODINIT_FUNC\n#if PY3\nPyInit_x(void)\n#else\ninitx(void)\n#endif\n{\n",
        "int get(int a,\n#if A\n  long n)\n#else\n  int n)\n#endif\n{\n",
        "#if A\nint get(int n) {\n  n++;\n#else\nlong get(long n) {\n#endif\n",
    ],
)
def test_heads_in_branches(head):
    text = (
        f"int before(void) {{ return 0; }}\n{head}    char copy[16];\n    return copy[0];\n}}\nint after(void) {{}}\n"
    )
    first, *each, last = found(text)
    assert (first.source, last.source) == ("int before(void) { return 0; }", "int after(void) {}")
    assert len(each) == head.count("#el") + 1
    assert len({function.source for function in each}) == len(each)
    for function in each:
        assert lines_of(function)[-3:] == ["char copy[16];", "return copy[0];", "}"]
        assert not any(line.startswith("#") for line in lines_of(function))
        assert function.source.count("{") == function.source.count("}") == 1
    check_places(text)


@pytest.mark.parametrize(
    "body",
    [
        "#ifdef A\n{ return 1; }\n#else\n{ return 2; }\n#endif\n",
        "{\n#ifdef A\n return 1;\n}\n#else\n return 2;\n}\n#endif\n",
    ],
)
def test_a_body_or_its_end_in_each_branch(body):
    one, two, after = found(f"int f(int a)\n{body}int after(void) {{ return 3; }}\n")
    assert ("return 1;" in one.source, "return 2;" in one.source) == (True, False)
    assert ("return 1;" in two.source, "return 2;" in two.source) == (False, True)
    assert after.source == "int after(void) { return 3; }"


def test_the_same_condition_selects_the_same_side():
    text = """int f(int a)
{
#ifdef A
    if (a) {
#else
    a++;
#endif
    g();
#if defined(A)
    }
#endif
#ifndef A
    while (a) {
#endif
    h();
#if !defined(A)
    }
#endif
    return a;
}
"""
    with_a, without_a = found(text)
    assert lines_of(with_a) == ["int f(int a)", "{", "if (a) {", "g();", "}", "h();", "return a;", "}"]
    assert lines_of(without_a) == ["int f(int a)", "{", "a++;", "g();", "while (a) {", "h();", "}", "return a;", "}"]


@pytest.mark.parametrize(
    "inside",
    [
        "#ifdef A\n    g();\n#else\n    h();\n#endif\n",
        "#ifdef A\n    if (a) {\n#endif\n    g();\n#ifdef A\n    }\n#endif\n",
        "#ifdef A\n    if (a)\n#else\n    while (a)\n#endif\n    { g(); }\n",
        "#if 0\n    it's not code { \n    }\n#endif\n",
        "    g(a\n#ifdef A\n, 1\n#else\n, 2\n#endif\n);\n",
    ],
)
def test_branches_that_fit_together_stay_as_they_are(inside):
    function = f"int f(int a)\n{{\n{inside}    return a;\n}}"
    assert [one.source for one in found(f"{function}\n")] == [function]


@pytest.mark.parametrize("dead", ["#if 0\n{\n#endif\n", "#if 0\n}}\n#endif\n", "#if 0\n  it's { not code\n#endif\n"])
def test_braces_in_code_that_is_never_compiled(dead):
    function, after = found(f"int f(int a)\n{{\n{dead}    return a;\n}}\nint after(void) {{}}\n")
    assert lines_of(function) == ["int f(int a)", "{", "return a;", "}"] and after.source == "int after(void) {}"


def test_functions_of_every_branch_of_nested_groups():
    text = """DECLARE(x)
#ifdef A
# ifdef B
int one(void) { return 1; }
DECLARE(y)
# else
int two(void) { return 2; }
# endif
#else
int three(void) { return 3; }
DECLARE(z)
#endif
"""
    assert [function.source.split("(")[0] for function in found(text)] == ["int one", "int two", "int three"]


def test_a_chain_of_branches_is_read_up_to_a_limit():
    from ltp_pipeline.code.c.branches import MAX_VIEWS

    branches = "".join(f"#elif A{i}\nint f{i}(void) {{\n" for i in range(20))
    text = f"#if A\nint f(void) {{\n{branches}#endif\n    return 1;\n}}\n"
    assert len(found(text)) == MAX_VIEWS
    places = functions.find_functions(SourceFile("p", "a.c", text))[1]
    assert [place.reason for place in places] == ["more branches of #if than are read"] * (21 - MAX_VIEWS)
    assert all(one.first_line < two.first_line for one, two in pairwise(places))


def test_functions_in_dead_code_that_does_not_fit_are_counted():
    text = "int f(void)\n{\n    return 1;\n}\n#if 0\n    return 2;\n}\nint g(int a)\n{\n    return a;\n}\n"
    text += "/*\nint in_a_comment(int a)\n{\n*/\n#endif\n"
    assert [function.source for function in found(text)] == ["int f(void)\n{\n    return 1;\n}"]
    places = functions.find_functions(SourceFile("p", "a.c", text))[1]
    assert [(place.first_line, place.head, place.reason) for place in places] == [
        (8, "int g(int a)", "#if 0 with braces that do not match")
    ]
