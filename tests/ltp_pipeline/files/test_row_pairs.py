"""Two rows after each other are a pair only where a file shows that it consists of pairs."""

import pandas as pd
import pytest

from ltp_pipeline.data.flags import ReadingArguments
from ltp_pipeline.data.readers import read_functions
from ltp_pipeline.files.layouts import LAYOUT, pairs_of
from ltp_pipeline.files.row_pairs import has_neighbouring_pairs, named_pairs, neighbouring_pairs
from ltp_pipeline.task.tasks import VDISC


def rows_of(*rows):
    """A frame with (text, label, commit) in each row."""
    return pd.DataFrame(rows, columns=["functionSource", "label", "commit_id"])


def pair(commit, number=0):
    text = f"int f{number}(char *a) {{ strcpy(b, a); return {number}; }}"
    return [(text, 1, commit), (text.replace("strcpy(b, a)", "strncpy(b, a, 4)"), 0, commit)]


def test_pairs_of_rows_after_each_other():
    frame = rows_of(*pair("c1"), *pair("c1", 1), *reversed(pair("c2", 2)))
    assert has_neighbouring_pairs(frame, "commit_id")
    assert neighbouring_pairs(frame, "commit_id").tolist() == ["1", "1", "3", "3", "5", "5"]
    assert neighbouring_pairs(frame.iloc[1:], "commit_id").tolist() == ["", "3", "3", "5", "5"]
    assert neighbouring_pairs(frame.drop(index=2), "commit_id").tolist() == ["1", "1", "", "5", "5"]
    assert neighbouring_pairs(frame.iloc[::2], "commit_id").tolist() == [""] * 3


@pytest.mark.parametrize(
    "rows",
    [
        [*pair("c1"), ("int g;", 0, "c3"), *pair("c2")],  # rows 3 and 4 are of two commits
        [("int g;", 0, "c0"), *pair("c1"), *pair("c2"), ("int h;", 1, "c3")],  # shifted by one row
        [(text, 1, commit) for text, _, commit in pair("c1")],  # one label
        [(text, label, "") for text, label, _ in pair("c1")],  # no commit
        [(text, label, None) for text, label, _ in pair("c1")],
        [(text, label, float("nan")) for text, label, _ in pair("c1")],
        pair("c1")[:1],
        [],
    ],
)
def test_a_file_that_does_not_consist_of_pairs(rows):
    assert not has_neighbouring_pairs(rows_of(*rows), "commit_id")


def test_two_functions_of_one_commit_are_no_pair():
    other = "static void g(struct node *list, size_t count) { while (count--) list = list->next; free(list); }"
    frame = rows_of(*pair("c1"), pair("c2")[0], (other, 0, "c2"))
    assert neighbouring_pairs(frame, "commit_id").tolist() == ["1", "1", "", ""]


def test_a_few_odd_rows_of_many_do_not_matter():
    rows = [row for number in range(40) for row in pair(f"c{number}", number)]
    rows[11] = (rows[11][0], 1, rows[11][2])
    frame = rows_of(*rows)
    pairs = neighbouring_pairs(frame, "commit_id")
    assert has_neighbouring_pairs(frame, "commit_id") and (pairs != "").sum() == 78 and not pairs[10:12].any()


def test_named_pairs_need_two_rows_of_both_labels():
    assert named_pairs(["a", "b", "a", "", "b", "c", "c"], [1, 1, 0, 0, 1, 0, 1]).tolist() == [
        "a",
        "",
        "a",
        *[""] * 2,
    ] + [
        "c",
        "c",
    ]
    assert named_pairs(["a", "a", "a"], [1, 0, 0]).tolist() == [""] * 3
    assert named_pairs([], []).tolist() == []


def test_pairs_of_a_file_survive_skipped_rows_and_limits(tmp_path):
    path = tmp_path / "primevul.jsonl"
    rows = [row for number in range(3) for row in pair(f"c{number}", number)]
    frame = pd.DataFrame(rows, columns=["func", "target", "commit_id"]).assign(idx=range(6), cwe=[["CWE-1"]] * 6)
    frame.to_json(path, orient="records", lines=True)
    found = read_functions(path)
    assert found.attrs[LAYOUT].pair == "commit_id"
    assert pairs_of(found).tolist() == ["1", "1", "3", "3", "5", "5"]
    assert pairs_of(found.head(3)).tolist() == ["1", "1", ""]


def test_a_column_of_pairs_with_skipped_rows_and_with_several_labels(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text("code,label,pair\n,1,x\na,1,x\nb,0,x\nc,0,\nd,1,y\n")
    assert pairs_of(read_functions(path, ReadingArguments(on_bad_rows="skip"))).tolist() == ["x", "x", "", ""]
    path.write_text("code,label,pair\na,CWE-119,x\nb,,x\n")
    assert pairs_of(read_functions(path, groups=VDISC.labels)).tolist() == ["", ""]
    path.write_text("func,target,idx,cwe,commit_id\na,CWE-119,1,,c\nb,,2,,c\n")
    assert pairs_of(read_functions(path, groups=VDISC.labels)) is None
