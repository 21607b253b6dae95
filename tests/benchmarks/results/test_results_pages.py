"""The documents agree with the stored measurements, and a disagreement is found."""

import json
import shutil

import pytest

from benchmarks.common import ROOT
from benchmarks.results.__main__ import main
from benchmarks.results.pages import PAGES
from benchmarks.results.stored import COSTS, DEMO
from ltp_pipeline.base.errors import UserError


@pytest.fixture
def copy(tmp_path):
    """The documents, their figures and the stored files, in a folder of their own."""
    for page in PAGES:
        (tmp_path / page).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / page, tmp_path / page)
    for folder in (COSTS, DEMO):
        shutil.copytree(ROOT / folder, tmp_path / folder, dirs_exist_ok=True)
    for figure in (ROOT / "docs").glob("results_*.png"):
        shutil.copy(figure, tmp_path / "docs")
    return tmp_path


def check(root):
    main(["--check", "--root", str(root)])


def change(file, old, new):
    text = file.read_text("utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), "utf-8")


def test_the_documents_agree_with_the_stored_measurements(capsys):
    main(["--check"])
    assert "4 pages and " in capsys.readouterr().out


def test_where_pruning_hurts_comes_first():
    text = (ROOT / "docs" / "results.md").read_text("utf-8")
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert headings[0] == "## Where pruning hurts"
    assert text.index("<!-- results: losses -->") < text.index(headings[1])


def test_a_changed_number_in_a_table_is_found_and_written_anew(copy):
    page = copy / "docs" / "results.md"
    change(page, "-15.4 [-17.0, -13.8] |", "-1.4 [-17.0, -13.8] |")
    with pytest.raises(
        UserError, match=r"docs/results.md: its tables are not those .* first difference: -\| powershell"
    ):
        check(copy)
    main(["--root", str(copy)])
    assert page.read_text("utf-8") == (ROOT / "docs" / "results.md").read_text("utf-8")


def test_a_changed_stored_number_is_found(copy):
    change(copy / COSTS / "gpu_6_layers.json", '"mean": 0.946', '"mean": 0.956')
    with pytest.raises(UserError, match=r"results.md: its tables .*\n.*writes tables and figures anew"):
        check(copy)


def test_a_difference_in_running_text_must_be_stored(copy):
    with open(copy / COSTS / "README.md", "a", encoding="utf-8") as page:
        page.write("\nKnown: F1 -0.3 [-0.9, +0.4]. Unknown: -0.2 [-0.9, +0.4].\n")
    with pytest.raises(UserError) as found:
        check(copy)
    assert str(found.value).splitlines()[0] == f"{COSTS}/README.md: no stored file has -0.2 [-0.9, +0.4]"


def test_another_comparison_of_the_demo_needs_one_command(copy, tmp_path):
    """The raw file as the demo writes it, without intervals: the table follows, and says that there are none."""
    row = {
        "checkpoint": "fine-tuned", "path": "/home/me/code_test", "dtype": "float32", "accuracy": 0.5, "f1": 0.25,
        "mcc": 0.125, "auc": 0.75, "relative_flops": 1.0, "full_relative_flops": 0.8, "functions": 1234,
        "tokens_kept_per_layer": [9.5, 1.0], "functions_per_second": 10.0, "speedup": 1.0,
    }  # fmt: skip
    hard = row | {"checkpoint": "hard", "relative_flops": 0.375, "f1": 0.2, "speedup": 1.5}
    new = tmp_path / "new.json"
    new.write_text(json.dumps({"test_file": "/home/me/data/test.csv", "checkpoints": [row, hard]}))
    main(["--root", str(copy), "--add", str(new)])
    readme = (copy / "README.md").read_text("utf-8")
    assert "1,234 test functions, computed in float32." in readme
    assert "| hard | 50.0 | 20.0 | 12.5 | 75.0 | 0.38 | 10 | 1.50x | 10 / 1 |" in readme
    assert "Pruning (hard) to 0.38 of the FLOPs: no intervals were computed" in readme
    assert "/home/me" not in (copy / DEMO / "comparison.json").read_text("utf-8")
    check(copy)
    new.write_text(
        json.dumps({"test_file": "x", "checkpoints": [row, hard | {"f1_difference_interval": [-0.1, 0.02]}]})
    )
    main(["--root", str(copy), "--add", str(new), "--about", "A model."])
    readme = (copy / "README.md").read_text("utf-8")
    assert "A model. 1,234 test functions" in readme and "changes F1 by -10.0 to +2.0 points here" in readme


def test_figures_belong_to_their_numbers(copy, monkeypatch):
    from benchmarks.results import figures

    figure = copy / "docs" / "results_length.png"
    monkeypatch.setattr(figures, "gflops_by_length", lambda: {"dense attention": (1.0,) * len(figures.LENGTHS)})
    with pytest.raises(UserError, match="docs/results_length.png was made of other numbers"):
        check(copy)
    monkeypatch.undo()
    figure.unlink()
    with pytest.raises(UserError, match="docs/results_length.png is missing"):
        check(copy)
    figure.write_bytes(b"x")
    with pytest.raises(UserError, match="docs/results_length.png is no image"):
        check(copy)
    main(["--root", str(copy)])
    check(copy)


@pytest.mark.parametrize(
    "old, new, problem",
    [
        ("<!-- results: lengths -->", "<!-- results: lenghts -->", "results: lenghts -->: expected one of losses, "),
        ("<!-- results: lengths -->", "<!-- results: -->", "results:  -->: expected one of losses, "),
        (
            "<!-- end of results -->\n\n`first_layer`", "`first_layer`",
            "expected each line <!-- results: ... --> to be followed by a line <!-- end of results -->",
        ),
        ("tables gpu_12_layers -->", "tables none -->", "none.json: cannot be read as JSON"),
        (
            "tables gpu_6_layers cve@512 -->", "tables gpu_6_layers cve@9 -->",
            "gpu_6_layers.json has no rows of cve@9",
        ),
        (
            "<!-- results: tables gpu_12_layers -->", "<!-- results: tables -->",
            "results: tables -->: other arguments than tables takes",
        ),
    ],
)  # fmt: skip
def test_wrong_marks(copy, old, new, problem):
    page = copy / "docs" / "results.md"
    text = page.read_text("utf-8")
    change(page, old, new)
    present = page.read_text("utf-8")
    with pytest.raises(UserError, match="docs/results.md|experiments") as found:
        main(["--root", str(copy)])
    assert problem in str(found.value) and page.read_text("utf-8") == present != text


@pytest.mark.parametrize(
    "content, problem",
    [
        ("{", "cpu_controls.json: cannot be read as JSON"),
        ("[]", "cpu_controls.json: has no format, kind, title, about, rows"),
        (
            '{"format": 2, "kind": "measured", "title": "", "about": "", "rows": []}',
            "cpu_controls.json: has format 2; expected 1",
        ),
        (
            '{"format": 1, "kind": "drawn", "title": "", "about": "", "rows": []}',
            "kind 'drawn'; expected measured or transcribed",
        ),
    ],
)
def test_a_stored_file_that_cannot_be_read(copy, content, problem):
    (copy / COSTS / "cpu_controls.json").write_text(content)
    with pytest.raises(UserError) as found:
        check(copy)
    assert problem in str(found.value)


@pytest.mark.parametrize(
    "flags, problem",
    [
        (["--check", "--add", "x"], "--check and --add: expected one of them"),
        (["--add", "x", "--bootstrap", "99"], "--bootstrap 99: expected 100 or more"),
        (["--add", "missing"], "--add missing: no such file or folder"),
        (["--add", "."], "--add .: needs --name --title --about, too"),
        (
            ["--check", "--root", "x"],
            "README.md: cannot be read: No such file or directory; expected a page of the documents",
        ),
    ],
)
def test_wrong_flags(flags, problem):
    with pytest.raises(UserError) as found:
        main(flags)
    assert str(found.value) == problem


def test_other_files_are_no_comparison(copy, tmp_path):
    for content in ("{", "[]", '{"checkpoints": 1}', '{"test_file": "x", "checkpoints": [1]}'):
        (tmp_path / "other.json").write_text(content)
        with pytest.raises(UserError, match="other.json: expected comparison.json of ltp_pipeline.comparison"):
            main(["--root", str(copy), "--add", str(tmp_path / "other.json")])
