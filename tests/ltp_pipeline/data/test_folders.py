"""Folders of source files as data: where the label comes from, which files are read, and in which order."""

import os

import pytest

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.data.flags import ReadingArguments
from ltp_pipeline.data.folder_labels import class_of_folder
from ltp_pipeline.data.folders import ENCODINGS, LEFT_OUT
from ltp_pipeline.data.readers import read_functions
from ltp_pipeline.task.tasks import VDISC

CLASSES = ("malicious/a.ps1", "malicious/b.ps1", "benign/c.ps1")


def fill(folder, *paths):
    """Writes a function into each of `paths`."""
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(os.fsencode(f"function f {{ '{path}' }}\n"))
    return folder


def read(folder, labels="needed", **flags):
    return read_functions(folder, ReadingArguments(**flags), flag="--train_file", labels=labels)


def labels_of(folder, labels="needed", **flags):
    frame = read(folder, labels, **flags)
    return dict(zip(frame["path"], frame["label"]))


def test_a_folder_for_each_class(tmp_path, capsys):
    frame = read(fill(tmp_path, *CLASSES))
    assert list(frame.columns) == ["functionSource", "label", "path"] and frame.index.tolist() == [0, 1, 2]
    assert dict(zip(frame["path"], frame["label"])) == {path: int("malicious" in path) for path in CLASSES}
    assert frame["functionSource"].tolist() == [f"function f {{ '{path}' }}\n" for path in frame["path"]]
    assert frame.attrs["layout"].path == "path" and frame.attrs["skipped_rows"] == []
    assert capsys.readouterr().out.endswith("3 files: 1 of class 0 (benign), 2 of class 1 (malicious)\n")


@pytest.mark.parametrize(
    "clean, defective",
    [
        ("benign", "malware"),
        ("powershell_benign_dataset", "malicious_pure"),
        ("Good", "BAD"),
        ("non-vulnerable", "vulnerable"),
        ("notVulnerable", "Vulnerable"),
        ("NonVul", "Vul"),
        ("0", "1"),
        ("class_0", "label-1"),
        ("safe functions", "unsafe functions"),
        ("negative", "positive"),
        ("no-bugs", "bugs"),
        ("fixed", "vulnerable"),
    ],
)
def test_names_of_folders_in_plain_words(clean, defective):
    assert (class_of_folder(clean), class_of_folder(defective)) == (0, 1)


@pytest.mark.parametrize("name", ["src", "mixed", "2", "clean_malware_fixed", "before", "goods", "10", "", "a_1"])
def test_names_that_say_no_class_or_both(name):
    assert class_of_folder(name) is None


def test_the_outermost_folder_with_a_class_counts_and_folders_below_are_read(tmp_path):
    paths = ["x/malicious/safe/a.py", "y/z/benign/b.py", "benign/deep/er/c.py"]
    assert labels_of(fill(tmp_path, *paths)) == dict(zip(paths, (1, 0, 0)))


def test_names_that_end_in_0_or_1(tmp_path, capsys):
    paths = ["a_0.c", "10_1.c", "sub/b_1.c", "x_y_0.cpp"]
    assert labels_of(fill(tmp_path, *paths)) == {path: int("_1" in path) for path in paths}
    assert "2 of class 0 (_0), 2 of class 1 (_1)" in capsys.readouterr().out


def test_other_names_of_folders_need_a_map(tmp_path):
    fill(tmp_path, "ok/a.ps1", "evil/b.ps1", "evil/c.ps1")
    with pytest.raises(UserError, match="--train_file .*without a clear class: evil, ok; .*--label_map evil=0,ok=1"):
        read(tmp_path)
    assert labels_of(tmp_path, label_map="ok=0,evil=1") == {"ok/a.ps1": 0, "evil/b.ps1": 1, "evil/c.ps1": 1}
    with pytest.raises(UserError, match=r"1 of 3 files, such as ok/a.ps1, .*--label_map .*without a class: ok"):
        read(tmp_path, label_map="evil=1")
    assert set(labels_of(tmp_path, label_map="evil=1", on_bad_rows="skip").values()) == {1}


def test_a_map_is_stronger_than_plain_words(tmp_path):
    assert labels_of(fill(tmp_path, *CLASSES), label_map="malicious=0,benign=1")["benign/c.ps1"] == 1


