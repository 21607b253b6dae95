"""Whole files of C and C++: what is inside functions, scopes, and what is counted because it is not extracted."""

import random

import pytest

from ltp_pipeline.code import functions
from ltp_pipeline.code.functions import SourceFile, extract_functions


def sources(text, path="a.cc"):
    return [function.source for function in extract_functions(SourceFile("p", path, text))]


def not_extracted(text, path="a.c"):
    """(first line, last line, head, reason) of what is counted."""
    return [
        (place.first_line, place.last_line, place.head, place.reason)
        for place in functions.find_functions(SourceFile("p", path, text))[1]
    ]


@pytest.mark.parametrize(
    "statements",
    [
        "BIT_IS_ZERO(r, low) {\n a();\n} else {\n BIT_IS_ZERO(r, high) {\n b();\n } else {\n c(); }\n}",
        "Q_FOREACH(x, y) { z(); }",
        "list_for_each_entry(p, &h, l) { z(p); }",
        "TRY { x(); } CATCH(e) { y(); } FINALLY { z(); }",
        "WITH(x) { a(); } else if (x) { } else { }",
        "IF_DEBUG { p(); } else { q(); }",
        "do { x(); } WHILE(y);",
        "NO_SEMICOLON(x)\n  y();\n  ANOTHER(z)\n  LAST { w(); }",
        '__asm__ volatile ("{ nop }" : : "r"(x));',
        "int in(int q) { return q; }\n in(1);",
        "x = (struct s){ 1, 2 };",
    ],
)
def test_macros_that_stand_for_statements(statements):
    function = f"static int decode(struct r *r)\n{{\n{statements}\n    return 1;\n}}"
    assert sources(f"{function}\nint next(int a) {{ return a; }}\n", "a.c") == [
        function,
        "int next(int a) { return a; }",
    ]


def test_scopes_and_methods():
    text = """extern "C" {
namespace n { inline namespace v {
class A final : public B {
public:
  A() : x{1} {}
  int m() const override { return x; }
  MACRO_PROPERTY(int, y)
protected: void n() {}
  friend bool operator<(A a, A b) { return 1; }
  struct I { int q() { return 1; } };
  A(A&&) = default;
signals:
  void p() {}
};
} }
}
MACRO_NAMESPACE {
int last() { return 1; }
}
"""
    assert [source.split("(")[0] for source in sources(text)] == [
        *("A", "int m", "void n", "bool operator<", "int q", "void p", "int last"),
    ]


def test_what_is_not_extracted_is_counted_with_its_place():
    text = """int before(void) { return 0; }
if (a) {
    b();
}
TABLE(x) { 1, 2 };
int open(int a)
{
    if (a) {
        b();
    return 0;
}
int after(void) { return 1; }
MACRO(a) + MACRO(b) { return 1; }
"""
    assert sources(text, "a.c") == ["int before(void) { return 0; }", "int after(void) { return 1; }"]
    assert not_extracted(text) == [
        (2, 4, "if (a) {", "statements outside a function"),
        (5, 5, "TABLE(x) { 1, 2 }", "a list after a macro"),
        (6, 11, "int open(int a)", "braces that do not match"),
        (13, 13, "MACRO(a) + MACRO(b) { return 1; }", "a head that is not understood"),
    ]


def test_pieces_after_a_brace_that_closes_nothing_are_counted():
    text = "int f(void)\n{\n}\n  FOREACH(x) {\n    y();\n  }\n}\n  WITH(x) {\n    }\nint g(void) { return 1; }\n"
    assert sources(text, "a.c")[-1] == "int g(void) { return 1; }"
    assert (8, 9, "WITH(x) {", "statements outside a function") in not_extracted(text)


def test_plain_files_have_nothing_to_count():
    assert not_extracted("struct s { int a; };\nint a[] = { 1 };\nenum e { A };\nint f(void) { return 1; }\n") == []


PIECES = (
    *(
        "{",
        "}",
        "(",
        ")",
        ";",
        "int ",
        "f",
        "M(x)",
        "=",
        ",",
        ":",
        "::",
        "<",
        ">",
        "[",
        "]",
        "<%",
        "%>",
        "\n",
        "\\\n",
        "@",
    ),
    *(
        "\n#if A\n",
        "\n#else\n",
        "\n#elif B\n",
        "\n#ifndef A\n",
        "\n#if 0\n",
        "\n#endif\n",
        '"',
        "'",
        "1'0",
        "/*",
        "*/",
        "//",
    ),
    *(
        'R"(',
        ')"',
        "template",
        "class ",
        "enum ",
        "namespace n ",
        "operator",
        "friend ",
        'extern "C" ',
        "try ",
        "catch",
    ),
    *("return 1;", "if ", "else ", "int f(void) {", "}\n", "\u00e9"),
)


@pytest.mark.parametrize("seed", range(10))
def test_any_text_can_be_read(seed):
    """Each line of a function is the line of the file at its place, without what other branches hold."""
    chooser = random.Random(seed)
    for _ in range(50):
        text = "".join(chooser.choices(PIECES, k=chooser.randint(1, 120)))
        lines = text.split("\n")
        found, places = functions.find_functions(SourceFile("p", "a.cc", text))
        for function in found:
            for number, line in enumerate(function.source.split("\n"), function.first_line):
                assert line in lines[number - 1]
        assert all(1 <= place.first_line <= place.last_line <= len(lines) for place in places)
