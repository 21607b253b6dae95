"""The builder with labels of whole files: those of folders, and those of names that end in _0 or _1."""

import json

import pandas as pd
import pytest

from Data.build_dataset import main
from ltp_pipeline.base.errors import UserError

FROM_FOLDERS = ["--labels_from_folders", "bad=1", "fine=0"]


def function(name):
    """A function that is no near duplicate of one with another name."""
    return f"int {name}(char *a)\n{{\n" + "".join(f"    {name}_{i}(a, {i});\n" for i in range(9)) + "}\n"


def write(folder, **contents):
    """Writes a file for each path, in which `__` stands for / and `_c` at the end for .c."""
    for path, content in contents.items():
        file = folder / (path.replace("__", "/").removesuffix("_c") + ".c")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())


@pytest.fixture
def data(tmp_path):
    """Six files of each class, and what is to be left out."""
    for label, prefix in (("bad", "b"), ("fine", "f")):
        for number in range(6):
            write(tmp_path / "data", **{f"{label}__{prefix}{number}_c": function(f"{prefix}{number}")})
    return tmp_path / "data"


def build(data, *flags, source=None):
    """Runs the builder. Returns all rows, with the split of each, and the card."""
    out = data.parent / "out"
    folders = [str(folder) for folder in source or [data]]
    where = ["--output_dir", str(out), "--cache_dir", str(data.parent / "cache"), "--workers", "1"]
    main(["--source_dir", *folders, *where, *flags])
    names = {"train": "train_subset", "validation": "validation", "test": "test"}
    tables = {split: pd.read_csv(out / f"{name}.csv", keep_default_na=False) for split, name in names.items()}
    rows = pd.concat([table.assign(split=split) for split, table in tables.items()], ignore_index=True)
    return rows, json.loads((out / "dataset_card.json").read_text())


def test_the_label_of_a_row_is_that_of_its_folder(data):
    rows, card = build(data, *FROM_FOLDERS)
    assert len(rows) == 12 and set(rows["project"]) == {"data"}
    assert all(row.label == row.path.startswith("bad/") for row in rows.itertuples())
    assert set(rows["finding_lines"]) == set(rows["cwes"]) == {""}
    assert (data.parent / "out" / "findings.jsonl").read_text() == "" and card["agreement"]["analyzers"] == []
    assert card["settings"]["analyzers"] == "--labels_from_folders bad=1 fine=0"


def test_files_are_split_so_that_both_labels_are_in_training_and_test(data):
    rows, _ = build(data, *FROM_FOLDERS)
    assert rows.groupby("path")["split"].nunique().max() == 1
    assert all(set(rows.loc[rows["split"] == split, "label"]) == {0, 1} for split in ("train", "test"))
    again, _ = build(data, *FROM_FOLDERS)
    assert again.equals(rows)


def test_a_class_folder_that_is_given_itself_is_no_project(data):
    rows, card = build(data, *FROM_FOLDERS, source=[data / "bad", data / "fine"])
    whole, _ = build(data, *FROM_FOLDERS)
    assert rows.equals(whole) and [source["name"] for source in card["sources"]] == ["data"]


def test_whole_projects_are_split_if_there_are_three(tmp_path):
    for project in "abc":
        for label in ("bad", "fine"):
            for number in range(3):
                name = f"{project}{label}{number}"
                write(tmp_path / project, **{f"src__{label}__deep__{name}_c": function(name)})
    rows, _ = build(tmp_path / "x", *FROM_FOLDERS, source=[tmp_path / project for project in "abc"])
    assert len(rows) == 18 and rows.groupby("project")["split"].nunique().tolist() == [1, 1, 1]
    assert all(row.label == ("bad" in row.path) for row in rows.itertuples())


def test_functions_with_both_labels_are_dropped_and_counted(data):
    """The same file in both classes, and a function that differs only in layout."""
    write(data, bad__both_c=function("same"), fine__both_c=function("same"))
    write(data, bad__once_c=function("other") + function("more"), fine__odd_c=function("other").replace("    ", "\t"))
    write(data, fine__twice_c=function("f1"))
    rows, card = build(data, *FROM_FOLDERS)
    assert not rows["functionSource"].str.contains("int same|int other").any()
    assert rows["functionSource"].str.contains("int more").sum() == 1
    dropped = card["dropped"]
    assert (dropped["files_of_the_same_content"], dropped["functions_with_both_labels"]) == (2, 3)
    found = card["functions_found"] - dropped["functions_with_both_labels"]
    assert card["distinct_functions"] == len(rows) == found
    page = (data.parent / "out" / "README.md").read_text()
    assert "- functions that are in files of both labels: 3\n" in page


