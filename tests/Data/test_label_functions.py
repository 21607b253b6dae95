"""Flawfinder's findings, and the functions they fall in."""

import pytest

from Data.analyse_functions import analyse, analyse_chunk
from Data.label_functions import Finding, flawfinder_findings
from Data.read_sources import SourceFile

BAD = """#include <string.h>

int clean(int a) { return a; }

void copy(const char *from)
{
    char to[10];
    /* strcpy here is no finding */
    strcpy(to, from);
}
"""
ODD = "// \u00e9, \u4e2d\nint length(const char *s) { return strlen(s); }\n"


def files():
    return [SourceFile("p", "bad.c", BAD), SourceFile("p", "none.c", "int a;\n"), SourceFile("p", "odd; x.cc", ODD)]


def test_findings_by_file_and_line():
    assert flawfinder_findings(files(), min_level=1) == [
        [Finding(7, ("CWE-119", "CWE-120")), Finding(9, ("CWE-120",))],
        [],
        [Finding(2, ("CWE-126",))],
    ]


@pytest.mark.parametrize("level, counts", [(2, [2, 0, 0]), (4, [1, 0, 0]), (5, [0, 0, 0])])
def test_level(level, counts):
    assert [len(findings) for findings in flawfinder_findings(files(), level)] == counts


def test_functions_get_the_findings_of_their_lines():
    labelled = analyse_chunk(files(), min_level=1)
    assert [(f.function.path, f.function.first_line, f.label, f.finding_lines, f.cwes) for f in labelled] == [
        ("bad.c", 3, 0, (), ()),
        ("bad.c", 5, 1, (3, 5), ("CWE-119", "CWE-120")),
        ("odd; x.cc", 2, 1, (1,), ("CWE-126",)),
    ]
    assert labelled[0].n_tokens == 11


def test_order_does_not_depend_on_the_workers(monkeypatch):
    monkeypatch.setattr("Data.analyse_functions.CHUNK_CHARACTERS", 200)
    many = [SourceFile("p", f"{i}.c", f"int f{i}(void) {{ return {i}; }}\n" * 3) for i in range(12)]
    one = analyse(many, min_level=1, workers=1)
    assert [f.function.path for f in one] == [f"{i}.c" for i in range(12) for _ in range(3)]
    assert analyse(many, min_level=1, workers=2) == one
