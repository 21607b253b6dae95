import numpy as np

from ltp_pipeline.view.trace import source_lines
from tests.ltp_pipeline.view.traces import REMOVED_IN, make_trace


def test_a_trace_counts_tokens_and_says_so():
    trace = make_trace()
    assert trace.alive == [18, 8, 4, 2]
    assert trace.alive_until.tolist() == [(layer or 4) - 1 for layer in REMOVED_IN]
    assert trace.token_lines.tolist() == [0, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 4, 4, 4, 0]
    assert trace.describe_kept() == "18 tokens, 2 kept by all layers (11.1%)"
    assert trace.describe_special_tokens() == "<s> kept, </s> removed in layer 2"
    findings = "flaw line 2: 1 of 6 tokens (16.7%) kept; other lines: 0 of 10 tokens (0.0%)"
    assert trace.describe_flaws() == findings
    assert trace.verdict() == "predicted 1 (probability 0.875), label 1: right"
    assert trace.layers()[1] == (4, 4, 4 / 18, 0.2, "0.01 / 0.46 / 0.9")


def test_the_decision_threshold_makes_the_prediction():
    trace = make_trace(decision_threshold=0.9)
    assert trace.prediction == 0 and not trace.is_right
    assert trace.verdict() == "predicted 0 (probability 0.125), label 1: WRONG"


def test_flaw_lines():
    trace = make_trace("a\n" * 30, ["a"] * 30, [0] * 32, flaw_lines=tuple(range(1, 31)))
    assert trace.describe_flaws().startswith("flaw lines 1, 2, 3, 4, 5, 6, 7, 8 and 22 more: 30 of 30 tokens")
    trace = make_trace("a;\nb;\n", ["a", ";"], [0, 0, 1, 0], flaw_lines=(2,))
    assert trace.describe_flaws() == "flaw line 2: not read by the model"
    assert make_trace(flaw_lines=()).describe_flaws() == ""


def test_line_scores():
    trace = make_trace(line_scores=np.array([-1.0, 2.0, -np.inf, 4.0, -np.inf]))
    assert trace.describe_lines() == "lines that speak most for class 1: 4 (4), 2 (2)"
    assert [trace.line_shade(line) for line in range(1, 6)] == [0, 0.5, 0, 1, 0]
    assert trace.as_json()["line_scores"] == [-1, 2, None, 4, None]
    for scores in (None, np.array([-1.0, -np.inf, -2.0, 0.0, -np.inf])):
        trace = make_trace(line_scores=scores)
        assert trace.describe_lines() == "" and not any(map(trace.line_shade, range(1, 6)))


def test_parts_that_were_not_read():
    trace = make_trace("a...b..", ["a", "b"], [0] * 4, unread=((1, 4),))
    assert trace.describe_unread() == [
        "the model did not read characters 2 to 4",
        "the model did not read the last 2 characters",
    ]
    (first,) = make_trace("...b\n", ["b"], [0] * 3, unread=((0, 3),)).describe_unread()
    assert first == "the model did not read the first 3 characters"


def test_source_lines_lay_the_source_out_as_written():
    lines = source_lines(make_trace())
    assert ["".join(text for text, _ in line).rstrip("\n") for line in lines] == [
        "if (x < 1)",
        '    puts("a");',
        "",
        "end();",
    ]
    assert lines[0][:4] == [("if", 1), (" ", None), ("(", 2), ("x", 3)]
    assert lines[0][-1] == ("\n", 7) and lines[1][0] == ("    ", 8) and lines[2] == [("\n", 13)]


def test_a_shared_character_goes_to_the_token_that_is_alive_longest():
    trace = make_trace(
        "漢",
        [],
        [0, 1, 3, 2, 0],
        offsets=np.array([(0, 0), (0, 1), (0, 1), (0, 1), (0, 0)]),
        is_text=np.array([False, True, True, True, False]),
    )
    assert source_lines(trace) == [[("漢", 2)]]


def test_windows_line_ends_are_not_escaped_and_a_lone_carriage_return_is():
    trace = make_trace("a;\r\nb\rc", ["a", ";", "\r\n", "b", "\r", "c"], [0] * 8)
    assert ["".join(text for text, _ in line).rstrip() for line in source_lines(trace)] == ["a;", "b\\rc"]
