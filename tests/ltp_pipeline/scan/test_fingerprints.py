import re
from dataclasses import replace

import pytest

from ltp_pipeline.scan.finding import CodeUnit
from ltp_pipeline.scan.fingerprints import fingerprint, fingerprints

UNIT = CodeUnit("src/a.c", 10, "f", "c", "int f(int a)\n{\n    return a;\n}\n")


@pytest.mark.parametrize(
    "same",
    [
        replace(UNIT, first_line=999),
        replace(UNIT, text=UNIT.text.replace("    ", "\t")),
        replace(UNIT, text=UNIT.text.replace("\n", "\n\n").rstrip()),
    ],
)
def test_moved_and_indented_code_keeps_its_fingerprint(same):
    assert fingerprint(same, 0) == fingerprint(UNIT, 0)
    assert re.fullmatch("[0-9a-f]{32}", fingerprint(UNIT, 0))


@pytest.mark.parametrize(
    "other",
    [
        replace(UNIT, path="src/b.c"),
        replace(UNIT, name="g"),
        replace(UNIT, text=UNIT.text.replace("return a", "return b")),
        replace(UNIT, text=UNIT.text.replace("return a", "returna")),
    ],
)
def test_other_code_has_another_fingerprint(other):
    assert fingerprint(other, 0) != fingerprint(UNIT, 0)


def test_equal_functions_of_a_file_are_told_apart_by_their_order():
    moved = replace(UNIT, first_line=50)
    assert fingerprints([UNIT, replace(UNIT, name="g"), moved]) == [
        fingerprint(UNIT, 0),
        fingerprint(replace(UNIT, name="g"), 0),
        fingerprint(UNIT, 1),
    ]


def test_names_of_files_in_another_encoding():
    assert fingerprint(replace(UNIT, path="caf\udce9.c"), 0) != fingerprint(UNIT, 0)
