import pytest

from ltp_pipeline.base.display_width import columns, cut, cut_begin
from ltp_pipeline.base.files import format_table


@pytest.mark.parametrize("text, width", [("", 0), ("abc", 3), ("漢字", 4), ("e\u0301", 1), ("ﾊﾝ", 2), ("🙂!", 3)])
def test_columns(text, width):
    assert columns(text) == width


def test_texts_are_cut_where_they_do_not_fit():
    assert cut("abcdef", 6) == cut_begin("abcdef", 6) == "abcdef"
    assert cut("abcdefg", 6) == "abc..."
    assert cut_begin("abcdefg", 6) == "...efg"
    assert cut("漢字漢字", 7) == "漢字..." and cut("漢字漢字", 6) == "漢..."
    assert columns(cut("漢" * 99, 8)) <= 8
    assert cut("x" * 10**6, 5) == "xx..."


def test_tables_with_wide_characters_are_aligned():
    table = format_table([{"a": "漢", "b": "x"}, {"a": "abcd", "b": "y"}])
    assert table.splitlines() == ["a     b", "----  -", "漢    x", "abcd  y"]
