"""Literals, comments and directives with braces and quotes in them; times of hostile files."""

import time

import pytest

from ltp_pipeline.code.functions import SourceFile, extract_functions


@pytest.mark.parametrize(
    "line",
    [
        "if (n > 10'000) { c = 'x'; }",
        "auto n = 0xFF'FF + 0b1'0 + 1'0.5'0e1'0; char d = '{';",
        'auto s = R"(it\'s a { brace\n and a "quote)";',
        'auto s = R"x({ )" })x"; auto t = u8R"({)" LR"--({)--";',
        "char q = '\\''; char o = '\"'; char b = '\\\\'; char x = '\\x7b'; char y = '\\173';",
        "wchar_t w = L'{'; char32_t v = U'\\U0001F600'; int m = '{}{{';",
        'const char *p = "}"; // don\'t {',
        'auto m = "\\"{"; auto k = "a\\\n{b";',
        "#ifndef H\n#error can't do { this\n#endif",
        '#pragma message("can\'t {")',
        "#define X '{'\n int y = X;",
        "#define Y /* {\n { */ {\n",
        "// a comment that goes on \\\n { here\n",
        "/* it's { */ int x;",
        "int a <: 1 :> = <% 1 %>;",
    ],
)
def test_braces_that_are_none(line):
    function = f"int f(int n)\n{{\n    {line}\n    return n;\n}}"
    found = extract_functions(SourceFile("p", "m.cpp", f"{function}\nint ordinary() {{ return 5; }}\n"))
    assert [one.source for one in found] == [function, "int ordinary() { return 5; }"]


PATTERNS = [
    *("{", "}", "(", "[", ";", "'", '"', "\\\n", "//\\\n", "/*", 'R"(', "<", "f(x)\n", "f(x){", "f(x){}\n", "w w\n"),
    *(
        "template<",
        "operator",
        "x{},",
        "x = {},",
        "A::A() : x{1},",
        "FOO(x)\n\n",
        "f(a) int a; ",
        "#if A\n",
        "#else\n",
    ),
    *("#if A\n{\n#else\n{\n#endif\n", "#if A\nf(\n#else\ng(\n#endif\n", "int f(){{\n}\n", "f(){}\n}\n", '"\\"', "1'0"),
]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_time_is_linear_in_the_length(pattern):
    """Eight times the length takes about eight times as long; quadratic time would take 64 times as long.

    A pause of the machine spoils one measurement, not three.
    """

    def seconds(count):
        text = pattern * count
        start = time.process_time()
        extract_functions(SourceFile("p", "a.cc", text))
        return time.process_time() - start

    count = 2000 // len(pattern)
    assert any(seconds(8 * count) < 24 * max(seconds(count), 0.004) for _ in range(3))


def test_nesting_of_100_000_braces():
    text = "int f(void) " + "{" * 100_000 + "}" * 100_000 + "\n" + "int g" + "(" * 100_000 + ")" * 100_000 + " {}\n"
    assert [function.source[:5] for function in extract_functions(SourceFile("p", "a.c", text))] == ["int f", "int g"]
