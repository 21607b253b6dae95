"""Each kind of mutation, on small functions: what it changes, in both directions, and what it leaves alone."""

import random
import time

import pytest

from Data.mutations.c_body import Body
from Data.mutations.comparisons import flipped_comparison, off_by_one
from Data.mutations.draw import KINDS
from Data.mutations.dropped_statements import dropped_check, dropped_free
from Data.mutations.names import swapped_arguments, wrong_variable
from Data.mutations.site import mutated
from Data.mutations.variables import Variables


def sites(kind, text):
    body = Body(text)
    return list(kind(body, Variables(body), random.Random(0)))


def changes(kind, statements, head="int f(char *p, char *q, int n, int m, double d)"):
    """The mutated bodies of a function with these statements, without the head and the braces."""
    text = f"{head}\n{{\n{statements}\n}}"
    found = [mutated(text, site)[0] for site in sites(kind, text) if site.edits]
    return [one.removeprefix(f"{head}\n{{\n").removesuffix("\n}") for one in found]


@pytest.mark.parametrize("one, other", [("<", "<="), (">", ">=")])
def test_off_by_one_in_both_directions(one, other):
    for before, after in ((one, other), (other, one)):
        assert changes(off_by_one, f"while (n {before} m) n += g(n);") == [f"while (n {after} m) n += g(n);"]
        found = sites(off_by_one, f"int f(int n) {{ for (int i = n; i {before} 9; i--) g(i); }}")
        assert [(site.before, site.after) for site in found] == [(f"{before} for n 1 0", f"{after} for n 1 0")]


@pytest.mark.parametrize("one, other", [("==", "!="), ("<", ">"), ("<=", ">=")])
def test_flipped_comparison_in_both_directions(one, other):
    for before, after in ((one, other), (other, one)):
        assert changes(flipped_comparison, f"if (n {before} m) g(n);") == [f"if (n {after} m) g(n);"]


@pytest.mark.parametrize(
    "statements",
    [
        "n = n << m; n <<= m; n = n >> 2; n >>= 1; p->x = q->y;",
        "std::vector<int> v; v = x<int>(3);",
        "return sequence < exactly < p >, negate < q > >(n);",
        "return sequence < p > (n);",
        "#define LESS(a, b) (a < b)\n\n// n < m\n/* n == m */ g(\"n < m\", '<');",
        "assert(n < m); ASSERT_LT(n == m, 1); LOG(DEBUG, n < m); printf(p, n == m);",
        "n = sizeof(p == q);",
    ],
)
def test_no_comparison_is_changed_outside_code(statements):
    assert changes(off_by_one, statements) == changes(flipped_comparison, statements) == []


@pytest.mark.parametrize(
    "statements",
    [
        "n = n < m ? n : m;",
        "n = n > m ? m : n;",
        "if (n > m) m = n;",
        "if (n > p[m]) {\n    n = p[m];\n}",
        "return (a->x < a->y) ? a->x : a->y;",
        "if (d < m) g();",
        "if (n < 0.5) g();",
        "if (n > 1e-9) g();",
    ],
)
def test_off_by_one_leaves_comparisons_where_equality_does_not_matter(statements):
    assert changes(off_by_one, statements) == []


def test_a_comparison_is_balanced_by_its_operand_and_the_number_of_operators():
    text = "int f(char *p) { if (p == NULL) g(p != q); while (p != 0) g(p == r, p == 1); }"
    assert [(site.before, site.after) for site in sites(flipped_comparison, text)] == [
        ("==  NULL 3 2", "!=  NULL 3 2"),
        ("!=  w 2 3", "==  w 3 1"),
        ("!=  0 2 3", "==  0 3 1"),
        ("==  w 3 2", "!=  w 3 2"),
        ("==  1 3 2", "!=  1 3 2"),
    ]


def test_a_flip_leaves_the_order_in_the_head_of_a_loop():
    assert changes(flipped_comparison, "for (n = 0; n < m; n++) g(n);") == []
    assert changes(flipped_comparison, "for (n = 0; n != m; n++) g(n);") == ["for (n = 0; n == m; n++) g(n);"]


CHECK = "    if (!p)\n        return 1;\n"
BLOCK = "    if (n > m) {\n        g(n, m, n, m);\n        goto out;\n    }\n"
USES = "    use(p, p, n, n, m, m);\n"