@pytest.mark.parametrize("labels", ["needed", "optional"])
def test_folders_of_one_class_are_an_error(tmp_path, labels):
    fill(tmp_path, "malicious/a.ps1", "malware/b.ps1")
    with pytest.raises(UserError, match="malicious, malware are all of class 1; .*--label_map"):
        read(tmp_path, labels)
    assert set(labels_of(tmp_path, labels, label_map="malicious=1,malware=1").values()) == {1}


def test_where_both_readings_are_possible_the_user_chooses(tmp_path):
    fill(tmp_path, "bad/a_0.c", "bad/b_1.c", "good/c_1.c")
    with pytest.raises(UserError, match="bad, good, .*_0 or _1.*--label_column folder or --label_column name"):
        read(tmp_path, "optional")
    assert labels_of(tmp_path, label_column="folder") == {"bad/a_0.c": 1, "bad/b_1.c": 1, "good/c_1.c": 0}
    assert labels_of(tmp_path, label_column="name") == {"bad/a_0.c": 0, "bad/b_1.c": 1, "good/c_1.c": 1}
    assert labels_of(tmp_path, label_map="bad=1,good=0")["good/c_1.c"] == 0
    (tmp_path / "bad" / "a_0.c").rename(tmp_path / "good" / "a_0.c")
    (tmp_path / "good" / "c_1.c").rename(tmp_path / "bad" / "c_1.c")
    assert labels_of(tmp_path) == {"good/a_0.c": 0, "bad/b_1.c": 1, "bad/c_1.c": 1}  # both say the same


@pytest.mark.parametrize(
    "flags, message",
    [
        ({"label_column": "kind"}, "--label_column kind: .*is a folder; expected folder .* or name"),
        ({"label_column": "name", "label_map": "a=1"}, "--label_column name: .*without --label_map"),
        ({"label_column": "name"}, "3 of 3 files, such as benign/c.ps1, have names that do not end in _0 or _1"),
        ({"text_column": "code"}, "--text_column code: .*is a folder"),
    ],
)
def test_flags_for_columns(tmp_path, flags, message):
    with pytest.raises(UserError, match=message):
        read(fill(tmp_path, *CLASSES), **flags)


@pytest.mark.parametrize("paths", [("a.c", "sub/b.c"), ("src/a.c", "good/b.c"), ("a_1.c", "b.c"), ("a_1.c",)])
def test_a_folder_without_clear_labels_is_only_predicted(tmp_path, paths, capsys):
    frame = read(fill(tmp_path, *paths), "optional")
    assert frame["path"].tolist() == sorted(paths) and set(frame["label"]) == {-1}
    assert f"{len(paths)} files without labels\n" in capsys.readouterr().out
    with pytest.raises(UserError, match="the labels are not clear"):
        read(tmp_path)


def test_labels_that_are_ignored_need_not_be_clear(tmp_path):
    assert set(labels_of(fill(tmp_path, "malicious/a_0.ps1", "x.ps1"), "ignored").values()) == {-1}


def test_groups_have_no_folders(tmp_path):
    fill(tmp_path, *CLASSES)
    with pytest.raises(UserError, match="a folder gives a file one class"):
        read_functions(tmp_path, groups=VDISC.labels)
    assert read_functions(tmp_path, groups=VDISC.labels, labels="optional")["label"].tolist() == [[-1] * 5] * 3


def test_what_is_no_source_file_is_left_out_and_counted(tmp_path, capsys):
    fill(tmp_path, *CLASSES, "benign/README.md", "benign/.hidden.ps1", ".git/x.ps1", "benign/.x/y.ps1", "benign/e.ps1")
    (tmp_path / "benign" / "e.ps1").write_bytes(b"\xff\xfe \0\n\0")
    (tmp_path / "benign" / "zeros.ps1").write_bytes(bytes(100))
    (tmp_path / "benign" / "binary.ps1").write_bytes(bytes(range(256)) * 9)
    (tmp_path / "benign" / "link.ps1").symlink_to(tmp_path / "malicious" / "a.ps1")
    (tmp_path / "again").symlink_to(tmp_path / "malicious")
    os.mkfifo(tmp_path / "pipe.ps1")
    frame = read(tmp_path)
    assert sorted(frame["path"]) == sorted(CLASSES)
    expected = {"hidden": 3, "no regular file, such as a link": 3, "empty": 2, "binary": 1, "with another ending": 1}
    assert frame.attrs[LEFT_OUT] == expected
    printed = capsys.readouterr().out
    assert all(f"{count} {reason}" in printed for reason, count in expected.items()) and printed.count("\n") == 1


