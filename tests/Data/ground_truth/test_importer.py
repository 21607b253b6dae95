"""The base of the importers, with an importer of a folder whose files are a line `label groups...`, then the code."""

import json
import os

import pandas as pd
import pytest
from datasets import load_dataset

from Data.ground_truth.importer import Repository, argument_parser, files_below, read_files, run_import
from Data.ground_truth.rows import Row, split_rows, without_duplicates, without_near_duplicates
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.data.readers import read_functions

NAMES = ("train_subset", "validation", "test")
TOY = Repository("owner/toy", ("code",), "Toys. Label 1: broken.")


def read_toys(folder, counts):
    for path, content in read_files(folder, sorted((folder / "code").iterdir())):
        head, text = content.decode().split("\n", 1)
        label, *groups = head.split()
        counts["files"] = counts.get("files", 0) + 1
        yield Row(text, int(label), tuple(groups), path=path, project=groups[0], flaw_lines=(2, 1)[: 2 * int(label)])


def toys(folder, texts):
    (folder / "code").mkdir(parents=True)
    for number, text in enumerate(texts):
        (folder / "code" / f"{number:03}.c").write_text(text)
    return folder


def import_toys(source, out, *flags, repository=TOY):
    flags = ["--source", str(source), "--output_dir", str(out), *flags]
    run_import(repository, argument_parser("Data/import_toys.py", "Toys.", repository).parse_args(flags), read_toys)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_tables_card_and_report(tmp_path, capsys, kind):
    texts = [f"{i % 2} p{i // 3}\nint f{i}() {{\n return {i};\n}}" for i in range(60)]
    source = toys(tmp_path / "toy", texts + ["0 p0\nint f1() { /* 1 */ return 1; }", "1 p1\nint  f3() { return 3; }"])
    import_toys(source, tmp_path / "out", "--format", kind)
    frames = {name: read_functions(tmp_path / "out" / f"{name}.{kind}") for name in NAMES}
    assert sum(map(len, frames.values())) == 59 and len(frames["train_subset"]) in range(38, 45)
    projects = [set(frame["project"]) for frame in frames.values()]
    assert len(set.union(*projects)) == sum(map(len, projects)) == 20
    assert list(frames["test"]) == ["functionSource", "label", "project", "path", "flaw_lines"]
    assert set(frames["test"].loc[frames["test"]["label"] == 1, "flaw_lines"]) == {"2 1"}
    report = json.loads((tmp_path / "out" / "import.json").read_text())
    expected = dict(files=62, rows_read=62, with_both_labels=2, duplicates=1, rows_written=59)
    assert report["counts"] == expected | dict(sets_of_rows_without_a_common_group=20, rows_of_the_largest_set=3)
    assert report["seed"] == 42 and [one["rows"] for one in report["tables"]] == list(map(len, frames.values()))
    card = (tmp_path / "out" / "README.md").read_text()
    assert "owner/toy" in card and "Label 1: broken." in card and "| with both labels | 2 |" in card
    data = load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert [len(data[name]) for name in ("train", "validation", "test")] == list(map(len, frames.values()))
    assert data["test"]["flaw_lines"][:].count("2 1") == sum(data["test"]["label"])
    printed = capsys.readouterr().out
    assert "with both labels" in printed and "train_subset" in printed
    first = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    import_toys(source, tmp_path / "out", "--format", kind)
    other = "parquet" if kind == "csv" else "csv"  # its tables would stay, with rows in other splits
    with pytest.raises(UserError, match=f"train_subset.{kind}.*--format {other}"):
        import_toys(source, tmp_path / "out", "--format", other)
    assert first == {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}


def test_a_source_that_is_a_test_set(tmp_path):
    source = toys(tmp_path / "toy", ["1 a\nint a;", "0 a\nint b;"])
    repository = Repository("owner/toy", ("code",), "", splits=("test",))
    import_toys(source, tmp_path / "out", repository=repository)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["README.md", "import.json", "test.csv"]
    assert sorted(pd.read_csv(tmp_path / "out/test.csv")["functionSource"]) == ["int a;", "int b;"]


