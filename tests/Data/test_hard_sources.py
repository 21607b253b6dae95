"""The whole builder on files that are hard to read: encodings, long lines, one-line scripts, failing analysers."""

import json

import pandas as pd
import pytest

from Data.build_dataset import main
from ltp_pipeline.base.errors import UserError
from tests.Data.analysers.test_run_tool import stand_in  # noqa: F401 (a fixture)
from tests.Data.test_build_dataset import quick, splits, write_folders

PROJECTS = ("one", "two", "three")


def script(name, encoding="utf-8", newline="\r\n"):
    """Two functions; the second begins at line 6. A command in the first one is an error for the parser."""
    text = (
        f"function Get-{name} {{\n    # \u043f\u0440\u0438\n    git log --since=yesterday --pretty=short\n}}\n\n"
        f"function Set-{name} {{\n    param($Text)\n    return $Text + '{name}'\n}}\n"
    )
    return text.replace("\n", newline).encode(encoding)


def build(folder, contents, *flags):
    """Writes `contents`, path to bytes, and builds a data set from them. Returns its rows and card."""
    folders = write_folders(folder, dict.fromkeys(contents, ""))
    for path, content in contents.items():
        (folder / path).write_bytes(content)
    where = quick(folder, folder / "cache")[2:]
    main([*folders, *where, "--workers", "1", *(flags or ("--analyzers", "flawfinder"))])
    return pd.concat(splits(folder)), json.loads((folder / "out" / "dataset_card.json").read_text())


def powershell(folder, contents, labels, *flags):
    """As `build`, of PowerShell. `labels`: file and line of each finding."""
    labels_csv = folder / "labels.csv"
    labels_csv.write_text("file,line,rule\n" + "".join(f"{file},{line},mine\n" for file, line in labels))
    return build(folder, contents, "--language", "powershell", "--findings_csv", str(labels_csv), *flags)


def test_labels_find_their_lines_in_every_encoding(tmp_path):
    encodings = ("utf-16", "utf-16-le", "utf-16-be", "utf-8-sig", "utf-32", "utf-8")
    contents = {
        f"{PROJECTS[number % 3]}/{number}.ps1": script(f"N{number}", encoding, newline)
        for number, encoding in enumerate(encodings)
        for newline in [("\r\n", "\r", "\n")[number % 3]]
    }
    rows, card = powershell(tmp_path, contents, [(path, 8) for path in contents])
    assert len(rows) == 12 and rows.functionSource.str.startswith("function ").all()
    assert set(rows.first_line) == {1, 6}
    assert (rows.label == rows.functionSource.str.contains("Set-")).all() and set(rows.finding_lines) == {"", "3"}
    assert rows.functionSource.str.contains("\u043f\u0440\u0438").sum() == 6
    assert sum(card["encodings"].values()) == 6 and card["encodings"]["utf-16-be"] == 1


def test_one_line_scripts_and_labels(tmp_path, capsys):
    lines = {
        f"{name}/a.ps1": f"iex(New-Object Net.WebClient).DownloadString('{name}" + "A" * 4000 + "')"
        for name in PROJECTS
    }
    contents = {path: text.encode() for path, text in lines.items()} | {"one/plain.ps1": script("Plain")}
    rows, card = powershell(tmp_path, contents, [(path, 1) for path in lines], "--granularity", "file")
    assert sorted(zip(rows.path, rows.label)) == [("a.ps1", 1)] * 3 + [("plain.ps1", 0)]
    assert card["dropped"]["files_generated"] == 0
    rows, card = powershell(
        tmp_path, contents | {f"{name}/b.ps1": script(name) for name in PROJECTS}, [("one/a.ps1", 1)]
    )
    assert card["findings_in_no_function"] == 1
    assert "1 findings of --findings_csv are in no function: one/a.ps1:1" in capsys.readouterr().out


def test_a_label_of_a_generated_file_says_so(tmp_path):
    contents = {f"{name}/a.ps1": script(name) for name in PROJECTS}
    contents["one/gen.ps1"] = b"# This file was automatically generated\n" + script("Gen")
    with pytest.raises(UserError, match="'one/gen.ps1' is left out: generated, .*--keep_generated"):
        powershell(tmp_path, contents, [("one/gen.ps1", 8)])
    rows, card = powershell(tmp_path, contents, [("one/gen.ps1", 9)], "--keep_generated")
    assert rows[rows.label == 1].functionSource.str.startswith("function Set-Gen").tolist() == [True]
    assert card["settings"]["keep_generated"] is True


def test_powershell_functions_with_an_error_node_keep_their_labels(tmp_path):
    contents = {f"{name}/a.ps1": script(name) for name in PROJECTS}
    rows, _ = powershell(tmp_path, contents, [("two/a.ps1", 3)])
    assert len(rows) == 6 and rows[rows.label == 1].functionSource.str.startswith("function Get-two").tolist() == [
        True
    ]


def test_a_long_line_does_not_stop_the_build(tmp_path):
    table = "unsigned char image[40000] = {" + "0x1f," * 40_000 + "};\n"
    table += "int image_size(char *a) { gets(a); return 1; }\n"
    contents = {f"{name}/a.c": f"int {name}(int a) {{ return a; }}\n".encode() for name in PROJECTS}
    rows, _ = build(tmp_path, contents | {"one/image.c": table.encode()})
    assert rows[rows.functionSource.str.contains("image_size")].label.tolist() == [1]


@pytest.mark.usefixtures("stand_in")
def test_an_analyser_that_fails_on_a_file_does_not_stop_the_build(tmp_path, capsys):
    contents = {f"{name}/a.c": f"int {name}(char *a) {{ gets(a); return 1; }}\n".encode() for name in PROJECTS}
    contents["two/crash\x1b.c"] = b"/* CRASH */\nint lost(char *a) { gets(a); return 2; }\n"
    rows, card = build(tmp_path, contents)
    assert rows.label.sum() == 3 and len(rows) == 4
    assert [(one["analyzer"], one["file"]) for one in card["analyser_failures"]] == [("flawfinder", "two/crash\x1b.c")]
    assert card["agreement"]["analyzers"][0]["checked"] == 3
    assert "failed on 1 files, which count as not checked: flawfinder: two/crash\\x1b.c (" in capsys.readouterr().out
    assert "two/crash" in (tmp_path / "out" / "README.md").read_text()
    assert not any((tmp_path / "cache" / "scratch").iterdir())
