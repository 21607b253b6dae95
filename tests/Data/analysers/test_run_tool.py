"""Analysers that crash, hang or write what cannot be read, and files that are hard for them."""

import sys
import time

import pytest

from Data.analysers import findings_cache, registry
from Data.analysers.findings import Failure
from Data.analysers.findings_cache import findings_of
from Data.analysers.registry import ANALYSERS, AnalyserOptions
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.code.functions import SourceFile

BAD = "int g(char *a) { char b[4]; strcpy(b, a); return b[9]; }\n"
STAND_IN = """
import os, pathlib, runpy, sys, time
texts = "".join(path.read_text() for path in pathlib.Path(sys.argv[-1]).iterdir())
if "CRASH" in texts:
    os.abort()
if "HANG" in texts:
    time.sleep(60)
if "STATUS" in texts:
    sys.exit("it broke")
if "FLOOD" in texts:
    while True:
        os.write(1, b"x" * 65536)
if "GARBAGE" in texts:
    os.write(1, b'File,Line\\n\\xff,"')
    sys.exit(0)
sys.path.remove(os.path.dirname(__file__))
del sys.modules["__main__"]
runpy.run_module("flawfinder", run_name="__main__")
"""


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """A program in place of flawfinder that fails on files with certain words, and runs flawfinder on others."""
    (tmp_path / "stand_in").mkdir()
    (tmp_path / "stand_in" / "flawfinder.py").write_text(STAND_IN)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "stand_in"))
    monkeypatch.setattr("Data.analysers.run_tool.TIMEOUT", 2, raising=False)
    monkeypatch.setattr("Data.analysers.run_tool.MAX_OUTPUT_BYTES", 1 << 20, raising=False)


@pytest.mark.parametrize(
    "word, reason",
    [
        ("CRASH", "signal 6"),
        ("HANG", "more than 2 s"),
        ("STATUS", "status 1: it broke"),
        ("FLOOD", "more than 1 MiB"),
        ("GARBAGE", "CSV"),
    ],
)
def test_only_the_file_on_which_an_analyser_fails_is_lost(word, reason, stand_in, tmp_path):
    files = [SourceFile("p", "a.c", BAD), SourceFile("p", "b.c", f"// {word}\n{BAD}"), SourceFile("p", "c.c", BAD * 2)]
    found = findings_of("flawfinder", files, AnalyserOptions(), tmp_path / "cache")
    assert [len(found[0]), len(found[2])] == [2, 4]
    assert isinstance(found[1], Failure) and reason in found[1].reason
    assert len(list(tmp_path.glob("cache/findings/*/*.json"))) == 2  # the next build tries the third again


def test_an_analyser_that_always_fails_is_an_error(tmp_path, monkeypatch):
    (tmp_path / "flawfinder.py").write_text("raise SystemExit('no such module')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    findings_cache._check_that_it_runs.cache_clear()
    with pytest.raises(UserError, match="--analyzers flawfinder: fails on every file: .*no such module.*pip install"):
        findings_of("flawfinder", [SourceFile("p", "a.c", BAD)], AnalyserOptions())


def test_an_analyser_that_cannot_be_started_is_an_error(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with pytest.raises(UserError, match="--analyzers flawfinder: cannot be run: .*No such file"):
        findings_of("flawfinder", [SourceFile("p", "a.c", BAD)], AnalyserOptions())


def test_long_lines(tmp_path):
    table = "int table[] = {" + "1," * 100_000 + "};\n"
    one_line = "/* " + "; " * 9000 + "*/ " + (BAD.replace("\n", " ") + 'puts("; } {"); ') * 300 + "\n"
    text = table + one_line + BAD
    (found,) = findings_of("flawfinder", [SourceFile("p", "a.c", text)], AnalyserOptions(), tmp_path)
    lines = [(one.line, one.rule) for one in found]
    assert lines == [(2, "char")] * 300 + [(2, "strcpy")] * 300 + [(3, "char"), (3, "strcpy")]


def test_many_findings_on_one_line_take_no_memory_for_each():
    """A gigabyte of output and more if each finding repeats the line."""
    begin = time.process_time()
    (found,) = ANALYSERS["flawfinder"].run([SourceFile("p", "a.c", BAD.replace("\n", " ") * 2000)], AnalyserOptions())
    assert len(found) == 4000 and time.process_time() - begin < 5


def test_findings_of_utf_16_and_other_texts_have_their_lines():
    from ltp_pipeline.files.source_text import decode_source

    text = "// \u043f\u0440\u0438 \u2028 \x0c \x85\n\n" + BAD
    for content in (
        text.encode("utf-16"),
        text.replace("\n", "\r\n").encode("utf-16-be"),
        text.replace("\n", "\r").encode(),
    ):
        file = SourceFile("p", "a.c", decode_source(content))
        assert {one.line for one in registry.flawfinder_findings([file], 1)[0]} == {3}
        assert {one.line for one in registry.cppcheck_findings([file])[0]} == {3}


def test_python_that_names_an_encoding():
    for head in (
        "# -*- coding: cp1251 -*-",
        "#!/x\n# vim: set fileencoding=utf-16 :",
        "# coding=ascii",
        "# coding: nonsense",
    ):
        text = f"{head}\nx = '\u043f\u0440\u0438'\nexec(x)\n"
        (found,) = registry.bandit_findings([SourceFile("p", "a.py", text)])
        assert [one.line for one in found] == [text.count("\n")]


def test_cppcheck_says_that_it_cannot_read_other_letters():
    assert registry.cppcheck_findings([SourceFile("p", "a.c", f"int \u00e9 = 1;\n{BAD}")]) == [None]


def test_the_kind_of_a_header_takes_linear_time():
    from Data.analysers.cppcheck import _is_cpp_header

    begin = time.process_time()
    assert not _is_cpp_header(SourceFile("p", "a.h", "\n" * 100_000 + " \n" * 100_000))
    assert time.process_time() - begin < 2