def test_encodings_are_found_and_counted(tmp_path):
    fill(tmp_path, *CLASSES)
    text = "\u0444 = 'caf\u00e9'\r\n"
    contents = {
        "u8": text.encode(),
        "bom": b"\xef\xbb\xbf" + text.encode(),
        "u16": text.encode("utf-16"),
        "w": b"caf\xe9\r",
    }
    for name, content in contents.items():
        (tmp_path / "benign" / f"{name}.ps1").write_bytes(content)
    frame = read(tmp_path).set_index("path")["functionSource"]
    assert {frame[f"benign/{name}.ps1"] for name in ("u8", "bom", "u16")} == {"\u0444 = 'caf\u00e9'\n"}
    assert frame["benign/w.ps1"] == "caf\u00e9\n"
    counts = read(tmp_path).attrs[ENCODINGS]
    assert counts == {"utf-8": 4, "utf-8 with a mark": 1, "utf-16-le with a mark": 1, "windows-1252": 1}


@pytest.mark.parametrize("ending", [".txt", "", ".inc"])
def test_files_that_all_have_one_other_ending_are_sources(tmp_path, ending):
    paths = [f"malicious/a{ending}", f"benign/b{ending}"]
    assert labels_of(fill(tmp_path, *paths)) == dict(zip(paths, (1, 0)))


@pytest.mark.parametrize("paths", [["a.csv", "b.csv"], ["a.txt", "b.md"], [".a.c"], []])
def test_a_folder_without_sources_is_an_error(tmp_path, paths):
    with pytest.raises(UserError, match="no source file in this folder; expected .*endings found: "):
        read(fill(tmp_path, *paths))


def test_classes_take_turns_and_paths_are_in_order(tmp_path):
    clean = [f"benign/{n}.c" for n in range(6)]
    frame = read(fill(tmp_path, *clean, "malicious/b.c", "malicious/a.c"))
    assert frame["label"].tolist() == [0, 0, 1, 0, 0, 0, 1, 0]
    assert [path for path in frame["path"] if path in clean] == clean
    assert [path for path in frame["path"] if path not in clean] == ["malicious/a.c", "malicious/b.c"]


@pytest.mark.parametrize(
    "paths, projects",
    [
        (["bad/zlib/a.c", "good/zlib/b.c", "good/curl/src/c.c"], {"zlib", "curl"}),
        (["zlib/bad/a.c", "curl/good/b.c"], {"zlib", "curl"}),
        (["bad/src/a.c", "good/zlib/b.c"], None),
        (["bad/CWE-119/a.c", "good/CWE-20/b.c"], None),
        (["bad/zlib/a.c", "good/b.c"], None),
        (["bad/zlib/a.c", "good/zlib/b.c"], None),
    ],
)
def test_folders_beside_those_of_the_classes_are_projects(tmp_path, paths, projects):
    frame = read(fill(tmp_path, *paths))
    assert ("project" in frame) == (projects is not None)
    if projects:
        assert set(frame["project"]) == projects and frame.attrs["layout"].project == "project"


def test_names_that_are_not_utf8_stay_different(tmp_path):
    fill(tmp_path, *CLASSES, *("benign/" + os.fsdecode(name) for name in (b"caf\xe9.c", b"caf\xe8.c")))
    frame = read(tmp_path)
    assert {r"benign/caf\udce9.c", r"benign/caf\udce8.c"} <= set(frame["path"])


def test_the_same_folder_gives_the_same_rows(tmp_path):
    first, second = (fill(tmp_path / name, *paths) for name, paths in (("x", CLASSES), ("y", CLASSES[::-1])))
    assert read(first).equals(read(second))


def test_an_error_says_what_was_left_out(tmp_path):
    with pytest.raises(UserError, match="all of class 1; .*left out: 1 with another ending"):
        read(fill(tmp_path, "malicious/a.ps1", "benign/b.txt"))
