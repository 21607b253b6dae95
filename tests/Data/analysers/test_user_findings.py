"""A CSV file of findings."""

import pytest

from Data.analysers.findings import Finding
from Data.analysers.user_findings import read_findings
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.code.functions import SourceFile

FILES = [SourceFile("p", "a.ps1", ""), SourceFile("q", "a.ps1", ""), SourceFile("q", "b.ps1", "")]


def test_places_and_cwes(tmp_path):
    path = tmp_path / "f.csv"
    path.write_text("file,line,rule,cwe\np/a.ps1,3,R1,78\nb.ps1,1,R2,\nb.ps1,2,R3,CWE-20\n")
    assert read_findings(path, FILES) == {
        ("p", "a.ps1"): (Finding(3, ("CWE-78",), "findings_csv", "R1"),),
        ("q", "b.ps1"): (Finding(1, (), "findings_csv", "R2"), Finding(2, ("CWE-20",), "findings_csv", "R3")),
    }


def test_rows_of_label_0_are_no_findings(tmp_path):
    path = tmp_path / "f.csv"
    path.write_text("file,line,rule,label\nb.ps1,1,R1,dismissed\nb.ps1,2,R2,confirmed\n")
    found = {("q", "b.ps1"): (Finding(2, (), "findings_csv", "R2"),)}
    assert read_findings(path, FILES, {"dismissed": 0, "confirmed": 1}) == found
    with pytest.raises(UserError, match="f.csv:3: the label is 'confirmed'; expected one of dismissed, yes"):
        read_findings(path, FILES, {"dismissed": 0, "yes": 1})
    with pytest.raises(UserError, match="f.csv:2: the label is 'dismissed'; expected 0 or 1 .* give --label_map"):
        read_findings(path, FILES)
    path.write_text("file,line,rule,label\nb.ps1,1,R1,0\nb.ps1,2,R2,1\n")
    assert read_findings(path, FILES) == found
    path.write_text("file,line,rule\nb.ps1,1,R1\n")
    with pytest.raises(UserError, match="f.csv: no column label; expected file,line,rule"):
        read_findings(path, FILES, {"dismissed": 0, "yes": 1})


@pytest.mark.parametrize(
    "text, message",
    [
        ("file,rule\n", "f.csv: no column line; expected file,line,rule"),
        ("file,line,rule\nb.ps1,1,R\nc.ps1,1,R\n", "f.csv:3: 'c.ps1' is not a file of the sources"),
        ("file,line,rule\na.ps1,1,R\n", "f.csv:2: 'a.ps1' is in several projects; write project/path"),
        ("file,line,rule\nb.ps1,0,R\n", "f.csv:2: line '0' is not a number of 1 or more"),
        ("file,line,rule,cwe\nb.ps1,1,R,bad\n", "f.csv:2: cwe 'bad'; expected .* CWE-120"),
    ],
)
def test_wrong_rows_are_named(tmp_path, text, message):
    path = tmp_path / "f.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        read_findings(path, FILES)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
def test_encodings_long_fields_and_line_ends(tmp_path, encoding):
    path = tmp_path / "f.csv"
    message = "\u00e9" * 200_000
    text = f'file,line,rule,message\nb.ps1,1,R,{message}\n"c,\nd ""e"".ps1",2,R,\n'
    files = [*FILES, SourceFile("q", 'c,\nd "e".ps1', "")]
    for newline in ("\n", "\r\n"):
        path.write_bytes(text.replace("R,\n", f"R,{newline}").replace("\nb", f"{newline}b").encode(encoding))
        found = read_findings(path, files)
        assert found["q", "b.ps1"][0].message.strip() == message
        assert [one.line for one in found["q", 'c,\nd "e".ps1']] == [2]


@pytest.mark.parametrize(
    "row", ["b.ps1,\u00b2,R", "b.ps1,%s,R" % ("9" * 5000), "b.ps1", "b.ps1,1.5,R", "b.ps1,-1,R", "b.ps1,1e3,R"]
)
def test_odd_lines_are_errors(tmp_path, row):
    path = tmp_path / "f.csv"
    path.write_text(f"file,line,rule\n{row}\n")
    with pytest.raises(UserError, match=r"f.csv:2: line .* is not a number"):
        read_findings(path, FILES)


def test_a_folder_or_a_huge_cwe_is_an_error(tmp_path):
    with pytest.raises(UserError, match="--findings_csv: this is a folder"):
        read_findings(tmp_path, FILES)
    (tmp_path / "f.csv").write_text("file,line,rule,cwe\nb.ps1,1,R,CWE-%s\n" % ("9" * 5000))
    with pytest.raises(UserError, match="f.csv:2: cwe .*expected a number"):
        read_findings(tmp_path / "f.csv", FILES)


def test_labels_of_files_that_are_left_out(tmp_path):
    from Data.sources.choose_files import choose_files
    from Data.sources.file_report import FileReport
    from ltp_pipeline.files.source_text import TOO_LARGE

    generated = SourceFile("q", "gen.c", "// @generated\nint a;\n")
    same = [SourceFile("q", "one.c", "int b;\n"), SourceFile("r", "sub/two.c", "int b;\n")]
    report = FileReport(left_out={("q", "large.c"): TOO_LARGE})
    files, _ = choose_files([generated, *same], report)
    path = tmp_path / "f.csv"
    path.write_text("file,line,rule\nsub/two.c,1,R\n")
    assert read_findings(path, files, report=report) == {("q", "one.c"): (Finding(1, (), "findings_csv", "R"),)}
    path.write_text("file,line,rule\ngen.c,1,R\none.c,1,R\nq/large.c,1,R\n")
    with pytest.raises(UserError) as error:
        read_findings(path, files, report=report)
    assert "f.csv:2: 'gen.c' is left out: generated" in str(error.value) and "--keep_generated" in str(error.value)
    assert f"f.csv:4: 'q/large.c' is left out: {TOO_LARGE}" in str(error.value)


def test_findings_in_no_function():
    from Data.analysers.user_findings import findings_outside

    given = {
        ("p", "a.c"): [Finding(line, (), "findings_csv") for line in (1, 2, 4, 5, 9)],
        ("p", "b.c"): [Finding(1, (), "x")],
    }
    functions = [("p", "a.c", 2, 4), ("p", "a.c", 4, 4), ("p", "a.c", 9, 12)]
    assert findings_outside(given, functions) == ["p/a.c:1", "p/a.c:5", "p/b.c:1"]
