"""Readers of source files: decoding, archives, lists of sources, findings of users and of analysers."""

from __future__ import annotations

import csv
import gzip
import io
import tarfile
import zipfile
from contextlib import contextmanager, suppress

import pytest
from hypothesis import strategies as st

from Data.analysers import bandit, cppcheck, flawfinder
from Data.analysers.findings_cache import _load, _path
from Data.analysers.run_tool import AnalyserFailed
from Data.analysers.user_findings import findings_outside, read_findings
from Data.sources.archives import read_archive
from Data.sources.file_report import FileReport
from Data.sources.source_files import read_source
from Data.sources.source_list import read_source_list
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.text_encoding import decode_text
from ltp_pipeline.code.functions import SourceFile, find_functions
from tests.fuzz.limits import fuzz
from tests.fuzz.strategies import NAMED, changed, code, encoded, json_files

SUFFIXES = frozenset({".c", ".py"})
PATHS = (
    "p/a.c",
    "p/b/a.py",
    "p/PKG-INFO",
    "/p/a.c",
    "p/../a.c",
    "a.c",
    "p\\a.c",
    "p/\udcff.c",
    "p//a.c",
    "p/" + "d/" * 60 + "a.c",
    "p/\x1b.c",
    "",
)
FINDINGS_CELLS = (
    "a.c",
    "p/a.c",
    "./a.c",
    "b.c",
    "1",
    "0",
    "007",
    "-1",
    "9" * 12,
    "9" * 5000,
    "CWE-120",
    "cwe-1",
    "x\0y",
    "",
    "=1",
    '"',
)
PINS = (
    "train",
    "validation",
    "test",
    "a==1",
    "a==" + "1" * 5000,
    "a==1.0.dev" + "9" * 5000,
    "b==1!2",
    "c==x",
    "sha256:" + "0" * 64,
    "#",
    "\n",
)
VERSIONS = st.sampled_from(["1", "1" * 5000, "1.0.dev" + "9" * 5000, "1!2", "x", "1.\u0661", ""])
PIN = st.builds(
    lambda split, version: f"\n{split} a{split}=={version} sha256:{'0' * 64}\n", st.sampled_from(PINS[:3]), VERSIONS
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("sources")


def only_user_error(read, *arguments):
    try:
        return read(*arguments)
    except UserError as error:
        assert len(str(error)) < 9000
        return None


@fuzz(content=st.one_of(encoded(code()), st.binary(max_size=60)))
def test_decoded_text_can_be_encoded(content):
    text, encoding = decode_text(content)
    text.encode()
    assert encoding
    assert len(text) <= len(content) + 1


@fuzz(
    name=st.sampled_from(NAMED),
    body=st.sampled_from([b"\xff", b"\\ud800\xff", b"+2AA-\xff", b"\\x00\xe9", b"=\xa0=D8"]),
)
def test_a_named_encoding_gives_text_that_can_be_encoded(name, body):
    file = read_source(
        "p", "a.py", f"# coding: {name}\n".encode() + b"def f():\n    return '" + body + b"'\n", FileReport()
    )
    file.text.encode()
    find_functions(file)


@st.composite
def archive(draw):
    """A tar or zip archive with files, links and odd names, perhaps damaged."""
    members = draw(
        st.lists(st.tuples(st.sampled_from(PATHS), encoded(code(max_size=5)), st.integers(0, 6)), max_size=4)
    )
    buffer = io.BytesIO()
    if draw(st.booleans()):
        with zipfile.ZipFile(
            buffer, "w", draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA]))
        ) as file:
            for name, content, kind in members:
                info = zipfile.ZipInfo(name.encode("utf-8", "replace").decode() or "x")
                info.external_attr = [0, 0o100644, 0o120777, 0o040755, 0o100644, 0, 0][kind] << 16
                file.writestr(info, content)
        return ".zip", draw(changed(st.just(buffer.getvalue())))
    with tarfile.open(
        fileobj=buffer, mode="w", format=draw(st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]))
    ) as file:
        for name, content, kind in members:
            info = tarfile.TarInfo(name)
            info.type = [
                tarfile.REGTYPE,
                tarfile.REGTYPE,
                tarfile.SYMTYPE,
                tarfile.LNKTYPE,
                tarfile.CHRTYPE,
                tarfile.DIRTYPE,
                tarfile.REGTYPE,
            ][kind]
            info.size, info.linkname = len(content) if info.isreg() else 0, "../../x"
            file.addfile(info, io.BytesIO(content))
    damaged = draw(changed(st.just(buffer.getvalue())))
    return ".tar.gz", draw(changed(st.just(gzip.compress(damaged, 1, mtime=0)), most=1))