def test_what_is_no_clone_is_an_error_and_changes_nothing(tmp_path):
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n"
    (tmp_path / "file").write_text("")
    (tmp_path / "empty" / "code").mkdir(parents=True)
    folder_as_file = tmp_path / "folder"
    (folder_as_file / "code" / "000.c").mkdir(parents=True)
    for source, key in (
        (tmp_path / "none", "--source .*none: no such folder; expected your clone of github.com/owner/toy"),
        (tmp_path / "file", "--source .*file: this is a file"),
        (tmp_path, "--source .*: holds no code"),
        (toys(tmp_path / "lfs", ["1 a\nint a;", pointer]), "--source.*001.c: this is a Git LFS pointer"),
        (folder_as_file, "--source: cannot read .*000.c: Is a directory"),
        (tmp_path / "empty", "--source .*empty: no row is left of 0"),
        (toys(tmp_path / "few", ["1 a\nint a;", "1 b\nint b;"]), "2 group"),
    ):
        with pytest.raises(UserError, match=key):
            import_toys(source, tmp_path / "out")
    assert not any((tmp_path / "out").iterdir())
    with pytest.raises(UserError, match="--output_dir .*: cannot be written: .*file is a file"):
        import_toys(toys(tmp_path / "good", ["1 a\nint a;"]), tmp_path / "file" / "out")


def test_a_folder_that_cannot_be_read_is_an_error(tmp_path, monkeypatch):
    source = toys(tmp_path / "toy", ["1 a\nint a;"])
    assert files_below(tmp_path) == [source / "code" / "000.c"]

    def walk(folder, onerror):
        onerror(PermissionError(13, "Permission denied", f"{folder}/secret"))

    monkeypatch.setattr(os, "walk", walk)
    flags = ["--source", str(source), "--output_dir", str(tmp_path / "out")]
    with pytest.raises(UserError, match="--source: cannot read .*secret: Permission denied"):
        run_import(
            TOY,
            argument_parser("Data/import_toys.py", "", TOY).parse_args(flags),
            lambda folder, counts: files_below(folder),
        )


def rows(*of):
    return [Row(text, label, ("g",), pair=pair, flaw_lines=lines) for text, label, pair, lines in of]


def test_of_equal_texts_the_one_with_a_partner_is_kept_then_the_one_with_lines():
    counts = {}
    kept = without_duplicates(
        rows(
            ("int a;", 0, "", ()),
            ("int  a;", 0, "p", ()),
            ("int b;", 1, "p", (1,)),
            ("int c;", 1, "", ()),
            ("int c; // why", 1, "", (1,)),
            ("int c;", 1, "q", ()),  # its partner has both labels, so it has none
            ("int d;", 0, "q", ()),
            ("int d;", 1, "", ()),
            ("int e;", 1, "r", ()),  # the name of three rows is no pair
            ("int f;", 0, "r", ()),
            ("int g;", 0, "r", ()),
        ),
        counts,
    )
    assert [(row.text, row.pair) for row in kept] == [
        ("int  a;", "p"),
        ("int b;", "p"),
        ("int c; // why", ""),
        *((f"int {name};", "") for name in "efg"),
    ]
    assert counts == {"with_both_labels": 2, "duplicates": 3}


def test_the_ending_of_the_path_decides_what_a_comment_is():
    both = [Row(f"$a = 1 # {i}", 1, ("g",), path=f"{i}.ps1") for i in range(2)]
    assert len(without_duplicates(both, {})) == 1
    assert len(without_duplicates([Row(row.text, 1, ("g",), path="a.c") for row in both], {})) == 2


def test_near_duplicates_of_another_group_leave_as_whole_pairs():
    body = " ".join(f"call{i}(x, {i});" for i in range(40))
    far = body.replace("call", "other")
    some = [
        Row(f"{body} a();", 0, ("one",)),
        Row(f"{body} b();", 0, ("two",)),
        Row(f"{body} c();", 1, ("one",), pair="p"),
        Row("int much_else;", 0, ("one",), pair="p"),
        Row(f"{body} d();", 0, ("two",), pair="q"),
        Row(far, 1, ("two",), pair="q"),
        Row(f"{far} e();", 0, ("three", "two")),
    ]
    counts = {}
    kept = without_near_duplicates(some, 0.85, counts)
    assert kept == [some[0], some[2], some[3], some[6]] and counts == {"near_duplicates_of_another_group": 3}


def test_tables_are_split_together(tmp_path):
    some = [Row(f"int a{i};", i % 2, (f"g{i // 4}",), table="mixed_" if i % 4 == 3 else "") for i in range(80)]
    splits = split_rows(some, ("train", "validation", "test"), seed=1)
    groups = [{row.groups for row in rows} for rows in splits.values()]
    assert len(set.union(*groups)) == sum(map(len, groups)) == 20
    assert [sum(row.table == "mixed_" for row in rows) for rows in splits.values()] == [14, 2, 4]
