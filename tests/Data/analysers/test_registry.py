"""What each analyser finds, which functions the findings fall in, and the cache."""

import pytest

from Data.analysers import registry as analyzers
from Data.analysers.clang_headers import lay_out
from Data.analysers.findings import Finding
from Data.analysers.registry import Analysis, check_installed, findings_of
from Data.functions.labelling import analyse, analyse_chunk
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.code.functions import SourceFile

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
DEEP = """#include <stdlib.h>
#include "own.h"
int first(struct own *p)
{
    if (!p)
        return p->x;
    return 0;
}
int second(void)
{
    int a[4];
    a[4] = 1;
    return a[4];
}
"""
OWN = SourceFile("p", "include/own.h", "struct own { int x; };\n")
BROKEN = SourceFile("p", "broken.c", "#error no\nint f(void) { return 1; }\n")


def files():
    return [SourceFile("p", "bad.c", BAD), SourceFile("p", "none.c", "int a;\n"), SourceFile("p", "odd; x.cc", ODD)]


def places(findings):
    return [(finding.line, finding.rule, finding.groups) for finding in findings]


def test_flawfinder_by_file_and_line():
    found = findings_of("flawfinder", files(), Analysis(("flawfinder",)))
    assert [[(f.line, f.cwes, f.rule) for f in of_file] for of_file in found] == [
        [(7, ("CWE-119", "CWE-120"), "char"), (9, ("CWE-120",), "strcpy")],
        [],
        [(2, ("CWE-126",), "strlen")],
    ]


@pytest.mark.parametrize("level, counts", [(2, [2, 0, 0]), (4, [1, 0, 0]), (5, [0, 0, 0])])
def test_flawfinder_level(level, counts):
    found = findings_of("flawfinder", files(), Analysis(("flawfinder",), min_level=level))
    assert [len(findings) for findings in found] == counts


def test_cppcheck_findings_and_files_it_cannot_parse():
    deep = SourceFile("p", "src/deep.c", DEEP)
    macro = SourceFile("p", "m.c", "EXPORT_API(int) f(int *p) { if (!p) { } return *p; }\n")
    found = findings_of("cppcheck", [deep, BROKEN, macro, SourceFile("p", "e.c", "int f( { }}\n")], Analysis(()))
    assert (12, "arrayIndexOutOfBounds", ("CWE-119",)) in places(found[0])
    assert (6, "nullPointerRedundantCheck", ("CWE-476",)) in places(found[0])
    assert found[1] is None and found[3] is None


def test_clang_reads_the_projects_headers_and_needs_a_file_that_compiles(tmp_path):
    deep = SourceFile("p", "src/deep.c", DEEP)
    unknown = SourceFile("p", "src/unknown.c", '#include "elsewhere.h"\nint g(elsewhere_t a) { return a; }\n')
    tree = lay_out([OWN, deep, BROKEN, unknown], tmp_path)
    assert tree.folders["src/deep.c"] == ["include"]
    found = findings_of("clang", [deep, BROKEN, unknown], Analysis((), trees={"p": tree}))
    assert (6, "core.NullDereference", ("CWE-476",)) in places(found[0])
    assert (12, "security.ArrayBound", ("CWE-119",)) in places(found[0])
    assert found[1:] == [None, None]


def test_bandit_finds_calls_and_refuses_what_is_no_python():
    risky = SourceFile("p", "a.py", "import subprocess\n\ndef f(x):\n    subprocess.call(x, shell=True)\n")
    found = findings_of("bandit", [risky, SourceFile("p", "b.py", "def f(:\n")], Analysis(()))
    assert (4, "B602", ("CWE-other",)) in places(found[0])
    assert found[1] is None


def test_functions_get_the_findings_of_their_lines():
    labelled = analyse_chunk([*files(), BROKEN], Analysis(("flawfinder", "cppcheck")))
    assert [(f.function.path, f.function.first_line, f.label, f.finding_lines, f.cwes) for f in labelled] == [
        ("bad.c", 3, 0, [], []),
        ("bad.c", 5, 1, [3, 5], ["CWE-119", "CWE-120"]),
        ("odd; x.cc", 2, 1, [1], ["CWE-126"]),
        ("broken.c", 2, 0, [], []),
    ]
    assert [f.checked for f in labelled] == [("flawfinder", "cppcheck")] * 3 + [("flawfinder",)]
    assert labelled[0].n_tokens == 11


