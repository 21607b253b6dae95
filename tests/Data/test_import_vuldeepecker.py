"""Importing a small tree in the layout of VulDeePecker's CVE folders."""

import difflib
import json

import pandas as pd
import pytest

from Data.ground_truth.fixes.cve_folders import diff_of, split_name
from Data.ground_truth.fixes.unified_diffs import FileDiff
from Data.import_vuldeepecker import main
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.data.readers import read_functions
from ltp_pipeline.files.layouts import flaw_lines_of, pairs_of

WORDS = ("alpha", "beta", "gamma", "delta", "eps", "zeta", "eta")


def function(name):
    """A function whose tokens are unlike those of all others."""
    return f"int {name}(int n)\n{{\n" + "".join(f"    {name}_{word}(n);\n" for word in WORDS) + "    return 0;\n}\n"


def patched(text, *changes):
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return text


def cve(tree, cwe, name, files, extra=""):
    """A folder: `files` maps the name of a source file to its path in the diff, its text and its changes."""
    folder = tree / cwe / "source_files" / name
    folder.mkdir(parents=True)
    diff = ""
    for file, (path, content, *changes) in files.items():
        (folder / file).write_bytes(content if isinstance(content, bytes) else content.encode())
        old = content.decode("latin-1").replace("\r\n", "\n") if isinstance(content, bytes) else content
        new = patched(old, *changes)
        lines = difflib.unified_diff(old.split("\n"), new.split("\n"), f"a/{path}", f"b/{path}", lineterm="")
        diff += "\n".join(lines) + "\n"
    (folder / f"{name}.txt").write_text(diff + extra)
    return folder


@pytest.fixture
def tree(tmp_path):
    """Four projects with functions pX and qX; the fix changes pX, and qX only in the folders that say so."""
    tree = tmp_path / "VulDeePecker"
    (tree / "CWE-399" / "source_files" / "100135").mkdir(parents=True)  # a synthetic case
    (tree / "CWE-399" / "source_files" / "100135" / "bad.c").write_text(function("synthetic"))
    (tree / "CWE-399" / "source_files" / "CVE-2010-0009").mkdir()
    cve(tree, "CWE-399", "CVE-2010-0008", {}, "--- a/x.c\n+++ b/x.c\n@@ -1 +1 @@\n-a\n+b\n")
    for project in ("Firefox_3.6", "linux_kernel_2.6.26", "qemu_1.0", "vlc_media_player_2.0.1"):
        name = project[:3].lower()
        text = f"{function(f'p{name}')}\n{function(f'q{name}')}"
        change = (f"    p{name}_beta(n);\n", "")
        files = {f"{project}_CVE_2010_1_src_{name}.c": (f"src/{name}.c", text, change)}
        cve(tree, "CWE-119", f"CVE-2010-1-{name}", files)
    return tree


def imported(tree, tmp_path, *flags):
    """The rows of all tables, with the table as a column, and the counts."""
    main(["--source", str(tree), "--output_dir", str(tmp_path / "out"), *flags])
    names = ("train_subset", "validation", "test")
    frames = [read_functions(tmp_path / "out" / f"{name}.csv").assign(table=name) for name in names]
    rows = pd.concat(frames).astype(object).fillna("")
    rows["name"] = rows["functionSource"].str.extract(r"(\w+)\(")
    return rows, json.loads((tmp_path / "out" / "import.json").read_text())["counts"]


def test_labels_lines_pairs_and_splits_by_project(tree, tmp_path):
    rows, counts = imported(tree, tmp_path)
    assert (counts["CVE_folders"], counts["CVE_folders_with_source_files"], counts["source_files"]) == (6, 4, 4)
    assert sorted(zip(rows["name"], rows["label"])) == sorted(
        [(f"p{name}", label) for name in ("fir", "lin", "qem", "vlc") for label in (0, 1)]
        + [(f"q{name}", 0) for name in ("fir", "lin", "qem", "vlc")]
    )
    assert set(rows["project"]) == {"firefox", "linux", "qemu", "vlc"}
    assert (rows.groupby("project")["table"].nunique() == 1).all() and rows["table"].nunique() == 3
    bad = rows[rows["label"] == 1]
    assert set(bad["cwes"]) == {"CWE-119"} and set(rows.loc[rows["label"] == 0, "cwes"]) == {""}
    assert set(bad["id"]) == {"CVE-2010-1"}
    assert set(bad["first_line"].astype(int)) == {1} and (bad["pair"] != "").all()
    for pair in bad["pair"]:
        broken, fixed = (rows[(rows["pair"] == pair) & (rows["label"] == label)].iloc[0] for label in (1, 0))
        assert broken["functionSource"].replace(f"    {broken['name']}_beta(n);\n", "") == fixed["functionSource"]
        assert broken["path"] == fixed["path"] and (tree / broken["path"]).is_file()
    frame = read_functions(tmp_path / "out" / "test.csv")  # 4: the line that the fix deletes
    assert {lines for lines in flaw_lines_of(frame) if lines} == {(4,)} and (pairs_of(frame) != "").sum() >= 2


