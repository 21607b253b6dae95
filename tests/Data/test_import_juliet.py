"""The importer of Juliet, on a small tree in its layout."""

import json

import pytest

from Data.import_juliet import flaw_lines, main, read_file
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.code.telling_names import telling_words
from ltp_pipeline.data.readers import read_functions

FILE = """#include "std_testcase.h"
#ifndef OMITBAD
void {stem}_bad()
{{
    /* {title} */
    int * dataBadBuffer = 0;
    /* POTENTIAL FLAW: {title} is not
     * checked */
    {{
        use(dataBadBuffer, {number});
    }}
    print("bad"); /* FLAW: prints */
}}
#endif
#ifndef OMITGOOD
/* goodG2B uses the GoodSource */
static void goodG2B()
{{
    /* FIX: {title} */
    use(check(), {number});
}}
static void goodB2G()
{{
    int * dataBadBuffer = 0;
    {{
        /* POTENTIAL FLAW: {title} */
        use(dataBadBuffer, {number});
    }}
    print("bad");
}}
void {stem}_good()
{{
    goodG2B();
}}
#endif
#ifdef INCLUDEMAIN
int main() {{ {stem}_bad(); return 0; }}
#endif
"""


def juliet(folder, templates=12):
    """A tree with two flow variants of each template; variant 02 calls what variant 01 does not."""
    (folder / "testcasesupport").mkdir(parents=True)
    for number in range(templates):
        for variant in ("01.c", "02.cpp"):
            stem = f"CWE{121 + number % 2}_Overflow__t{number}_memcpy_{variant[:2]}"
            title, value = f"title {number}", f"{number}{variant[1]}"
            path = folder / "testcases" / f"CWE{121 + number % 2}_Overflow" / "s01" / f"{stem}{variant[2:]}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(FILE.format(stem=stem, title=title, number=value).replace("\\n", "\\r\\n"))
    (folder / "testcases" / "main.cpp").write_text("int badMain() { return 1; }")
    return folder


def test_the_tables(tmp_path, capsys):
    main(["--source", str(juliet(tmp_path / "juliet")), "--output_dir", str(tmp_path / "out")])
    counts = json.loads((tmp_path / "out" / "import.json").read_text())["counts"]
    assert counts["files"] == 24 and counts["functions"] == 24 * 5 and counts["neither_good_nor_bad"] == 24
    assert counts["bad"] == counts["bad_with_flaw_line"] == 24
    assert counts["with_both_labels"] == 48  # goodB2G is the same as bad but for its name and comments
    assert counts["rows_written"] == 24 + 1  # goodG2B; good() is the same everywhere
    frames = [read_functions(tmp_path / "out" / f"{name}.csv") for name in ("train_subset", "validation", "test")]
    projects = [set(frame["project"]) for frame in frames]
    assert len(set.union(*projects)) == sum(map(len, projects)) == 12
    for frame in frames:
        assert not any(telling_words(text) for text in frame["functionSource"])
        assert not any("static" in text or "/*" in text for text in frame["functionSource"])
    assert "with both labels" in capsys.readouterr().out


def test_a_bad_function_has_its_lines_and_its_cwe(tmp_path):
    source = juliet(tmp_path / "juliet")
    path = source / "testcases" / "CWE122_Overflow" / "s01" / "CWE122_Overflow__t1_memcpy_01.c"
    functions, rows = read_file((path.relative_to(source).as_posix(), path.read_bytes()))
    assert functions == 5 and [row.label for row in rows] == [1, 0, 0, 0]
    bad, good = rows[0], rows[1]
    lines = bad.text.split("\n")
    assert [lines[line - 1].split("(")[0].strip() for line in bad.flaw_lines] == ["use", "print"]
    assert bad.cwes == ("CWE-122",) and good.cwes == good.flaw_lines == ()
    assert {row.project for row in rows} == {"CWE122_Overflow__t1_memcpy"}
    assert (bad.first_line, good.first_line) == (3, 17) and good.text.startswith("void name1()")
    assert 'print("");' in bad.text


@pytest.mark.parametrize(
    ("stem", "template"),
    [
        ("CWE121_A__CWE805_char_declare_memcpy_01", "CWE121_A__CWE805_char_declare_memcpy"),
        ("CWE121_A__CWE805_char_declare_memcpy_51a", "CWE121_A__CWE805_char_declare_memcpy"),
        ("CWE121_A__src_char_cpy_81_goodG2B", "CWE121_A__src_char_cpy"),
        ("CWE401_A__destructor_01_good1", "CWE401_A__destructor"),
        ("CWE364_A__w32_char_64_01", "CWE364_A__w32_char_64"),
    ],
)
def test_flow_variants_of_a_template(stem, template):
    _, rows = read_file((f"testcases/{stem}.cpp", b"void bad() { f(); }"))
    assert [row.groups for row in rows] == [(template,)]


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("void CWE1_A__x_01_bad()", 1),
        ("static void goodB2G1Sink(int data)", 0),
        ("int * badSource(int * data)", 1),
        ("void CWE1_A__x_81_goodG2B::action(int data) const", 0),
        ("CWE1_A__x_83_bad::~CWE1_A__x_83_bad()", 1),
        ("void helperGood()", 0),
        ("int main(int argc, char * argv[])", None),
        ("static int staticReturnsTrue()", None),
    ],
)
def test_the_name_says_the_label(name, label):
    _, rows = read_file(("testcases/CWE1_A__x_01.cpp", f"{name}\n{{\n  use(1);\n}}\n".encode()))
    assert [row.label for row in rows] == ([] if label is None else [label])


@pytest.mark.parametrize(
    ("body", "lines"),
    [
        ("/* FLAW: a */\n\nx();", [4]),
        ("x(); /* FLAW: a */\ny();", [2]),
        ("/* POTENTIAL FLAW: a\n * b */\n/* c */\n// d\nx();", [6]),
        ("/* INCIDENTAL FLAW: a */\nx();", []),
        ("/* FLAW: a */\n#ifdef A\nx();\n#endif", [4]),
        ("/* FLAW: a */\n{\nx();\n}", [4]),
        ("{ /* FLAW: a */\nx();\n}", [3]),
        ("if (a)\n{\n  /* FLAW: not freed */\n}", [5]),
        ("// FLAW: a\n// FLAW: b\nx();", [4]),
        ('x(); /* fine */ print("FLAW");', []),
    ],
)
def test_flaw_lines(body, lines):
    assert flaw_lines(f"void bad() {{\n{body}\n}}") == lines


def test_lines_that_go_with_static_and_comments_are_not_counted():
    _, (row,) = read_file(
        ("testcases/CWE1_A__x_01.c", b"static\n/* a */\nvoid bad()\n{\n  /* FLAW: b */\n  x();\n}\n")
    )
    assert row.text == "void name1()\n{\n  x();\n}" and row.flaw_lines == (3,)


def test_a_folder_that_is_not_juliet(tmp_path):
    (tmp_path / "testcases").mkdir()
    with pytest.raises(UserError, match="--source .* holds no testcasesupport"):
        main(["--source", str(tmp_path), "--output_dir", str(tmp_path / "out")])
    (tmp_path / "testcasesupport").mkdir()
    with pytest.raises(UserError, match="--source .* no row is left of 0"):
        main(["--source", str(tmp_path), "--output_dir", str(tmp_path / "out")])