@fuzz(packed=archive())
def test_read_archive(folder, packed):
    path = folder / f"a{packed[0]}"
    path.write_bytes(packed[1])
    report = FileReport()
    read = only_user_error(read_archive, path, "p", SUFFIXES, report)
    if read is not None:
        for file in read[0]:
            (file.path + file.text).encode()
            assert not file.path.startswith("/") and ".." not in file.path.split("/")
        "".join(path for _, path in report.left_out).encode()
        assert "\n" not in read[1]


@fuzz(
    content=st.one_of(
        st.lists(st.one_of(PIN, st.sampled_from(PINS)), max_size=12).map(lambda pins: " ".join(pins).encode()),
        encoded(code()),
    )
)
def test_read_source_list(folder, content):
    path = folder / "list.txt"
    path.write_bytes(content)
    only_user_error(read_source_list, path)


ROWS = st.lists(st.lists(st.one_of(st.sampled_from(FINDINGS_CELLS), code(max_size=3)), max_size=7), max_size=4)
FINDINGS_CSV = ROWS.map(
    lambda rows: "\n".join(",".join(row) for row in [["file", "line", "rule", "cwe", "message", "label"], *rows])
)


@fuzz(
    content=st.one_of(encoded(FINDINGS_CSV), encoded(code())), label_map=st.sampled_from([None, {"good": 0, "bad": 1}])
)
def test_read_findings(folder, content, label_map):
    path = folder / "findings.csv"
    path.write_bytes(content)
    files = [SourceFile("p", "a.c", "int f() {\n}\n"), SourceFile("q", "a.c", ""), SourceFile("p", "b.c", "")]
    found = only_user_error(read_findings, path, files, label_map)
    if found:
        findings_outside(found, [("p", "a.c", 1, 2)])


FILES = [SourceFile("p", "a.c", "int f() {\n}\n"), SourceFile("p", "b.c", "")]


@contextmanager
def printing(module, output: str, errors: str = ""):
    """The analyser of this module prints `output` in place of what its program prints."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "run_tool", lambda *arguments, **options: (output, errors))
        yield


CELLS = st.tuples(
    st.integers(0, 1), st.integers(1, 9), code(max_size=8), st.sampled_from(["CWE-120", "CWE-119!/CWE-120", ""])
)


@fuzz(rows=st.lists(CELLS, max_size=3))
def test_flawfinder_quotes_any_line(rows):
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(["File", "Line", "Column", "Level", "Name", "Warning", "CWEs", "Context"])
    writer.writerows(
        [f"/t/{number}.c", line, 1, 5, "gets", text, cwes, text * 40] for number, line, text, cwes in rows
    )
    with printing(flawfinder, table.getvalue()):
        assert sum(map(len, flawfinder.flawfinder_findings(FILES, 1))) == len(rows)


CPPCHECK = (
    b'<?xml version="1.0"?><results><errors><error id="a" severity="error" cwe="1" msg="m" file0="/t/0.c">'
    b'<location file="/t/0.c" line="1"/></error></errors></results>'
)
BANDIT = {"filename": "/t/0.py", "line_number": 1, "test_id": "B1", "issue_text": "t", "issue_cwe": {"id": 78}}


@fuzz(content=changed(st.just(CPPCHECK)))
def test_damaged_output_of_cppcheck(content):
    with printing(cppcheck, "", content.decode("utf-8", "replace")), suppress(AnalyserFailed):
        assert len(cppcheck.cppcheck_findings(FILES)) == 2


@fuzz(content=json_files({"errors": [], "results": [BANDIT]}))
def test_damaged_output_of_bandit(content):
    with printing(bandit, content.decode("utf-8", "replace")), suppress(AnalyserFailed):
        assert len(bandit.bandit_findings(FILES)) == 2


@fuzz(content=st.one_of(encoded(code()), changed(st.just(b"File,Line,CWEs,Name,Warning\n/t/0.c,1,CWE-120,gets,m\n"))))
def test_damaged_output_of_flawfinder(content):
    with printing(flawfinder, content.decode("utf-8", "replace")), suppress(AnalyserFailed):
        assert len(flawfinder.flawfinder_findings(FILES, 1)) == 2


FINDING = {"line": 1, "cwes": ["CWE-120"], "analyzer": "flawfinder", "rule": "gets", "message": "m"}


@fuzz(content=json_files({"key": "abc", "findings": [FINDING]}))
def test_damaged_cache_of_findings(folder, content):
    _path(folder, "abc").parent.mkdir(parents=True, exist_ok=True)
    _path(folder, "abc").write_bytes(content)
    found = _load(folder, "abc")
    if isinstance(found, list):
        assert all(isinstance(finding.line, int) for finding in found) and sorted(found) is not None