def test_whole_files():
    labelled = analyse_chunk(files(), Analysis(("flawfinder",), granularity="file"))
    assert [(f.function.path, f.function.source == file.text) for f, file in zip(labelled, files(), strict=True)] == [
        ("bad.c", True), ("none.c", True), ("odd; x.cc", True)]  # fmt: skip
    assert labelled[0].finding_lines == [7, 9]


def test_what_is_in_the_cache_is_not_analysed_again(tmp_path, monkeypatch):
    analysis = Analysis(("flawfinder",), cache_dir=tmp_path)
    before = findings_of("flawfinder", files(), analysis)
    monkeypatch.setattr(analyzers, "flawfinder_findings", lambda *_: pytest.fail("ran again"))
    assert findings_of("flawfinder", files(), analysis) == before
    with pytest.raises(pytest.fail.Exception, match="ran again"):
        findings_of("flawfinder", files(), Analysis(("flawfinder",), min_level=2, cache_dir=tmp_path))


def test_a_damaged_cache_file_is_made_again(tmp_path):
    analysis = Analysis(("flawfinder",), cache_dir=tmp_path)
    before = findings_of("flawfinder", files(), analysis)
    stored = sorted(tmp_path.rglob("*.json"))
    assert len(stored) == 3
    for path in stored:
        path.write_text('[{"line": 1')
    assert findings_of("flawfinder", files(), analysis) == before


def test_order_does_not_depend_on_the_workers(monkeypatch):
    monkeypatch.setattr("Data.functions.labelling.CHUNK_CHARACTERS", 200)
    many = [SourceFile("p", f"{i}.c", f"int f{i}(void) {{ return {i}; }}\n" * 3) for i in range(12)]
    one = analyse(many, Analysis(("flawfinder",)), workers=1)
    assert [f.function.path for f in one] == [f"{i}.c" for i in range(12) for _ in range(3)]
    assert analyse(many, Analysis(("flawfinder",)), workers=2) == one


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(analyzers.PACKAGES, "clang", "no-such-package")
    with pytest.raises(UserError, match="--analyzers clang needs the package no-such-package: pip install no-such"):
        check_installed(["clang"])


def test_findings_are_comparable():
    assert sorted([Finding(2, (), "a"), Finding(1, ("CWE-1",), "b")])[0].line == 1


def test_line_marks_do_not_move_findings(tmp_path):
    marked = SourceFile("p", "deep.c", DEEP.replace('#include "own.h"', "struct own { int x; };").replace(
        "#include <stdlib.h>", '#line 500 "deep.y"').replace("int second", '# 7 "other.y"\nint second'))  # fmt: skip
    tree = lay_out([marked], tmp_path)
    analysis = Analysis((), trees={"p": tree})
    assert {6, 13} <= {line for line, *_ in places(findings_of("cppcheck", [marked], analysis)[0])}
    assert {6, 13} <= {line for line, *_ in places(findings_of("clang", [marked], analysis)[0])}


def test_clangs_cache_depends_on_the_table_of_groups(tmp_path, monkeypatch):
    deep = SourceFile("p", "deep.c", DEEP)
    analysis = Analysis((), cache_dir=tmp_path / "cache", trees={"p": lay_out([OWN, deep], tmp_path / "tree")})
    before = analyzers._key("clang", deep, analysis)
    assert analyzers._key("clang", deep, analysis) == before
    monkeypatch.setattr(analyzers, "table", lambda kind: {"": "CWE-1"})
    assert analyzers._key("clang", deep, analysis) != before


def test_cppcheck_knows_pythons_macros_and_is_not_asked_about_those_defined_away():
    python = SourceFile(
        "p", "m.c", "PyObject *f(PyObject *a)\n{\n    if (!a)\n        return NULL;\n    Py_RETURN_NONE;\n}\n"
    )
    printed = (
        'void f(long n)\n{\n    printf("%" OWN_FORMAT " of %d\\n", n, 3);\n}\nint g(void) { int a[2]; return a[2]; }\n'
    )
    found = findings_of("cppcheck", [python, SourceFile("p", "f.c", printed)], Analysis(()))
    assert found[0] == []
    assert {line for line, *_ in places(found[1])} == {5}
