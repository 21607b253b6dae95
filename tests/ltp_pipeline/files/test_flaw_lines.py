"""Flaw lines are found as each public data set lists them."""

import time

import numpy as np
import pytest

from ltp_pipeline.files.flaw_lines import lines_of_linevul, lines_of_megavul, lines_of_texts, numbers_in, places_of

TEXT = "f() {\n  a();\n\n  if (x) {\n    return 1;\n  }\n  b();\n  return 1;\n}"


@pytest.mark.parametrize(
    ("cell", "numbers"),
    [
        ("3 7", (3, 7)),
        ("7,3", (7, 3)),
        ("[7, 3]", (7, 3)),
        ("", ()),
        (" ", ()),
        ("[]", ()),
        (None, ()),
        (float("nan"), ()),
        (3, (3,)),
        (3.0, (3,)),
        (np.int64(3), (3,)),
        (np.array([4, 2]), (4, 2)),
        ([4, 2], (4, 2)),
        ("x = 3;", None),
        (2.5, None),
        (["a"], None),
        ("9" * 5000, None),
        (float("inf"), None),
        ({"a": 1}, None),
    ],
)
def test_numbers_of_lines(cell, numbers):
    assert numbers_in(cell) == numbers


@pytest.mark.parametrize(
    ("listed", "places"),
    [
        (["  b();"], (7,)),
        (["b ( ) ;", "a();"], (7, 2)),  # in the order of the list; white space does not count
        (["  return 1;"], (8,)),  # the other one is indented differently
        (["return 1;"], ()),  # in two places: left out
        (["return 1;", "return 1;"], (5, 8)),  # both are listed
        (["b();", "return 1;"], (7, 8)),  # after the line before it in the list
        (["return 1;", "}", "b();"], (5, 6, 7)),  # before the next line in the list
        (["  a();", "", "  if (x) {"], (2, 4)),  # a blank line is no flaw line
        (["a();", "", "if (x) {", "return 1;"], (2, 4, 5)),
        (["nowhere", "  b();", "  b();"], (7,)),
        ([], ()),
    ],
)
def test_places_of_listed_texts(listed, places):
    assert places_of(listed, TEXT) == places
    assert lines_of_texts("\n".join(listed), None, TEXT) == places


def test_lines_of_linevul_count_from_0_with_or_without_blank_lines():
    assert lines_of_linevul("1,6", "  a();/~/  b();", TEXT) == (2, 7)
    assert lines_of_linevul("5,1", "  b();/~/  a();", TEXT) == (7, 2)  # lines that are not blank
    assert lines_of_linevul("[1, 5]", "a();/~/b();", TEXT) == (2, 7)
    assert lines_of_linevul("40", "  b();", TEXT) == (7,)  # the numbers fit neither way
    assert lines_of_linevul(1, None, TEXT) == lines_of_linevul(1.0, float("nan"), TEXT) == (2,)
    assert lines_of_linevul("", "", TEXT) == lines_of_linevul(None, None, TEXT) == ()


def test_lines_of_megavul_are_those_of_the_diff_or_the_texts():
    deleted = {"deleted_lines": ["  return 1;"], "added_lines": ["  return 2;"]}
    text = TEXT.replace("    return", "  return")
    diff = "--- func_before\n+++ func_after\n@@ -6,4 +6,4 @@\n   }\n   b();\n-  return 1;\n+  return 2;\n }"
    assert lines_of_megavul(deleted, diff, text) == (8,)
    assert lines_of_megavul(deleted, diff.replace("-6", "-1"), text) == ()  # numbers that do not fit, ambiguous text
    assert lines_of_megavul({"deleted_lines": np.array(["  b();"])}, None, TEXT) == (7,)
    for cell in ('{"deleted_lines": ["  b();"]}', "{'deleted_lines': ['  b();'], 'x': None}"):
        assert lines_of_megavul(cell, None, TEXT) == (7,)
    for cell in (None, float("nan"), "", "nothing", "[" * 100_000, {"deleted_lines": "b"}, {}):
        assert lines_of_megavul(cell, None, TEXT) == ()


def test_time_is_linear_in_lines():
    many = "\n".join(["x();", "y();"] * 50_000)
    begin = time.perf_counter()
    assert len(places_of(many.split("\n"), many)) == 100_000
    assert len(lines_of_linevul(",".join(map(str, range(100_000))), "x();/~/y();", many)) == 100_000
    assert places_of(["x();"] * 50_000, many + "\nx();") == ()
    assert numbers_in(" " * 1_000_000 + "x") is None
    assert time.perf_counter() - begin < 3
