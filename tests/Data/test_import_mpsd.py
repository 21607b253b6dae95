"""Importing a small tree in the layout of mpsd. The scripts here do nothing; "evil" is a word like any other."""

import json

import pandas as pd
import pytest
from datasets import load_dataset

from Data.import_mpsd import BENIGN, MALICIOUS, MARKS, MIXED, is_damaged, main, without_marks
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.text_encoding import decode_text
from ltp_pipeline.data.folders import CLASS_NAMES
from ltp_pipeline.data.readers import read_functions
from ltp_pipeline.files.layouts import flaw_lines_of

TABLES = [f"{kind}{split}" for kind in ("", "mixed_") for split in ("train_subset", "validation", "test")]
WORDS = ["apple", "pear", "plum", "fig", "lime", "date", "kiwi", "nut"]


def plain(number, kind):
    """A script whose tokens are unlike those of all others."""
    calls = [f"Get-{kind}{number}{word} -Path ${word}{number}{kind}" for word in WORDS]
    return f"\n{'; '.join(calls)}\n" if kind == "evil" else "\n\n\n".join(f"{call} " for call in calls)


@pytest.fixture
def tree(tmp_path):
    """30 benign and 30 malicious scripts, a mixed one of each number; benign ones have a mark and other line ends."""
    folder = tmp_path / "mpsd"
    for name in (MALICIOUS, BENIGN, MIXED):
        (folder / name).mkdir(parents=True)
    for number in range(30):
        good = f"\ufeff{plain(number, 'good')}".replace("\n", "\r\n").encode()
        evil = plain(number, "evil").encode()
        (folder / BENIGN / f"{number}.ps1").write_bytes(good)
        (folder / MALICIOUS / f"git_{number}.ps1").write_bytes(evil)
        joined = good + evil if number % 2 else (good + evil).replace(b"\r\n", b"\n")
        (folder / MIXED / f"git_{number}_{number}.ps1").write_bytes(joined)
    return folder


def imported(tree, tmp_path, *flags):
    """The tables by name, and the report."""
    main(["--source", str(tree), "--output_dir", str(tmp_path / "out"), *flags])
    report = json.loads((tmp_path / "out" / "import.json").read_text())
    return {name: read_functions(tmp_path / "out" / f"{name}.csv") for name in TABLES}, report


def test_plain_and_mixed_tables_share_no_script_across_splits(tree, tmp_path):
    tables, report = imported(tree, tmp_path)
    assert [len(tables[name]) for name in TABLES] == [42, 6, 12, 42, 6, 12]
    for name in ("default", "mixed"):
        data = load_dataset(str(tmp_path / "out"), name, cache_dir=str(tmp_path / "cache"))
        assert [len(data[split]) for split in ("train", "validation", "test")] == [42, 6, 12]
        assert data["test"].features["label"].names == ["benign", "malicious"]
    assert tables["mixed_test"].attrs[CLASS_NAMES] == ("benign", "malicious")
    counts = report["counts"]
    assert counts["mixed_malicious"] == 30 and counts["mixed_parts_missing"] == counts["mixed_not_its_two_parts"] == 0
    assert (counts["malicious_pure_with_byte order mark"], counts[f"{BENIGN}_with_byte order mark"]) == (0, 30)
    numbers = []
    for split in ("train_subset", "validation", "test"):
        texts = pd.concat([tables[split], tables[f"mixed_{split}"]])["functionSource"]
        numbers.append(set(texts.str.extract(r"(?:good|evil)(\d+)apple")[0]))
    assert len(set.union(*numbers)) == sum(map(len, numbers)) == 30


def test_flaw_lines_are_those_of_the_malicious_part_and_the_partner_lacks_it(tree, tmp_path):
    tables, _ = imported(tree, tmp_path)
    frame = tables["mixed_train_subset"]
    for pair, rows in frame.assign(flaw_lines=flaw_lines_of(frame)).groupby("pair"):
        (good,), (mixed,) = (rows[rows["label"] == label].to_dict("records") for label in (0, 1))
        assert pair and mixed["functionSource"].startswith(good["functionSource"] + "\n")
        lines = mixed["functionSource"].split("\n")
        evil = [number for number, line in enumerate(lines, start=1) if "evil" in line]
        assert list(mixed["flaw_lines"]) == evil == [len(lines)]
    assert not any(flaw_lines_of(tables["train_subset"]))


