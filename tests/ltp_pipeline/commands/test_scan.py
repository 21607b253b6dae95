"""The command, from its flags to its reports and its exit status."""

import csv
import json

import pytest

from ltp_pipeline.commands import scan

CODE = (
    "int add(int a, int b)\n{\n    return a + b;\n}\n\nvoid copy(char *to, char *from)\n{\n    strcpy(to, from);\n}\n"
)


@pytest.fixture
def run(tmp_path, monkeypatch, capsys, pruned_checkpoint):
    """Runs the command in a folder with two functions; returns its exit status and what it printed."""
    (tmp_path / "a b.c").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)

    def run(*flags):
        common = [
            "--model_name_or_path",
            str(pruned_checkpoint),
            "--num_workers",
            "0",
            "--cache_dir",
            "cache",
            "--quiet",
        ]
        with pytest.raises(SystemExit) as end:
            scan.main([".", *common, *flags])
        return end.value.code, *capsys.readouterr()

    return run


def test_from_a_folder_to_reports_and_back_as_a_baseline(run, tmp_path):
    files = [word for name in ("sarif", "json", "csv", "html") for word in (f"--{name}", f"out.{name}")]
    status, printed, _ = run("--threshold", "0", *files)
    assert status == 1 and "\x1b" not in printed
    assert printed.splitlines()[-1].startswith("2 findings in 2 functions of 1 file; ")
    results = json.loads((tmp_path / "out.sarif").read_bytes())["runs"][0]["results"]
    findings = json.loads((tmp_path / "out.json").read_bytes())["findings"]
    with open("out.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == ["a b.c"] * 2 and (tmp_path / "out.html").stat().st_size > 1000
    assert [row["fingerprint"] for row in rows] == [finding["fingerprint"] for finding in findings]
    places = [result["locations"][0]["physicalLocation"] for result in results]
    assert [place["artifactLocation"]["uri"] for place in places] == ["a%20b.c"] * 2
    assert [place["contextRegion"]["startLine"] for place in places] == [finding["first_line"] for finding in findings]

    (tmp_path / "a b.c").write_text("\n\n" + CODE.replace("a + b", "a - b"))
    status, printed, _ = run("--threshold", "0", "--baseline", "out.sarif", "--no_color", "--show", "1")
    assert status == 1 and "add" in printed and "copy" not in printed
    assert printed.splitlines()[-1].startswith("1 new finding in 2 functions of 1 file, 1 in the baseline; ")
    highest = max(row["probability"] for row in rows)
    assert run("--threshold", "0", "--fail_on", "1")[0] == (float(highest) >= 1)


def test_nothing_found_and_a_report_on_standard_output(run):
    status, printed, errors = run("--threshold", "1", "--json", "/dev/stdout")
    assert status == 0 and "0 findings in 2 functions" in errors and "0 findings" not in printed


def test_nothing_can_be_scanned(run, tmp_path):
    (tmp_path / "a b.c").write_bytes(b"\x00\x01\x02binary")
    status, printed, _ = run()
    assert status == 2 and "not scanned, because of errors: 1\n  a b.c: " in printed


@pytest.mark.parametrize(
    ("words", "paths"),
    [
        ("a --top 3 b --quiet c", "a b c"),
        ("--top 3 -- --top -x.c", "--top -x.c"),
        ("a --top 3 -- -x.c", "a -x.c"),
        ("- --top 3", "-"),
        ("--include *.c --include *.h a --top 3", "a"),
    ],
)
def test_paths_may_stand_anywhere(words, paths):
    args = scan._parse(["--model_name_or_path", "m", *words.split()])
    assert args.PATH == paths.split() and args.top == 3


@pytest.mark.parametrize("words", ["--model_name_or_path m", "a", "a --model_name_or_path m --nope", "--top a"])
def test_wrong_command_lines_end_with_status_2(words, capsys):
    with pytest.raises(SystemExit) as end:
        scan.main(words.split())
    assert end.value.code == 2 and "error: " in capsys.readouterr().err


def test_help_names_every_flag(capsys):
    with pytest.raises(SystemExit):
        scan.main(["--help"])
    printed = capsys.readouterr().out
    assert all(action.help for action in scan.make_parser()._actions)
    assert "--sarif" in printed and "--baseline" in printed


def test_num_threads_reaches_pytorch_only_if_the_model_runs(run, monkeypatch):
    used = []
    monkeypatch.setattr("torch.set_num_threads", used.append)
    run("--threshold", "0", "--num_threads", "1")
    run("--threshold", "0", "--num_threads", "2")  # the cache knows the results
    assert used == [1]