def test_one_function_in_the_folders_of_several_cves(tree, tmp_path):
    text = f"{function('a')}\n{function('b')}"
    fix_a, fix_b = ("    a_beta(n);", "    check(n);"), ("    b_eta(n);\n", "    b_eta(n);\n    check(n);\n")
    cve(tree, "CWE-119", "CVE-2011-0001", {"qemu_1.1_CVE-2011-0001_a.c": ("hw/a.c", text, fix_a)})
    cve(tree, "CWE-399", "CVE-2011-0001", {"qemu_1.1_CVE-2011-0001_a.c": ("hw/a.c", text, fix_a)})
    cve(tree, "CWE-399", "CVE-2011-0002", {"qemu_1.2_CVE-2011-0002_a.c": ("hw/a.c", text, fix_b)})
    later = text.replace("a_alpha(n)", "a_alpha(n, n)")  # the same function, but for a token, with another fix in b
    cve(tree, "CWE-399", "CVE-2011-0003", {"qemu_1.3_CVE-2011-0003_a.c": ("hw/a.c", later, ("b_beta(n)", "b_beta()"))})
    half = patched(text, fix_a)  # what the first fix leaves behind has another defect
    again = ("    check(n);", "    checked(n);")
    cve(tree, "CWE-399", "CVE-2011-0004", {"qemu_1.4_CVE-2011-0004_a.c": ("hw/a.c", half, again)})
    rows, counts = imported(tree, tmp_path)
    found = rows[rows["name"].isin(["a", "b"]) & (rows["label"] == 1)].set_index("id")
    assert sorted(found.index) == ["CVE-2011-0001", "CVE-2011-0002 CVE-2011-0003", "CVE-2011-0004"]
    assert found.loc["CVE-2011-0001", "cwes"] == "CWE-119 CWE-399" and found.loc["CVE-2011-0001", "pair"] == ""
    assert found.loc["CVE-2011-0002 CVE-2011-0003", "flaw_lines"] == "4 9"  # the lines of both fixes
    assert found.loc["CVE-2011-0004", "pair"] != ""
    assert counts["fixed_forms_left_out_because_another_fix_changes_them"] == 2
    assert counts["other_functions_left_out_because_another_fix_changes_them"] == 4  # b twice before, a and b after
    assert counts["other_functions_left_out_because_another_fix_changes_nearly_the_same"] == 1
    assert counts["with_both_labels"] == 0 and len(rows) == len(rows.drop_duplicates("functionSource"))


