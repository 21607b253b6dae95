"""Mutations of generated C are well formed, differ from the original by the mutation alone, and name its lines."""

from __future__ import annotations

import random

from hypothesis import strategies as st

from Data.mutations.c_body import Body
from Data.mutations.draw import KINDS, draw
from Data.mutations.site import mutated
from Data.mutations.variables import Variables
from ltp_pipeline.code.code_tokens import code_tokens
from tests.fuzz.limits import fuzz
from tests.fuzz.strategies import code

NAMES = st.sampled_from("a b c p q r s".split())
OPERATORS = st.sampled_from("< <= > >= == != << && + - =".split())
EXPRESSIONS = st.recursive(
    st.one_of(
        NAMES, st.sampled_from(["0", "1", "0x1f", "1.5", "NULL", '"x < y;"', "'}'", "a->b", "p[a]", "sizeof(a)"])
    ),
    lambda inner: st.one_of(
        st.builds("{} {} {}".format, inner, OPERATORS, inner),
        st.builds("f({}, {})".format, inner, inner),
        st.builds("({})".format, inner),
        st.builds("{} ? {} : {}".format, inner, inner, inner),
    ),
    max_leaves=6,
)
SIMPLE = st.one_of(
    st.builds("{};".format, EXPRESSIONS),
    st.builds("{} = {};".format, NAMES, EXPRESSIONS),
    st.builds("int {} = {}, *{};".format, NAMES, EXPRESSIONS, NAMES),
    st.builds("{}({});".format, st.sampled_from(["free", "fclose", "x_free", "kfree", "assert", "log_msg"]), NAMES),
    st.sampled_from(["return a;", "goto out;", "break;", "out:", "", "/* c */", "// if (a) return;", "\n#if A\n"]),
    st.sampled_from(["\n#else\n", "\n#endif\n", "delete p;", "else", "char *s, t[4];", "return;"]),
)
STATEMENTS = st.recursive(
    SIMPLE,
    lambda inner: st.one_of(
        st.builds("if ({}) {}".format, EXPRESSIONS, inner),
        st.builds("if ({})\n        return {};".format, EXPRESSIONS, NAMES),
        st.builds("for (int {} = 0; {}; a++) {}".format, NAMES, EXPRESSIONS, inner),
        st.builds("{{\n{}\n\n{}\n}}".format, inner, inner),
    ),
    max_leaves=5,
)
FUNCTIONS = st.builds(
    "int g(int a, int b, const char *p, char *q)\n{{\n{}\n}}".format,
    st.lists(st.builds("{}{}".format, st.sampled_from(["    ", "\n    "]), STATEMENTS), max_size=12).map("\n".join),
)


def check(text, seed):
    body = Body(text)
    if body.start is None:
        return
    variables = Variables(body)
    for kind in KINDS:
        for site in kind(body, variables, random.Random(seed)):
            assert site.kind == kind.__name__
            if site.edits:
                check_mutation(text, body, site)


def check_mutation(text, body, site):
    new, lines = mutated(text, site)
    after = Body(new)
    assert after.start is not None and code_tokens(new) != code_tokens(text)
    assert lines and all(1 <= line <= new.count("\n") + 1 for line in lines)
    removed, added = (sorted(one.words) for one in (body, after))
    if site.kind.startswith("dropped"):
        assert len(added) < len(removed)
        assert new.count("\n\n\n") <= text.count("\n\n\n")
    elif site.kind == "swapped_arguments":
        assert added == removed
    else:
        assert len(added) == len(removed) and len(lines) == 1
        assert sum(one != other for one, other in zip(body.words, after.words)) == 1


@fuzz(text=FUNCTIONS, seed=st.integers(0, 9))
def test_mutations_of_generated_functions(text, seed):
    check(text, seed)


@fuzz(text=code(), seed=st.integers(0, 9))
def test_mutations_of_any_text(text, seed):
    check(text, seed)
    check(f"int f(int a, char *p) {{\n{text}\n}}", seed)


@fuzz(text=FUNCTIONS, seed=st.integers(0, 9))
def test_the_draw_is_the_same_again(text, seed):
    drawn = draw(text, b"hash", seed, 0.5)
    assert drawn == draw(text, b"hash", seed, 0.5)
    assert drawn is None or not drawn.is_mutated or drawn.site.edits
