"""What each analyser finds in a file, and which files it cannot parse."""

import pytest

from Data.analysers.clang_headers import lay_out
from Data.analysers.findings import groups_of
from Data.analysers.registry import ANALYSERS, AnalyserOptions, default_analysers, installed_versions
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
OWN = SourceFile("p", "include/own.h", "struct own { int x; };\nstatic int at(struct own *p) { return p->x; }\n")
BROKEN = SourceFile("p", "broken.c", "#error no\nint f(void) { return 1; }\n")
FILES = [SourceFile("p", "bad.c", BAD), SourceFile("p", "none.c", "int a;\n"), SourceFile("p", "odd; x.cc", ODD)]


def places(name, files, **options):
    """(line, rule, CWEs) of each finding in each file; None for a file that the analyser cannot parse."""
    found = ANALYSERS[name].run(files, AnalyserOptions(**options))
    return [of_file and [(one.line, one.rule, one.cwes) for one in of_file] for of_file in found]


def test_flawfinder_by_file_and_line():
    assert places("flawfinder", FILES) == [
        [(7, "char", ("CWE-119", "CWE-120")), (9, "strcpy", ("CWE-120",))],
        [],
        [(2, "strlen", ("CWE-126",))],
    ]


@pytest.mark.parametrize("level, counts", [(2, [2, 0, 0]), (4, [1, 0, 0]), (5, [0, 0, 0])])
def test_flawfinder_level(level, counts):
    assert list(map(len, places("flawfinder", FILES, min_level=level))) == counts


def test_cppcheck_findings_macros_and_files_it_cannot_parse():
    deep = SourceFile("p", "src/deep.c", DEEP)
    macro = SourceFile("p", "m.c", "EXPORT_API(int) f(int *p) { if (!p) { } return *p; }\n")
    python = SourceFile(
        "p", "m.c", "PyObject *f(PyObject *a)\n{\n    if (!a)\n        return NULL;\n    Py_RETURN_NONE;\n}\n"
    )
    printed = (
        'void f(long n)\n{\n    printf("%" OWN_FORMAT " of %d\\n", n, 3);\n}\nint g(void) { int a[2]; return a[2]; }\n'
    )
    unparsed = SourceFile("p", "e.c", "int f( { }}\n")
    found = places("cppcheck", [deep, BROKEN, macro, unparsed, python, SourceFile("p", "f.c", printed)])
    assert (12, "arrayIndexOutOfBounds", ("CWE-788",)) in found[0]
    assert (6, "nullPointerRedundantCheck", ("CWE-476",)) in found[0]
    assert found[1] is None and found[3] is None
    assert found[4] == []
    assert {line for line, *_ in found[5]} == {5}  # f uses a macro that Cppcheck did not know


def test_clang_reads_the_projects_headers_and_needs_a_file_that_compiles(tmp_path):
    deep = SourceFile("p", "src/deep.c", DEEP + "int third(void) { return at(0); }\n")
    unknown = SourceFile("p", "src/unknown.c", '#include "elsewhere.h"\nint g(elsewhere_t a) { return a; }\n')
    tree = lay_out([OWN, deep, BROKEN, unknown], tmp_path)
    assert tree.folders["src/deep.c"] == ["include"]
    found = places("clang", [deep, BROKEN, unknown], trees={"p": tree})
    assert (6, "core.NullDereference", ("CWE-476",)) in found[0]
    assert (12, "security.ArrayBound", ("CWE-119",)) in found[0]
    assert 2 not in {line for line, *_ in found[0]}  # the finding in the header is not one of this file
    assert found[1:] == [None, None]


def test_bandit_finds_calls_and_refuses_what_is_not_python():
    risky = SourceFile("p", "a.py", "import subprocess\n\ndef f(x):\n    subprocess.call(x, shell=True)\n")
    found = places("bandit", [risky, SourceFile("p", "b.py", "def f(:\n")])
    assert (4, "B602", ("CWE-78",)) in found[0] and groups_of(("CWE-78",)) == ("CWE-other",)
    assert found[1] is None


def test_line_marks_do_not_move_findings(tmp_path):
    text = DEEP.replace('#include "own.h"', "struct own { int x; };").replace("#include <stdlib.h>", '#line 9 "a.y"')
    marked = SourceFile("p", "deep.c", text.replace("int second", '# 7 "other.y"\nint second'))
    for name in ("cppcheck", "clang"):
        (found,) = places(name, [marked], trees={"p": lay_out([marked], tmp_path)})
        assert {6, 13} <= {line for line, *_ in found}


def test_packages_and_defaults(monkeypatch):
    assert default_analysers(["python", "c", "cpp"]) == ["bandit", "flawfinder", "cppcheck"]
    assert default_analysers(["powershell"]) == []
    monkeypatch.setattr("Data.analysers.registry.version", lambda package: "1")
    assert installed_versions(["flawfinder"]) == {"flawfinder": "1"}
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="--analyzers clang .*pip install clang-tidy"):
        installed_versions(["clang"])


def test_paths_that_the_disk_cannot_hold(tmp_path):
    text = f'#include "{"h" * 300}.h"\n#include "a/b.h"\n#include "a/b.h/c.h"\nint f(void) {{ return 1; }}\n'
    paths = ("x.c", "x.c/y.c", f"{'n' * 300}.c")
    files = [SourceFile("p", path, text) for path in paths]
    found = places("clang", files, trees={"p": lay_out(files, tmp_path)})
    assert len(found) == 3 and found[1:] == [None, None]


def test_a_full_disk_is_an_error(tmp_path, monkeypatch):
    def fail(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_text", fail)
    with pytest.raises(UserError, match="--cache_dir: cannot write to .*No space left on device"):
        lay_out([SourceFile("p", "a.c", "int a;\n")], tmp_path)