def test_nothing_but_the_code_tells_the_class(tree, tmp_path):
    tables, _ = imported(tree, tmp_path)
    for frame in tables.values():
        for text in frame["functionSource"]:
            assert text == text.strip() and "\r" not in text and "\ufeff" not in text and "\n\n\n" not in text
            assert all(line == line.rstrip() for line in text.split("\n"))
        assert set(frame["path"]) == {"script.ps1"} and not frame["id"].str.contains("git|_").any()
    origins = pd.read_csv(tmp_path / "out" / "origins.csv")
    assert len(origins) == 90 and f"{MIXED}/git_3_3.ps1" in set(origins["file"])
    assert set(pd.concat(tables.values())["id"]) <= set(origins["id"])


def test_copies_and_scripts_of_both_classes(tree, tmp_path):
    twin = plain(3, "evil").replace(";", " ;")  # the same tokens
    (tree / MALICIOUS / "copy.ps1").write_text(twin)
    (tree / MALICIOUS / "near.ps1").write_text(plain(3, "evil") + "exit")
    (tree / MIXED / "copy_7.ps1").write_text(plain(7, "good") + twin)
    (tree / MALICIOUS / "both.ps1").write_text(plain(5, "good"))
    tables, report = imported(tree, tmp_path)
    counts = report["counts"]
    assert (counts["with_both_labels"], counts["mixed_with_a_part_of_both_labels"]) == (2, 1)
    texts = {name: "\n".join(frame["functionSource"]) for name, frame in tables.items()}
    assert not any("good5apple" in text for text in texts.values())
    assert sum(text.count("Get-evil3apple") for name, text in texts.items() if "mixed" not in name) == 2
    holds = {name.removeprefix("mixed_") for name, text in texts.items() if "evil3apple" in text or "good7ap" in text}
    assert len(holds) == 1 and counts["duplicates"] == 1


def test_what_cannot_be_used_is_counted(tree, tmp_path):
    (tree / BENIGN / "0.ps1").write_bytes(("Get-Item -Path plum\n" * 20).encode("utf-16-le").replace(b"\n", b"\r\n"))
    (tree / BENIGN / "1.ps1").write_bytes(b"# only a comment\n")
    (tree / MIXED / "git_2_2.ps1").write_text("something else")
    (tree / MIXED / "none_3.PS1").write_text("x")
    (tree / MIXED / "README").write_text("no script")
    _, report = imported(tree, tmp_path)
    counts = report["counts"]
    assert (counts[f"{BENIGN}_damaged"], counts[f"{BENIGN}_empty"], counts["mixed_parts_missing"]) == (1, 1, 3)
    assert counts["mixed_not_its_two_parts"] == 1 and counts["mixed_malicious"] == 31


def test_a_file_on_which_a_split_of_files_at_random_would_leak(tree, tmp_path, capsys):
    for number in range(40):
        (tree / MALICIOUS / f"copy{number}.ps1").write_text(plain(3, "evil"))
    _, report = imported(tree, tmp_path)
    before, _, after, mixed = report["leaks"]
    assert before["split"] == "files at random" and before["positives_in_training"] > 0.3
    assert after["positives_in_training"] == after["group_in_training"] == mixed["group_in_training"] == 0
    assert "bag_of_words_accuracy" in capsys.readouterr().out
    assert "files at random" in (tmp_path / "out" / "README.md").read_text()


def test_a_folder_that_is_no_clone(tree, tmp_path):
    (tree / MIXED).rename(tree / "other")
    with pytest.raises(UserError, match=f"--source .*: holds no {MIXED}"):
        imported(tree, tmp_path)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "expected"),
    [("\n\n a \n\n\n\nb\t\n", "a\n\nb"), ("a\x07\ufeffb\x1b[0m", "ab[0m"), ("  \n", ""), ("a\n\nb", "a\n\nb")],
)
def test_without_marks(text, expected):
    assert without_marks(text) == expected


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-16"])
@pytest.mark.parametrize("line", ["Get-Item -Path plum", "a" * 200, "a"])
def test_a_damaged_file_is_utf16_with_8_bit_line_ends(encoding, line):
    content = f"{line}\n{line}\n".encode(encoding)
    assert is_damaged(content.replace(b"\n", b"\r\n"), *decode_text(content.replace(b"\n", b"\r\n")))
    whole = f"{line}\r\n{line}\r\n"
    for intact in (whole.encode(encoding), whole.encode(), b"a\0" + whole.encode()):
        assert not is_damaged(intact, *decode_text(intact))


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a\n\n\nb", True), ("a\n \r\n\t\nb", True), ("a\n\nb", False), ("\n\n\na\n\n\n", False)]
    + [("a" + "\n" * 100_000, False)],  # in linear time
)
def test_two_empty_lines_in_a_row(text, expected):
    assert MARKS["two empty lines in a row"](text, "utf-8") == expected
