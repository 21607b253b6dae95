import pytest

from ltp_pipeline.base.errors import UserError, run_main


def _raise(error):
    def main():
        raise error

    return main


def test_success_exits_with_0():
    with pytest.raises(SystemExit) as end:
        run_main(lambda: None)
    assert end.value.code == 0


def test_user_error_is_one_line_on_stderr_and_status_2(capsys):
    with pytest.raises(SystemExit) as end:
        run_main(_raise(UserError("--train_file x: no such file")))
    assert end.value.code == 2
    assert capsys.readouterr() == ("", "error: --train_file x: no such file\n")


def test_interrupt_exits_with_130(capsys):
    with pytest.raises(SystemExit) as end:
        run_main(_raise(KeyboardInterrupt()))
    assert end.value.code == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_a_bug_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        run_main(_raise(ZeroDivisionError()))
