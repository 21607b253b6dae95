import pytest

from ltp_pipeline.view.escapes import on_one_line, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J\x07", "\\x1b[2J\\x07"),
        ("\x9b31m\x7f\x00\r", "\\x9b31m\\x7f\\x00\\r"),
        ("\u202eab\u2066\u200b\ufeff", "\\u202eab\\u2066\\u200b\\ufeff"),
        ("\u2028\ud800", "\\u2028\\ud800"),
        ("a\n\té漢 $", "a\n\té漢 $"),
        ("a\xa0\u3000b\u3164\ufe0f\U000e0041", "a\\xa0\\u3000b\\u3164\\ufe0f\\U000e0041"),
    ],
)
def test_printable_escapes_what_acts_on_a_terminal_or_hides(text, shown):
    assert printable(text) == shown


def test_names_have_no_lines():
    assert on_one_line("a\n\tb\r") == "a\\n\\tb\\r"