@pytest.mark.parametrize(
    "statements, expected",
    [
        (CHECK + USES + CHECK + USES, [USES + CHECK + USES, CHECK + USES + USES]),
        (CHECK + "    g();\n" + BLOCK + USES + "    if (n) goto out;\nout:", 3),
        ("    if (n) { return 1; } use(n, n, n);\n" + CHECK + USES, 2),
    ],
)
def test_a_check_is_dropped_with_its_lines(statements, expected):
    found = [f"{one}\n" for one in changes(dropped_check, statements.rstrip("\n"))]
    assert found == expected if isinstance(expected, list) else len(found) == expected
    for one in found:
        assert "\n\n" not in one and len(one) < len(statements) + 1


@pytest.mark.parametrize(
    "check",
    [
        "    if (!p)\n        return 1;\n    else\n        n = 1;\n",  # else
        "    else if (!p)\n        return 1;\n",
        "    while (n)\n        if (!p)\n            return 1;\n",  # the body of a loop
        "    // p may be NULL\n    if (!p)\n        return 1;\n",  # comments would tell
        "    if (!p) // may be\n        return 1; // NULL\n",
        "    if (!p)\n        goto err;\n",  # the only jump to the label
        "    if (only)\n        return 1;\n",  # the only use of a variable
        "#ifdef A\n    if (!p)\n        return 1;\n#endif\n",
        "    if (n) {\n        for (;;) {\n            if (m) break;\n        }\n        return 1;\n    }\n",
        "    {\n    if (!p)\n        return 1;\n    }\n",  # the end of what it leaves
        "    assert(n); {\n    if (!p) n = 1;\n    }\n",  # does not leave
        "  label:\n    if (!p)\n        return 1;\n",
        "    if ((p = g(n)) == NULL)\n        return 1;\n",  # more than a check
    ],
)
def test_a_check_that_would_leave_a_trace_stays(check):
    others = "    if (m)\n        return 2;\n" + USES
    found = changes(dropped_check, "    int only = 1;\n    only = g();\n" + check + USES + others + others)
    assert found and all(check.strip() in one for one in found)


@pytest.mark.parametrize(
    "free",
    ["free(p);", "kfree(p);", "my_buf_free(p, n);", "fclose(p);", "delete p;", "delete[] p;", "if (p) free(p);"]
    + ["Py_XDECREF(p);", "if (p) {\n        free(p);\n    }", "xmlFree(p);", "g_object_unref(p);"],
)
def test_a_call_that_frees_is_dropped(free):
    rest = "    use(p, p, q, q);\n    free(q);\n" + USES
    found = changes(dropped_free, f"    {free}\n{rest}")
    assert found[0] == rest and len(found) == 2


@pytest.mark.parametrize(
    "call", ["freeze(p);", "r = free(p);", "if (p) free(p); else g();", "while (n) free(p);", "x.free = p;"]
)
def test_other_calls_are_not_dropped(call):
    rest = "    free(q);\n    use(q);\n    free(p);\n" + USES
    assert all(call in one for one in changes(dropped_free, f"    {call}\n{rest}"))


def test_the_last_statement_of_its_kind_stays_but_counts():
    text = f"int f(char *p) {{\n{CHECK}    g(p);\n    h(p);\n}}"
    (site,) = sites(dropped_check, text)
    assert (site.before, site.after, site.edits) == ("1", "0", ())


@pytest.mark.parametrize(
    "before, after",
    [
        ("    g();\n\n    free(p);\n\n    h();\n", "    g();\n\n    h();\n"),
        ("    if (n) {\n        free(p);\n\n        h();\n    }\n", "    if (n) {\n        h();\n    }\n"),
        ("    if (n) {\n        h();\n\n        free(p);\n    }\n", "    if (n) {\n        h();\n    }\n"),
        ("    g();\n  \n    free(p);\n\n    h();\n", "    g();\n  \n    h();\n"),
        ("    if (n) {\n        h(); \n\n        free(p);\n    }\n", "    if (n) {\n        h(); \n    }\n"),
        ("    g(); free(p); h();\n", "    g(); h();\n"),
        ("    g(); free(p);\n    h();\n", "    g();\n    h();\n"),
    ],
)
def test_no_blank_line_is_doubled(before, after):
    found = changes(dropped_free, f"{before}    free(q);\n{USES}    use(q, q);")
    assert found[0] == f"{after}    free(q);\n{USES}    use(q, q);"


