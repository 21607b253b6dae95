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
