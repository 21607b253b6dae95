import pytest

from ltp_pipeline.base.parser import CommandParser, metavar, split_examples
from ltp_pipeline.base.suggestions import spellings


def _parser():
    parser = CommandParser(command="-m something", description="What it does.\n\n    python -m something 1")
    parser.add_argument("FILES", nargs="*")
    parser.add_argument("--count", type=int, default=3, help="how many, in % of all")
    parser.add_argument("--limit", type=float, default=0.0, help="the limit")
    parser.add_argument("--mode", choices=("soft", "hard"))
    parser.add_argument("--quiet", action="store_true")
    return parser


@pytest.mark.parametrize(
    "words, message",
    [
        ("--cuont 1", "unrecognized argument --cuont; did you mean --count?"),
        ("--cou=1", "unrecognized argument --cou; did you mean --count?"),
        ("--zzz", "unrecognized argument --zzz"),
        ("--mode sotf", "--mode sotf: expected one of soft, hard; did you mean soft?"),
        ("--mode medium", "--mode medium: expected one of soft, hard"),
        ("--count x", "--count x: expected a whole number"),
        ("--count", "--count: expected one argument"),
        ("--quiet=1", "--quiet: ignored explicit argument '1'"),
        ("--a --b", "unrecognized argument --a\nerror: unrecognized argument --b"),
        ("--print_completion fish", "--print_completion fish: expected one of bash, zsh, tcsh"),
        ("--config", "--config: expected one argument"),
    ],
)
def test_an_error_takes_two_lines_and_names_the_nearest_flag(words, message, capsys):
    with pytest.raises(SystemExit) as end:
        _parser().parse_args(words.split())
    assert end.value.code == 2
    assert capsys.readouterr().err == f"error: {message}\npython -m something --help lists the flags\n"


def test_a_misspelt_flag_is_named_before_a_missing_one(capsys):
    parser = _parser()
    parser.add_argument("--restore", required=True)
    for words, says in ((["--cuont", "1"], "--cuont"), ([], "the following arguments are required: --restore")):
        with pytest.raises(SystemExit):
            parser.parse_args(words)
        assert says in capsys.readouterr().err


def test_what_looks_like_a_flag_after_two_dashes_is_none():
    args = _parser().parse_args(["--count", "1", "--", "--cuont"])
    assert (args.count, args.FILES) == (1, ["--cuont"])


@pytest.mark.parametrize("columns, longest", [(200, 100), (80, 80), (20, 80)])
def test_help_is_80_to_100_columns_wide_and_ends_with_examples(columns, longest, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", str(columns))
    with pytest.raises(SystemExit) as end:
        _parser().parse_args(["--help"])
    shown = capsys.readouterr().out
    assert end.value.code == 0
    assert shown.startswith("usage: python -m something [FILES ...] FLAGS\n\nWhat it does.\n")
    assert shown.endswith("\nexamples:\n    python -m something 1\n")
    assert "--count N" in shown and "how many, in % of all (default: 3)" in shown
    assert "the limit (default: 0.0)" in shown and "default: False" not in shown
    assert max(map(len, shown.splitlines())) <= longest
    assert shown.index("--quiet") < shown.index("this command:") < shown.index("--print_completion {bash,zsh,tcsh}")


def test_the_version_is_that_of_the_project(capsys):
    from ltp_pipeline import __version__

    with pytest.raises(SystemExit) as end:
        _parser().parse_args(["--version"])
    assert (end.value.code, capsys.readouterr().out) == (0, f"python -m something {__version__}\n")


def test_paragraphs_that_are_indented_are_examples():
    assert split_examples("One.\n\n  a \\\n      b\n\nTwo.\n\n  c") == ("One.\n\nTwo.", "  a \\\n      b\n  c")


def test_a_flag_has_one_spelling_in_help_texts():
    parser = _parser()
    action = parser.add_argument("--a_b", "--a-b", "--c-d", "--e", "--e_f", type=float)
    assert spellings(action) == ["--a_b", "--c-d", "--e", "--e_f"]
    assert metavar(action) == "X"
    assert metavar(parser.add_argument("--some_file", nargs="+")) == "FILE ..."
    assert metavar(parser.add_argument("--flag", nargs="?", const=True)) == ""
    assert metavar(parser.add_argument("--long", choices=[f"choice_{n}" for n in range(20)])) == "NAME"
