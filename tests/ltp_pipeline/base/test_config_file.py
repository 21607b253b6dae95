import json
from pathlib import Path

import pytest

from ltp_pipeline.base.config_file import typed_flags
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.parser import CommandParser


def _parser():
    parser = CommandParser(command="x.py", description="")
    add = parser.add_argument
    add("FILES", nargs="*")
    add("--lr", "--learning_rate", type=float)
    add("--mode", choices=("soft", "hard"))
    add("--when")
    add("--offset", type=float)
    add("--quiet", action="store_true")
    add("--include", action="append")
    add("--columns", nargs="+")
    add("--rows", nargs="*", type=int)
    add("--out", type=Path)
    return parser


def _parse(*words):
    return _parser().parse_args([str(word) for word in words])


@pytest.fixture
def file(tmp_path):
    def write(text, name="flags.yaml"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def test_values_are_the_words_that_one_would_type(file):
    text = (
        "lr: 1e-4\nmode: hard\nwhen: no\noffset: -0.5\nquiet: true\ninclude: [a, -b]\ncolumns: c\nrows: [1, 2]\n"
        "out: 2026-01-02  # a folder\n"
    )
    args = _parse("one", "--config", file(text), "two")
    assert (args.lr, args.mode, args.when, args.offset, args.quiet) == (1e-4, "hard", "no", -0.5, True)
    assert (args.include, args.columns, args.rows, args.out) == (["a", "-b"], ["c"], [1, 2], Path("2026-01-02"))
    assert args.FILES == ["one", "two"]


def test_yaml_and_json_mean_the_same(file):
    flags = {"lr": 1e-4, "rows": [1, 2], "quiet": True, "mode": None, "--when": "x"}
    as_yaml = "lr: 0.0001\nrows:\n- 1\n- 2\nquiet: yes\nmode:\nwhen: x\n"
    expected = _parse("--lr", "1e-4", "--rows", "1", "2", "--quiet", "--when", "x")
    assert _parse("--config", file(json.dumps(flags), "a.json")) == expected
    assert _parse(f"--config={file(as_yaml, 'a.yml')}") == expected


def test_typed_flags_replace_those_of_the_file_wherever_they_stand(file):
    path = file("lr: 1\ninclude: [a]\nquiet: false\ncolumns: [c]\n")
    for words in (["--lr", "2", "--include", "b"], ["--learning_rate=2", "--include=b"]):
        for line in (["--config", path, *words], [*words, "--config", path]):
            args = _parse(*line)
            assert (args.lr, args.include, args.quiet, args.columns) == (2.0, ["b"], False, ["c"])
    args = _parse("--config", path, "--", "--lr")
    assert (args.lr, args.FILES) == (1.0, ["--lr"])


@pytest.mark.parametrize(
    "text, says",
    [
        (
            "learning_rat: 1",
            "flags.yaml: learning_rat: .*x.py has no flag --learning_rat; did you mean learning_rate?",
        ),
        ("config: b.yaml", "config: .*has no flag --config"),
        ("help: true", "help: .*has no flag --help"),
        ("FILES: a", "FILES: .*has no flag --FILES"),
        ("lr: fast", "flags.yaml: --lr fast: expected a number"),
        ("lr: [1, 2]", r'lr: \["1", "2"\]: expected one value, not a list'),
        ("lr: {a: 1}", r'lr: {"a": "1"}: expected one value, not a mapping'),
        ("rows: [1, [2]]", r'rows: \["2"\]: expected a list of single values'),
        ("rows: [1, null]", "rows: null: expected a list of single values"),
        ("columns: []", "columns: expected at least one"),
        ("mode: sotf", "--mode sotf: expected one of soft, hard; did you mean soft?"),
        ("quiet: maybe", "quiet: maybe: expected true or false"),
        ("quiet: [true]", "quiet: .*expected true or false"),
        ("- a", "flags.yaml: expected one YAML object of flags, such as output_dir: code_test"),
        ("", "expected one YAML object"),
        ("a: [", "flags.yaml: cannot be read as YAML: .*line 1"),
        ("lr: 1\nmode: hard\nlr: 2", "flags.yaml: cannot be read as YAML: lr is there twice; expected each flag once"),
        ("lr: 1\nlearning_rate: 2", "flags.yaml: learning_rate: is the same flag as lr; expected one of them"),
        ("when: &x [*x]", "flags.yaml: cannot be read as YAML: Circular reference"),
        ("a: &x [*x]\nb: !!python/object:os.system x", "cannot be read as YAML"),
    ],
)
def test_what_the_file_may_not_hold(file, text, says):
    with pytest.raises(UserError, match=says):
        _parse("--config", file(text))


@pytest.mark.parametrize(
    "name, says",
    [
        ("none.yaml", "none.yaml: cannot be read: No such file"),
        ("", "--config : expected a file that ends with"),
        ("flags.toml", "--config .*flags.toml: expected a file that ends with .yaml, .yml, .json"),
    ],
)
def test_the_file_has_to_be_there_and_have_a_known_ending(tmp_path, name, says):
    with pytest.raises(UserError, match=says):
        _parse("--config", name and tmp_path / name)


def test_json_has_truth_values_only_for_flags_that_take_them(file):
    with pytest.raises(UserError, match="flags.json: when: false: expected a text or a number"):
        _parse("--config", file('{"when": false}', "flags.json"))


def test_a_key_of_json_may_not_be_there_twice(file):
    with pytest.raises(
        UserError, match="flags.json: cannot be read as JSON: lr is there twice; expected each flag once"
    ):
        _parse("--config", file('{"lr": 1, "when": "x", "lr": 2}', "flags.json"))


def test_a_byte_order_mark_and_the_names_of_one_flag_mean_nothing(file):
    assert _parse("--config", file('\ufeff{"lr": 2, "learning_rate": null}', "flags.json")).lr == 2.0
    assert _parse("--config", file("\ufefflr: 2\nlearning_rate:\n")).lr == 2.0


def test_one_file_only(file):
    with pytest.raises(UserError, match="--config is given twice"):
        _parse("--config", file("lr: 1"), "--config", file("lr: 2"))


def test_a_command_line_can_be_written_as_a_file(file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["--learning_rate=2", "--lr", "1e-4", "--offset", "-0.5", "--include", "a", "--include=b", "--quiet"]
    words += ["--columns", "a", "b", "--out", str(tmp_path / "x/y"), "--when", "/somewhere"]
    flags = typed_flags(words, _parser())
    assert flags == {
        "lr": "1e-4", "offset": "-0.5", "include": ["a", "b"], "quiet": True, "columns": ["a", "b"], "out": "x/y",
        "when": "/somewhere",
    }  # fmt: skip
    assert _parse("--config", file(json.dumps(flags), "flags.json")) == _parse(
        *words[:-4], "--out", "x/y", *words[-2:]
    )


def test_the_record_of_a_run_is_a_file_of_flags(file):
    path = file(json.dumps({"started": "now", "flags": {"lr": "1"}, "settings": {"--lr": 1.0}}), "run.json")
    assert _parse("--config", path).lr == 1.0
