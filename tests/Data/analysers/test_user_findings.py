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