def test_wrong_variable_has_the_same_type_and_is_visible():
    text = """int f(int a, const char *s, const char *t, char *other)
{
    int b = 1, *c = 0, d[4];
    unsigned int v = 2;
    if (a) { int inner = 3; use(inner, inner, inner); }
    p->a = a; a = b; b = a + b; a: goto a; s.b = b; use(s, t, s, t); s++;
    use(u, v, c, d, sizeof(a), sizeof(b), a(b));
    return a;
}"""
    new = {mutated(text, site)[0] for seed in range(40) for site in _wrong(text, seed)}
    swaps = {(text[start:end], name) for seed in range(40) for s in _wrong(text, seed) for start, end, name in s.edits}
    assert swaps == {("a", "b"), ("b", "a"), ("s", "t"), ("inner", "a"), ("inner", "b")} | {("a", "b")}
    for one in new:
        assert "p->a = " in one and "a: goto a;" in one and ".b = " in one and "sizeof(a), sizeof(b)" in one


def _wrong(text, seed):
    body = Body(text)
    return list(wrong_variable(body, Variables(body), random.Random(seed)))


def test_wrong_variable_gives_no_comparison_with_itself():
    text = "int f(int a, int b) { a = b; if (a == b) g(a - b); return a; }"
    new = {mutated(text, site)[0] for seed in range(40) for site in _wrong(text, seed)}
    assert new == {
        "int f(int a, int b) { a = b; if (a == b) g(a - b); return b; }",
    }


@pytest.mark.parametrize(
    "call, expected",
    [
        ("g(n, m);", ["g(m, n);"]),
        ("g(p, n, m, q);", ["g(p, m, n, q);"]),
        ("memset(p, 0, 8);", ["memset(p, 8, 0);"]),
        ("g(n,\n  m);", ["g(m,\n  n);"]),
        ("g(n, h(p, q));", ["g(n, h(q, p));"]),
        ("g(n, n); g(3, 3); g(n, 3); g(p, n); g(n, -m); max(n, m); strcmp(p, q); printf(n, m);", []),
        ("g(unknown, n); if (n, m) g(); x[n, m]; memcmp(p, q, 0, 1); case M(0, 1): g();", []),
        ('TRACE_IT("%d %d", n, m); report(p, "%s", n, m); mkAND1(n, m); COLOR(n, m);', None),
    ],
)
def test_swapped_arguments(call, expected):
    if expected is None:  # of these calls only the last has an order of arguments and is no log
        expected = [call.replace("COLOR(n, m)", "COLOR(m, n)")]
    assert changes(swapped_arguments, call) == expected


def test_the_order_of_numbers_is_balanced():
    up, down = (sites(swapped_arguments, f"void f(void) {{ g({one}); }}")[0] for one in ("0, 0x10", "16, 010"))
    assert (up.before, up.after, down.before, down.after) == ("up", "down", "down", "up")


@pytest.mark.parametrize(
    "head, names",
    [
        ("int f(a, b) int a; char *b;", {"a": "int", "b": "char *"}),
        ("std::string C::f(const std::vector<int> &a, unsigned b = 3) const", {"a": "const std :: vector < int > &"}),
        ("C::C(int a, T *b) : x(a), y{b}", {"a": "int", "b": "T *"}),
        ("static void *f(struct s *a, int b[], void (*c)(int))", {"a": "s *", "b": "int []"}),
        ("int f(int a, const int b, auto c)", {"a": "int", "b": "const int", "c": None}),
        ("int f(void)", {}),
    ],
)
def test_types_of_parameters(head, names):
    variables = Variables(Body(f"{head}\n{{\n    x = y * z;\n    return a;\n}}"))
    assert {name: variables.type_of(name) for name in names} == names
    assert variables.type_of("x") is variables.type_of("void") is None


@pytest.mark.parametrize("text", ["int f(void) { g(; }", "int f(void) { if (a { } }", "int f(void);", "", "}"])
def test_text_whose_brackets_do_not_match_has_no_body(text):
    assert Body(text).start is None


@pytest.mark.parametrize(
    "text, kind, lines",
    [
        ("int f(int n) {\n\n    if (n < 3)\n        g();\n}", off_by_one, (3,)),
        ("int f(int n, int m) {\n    g(n,\n      m);\n}", swapped_arguments, (2, 3)),
        ("int f(char *p) {\n    g();\n\n    free(p);\n\n    h(p);\n    free(p);\n    h(p);\n}", dropped_free, (2, 4)),
        ("int f(char *p) {\n    g(); free(p); h(p);\n    free(p);\n    h(p);\n}", dropped_free, (2,)),
    ],
)
def test_lines_of_the_mutation(text, kind, lines):
    new, found = mutated(text, sites(kind, text)[0])
    assert found == lines
    assert new != text


def test_time_is_linear():
    text = "int f(int a)\n{\n    x" + " < a > b" * 200 + ";\n" + "    if (a)\n        return 1;\n\n" * 5000 + "}"
    start = time.process_time()
    for kind in KINDS:
        sites(kind, text)
    assert time.process_time() - start < 10
