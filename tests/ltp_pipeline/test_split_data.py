"""The three files of split_data: whole groups, whole pairs, and all columns as they were."""

import json

import pandas as pd
import pytest

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.data.readers import read_functions
from ltp_pipeline.files.layouts import pairs_of
from ltp_pipeline.split_data import main

NAMES = ("train_subset", "validation", "test")


def row(number, **columns):
    return {"func": f"int f{number}() {{\n  return {number};\n}}", "target": number % 2, **columns}


def primevul(folder, rows, name="primevul.jsonl"):
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def split(tmp_path, *arguments, ending="jsonl"):
    main([*map(str, arguments), "--output_dir", str(tmp_path / "out")])
    return [read_functions(tmp_path / "out" / f"{name}.{ending}") for name in NAMES]


def places(frames, column):
    """Value of a column -> the numbers of the splits with it."""
    found = {}
    for number, frame in enumerate(frames):
        for value in frame[column]:
            found.setdefault(value, set()).add(number)
    return found


def test_groups_of_all_columns_are_whole(tmp_path, capsys):
    rows = [row(i, project=f"p{i // 20}", commit_id=f"c{i // 3}", idx=i, cwe=["CWE-1"]) for i in range(400)]
    frames = split(tmp_path, primevul(tmp_path, rows), "--group_by", "project", "commit_id")
    assert all(len(where) == 1 for column in ("project", "commit_id") for where in places(frames, column).values())
    assert sorted(idx for frame in frames for idx in frame["idx"]) == list(range(400))
    written = [json.loads(line) for name in NAMES for line in open(tmp_path / "out" / f"{name}.jsonl")]
    assert sorted(written, key=lambda each: each["idx"]) == rows
    shown = capsys.readouterr().out
    assert "train_subset" in shown and "commit_id" in shown
    report = json.loads((tmp_path / "out" / "splits.json").read_text())
    assert [each["rows"] for each in report["splits"]] == list(map(len, frames))
    assert sum(each["label_1"] for each in report["splits"]) == 200
    assert report["rows_without_group"] == {"project": 0, "commit_id": 0}


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_cells_stay_as_they_are_and_files_are_pooled(tmp_path, ending):
    one = pd.DataFrame(
        {"": [0, 1], "functionSource": ["int a;\r\n", 'b("x,\n")'], "label": ["true", "0"], "n": ["007", ""]}
    )
    other = pd.DataFrame({"label": ["1", "false"], "functionSource": ["int c;", "int d;"], "project": ["p", "q"]})
    one.to_csv(tmp_path / "one.csv", index=False)
    other.to_csv(tmp_path / "other.tsv", index=False, sep="\t")
    files = [tmp_path / "one.csv", tmp_path / "other.tsv"]
    frames = split(tmp_path, *files, "--format", ending, "--shares", 0.5, 0.25, 0.25, ending=ending)
    everything = pd.concat(frames)
    assert set(everything["functionSource"]) == {*one["functionSource"], *other["functionSource"]}
    assert everything["label"].tolist().count(1) == 2
    assert "007" in set(everything["n"].astype(str)) or ending == "csv"
    if ending == "csv":
        assert '"007"' in "".join((tmp_path / "out" / f"{name}.csv").read_text() for name in NAMES)


def test_neighbouring_pairs_stay_whole_and_keep_their_name(tmp_path):
    rows = []
    for i in range(60):
        text = f"int f{i}(int a) {{ int b{i} = a; return b{i}; }}"
        rows += [row(2 * i + 1, idx=2 * i, cwe=[], commit_id=f"c{i}") | {"func": text.replace("= a", "= a + 1")}]
        rows += [row(2 * i, idx=2 * i + 1, cwe=[], commit_id=f"c{i}") | {"func": text}]
    one, other = primevul(tmp_path, rows[:60], "one.jsonl"), primevul(tmp_path, rows[60:], "other.jsonl")
    frames = split(tmp_path, one, other)
    pairs = [pairs_of(frame) for frame in frames]
    assert [sum(names != "") for names in pairs] == list(map(len, frames))
    assert sum(len(set(names)) for names in pairs) == 60


def test_partners_in_two_files_are_put_together(tmp_path):
    for name, label in (("bad", 1), ("good", 0)):
        rows = [{"code": f"int {name}{i};", "label": label, "pair": f"p{i}"} for i in range(30)]
        pd.DataFrame(rows).to_csv(tmp_path / f"{name}.csv", index=False)
    frames = split(tmp_path, tmp_path / "bad.csv", tmp_path / "good.csv", ending="csv")
    assert all(len(where) == 1 for where in places(frames, "pair").values())
    assert sum(len(set(pairs_of(frame))) for frame in frames) == 30


def test_functions_with_the_same_tokens_stay_together(tmp_path):
    rows = [row(i, copy=0) for i in range(50)] + [
        row(i, copy=1) | {"func": f"int f{i}(){{return {i};}} // copy"} for i in range(50)
    ]
    frames = split(tmp_path, primevul(tmp_path, rows))
    names = [frame.assign(name=frame["functionSource"].str.extract(r"(f\d+)")) for frame in frames]
    assert all(len(where) == 1 for where in places(names, "name").values())


