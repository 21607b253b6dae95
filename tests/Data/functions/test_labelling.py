"""Which findings belong to which function."""

from Data.analysers.clang_headers import lay_out
from Data.analysers.findings import Finding
from Data.analysers.registry import AnalyserOptions
from Data.functions.labelling import Labelling, label_chunk, label_files
from ltp_pipeline.code.functions import SourceFile
from tests.Data.analysers.test_registry import BROKEN, FILES


def test_functions_get_the_findings_of_their_lines():
    labelled, _ = label_chunk([*FILES, BROKEN], Labelling(("flawfinder", "cppcheck")))
    assert [(f.function.path, f.function.first_line, f.label, f.finding_lines, f.cwes) for f in labelled] == [
        ("bad.c", 3, 0, [], []),
        ("bad.c", 5, 1, [3, 5], ["CWE-119", "CWE-120"]),
        ("odd; x.cc", 2, 1, [1], ["CWE-126"]),
        ("broken.c", 2, 0, [], []),
    ]
    assert [f.checked for f in labelled] == [("flawfinder", "cppcheck")] * 3 + [("flawfinder",)]
    assert labelled[0].n_tokens == 11


def test_whole_files():
    labelled, _ = label_chunk(FILES, Labelling(("flawfinder",), AnalyserOptions(min_level=2), granularity="file"))
    assert [(f.function.path, f.function.source) for f in labelled] == [(file.path, file.text) for file in FILES]
    assert labelled[0].finding_lines == [7, 9]


def test_projects_on_disk_and_given_findings_reach_the_workers(tmp_path, monkeypatch):
    monkeypatch.setattr("Data.functions.labelling.CHUNK_CHARACTERS", 1)
    files = [SourceFile(project, "a.c", "int f(int *p) { return p ? 0 : *p; }\n") for project in "ab"]
    trees = {file.project: lay_out([file], tmp_path / file.project) for file in files}
    given = {("b", "a.c"): (Finding(1, (), "findings_csv"),)}
    found, _ = label_files(files, Labelling(("clang",), AnalyserOptions(trees=trees), given=given), workers=1)
    assert [{one.analyzer for one in f.findings} for f in found] == [{"clang"}, {"clang", "findings_csv"}]
