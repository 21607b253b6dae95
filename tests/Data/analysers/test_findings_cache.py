"""The cache of findings."""

import json

import pytest

from Data.analysers import findings_cache, registry
from Data.analysers.clang_headers import lay_out
from Data.analysers.findings_cache import findings_key, findings_of
from Data.analysers.registry import AnalyserOptions
from ltp_pipeline.code.functions import SourceFile

FILES = [SourceFile("p", f"{i}.c", f"void f{i}(char *a) {{ gets(a); }}\n" * (i % 2)) for i in range(3)]


@pytest.fixture
def runs(monkeypatch):
    """The numbers of files in each run of flawfinder."""
    runs, run = [], registry.flawfinder_findings
    monkeypatch.setattr(
        registry, "flawfinder_findings", lambda files, level: runs.append(len(files)) or run(files, level)
    )
    return runs


def test_a_file_is_analysed_once_for_each_text_and_setting(runs, tmp_path):
    options = AnalyserOptions()
    before = findings_of("flawfinder", FILES, options)
    assert findings_of("flawfinder", FILES, options, tmp_path) == before and len(before[1]) == 1
    assert findings_of("flawfinder", FILES, options, tmp_path) == before
    assert runs == [2, 2]  # files 0 and 2 are the same
    findings_of("flawfinder", FILES[1:], AnalyserOptions(min_level=2), tmp_path)
    assert runs == [2, 2, 2]


def test_a_damaged_cache_file_is_written_again(runs, tmp_path):
    before = findings_of("flawfinder", FILES, AnalyserOptions(), tmp_path)
    finding = {"line": "1", "cwes": ["CWE-1"], "analyzer": "flawfinder", "rule": "a", "message": "b"}
    wrong_type = json.dumps([finding])
    of_another_file = json.dumps({"key": "0" * 64, "findings": [{**finding, "line": 1}]})
    deep = "[" * 100_000
    damages = ('[{"line": 1', '[{"line": 1}]', "[1]", "", "\0", "5", "{}", "null", wrong_type, of_another_file, deep)
    for damaged in damages:
        stored = sorted(tmp_path.rglob("*.json"))
        assert len(stored) == 2
        for path in stored:
            path.write_text(damaged)
        assert findings_of("flawfinder", FILES, AnalyserOptions(), tmp_path) == before
    assert runs == [2] * (1 + len(damages))


def test_files_that_cannot_be_parsed_are_remembered(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "bandit_findings", lambda files: [None] * len(files))
    wrong = [SourceFile("p", "a.py", "def f(:\n")]
    assert findings_of("bandit", wrong, AnalyserOptions(), tmp_path) == [None]
    monkeypatch.setattr(registry, "bandit_findings", lambda files: pytest.fail("ran again"))
    assert findings_of("bandit", wrong, AnalyserOptions(), tmp_path) == [None]


def test_clangs_key_depends_on_the_projects_files_and_the_table(tmp_path, monkeypatch):
    header = SourceFile("p", "own.h", "struct own { int x; };\n")
    trees = [{"p": lay_out(files, tmp_path / str(len(files)))} for files in (FILES, [*FILES, header])]
    keys = [findings_key("clang", FILES[1], AnalyserOptions(trees=each)) for each in (*trees, trees[0])]
    assert keys[0] == keys[2] != keys[1]
    monkeypatch.setattr("Data.analysers.clang.cwe_table", lambda kind: {"": "CWE-1"})
    assert findings_key("clang", FILES[1], AnalyserOptions(trees=trees[0])) != keys[0]
    monkeypatch.setattr(findings_cache, "version", lambda package: "0")
    assert findings_key("flawfinder", FILES[1], AnalyserOptions()) != keys[0]


def test_the_key_depends_on_the_format(monkeypatch):
    before = findings_key("flawfinder", FILES[1], AnalyserOptions())
    monkeypatch.setattr(findings_cache, "FORMAT", findings_cache.FORMAT + 1)
    assert findings_key("flawfinder", FILES[1], AnalyserOptions()) != before
