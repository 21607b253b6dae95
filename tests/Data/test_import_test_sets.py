"""Importing what is only a test set: LineVul's functions with flaw lines, and Devign's test split."""

import csv
import json

import pytest

from Data import import_devign, import_linevul
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.data.readers import read_functions
from ltp_pipeline.files.layouts import flaw_lines_of

TEXT = "int f()\n{\n\n    a();\n  \n    b();\n}\n"


def linevul(folder, *rows, header=("", "source", "flaw_line_indices", "flaw_lines")):
    path = folder / "LineVul" / import_linevul.FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return folder / "LineVul"


def devign(folder, *files):
    path = folder / "attack" / import_devign.FOLDER
    path.mkdir(parents=True, exist_ok=True)
    for number, rows in enumerate(files):
        lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
        (path / f"test_subs_{number * 400}_{number * 400 + 400}.jsonl").write_text("\n".join(lines))
    return folder / "attack"


def counts_of(out):
    return json.loads((out / "import.json").read_text())["counts"]


def test_linevul_is_a_test_set_of_one_class(tmp_path):
    source = linevul(
        tmp_path,
        (0, TEXT, "[2, 3, 3]", "a();/~/b();"),
        (1, "int g() { }", "[9]", "int g() { }"),
        (2, "int h;", "[0]", "x;"),
    )
    import_linevul.main(["--source", str(source), "--output_dir", str(tmp_path / "out")])
    frame = read_functions(tmp_path / "out" / "test.csv")
    assert sorted(frame["functionSource"]) == sorted([TEXT, "int g() { }", "int h;"]) and set(frame["label"]) == {1}
    assert sorted(flaw_lines_of(frame)) == [(), (1,), (4, 6)]
    counts = counts_of(tmp_path / "out")
    assert (counts["functions"], counts["functions_without_flaw_lines"], counts["flaw_lines"]) == (3, 1, 3)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["README.md", "import.json", "test.csv"]


def test_devign_keeps_text_label_number_and_project(tmp_path, capsys):
    row = {"project": "qemu", "commit_id": "1", "substitutes": "{'a': ['b']}"}
    second = {"func": "int g;\n\nint h;", "target": 1, "idx": 12}
    source = devign(
        tmp_path,
        [{**row, "func": "int f;", "target": "0", "idx": "3"}, {**row, **second}],
        [{"func": " ", "target": 0, "idx": 13}, {"func": "int both;", "target": 0, "idx": 14}],
        [{"func": "int both ;", "target": 1, "idx": 15}, {"func": "int i;", "target": 1, "idx": 16}],
    )
    import_devign.main(["--source", str(source), "--output_dir", str(tmp_path / "out")])
    assert "note: 3 of 7 files" in capsys.readouterr().out
    frame = read_functions(tmp_path / "out" / "test.csv").astype(str)
    columns = ["functionSource", "label", "id", "project"]
    assert sorted(map(tuple, frame[columns].values)) == [
        ("int f;", "0", "3", "qemu"),
        ("int g;\n\nint h;", "1", "12", "qemu"),
        ("int i;", "1", "16", ""),
    ]
    assert list(frame.columns) == columns
    counts = counts_of(tmp_path / "out")
    assert (counts["rows"], counts["rows_without_text"], counts["with_both_labels"]) == (6, 1, 2)


def test_what_is_no_clone_or_no_such_table(tmp_path):
    good = {"func": "int f;", "target": 0, "idx": 1}
    out = ["--output_dir", str(tmp_path / "out")]
    for module, source, key in (
        (import_linevul, tmp_path, "--source .*: holds no cppcheck"),
        (
            import_linevul,
            linevul(tmp_path / "1", (0, "int a;"), header=("", "source")),
            "no column 'flaw_line_indices'",
        ),
        (import_linevul, linevul(tmp_path / "2", (0, TEXT, "[a", "a();")), "row 1 .*'flaw_line_indices' are '\\[a'"),
        (import_linevul, linevul(tmp_path / "3", (0, TEXT, "{}", "a();")), "row 1 .*expected a list of numbers"),
        (import_linevul, linevul(tmp_path / "4", (0, TEXT, "[-1]", "a();")), "row 1 .*expected a list of numbers"),
        (import_linevul, linevul(tmp_path / "5"), "has a header but no functions|no row is left"),
        (import_devign, tmp_path, "--source .*: holds no CodeXGLUE"),
        (import_devign, devign(tmp_path / "1"), "holds no .*test_subs_"),
        (
            import_devign,
            devign(tmp_path / "2", [good, {**good, "target": 2}]),
            "row 2 .*'target' is '2'; expected 0 or 1",
        ),
        (import_devign, devign(tmp_path / "3", [{"func": "int f;", "idx": 1}]), "no column 'target'"),
        (import_devign, devign(tmp_path / "4", [good, "{"], [good]), "row 2 .*not well-formed JSON: (?!.*--on_bad)"),
        (import_devign, devign(tmp_path / "6", [good, {**good, "func": "\udce9"}]), "row 2 .*not UTF-8"),
        (import_devign, devign(tmp_path / "5", ["version https://git-lfs.github.com/spec/v1"]), "Git LFS pointer"),
    ):
        with pytest.raises(UserError, match=key):
            module.main(["--source", str(source), *out])
    assert not list((tmp_path / "out").glob("*"))