@pytest.mark.parametrize("empty", ["", None, float("nan"), "  "])
def test_a_row_without_a_group_stands_alone_and_is_counted(tmp_path, empty, capsys):
    rows = [row(i, project=empty if i % 2 else i // 10) for i in range(100)]
    frames = split(tmp_path, primevul(tmp_path, rows), "--group_by", "project")
    assert all(
        len(where) == 1 for value, where in places(frames, "project").items() if value == value and str(value).strip()
    )
    assert "50 rows have no project" in capsys.readouterr().out
    assert abs(len(frames[0]) - 80) <= 3


def test_numbers_are_the_same_group_in_all_files(tmp_path):
    one = primevul(tmp_path, [row(i, project=i // 10) for i in range(50)], "one.jsonl")
    other = primevul(tmp_path, [row(50 + i, project=i // 10 if i else None) for i in range(50)], "other.jsonl")
    frames = split(tmp_path, one, other, "--group_by", "project")
    assert all(len(where) == 1 for value, where in places(frames, "project").items() if value == value)


def test_pairs_with_numbers_as_names_are_the_same_in_all_files(tmp_path):
    one = primevul(tmp_path, [row(0, pair=7), *(row(2 * i, pair=1000 + i) for i in range(1, 30))], "one.jsonl")
    other = primevul(tmp_path, [row(1, pair=7), *(row(2 * i, pair=None) for i in range(30, 60))], "other.jsonl")
    frames = split(tmp_path, one, other)
    assert [set(frame["pair"]) & {"7", "7.0", 7} for frame in frames].count(set()) == 2


def test_lists_are_several_groups(tmp_path):
    rows = [row(i, tags=[f"t{i // 2}", f"t{i // 2 + 50}"]) for i in range(100)]  # row 0 .. 99 -> t0..t49 and t50..t99
    frames = split(tmp_path, primevul(tmp_path, rows), "--group_by", "tags")
    tags = [{tag for of_row in frame["tags"] for tag in of_row} for frame in frames]
    assert len(set.union(*tags)) == sum(map(len, tags)) == 100


def test_files_without_labels(tmp_path):
    rows = [{"code": f"int a{i};", "project": i // 3} for i in range(60)]
    pd.DataFrame(rows).to_csv(tmp_path / "a.csv", index=False)
    main([str(tmp_path / "a.csv"), "--group_by", "project", "--output_dir", str(tmp_path / "out")])
    written = pd.concat(pd.read_csv(tmp_path / "out" / f"{name}.csv") for name in NAMES)
    assert list(written) == ["code", "project"] and len(written) == 60


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_folder_of_sources(tmp_path, ending):
    for i in range(60):
        file = tmp_path / "code" / ("malicious" if i % 2 else "benign") / f"p{i // 6}" / f"{i}.ps1"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"$a = {i}")
    frames = split(tmp_path, tmp_path / "code", "--format", ending, ending=ending)
    assert sum(map(len, frames)) == 60 and sum(frame["label"].sum() for frame in frames) == 30


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--group_by", "repo"], "--group_by repo: no such column; columns found: func, target, project"),
        (["--group_by", "project"], "--group_by project: .*1 group.* expected 3"),
        (["--shares", "0.8", "0.2"], "--shares 0.8 0.2: expected three"),
        (["--shares", "8", "1", "1"], "--shares 8.0 1.0 1.0: expected"),
        (["--shares", "1", "0", "0"], "--shares 1.0 0.0 0.0: expected"),
        (["--shares", "nan", "0.5", "0.5"], "--shares nan"),
        (["--seed", "-1"], "--seed -1: expected 0 to"),
        (["--add_fixed_functions"], "--add_fixed_functions: .* in training"),
    ],
)
def test_wrong_flags_are_errors_and_write_nothing(tmp_path, flags, message):
    file = primevul(tmp_path, [row(i, project="p") for i in range(20)])
    with pytest.raises(UserError, match=message):
        split(tmp_path, file, *flags)
    assert not (tmp_path / "out").exists()


def test_a_file_that_would_be_replaced_is_an_error(tmp_path):
    file = tmp_path / "test.csv"
    file.write_text("code,label\n" + "".join(f"int {name};,1\n" for name in "abcd"))
    before = file.read_text()
    with pytest.raises(UserError, match="--output_dir: .*test.csv would be replaced"):
        main([str(file), "--output_dir", str(tmp_path)])
    assert file.read_text() == before and list(tmp_path.iterdir()) == [file]
    with pytest.raises(UserError, match="test.csv: this file is given twice"):
        main([str(file), str(tmp_path / "." / "test.csv"), "--output_dir", str(tmp_path / "out")])
    with pytest.raises(UserError, match="holds test.csv, which --format jsonl would leave beside test.jsonl"):
        main([str(file), "--output_dir", str(tmp_path), "--format", "jsonl"])


def test_rows_that_all_stay_together_are_an_error(tmp_path):
    file = primevul(tmp_path, [row(1)] * 5)
    with pytest.raises(UserError, match="pairs and equal code: 5 rows form 1 group"):
        split(tmp_path, file)


def test_files_of_two_layouts_are_an_error(tmp_path):
    (tmp_path / "own.csv").write_text("code,label\nint a;,1\n")
    file = primevul(tmp_path, [row(i) for i in range(20)])
    with pytest.raises(
        UserError, match="own.csv: the code is in 'code' and the labels in 'label', but in .* in 'func' and .*'target'"
    ):
        split(tmp_path, file, tmp_path / "own.csv")
    (tmp_path / "bare.jsonl").write_text('{"func": "int a;"}\n')
    with pytest.raises(UserError, match="bare.jsonl: the code is in 'func' and there are no labels, but in "):
        split(tmp_path, file, tmp_path / "bare.jsonl")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="--output_dir .*file.out: cannot be written"):
        main([file, "--output_dir", str(tmp_path / "file" / "out")])


def test_a_column_that_parquet_cannot_hold(tmp_path):
    file = primevul(tmp_path, [row(i, note=i if i % 2 else "text") for i in range(20)])
    with pytest.raises(UserError, match="not possible as Parquet: .*note"):
        split(tmp_path, file, "--format", "parquet")
    assert not list((tmp_path / "out").iterdir())
