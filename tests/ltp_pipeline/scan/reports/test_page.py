from dataclasses import replace

import pytest

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.scan.finding import SkippedFile
from ltp_pipeline.scan.reports.page import write_page
from tests.ltp_pipeline.scan.made_reports import COPY, make_finding, make_report
from tests.ltp_pipeline.view.page_reader import Page, pieces


@pytest.fixture
def page_of(tmp_path):
    def page_of(findings=None, **fields):
        write_page(make_report(findings, **fields), tmp_path / "report.html")
        return Page((tmp_path / "report.html").read_text(encoding="utf-8"))

    return page_of


def test_a_finding_has_its_place_lines_and_tokens(page_of):
    page = page_of()
    first, second = page.data["functions"]
    titles = [column["title"] for column in page.data["columns"]]
    assert titles == ["Probability", "Function", "Place", "Lines", "Tokens"]
    assert first["cells"] == [0.95, "copy", "src/a.c:10", 9, 40]
    assert second["cells"][:3] == [0.6, "copy", "src/b.c:1"]
    assert first["verdict"] == "defective, probability 0.950"
    place, fingerprint = first["facts"]
    assert place == "src/a.c, lines 10 to 18" and fingerprint.startswith("fingerprint ")
    assert first["code"] == COPY and first["first_line"] == 10
    assert first["lines"] == [[16, 0.9], [12, 0.4], [13, -0.2]]
    assert page.data["layers"] == 2 and first["alive"] == [3, 2, 1]
    assert [(text, kept) for text, kept, _ in pieces(first) if kept >= 0] == [("int", 2), ("copy", 0), ("c", 1)]
    assert "alive" not in second


def test_more_than_one_class_has_a_column(page_of):
    page = page_of([make_finding(label="CWE-119"), make_finding(label="CWE-476")])
    assert page.data["columns"][3]["title"] == "Class" and page.data["columns"][3]["filter"] == "choice"
    assert [function["cells"][3] for function in page.data["functions"]] == ["CWE-119", "CWE-476"]


def test_the_summary_counts_everything(page_of):
    text = " ".join(page_of(cached=7).text.split())
    for part in (
        *("findings 2", "threshold 0.5", "functions 12", "files 3", "could not be scanned 1", "left out 1"),
        *("suppressed 1", "tokens read 900", "relative FLOPs 0.34", "from the cache 7", "time 2.0 s (6 functions/s)"),
        "Could not be scanned (1) not parsed: 1 file line reason src/d.c 3 not parsed",
        "Left out (1) vendored: 1 file line reason lib/x.c vendored",
        "copy src/c.c, lines 10 to 18 defective 0.700 comment in line 12",
        *("granularity function", f"model_hash {'ab' * 32}"),
    ):
        assert part in text, part
    assert "new" not in text


def test_with_a_baseline_new_findings_are_shown_first(page_of):
    known = replace(make_finding(path="b.c"), is_new=False)
    page = page_of([make_finding(), known], baseline="old.sarif")
    assert page.data["columns"][-1]["title"] == "Baseline" and page.data["columns"][-1]["initial"] == "new"
    assert [function["cells"][-1] for function in page.data["functions"]] == ["new", "in the baseline"]
    assert "new 1" in " ".join(page.text.split())
    page = page_of([known], baseline="old.sarif")
    assert page.data["columns"][-1]["initial"] == "" and "new 0" in " ".join(page.text.split())


def test_a_model_that_does_not_prune_and_findings_without_line_scores(page_of):
    page = page_of([make_finding(lines=())])
    assert page.data["layers"] == 0
    assert not {"alive", "lines"} & set(page.data["functions"][0])
    assert not page.attributes("input", "max") or all(
        one["type"] == "number" for one in page.attributes("input", "max")
    )


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "No finding: none of the other 11 functions has a probability above 0.5."),
        ({"threshold": None}, "No finding: none of the other 11 functions."),
        ({"suppressed": []}, "No finding: none of 12 functions has a probability above 0.5."),
        ({"units": 0, "files": 0, "seconds": 0.0, "relative_flops": None}, "Nothing was scanned."),
    ],
)
def test_nothing_found(page_of, fields, said):
    page = page_of([], **fields)
    assert said in page.text and "src/d.c" in page.text and "lib/x.c" in page.text
    assert ("src/c.c" in page.text) == ("suppressed" not in fields)


def test_many_files_that_were_left_out(page_of):
    skipped = [SkippedFile(f"vendor/{number}.c", "vendored") for number in range(1500)]
    page = page_of([], skipped=skipped)
    assert "vendored: 1,500" in page.text and "the first 1,000 of 1,500" in page.text
    assert "vendor/999.c" in page.text and "vendor/1000.c" not in page.text


def test_names_that_no_file_should_have(page_of):
    hostile = "\u202e</script><img src=x onerror=x()>\n\udce9.c"
    page = page_of(
        [make_finding(path=hostile, name=hostile, label=hostile)], model=hostile, settings={hostile: hostile}
    )
    shown = "\\u202e</script><img src=x onerror=x()>\\n\\udce9.c"
    assert page.data["functions"][0]["cells"][1:3] == [shown, f"{shown}:10"]
    assert f"model: {shown}" in page.text
    assert "img" not in {tag for tag, _ in page.elements}


def test_units_of_other_languages_and_without_text(page_of):
    for language in ("python", "powershell", "cpp", "klingon"):
        page = page_of([make_finding(language=language, text="# 1\nif x")])
        assert page.data["functions"][0]["code"] == "# 1\nif x"
    (function,) = page_of([make_finding(text="", name="")]).data["functions"]
    assert function["cells"][3] == 1 and function["name"] == "a.c" and "code" not in function


def test_a_page_that_cannot_be_written_is_one_error_and_leaves_the_old_one(tmp_path):
    (tmp_path / "file").write_text("old")
    with pytest.raises(UserError, match="file/report.html"):
        write_page(make_report([]), tmp_path / "file" / "report.html")
    assert (tmp_path / "file").read_text() == "old"
