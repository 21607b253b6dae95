"""Conditionals that name PATCHED are resolved as the preprocessor would; all others stay."""

import itertools
import random
import re

import pytest

from Data.ground_truth.conditionals import resolve
from ltp_pipeline.base.errors import UserError

MACRO = re.compile(r"PATCHED(_\d+)?")


def left(text, defined):
    lines, numbers = resolve(text, MACRO, defined)
    source = text.split("\n")
    assert numbers == sorted(set(numbers))
    assert all(line.lstrip().startswith("#") or source[number - 1] == line for line, number in zip(lines, numbers))
    return lines


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("#ifdef PATCHED", True),
        ("#ifndef PATCHED_2", False),
        ("  #  ifdef\tPATCHED_12 // why", True),
        ("#ifdef PATCHED /* two\nlines */", True),
        ("#if defined(PATCHED)", True),
        ("#if defined PATCHED_1", True),
        ("#if !defined ( PATCHED )", False),
        ("#if PATCHED", True),
        ("#if !PATCHED", False),
        ("#if PATCHED == 0x1 && !defined(DEBUG)", True),
        ("#if (PATCHED != 1) || PATCHED_3 < 1UL", False),
        ("#if defined(DEBUG) || \\\n  defined(PATCHED)", True),
        ("#if !(defined(PATCHED) && PATCHED >= 1)", False),
    ],
)
def test_conditions(condition, expected):
    text = f"a\n{condition}\nyes\n#else\nno\n#endif\nb"
    assert left(text, True) == ["a", "yes" if expected else "no", "b"]
    assert left(text, False) == ["a", "no" if expected else "yes", "b"]


@pytest.mark.parametrize(
    "text",
    [
        "#ifdef DEBUG\na\n#elif X\nb\n#else\nc\n#endif",
        "#ifdef NOT_PATCHED\na\n#endif",
        "#if PATCHED_LATER\na\n#endif",
        "// #ifdef PATCHED\na",
        "/*\n#ifdef PATCHED\n*/\na",
        '"\\\n#ifdef PATCHED\\\n"',
        "#define X 1\n#include <PATCHED>",
        "",
    ],
)
def test_what_stays(text):
    assert left(text, True) == left(text, False) == text.split("\n")


def test_other_branches_of_the_same_conditional():
    text = "#if A\na\n#elif defined(PATCHED)\nb\n#elif C\nc\n#else\nd\n#endif"
    assert left(text, True) == ["#if A", "a", "#else", "b", "#endif"]
    assert left(text, False) == ["#if A", "a", "#elif C", "c", "#else", "d", "#endif"]
    text = "#ifdef PATCHED\na\n#elif B\nb\n#else\nc\n#endif"
    assert left(text, True) == ["a"]
    assert left(text, False) == ["#if B", "b", "#else", "c", "#endif"]


def test_nested():
    text = "#ifdef A\n1\n#ifndef PATCHED\n2\n#ifdef B\n3\n#ifdef PATCHED\n4\n#endif\n#endif\n#endif\n5\n#endif"
    assert left(text, True) == ["#ifdef A", "1", "5", "#endif"]
    assert left(text, False) == ["#ifdef A", "1", "2", "#ifdef B", "3", "#endif", "5", "#endif"]


def drawn(random_, depth=0):
    """Lines with nested conditionals on PATCHED, and the lines that are left for each value."""
    lines, kept = [], {True: [], False: []}
    for _ in range(random_.randint(1, 4)):
        if depth == 3 or random_.random() < 0.4:
            line = f"x{random_.random()}"
            lines.append(line)
            for own in kept.values():
                own.append(line)
            continue
        negated, has_else = random_.random() < 0.5, random_.random() < 0.5
        lines.append(f"#if{'n' * negated}def PATCHED")
        branches = [drawn(random_, depth + 1) for _ in range(1 + has_else)]
        lines += branches[0][0]
        if has_else:
            lines += ["#else", *branches[1][0]]
        lines.append("#endif")
        for value, own in kept.items():
            number = int(value == negated)
            own += branches[number][1][value] if number < len(branches) else []
    return lines, kept


@pytest.mark.parametrize("seed", range(30))
def test_against_the_lines_that_were_meant(seed):
    lines, kept = drawn(random.Random(seed))
    for value in (True, False):
        assert left("\n".join(lines), value) == kept[value]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("a\n#endif", "line 2: #endif without #if"),
        ("#ifdef PATCHED\na", "line 1: #if without #endif"),
        ("#if (PATCHED\n#endif", "a parenthesis is not closed"),
        ("#if PATCHED +\n#endif", "cannot be evaluated at"),
        ("#if PATCHED &&\n#endif", "cannot be evaluated at"),
        ("#if defined(PATCHED\n#endif", "a parenthesis is not closed"),
    ],
)
def test_what_cannot_be_resolved(text, key):
    with pytest.raises(UserError, match=key):
        resolve(text, MACRO, True)


def test_every_combination_of_signs():
    words = ["PATCHED", "!PATCHED", "defined(PATCHED)", "0", "OTHER"]
    for one, sign, other in itertools.product(words, ("&&", "||", "==", "!="), words):
        for value in (True, False):
            python = f"{one} {sign} {other}".replace("!P", "not P").replace("defined(PATCHED)", "PATCHED")
            python = python.replace("&&", "and").replace("||", "or").replace("OTHER", "0")
            python = re.sub(r"not PATCHED", f"(not {value})", python).replace("PATCHED", str(value))
            expected = ["yes"] if eval(python) else []
            assert left(f"#if {one} {sign} {other} || PATCHED_1 > 1\nyes\n#endif", value) == expected, (
                one,
                sign,
                other,
            )
