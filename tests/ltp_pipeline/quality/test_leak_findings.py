"""What check_data says of groups and pairs in two files, and of text that tells the label."""

import json

import numpy as np
import pandas as pd
import pytest

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.check_data import main

OWN = ("groups_across", "pairs_across", "label_in_names", "label_in_paths", "label_in_length", "project_leak")


def findings(tmp_path, *arguments):
    """kind -> finding, of the kinds of this module; and the exit status."""
    report, status = tmp_path / "report.json", 0
    try:
        main([*map(str, arguments), "--near_duplicates", "0", "--output_file", str(report)])
    except SystemExit as end:
        status = end.code
    found = json.loads(report.read_text())["findings"]
    return {finding["kind"]: finding for finding in found if finding["kind"] in OWN}, status


def table(path, rows=400, text="int f{0}() {{ return {0}; }}", **columns):
    """`rows` functions in turn of label 0 and 1; a column is a function of the row, or a value."""
    frame = pd.DataFrame(
        {"functionSource": [text.format(i) for i in range(rows)], "label": [i % 2 for i in range(rows)]}
    )
    for name, values in columns.items():
        frame[name] = [values(i) if callable(values) else values for i in range(rows)]
    frame.to_csv(path, index=False)
    return path


def test_groups_in_two_files_are_errors(tmp_path):
    one = table(tmp_path / "a.csv", 20, commit_id=lambda i: f"c{i}" if i else "", repo_name="one")
    other = table(tmp_path / "b.csv", 20, "int g{0};", commit_id=lambda i: f"c{i + 17}" if i else "", repo_name="one")
    found, status = findings(tmp_path, one, other, "--group_by", "commit_id")
    assert status == 1 and set(found) == {"groups_across", "project_leak"}
    assert found["groups_across"]["severity"] == "error"
    assert found["groups_across"]["rows"] == [{"file": str(other), "row": row} for row in (2, 3)]
    assert f"also in {one}: c18, c19" in found["groups_across"]["message"]
    assert found["project_leak"]["count"] == 20
    assert findings(tmp_path, one, other, "--allow", "project_leak")[0]["project_leak"]["severity"] == "warning"
    assert findings(tmp_path, one, "--group_by", "commit_id") == ({}, 0)
    with pytest.raises(UserError, match="a.csv: --group_by repo: no such column; columns found: .*repo_name"):
        main([str(one), "--group_by", "repo"])


def test_pairs_whose_halves_are_in_two_files_are_errors(tmp_path):
    one = table(tmp_path / "a.csv", 20, pair=lambda i: f"p{i // 2}" if i < 18 else "x")
    other = table(tmp_path / "b.csv", 20, "int g{0};", pair=lambda i: ("x", "", "p1", "p1")[i % 4] if i < 4 else "")
    found, status = findings(tmp_path, one, other)
    assert status == 0 and found == {}  # x is a whole pair in a.csv, p1 another whole pair in b.csv
    torn = table(tmp_path / "c.csv", 20, "int h{0};", pair=lambda i: "p1" if i == 1 else "")
    found, status = findings(tmp_path, other, torn, one)
    assert found == {} and status == 0
    half = table(tmp_path / "d.csv", 20, "int k{0};", pair=lambda i: "p1" if i == 2 else "")
    found, status = findings(tmp_path, torn, half)
    assert status == 1 and found["pairs_across"]["rows"] == [{"file": str(half), "row": 3}]


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (("void goodG2B() {{ f({0}); }}", "void CWE121_bad() {{ f({0}); }}"), {"bad", "good", "CWE"}),
        (("int f{0}; /* FIX: checked */", "int f{0}; /* POTENTIAL FLAW: not checked */"), {"fix", "flaw"}),
        (('print("{0} Benign")', 'print("{0} harmful")'), {"benign"}),
        (("#ifdef PATCHED\n{0}", "#ifdef OTHER\n{0}"), {"patch"}),
        (("isVulnerable = {0};", "is = {0};"), {"vulnerable"}),
        (("strncpy(a, b, {0});", "strcpy(a, b); gets(a); debug({0});"), set()),
    ],
)
def test_words_that_tell_the_label_are_errors(tmp_path, texts, words):
    rng = np.random.default_rng(0)
    rows = [(texts[label].format(i), label) for i, label in enumerate(rng.integers(2, size=300))]
    pd.DataFrame(rows, columns=["functionSource", "label"]).to_csv(tmp_path / "a.csv", index=False)
    found, status = findings(tmp_path, tmp_path / "a.csv")
    assert status == bool(words) and set(found) <= {"label_in_names", "label_in_length"}
    assert (
        {row["word"] for row in found["label_in_names"]["rows"]} == words if words else "label_in_names" not in found
    )


def occurring(path, rows, with_word):
    """A word in these shares of the functions of label 0 and 1, the same in each tenth of the file."""

    def name(i):
        return "fix" if (i // 2 * 7919) % 1000 < 1000 * with_word[i % 2] else "get"

    table(path, rows, "int {0};").write_text("")
    frame = pd.DataFrame([(f"int {name(i)}_{i};", i % 2) for i in range(rows)], columns=["functionSource", "label"])
    frame.to_csv(path, index=False)
    return path


@pytest.mark.parametrize(
    ("rows", "with_word", "is_told"),
    [
        (2000, (0.5, 0.5), False),
        (2000, (0.02, 0.06), False),  # as `bad` in the demo's data: long functions have findings and more words
        (2000, (0.0, 0.5), True),
        (2000, (0.0, 0.03), True),
        (2000, (1.0, 0.9), True),  # what its absence tells
        (10_000, (0.0, 0.01), False),  # rare
        (60, (0.0, 0.1), False),  # perhaps by chance
        (60, (0.0, 0.9), True),
    ],
)
def test_a_word_tells_the_label_if_it_is_common_and_predicts_it(tmp_path, rows, with_word, is_told):
    found, _ = findings(tmp_path, occurring(tmp_path / "a.csv", rows, with_word))
    assert ("label_in_names" in found) == is_told
    if is_told:
        (row,) = found["label_in_names"]["rows"]
        assert row["share_1"] == pytest.approx(with_word[1], abs=0.05)
        assert row["file"] == str(tmp_path / "a.csv") and "'fix' is in " in row["why"]


def test_paths_and_lengths_that_tell_the_label_are_warnings(tmp_path):
    texts = [f"int a{i};" + " b();" * (i % 2 * 20) for i in range(200)]
    paths = [f"{('benign', 'malicious')[i % 2]}/{i}.ps1" for i in range(200)]
    frame = pd.DataFrame({"functionSource": texts, "label": [i % 2 for i in range(200)], "path": paths})
    frame.to_csv(tmp_path / "a.csv", index=False)
    found, status = findings(tmp_path, tmp_path / "a.csv")
    assert status == 0 and set(found) == {"label_in_paths", "label_in_length"}
    assert {row["word"] for row in found["label_in_paths"]["rows"]} == {"benign", "malicious"}
    assert "1.000" in found["label_in_length"]["message"]
