import pytest

from ltp_pipeline.base.errors import UserError, run_main


def _raise(error):
    def main():
        raise error

    return main


@pytest.mark.parametrize(
    "main, status, said",
    [
        (lambda: None, 0, ""),
        (_raise(UserError("--train_file x: no such file")), 2, "error: --train_file x: no such file\n"),
        (_raise(KeyboardInterrupt()), 130, "interrupted\n"),
    ],
)
def test_the_status_and_one_line_on_stderr(main, status, said, capsys):
    with pytest.raises(SystemExit) as end:
        run_main(main)
    assert end.value.code == status
    assert capsys.readouterr() == ("", said)


def test_a_bug_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        run_main(_raise(ZeroDivisionError()))


def test_an_error_shows_control_characters_and_does_not_obey_them(capsys):
    def main():
        raise UserError("columns found: a\x1b[2J\u202eb\x9b1m\ud800\n  row 2")

    with pytest.raises(SystemExit):
        run_main(main)
    assert capsys.readouterr().err == "error: columns found: a\\x1b[2J\\u202eb\\x9b1m\\ud800\n  row 2\n"


def test_the_middle_of_a_very_long_line_is_left_out(capsys):
    def main():
        raise UserError("--flag: " + "x" * 100_000 + "; expected less")

    with pytest.raises(SystemExit):
        run_main(main)
    shown = capsys.readouterr().err
    assert shown.startswith("error: --flag: xx") and shown.endswith("; expected less\n") and len(shown) < 4000
