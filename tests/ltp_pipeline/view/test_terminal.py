import re

from ltp_pipeline.view.escapes import printable
from ltp_pipeline.view.terminal import TerminalView
from tests.ltp_pipeline.view.traces import REMOVED_IN, make_trace


def test_plain_text_shows_a_view_of_each_layer_with_dots_for_removed_tokens():
    text = TerminalView(color=False).function(make_trace())
    assert "\x1b" not in text
    note = "       (lines 3-4: no token alive)"
    assert [view.splitlines() for view in text.split("  after layer ")[1:]] == [
        ["1: 8 of 18 tokens alive", "    1 | ·· ·x < ··", '>   2 |     puts("a···', "    3 | ", "    4 | end···"],
        ["2: 4 of 18 tokens alive", "    1 | ·· ·· < ··", ">   2 |     puts··a···", note],
        ["3: 2 of 18 tokens alive", "    1 | ·· ·· · ··", ">   2 |     puts······", note],
    ]


def test_the_table_has_a_line_for_each_layer():
    _, *lines = TerminalView(color=False).table(make_trace()).splitlines()
    assert [re.sub("[█░]", "", line).split() for line in lines] == [
        ["1", "8", "10", "0.1", "0.01", "/", "0.01", "/", "0.9"],
        ["2", "4", "4", "0.2", "0.01", "/", "0.46", "/", "0.9"],
        ["3", "2", "2", "0.3", "0.01", "/", "0.46", "/", "0.9"],
    ]
    assert [line.count("█") for line in lines] == [11, 5, 3]


def test_a_layer_that_removes_nothing_has_no_view():
    text = TerminalView(color=False).function(make_trace(removed_in=[layer and 2 for layer in REMOVED_IN]))
    assert re.findall("after layer .*", text) == ["after layer 2: 2 of 18 tokens alive"]


def test_colours_show_the_layer_that_removes_a_token():
    view = TerminalView(color=True)
    overview = view.overview(make_trace())
    assert "\x1b[1;38;5;16;48;5;220mputs\x1b[0m" in overview
    assert "\x1b[38;5;245mif\x1b[0m \x1b[38;5;245m(\x1b[0m\x1b[38;5;71mx\x1b[0m" in overview
    assert "\x1b[38;5;161m<\x1b[0m" in overview
    assert "\x1b[2;9mif\x1b[0m \x1b[2;9m(\x1b[0m\x1b[31;9mx\x1b[0m < " in view.layer(make_trace(), 1)
    assert TerminalView(color=False).overview(make_trace()) == ""


def test_control_characters_of_source_name_and_tokens_are_escaped():
    source = "a\x1b[2J\u202eb\x07"
    trace = make_trace(source, ["a", "\x1b[2J", "\u202eb", "\x07"], [0, 0, 1, 2, 0, 1], name="x\x1b]0;t\x07.csv row 1")
    trace.tokens[0] = "<s\x1b>"
    text = TerminalView(color=True).function(trace)
    assert "a\x1b[31;9m\\x1b[2J\x1b[0m\\u202eb" in text and "x\\x1b]0;t\\x07.csv row 1" in text
    without_colours = re.sub(r"\x1b\[[\d;]*m", "", text)
    assert printable(without_colours) == without_colours


def test_max_lines_bounds_each_view():
    source = "".join(f"a{i};\n" for i in range(50))
    words = [word for i in range(50) for word in (f"a{i}", ";\n")]
    trace = make_trace(source + "unread", words, [0] + [0, 1] * 50 + [0], flaw_lines=())
    _, *lines = TerminalView(color=False, max_lines=10).layer(trace, 0).splitlines()
    assert lines[:2] == ["    1 | a0·", "    2 | a1·"]
    assert lines[10:] == [
        "       (more lines: 40; --max_lines 0 prints all)",
        "       (the model did not read the last 6 characters)",
    ]
    assert len(TerminalView(color=False).layer(trace, 0).splitlines()) == 1 + 50 + 1


def test_a_name_cannot_write_lines_of_its_own():
    text = TerminalView(color=False).function(make_trace(name="a.csv row 1\n  0 tokens"))
    assert text.split("\n")[0].startswith("== a.csv row 1\\n  0 tokens ==  predicted 1")