def test_encodings_are_those_of_the_files_that_are_used_and_the_others_are_counted(data):
    write(
        data, bad__wide_c=function("wide").encode("utf-16"), bad__latin_c=b"// caf\xe9\n" + function("latin").encode()
    )
    write(data, bad__zero_c=bytes(99), fine__binary_c=bytes(range(256)), other__out_c=function("out"), top_c="int t;")
    (data / "bad" / "link.c").symlink_to(data / "bad" / "b1.c")
    (data / "bad" / "notes.txt").write_text("bad")
    rows, card = build(data, *FROM_FOLDERS)
    assert card["files"] == 14 == sum(card["encodings"].values())
    assert card["encodings"] == {"utf-8": 12, "utf-16-le with a mark": 1, "windows-1252": 1}
    assert card["files_left_out"] == {
        "in no folder of --labels_from_folders": 2,
        "binary": 1,
        "empty": 1,
        "a link, or no regular file": 1,
    }
    assert len(rows) == 14


def test_names_that_end_in_0_or_1(tmp_path):
    for number in range(8):
        write(tmp_path / "data", **{f"sub__{number}_x_{number % 2}_c": function(f"n{number}")})
    write(tmp_path / "data", odd_c=function("odd"))
    rows, card = build(tmp_path / "data", "--labels_from_names", "--granularity", "file")
    assert len(rows) == 8 and all(f"_{row.label}.c" in row.path for row in rows.itertuples())
    assert card["files_left_out"] == {"a name that does not end in _0 or _1": 1}
    assert card["settings"]["analyzers"] == "--labels_from_names"


def test_scripts_of_a_language_without_an_analyser(tmp_path):
    for label, word in (("malicious", "Invoke"), ("benign", "Get")):
        for number in range(4):
            file = tmp_path / "data" / label / f"{number}.ps1"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{word}-Thing{number}\n" * (3 + number))
    flags = ["--language", "powershell", "--granularity", "file", "--near_duplicates", "1"]
    rows, _ = build(tmp_path / "data", "--labels_from_folders", "malicious=1", "benign=0", *flags)
    assert len(rows) == 8 and rows["label"].sum() == 4


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--labels_from_folders", "bad=1"], "--labels_from_folders bad=1: expected folders of both classes"),
        (["--labels_from_folders", "bad=2", "fine=0"], "--labels_from_folders bad=2,fine=0: bad is '2'"),
        (["--labels_from_folders", "bad"], "--labels_from_folders bad: expected NAME=0,NAME=1"),
        ([*FROM_FOLDERS, "gone=1"], "--labels_from_folders gone=1: .*folders with such files: bad, fine"),
        ([*FROM_FOLDERS, "--labels_from_names"], "--labels_from_folders .*--labels_from_names"),
        ([*FROM_FOLDERS, "--analyzers", "flawfinder"], "--labels_from_folders .*--analyzers"),
        ([*FROM_FOLDERS, "--findings_csv", "a.csv"], "--labels_from_folders .*--findings_csv"),
        ([*FROM_FOLDERS, "--language", "python"], "no .py files in .*; 12 left out|no .py files in"),
        (["--labels_from_names"], "no C/C.. files in .*; 12 left out: a name that does not end in _0 or _1"),
    ],
)
def test_wrong_flags(data, flags, message):
    with pytest.raises(UserError, match=message):
        build(data, *flags)
    assert not (data.parent / "out").exists()


def test_the_flags_need_folders():
    with pytest.raises(UserError, match="--labels_from_names: expected --source_dir"):
        main(["--labels_from_names"])


def test_two_files_are_too_few(tmp_path):
    for folder in ("bad", "fine"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.c").write_text(f"int {folder}(void) {{ return 1; }}\n")
    flags = ["--source_dir", str(tmp_path), "--output_dir", str(tmp_path / "out"), "--cache_dir", str(tmp_path / "c")]
    with pytest.raises(UserError, match="--source_dir: functions are in 2 file.* expected three"):
        main([*FROM_FOLDERS, *flags])