def test_files_of_all_sorts(tree, tmp_path):
    crlf = function("crlf").replace("\n", "\r\n").encode()
    latin = function("latin").replace("n)\n{", "n) /* \xe9 */\n{").encode("latin-1")
    files = {
        "Xen_4.1_CVE_2012_1_dos.c": ("xen/dos.c", crlf, ("crlf_beta(n)", "crlf_beta(1)")),
        "Xen_4.1_CVE_2012_1_latin.c": ("xen/latin.c", latin, ("latin_eta(n)", "latin_eta(1)")),
        "Xen_4.1_CVE_2012_1_types.h": ("xen/types.h", "typedef int t;\n", ("int", "long")),  # holds no function
        "Xen_4.1_CVE_2012_1_README": ("xen/README", "text\n", ("text", "more")),
        "Xen_4.1_CVE_2012_1_renamed.cpp": ("xen/renamed.c", function("renamed"), ("renamed_eta(n)", "renamed_eta()")),
    }
    new = "--- /dev/null\n+++ b/xen/new.c\n@@ -0,0 +1 @@\n+int new;\n"
    new += "--- a/xen/gone.c\n+++ /dev/null\n@@ -1 +0,0 @@\n-int gone;\n"
    folder = cve(tree, "CWE-119", "CVE-2012-1", files, new)
    (folder / "Xen_4.1_CVE_2012_1_elsewhere.c").write_text(function("elsewhere"))  # not in the diff
    (folder / "CVE-2012-1.txt").rename(folder / "CVE-2012-10.txt")  # as in some folders
    other = {"Xen_4.2_CVE_2012_2_other.c": ("xen/other.c", function("other").replace("_beta", "_b"), ("_b", "_c"))}
    folder = cve(tree, "CWE-119", "CVE-2012-2", other)
    (folder / "Xen_4.2_CVE_2012_2_other.c").write_text(function("other").replace("(n)", "(m)"))  # another version
    rows, counts = imported(tree, tmp_path)
    xen = rows[rows["project"] == "xen"]
    assert sorted(zip(xen["name"], xen["label"])) == [(n, v) for n in ("crlf", "latin", "renamed") for v in (0, 1)]
    assert "\r" not in "".join(xen["functionSource"]) and "\xe9" in "".join(xen["functionSource"])
    assert counts["files_that_are_not_C_or_C++"] == counts["files_that_are_not_in_the_diff"] == 1
    assert counts["hunks_not_found"] == counts["functions_left_out_because_a_hunk_not_found_may_be_theirs"] == 1


@pytest.mark.parametrize(
    ("name", "project", "path"),
    [
        ("Firefox_40.0b9_CVE_2015_4517_dom_wifi_WifiUtils.cpp", "firefox", "dom_wifi_WifiUtils.cpp"),
        ("Firefox_10.0esr_CVE_2014_1553_media_x.c", "firefox", "media_x.c"),
        ("linux_kernel_2.6.9_CVE_2005_3784_kernel_signal.c", "linux", "kernel_signal.c"),
        ("Linux_kernel_3.4_CVE_2012_3400_fs_udf_super.c", "linux", "fs_udf_super.c"),
        ("Apache http server_2.4.9_CVE-2014-3523_child.c", "httpd", "child.c"),
        ("freetype_2.5.2_CVE-2014-9663_ttcmap.c", "freetype", "ttcmap.c"),
        ("vlc_media_player_0.9.9_CVE-2011-2588_libavi.c", "vlc", "libavi.c"),
        ("name_of_no_such_form.c", "", "name_of_no_such_form.c"),
    ],
)
def test_project_and_path_of_a_source_file(name, project, path):
    assert split_name(name) == (project, path)


def test_the_diff_of_a_source_file():
    paths = ("a/js/src/jsobj.h", "a/js/src/jsobj.cpp", "a/js/src/xpc/jsobj.cpp", "a/ssl/t1_lib.c", "", "b.c")
    diffs = [FileDiff(path, ()) for path in paths]
    for inner, path in (
        ("js_src_jsobj.cpp", "a/js/src/jsobj.cpp"),
        ("js_src_xpc_jsobj.cpp", "a/js/src/xpc/jsobj.cpp"),
        ("js_src_jsobj.h", "a/js/src/jsobj.h"),
        ("js_src_jsobj.c", "a/js/src/jsobj.cpp"),
        ("t1_lib.c", "a/ssl/t1_lib.c"),
        ("b.c", "b.c"),
    ):
        assert diff_of(inner, diffs).path == path
    for inner in ("bj.cpp", "jsobj2.cpp", "lib.c", ""):
        assert diff_of(inner, diffs) is None


def test_what_is_no_clone(tree, tmp_path):
    flags = ["--output_dir", str(tmp_path / "out")]
    with pytest.raises(UserError, match="--source .*: holds no CWE-119/source_files"):
        main(["--source", str(tree / "CWE-119"), *flags])
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n"
    cve(tree, "CWE-119", "CVE-2013-1", {"qemu_1_CVE_2013_1_a.c": ("a.c", pointer)})
    with pytest.raises(UserError, match="--source.*qemu_1_CVE_2013_1_a.c: this is a Git LFS pointer"):
        main(["--source", str(tree), *flags])
    assert not list((tmp_path / "out").glob("*"))
