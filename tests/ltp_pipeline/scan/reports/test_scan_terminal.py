import io
import re

import pytest

from ltp_pipeline.base.display_width import columns
from ltp_pipeline.scan.finding import SkippedFile
from ltp_pipeline.scan.reports.terminal import output_width, summary, terminal_text, wants_color
from tests.ltp_pipeline.scan.made_reports import COPY, make_finding, make_report


def test_a_table_then_the_lines_that_matter_then_what_was_not_scanned():
    assert terminal_text(make_report(), shown=1).splitlines() == [
        "#    prob.   read first  function  place",
        "---  ------  ----------  --------  ----------",
        "  1  0.9500  16 12       copy      src/a.c:10",
        "  2  0.6000  7           copy      src/b.c:1",
        "",
        "1. src/a.c:16  copy",
        "   defective 0.9500, lines 10-18, 40 tokens, 50% kept (mean of the layers)",
        "    10 | int copy(char *to)",
        "    11 | {",
        " >> 12 |     char own[8];",
        "    13 |",
        "    14 |     int i = 0;",
        "    15 |     i++;",
        ">>> 16 |     strcpy(own, to);",
        "    17 |     return i;",
        "    18 | }",
        "",
        "(1 more finding, here without lines: --show 0 shows all)",
        "",
        "not scanned, because of errors: 1",
        "  src/d.c:3: not parsed",
        "",
        "left out: 1 vendored",
        "34% of the FLOPs of the unpruned model",
        "2 findings in 12 functions of 3 files, 1 suppressed, 1 not scanned; 2.0 s (6 a second)",
    ]


def test_a_scan_of_changes_says_so():
    settings = {"changed_since": "main\x1b"}
    shown = terminal_text(make_report([], settings=settings, files=0, units=0)).splitlines()
    assert "only what has changed since main\\x1b" in shown and shown[-1].startswith("0 findings in 0 files")


def test_gaps_between_marked_lines_are_left_out():
    text = "".join(f"line {number}\n" for number in range(1, 31))
    out = terminal_text(make_report([make_finding(text=text, first_line=1, lines=((10, 1.0), (16, 0.1)))]))
    shown = [line[4:].rstrip() for line in out.splitlines() if re.match("[ >]{4}", line) and "|" in line]
    assert shown[:5] == [" 1 | line 1", "   | ...", " 8 | line 8", " 9 | line 9", "10 | line 10"]
    assert [line.split(" |")[0].strip() for line in shown[5:]] == ["11", "12", "13", "14", "15", "16", "17", "18"]


def test_only_new_findings_are_shown_and_counted():
    known = make_finding(0.99, path="old.c")
    object.__setattr__(known, "is_new", False)
    report = make_report([known, *make_report().findings], baseline="earlier.sarif")
    assert "old.c" not in terminal_text(report)
    assert summary(report).startswith("2 new findings in 12 functions of 3 files, 1 in the baseline, ")


def test_functions_are_counted_also_if_there_are_as_many_as_files():
    whole = [make_finding(name=""), make_finding(name="")]
    assert summary(make_report(units=3)).startswith("2 findings in 3 functions of 3 files, ")
    assert summary(make_report(whole, units=3)).startswith("2 findings in 3 files, ")


def test_nothing_found():
    report = make_report([], skipped=[], suppressed=[], files=0, units=0, seconds=0.01, relative_flops=None)
    assert terminal_text(report) == "0 findings in 0 files; 0.0 s\n"


def test_classes_and_lines_are_shown_where_they_are_known():
    cwe = make_finding(label="CWE-120", lines=(), name="", language="powershell")
    out = terminal_text(make_report([cwe, make_finding(0.8, lines=(), name="", label="CWE-119")]))
    assert out.splitlines()[0].split() == ["#", "prob.", "class", "read", "first", "place"]
    assert "CWE-120 0.9500, lines 10-18, 40 tokens, lines not scored" in out


@pytest.mark.parametrize("width", [200, 80, 60, 40, 20, 1])
def test_lines_fit_into_the_terminal(width):
    findings = [
        make_finding(path="a/very/" * 20 + "long.c", name="f" * 90, text=COPY.replace("strcpy", "strcpy" * 200)),
        make_finding(path="目录/" * 30 + "文.c", name="函数" * 40, text=COPY.replace("own", "自己" * 100)),
        make_finding(path="e\u0301" * 90, name="e\u0301" * 90, text=COPY.replace("own", "e\u0301" * 100)),
    ]
    table, *parts = terminal_text(make_report(findings), width=width).split("\n\n")
    code = [line for part in parts[:3] for line in part.splitlines()[2:]]
    assert max(map(columns, [*table.splitlines(), *code])) <= max(40, width)
    assert ">>>" in parts[0]


def test_without_a_terminal_names_of_files_are_whole():
    path = "a/very/" * 40 + "long.c"
    assert f"  {path}:10\n" in terminal_text(make_report([make_finding(path=path)]), width=None)


def test_nothing_in_code_or_names_reaches_the_terminal_as_a_command():
    evil = "\x1b[2J\u202e\x07\u2028\ud800\r"
    finding = make_finding(path=f"a{evil}\n.c", name=f"f{evil}\n", label=f"l{evil}", text=COPY.replace("own", evil))
    skipped = [SkippedFile(f"b{evil}\n", f"r{evil}", True), SkippedFile("c", f"s{evil}\n")]
    out = terminal_text(make_report([finding], skipped=skipped), width=None)
    assert all(letter.isprintable() or letter == "\n" for letter in out)
    assert out.count("\\x1b[2J\\u202e") == 10


def test_more_findings_than_rows():
    out = terminal_text(make_report([make_finding(path=f"{number}.c") for number in range(60)]))
    assert "(10 more rows: --show 0 shows all)" in out and "10. 9.c" in out and "11. 10.c" not in out
    everything = terminal_text(make_report([make_finding(path=f"{number}.c") for number in range(60)]), shown=0)
    assert "--show" not in everything and "60. 59.c" in everything


def test_colours_only_add_codes():
    report = make_report()
    colored = terminal_text(report, color=True)
    assert re.sub(r"\x1b\[[\d;]*m", "", colored) == terminal_text(report)
    assert ">>> 16 |\x1b[1;31m     strcpy(own, to);\x1b[0m" in colored


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_where_colours_and_width_come_from(monkeypatch):
    for name in ("NO_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert (
        wants_color(False, Terminal()) and not wants_color(True, Terminal()) and not wants_color(False, io.StringIO())
    )
    assert output_width(io.StringIO()) is None
    monkeypatch.setenv("COLUMNS", "72")
    assert output_width(io.StringIO()) == output_width(Terminal()) == 72
    monkeypatch.setenv("TERM", "dumb")
    assert not wants_color(False, Terminal())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    assert not wants_color(False, Terminal())
