"""Function definitions in C and C++ text."""

from ltp_pipeline.code.functions import SourceFile, extract_functions


def found(text, path="a.c"):
    """(first line, last line, source) of each function in the text."""
    functions = extract_functions(SourceFile("p", path, text))
    return [(f.first_line, f.last_line, f.source) for f in functions]


def test_c_functions_with_lines():
    text = """#include <a.h>
static int g;
int one(int a)
{
    return a;
}

struct s { int x; }; int declared(int);
char *two(void) { return "}"; } int (*three(int a))(int)
{ return 0; }
"""
    assert found(text) == [
        (3, 6, "int one(int a)\n{\n    return a;\n}"),
        (9, 9, 'char *two(void) { return "}"; }'),
        (9, 10, "int (*three(int a))(int)\n{ return 0; }"),
    ]


def test_old_style_parameters():
    assert found("int f(a)\n  int a;\n{ return a; }\n") == [(1, 3, "int f(a)\n  int a;\n{ return a; }")]


def test_cpp_methods_templates_and_outermost_only():
    text = """namespace n {
class EXPORT C : public B {
  C() : x{1} {}
  bool operator==(const C& o) const { return x == o.x; }
  C(C&&) = default;
};
template <class T>
T largest(T a, T b) { struct L { int in() { return 1; } }; auto l = [](int q) { return q; }; return a; }
}
int C::m() const noexcept { return 2; }
"""
    assert [(line, source.split("(")[0]) for line, _, source in found(text, "a.cpp")] == [
        (3, "C"),
        (4, "bool operator=="),
        (8, "T largest"),
        (10, "int C::m"),
    ]


def test_header_with_classes_is_cpp():
    text = "class C { public: int m() { return 1; } };\n"
    assert [source for _, _, source in found(text, "a.h")] == ["int m() { return 1; }"]


def test_macros_around_and_inside_do_not_lose_a_function():
    text = """API_EXPORT(int) f(PyObject *self)
{
    PyObject_HEAD_INIT
    FOREACH(x, list) {
        use(x);
    }
    return 1;
}
"""
    assert [(first, last) for first, last, _ in found(text)] == [(1, 8)]


def test_each_branch_has_matching_braces_and_statements_are_no_functions():
    text = """int f(int a)
{
#ifdef X
    if (a) {
#else
    if (!a) {
#endif
        return 1;
    }
    return 0;
}
int ok(void) { return 1; }
"""
    assert [source for _, _, source in found(text)][-1:] == ["int ok(void) { return 1; }"]
    assert all(source.count("{") == source.count("}") for _, _, source in found(text))
    assert found("if (x) { y(); }\nelse if (z) { y(); }\n") == []


def test_text_beyond_ascii_keeps_its_place():
    text = "/* \u00e4\u00f6\u4e2d */ int f(void) { return '\u00e4'; }\nint g(void) { return 0; }\n"
    assert [(line, source) for line, _, source in found(text)] == [
        (1, "int f(void) { return '\u00e4'; }"),
        (2, "int g(void) { return 0; }"),
    ]
