from dataclasses import replace

import numpy as np
import pytest

from ltp_pipeline.model.ranking_note import ranking_note
from ltp_pipeline.task.tasks import CODE
from ltp_pipeline.view.trace_page import html_page
from tests.ltp_pipeline.view.page_reader import Page, pieces
from tests.ltp_pipeline.view.traces import make_trace
from transformer_revised import LTPConfig
from transformer_revised.models.ltp.configuration_ltp import RANK_TEACHERS


def functions_of(*traces):
    return Page(html_page(list(traces), "t")).data["functions"]


def test_the_page_shows_the_table_of_layers_and_all_that_is_said_of_a_function():
    page = Page(
        html_page([make_trace(source='if (x < 1)\n\tputs("a");\n\nend();\nunread'), make_trace(name="b")], "ck")
    )
    assert page.text.count("Tokens kept, layer by layer") == 2 and "ck" in page.text
    assert page.data["layers"] == 3
    first, second = page.data["functions"]
    assert (first["name"], second["name"]) == ("test.csv row 7", "b")
    assert first["verdict"] == "predicted 1 (probability 0.875), label 1: right" and first["is_right"] is True
    assert first["code"] == 'if (x < 1)\n\tputs("a");\n\nend();\n'
    assert first["flaw_lines"] == [2]
    assert first["alive"] == [18, 8, 4, 2]
    assert [threshold for threshold, _ in first["layers"]] == ["0.1", "0.2", "0.3"]
    assert all(scores.startswith("0.01 / ") for _, scores in first["layers"])
    facts = "; ".join(first["facts"])
    for part in ("18 tokens, 2 kept by all layers", "flaw line 2: ", "the model did not read the last 6 characters"):
        assert part in facts


def test_the_list_has_a_row_for_each_function():
    page = Page(html_page([make_trace(), make_trace(label=None, name="two")], "t"))
    titles = [column["title"] for column in page.data["columns"]]
    assert titles == ["Function", "Predicted", "Probability", "Label", "Lines", "Tokens", "Kept"]
    assert [function["cells"] for function in page.data["functions"]] == [
        ["test.csv row 7", "1", 0.875, "1", 5, 18, 2],
        ["two", "1", 0.875, "", 5, 18, 2],
    ]


def test_tokens_carry_fate_and_scores():
    (function,) = functions_of(make_trace())
    tokens = function["tokens"]
    assert [tokens[place]["text"] for place in function["specials"]] == ["<s>", "</s>"]
    by_text = {token["text"]: token for token in tokens}
    assert by_text["puts"] == {
        "text": "puts",
        "tip": "puts  (token 9): kept\nlayer 1: score 0.9, threshold 0.1\nlayer 2: score 0.9, threshold 0.2\n"
        "layer 3: score 0.9, threshold 0.3",
        "kept": 3,
        "scores": [0.9, 0.9, 0.9],
    }
    assert (by_text["x"]["kept"], by_text["x"]["scores"]) == (1, [0.9, 0.01])
    assert by_text["x"]["tip"].splitlines()[0] == "x  (token 3): removed in layer 2"
    assert [text for text, token, _ in pieces(function) if token == 9] == ["puts"]


def test_a_character_of_several_tokens_belongs_to_the_one_that_is_kept_longest():
    offsets = np.array([(0, 0), (0, 1), (1, 2), (1, 2), (0, 0)])
    trace = replace(make_trace("aéé", ["a", "é", "é"], [0, 0, 3, 1, 0]), source="aé", offsets=offsets)
    assert [(text, token) for text, token, _ in pieces(functions_of(trace)[0])] == [("a", 1), ("é", 2)]


def test_lines_are_ranked_by_their_scores():
    page = Page(html_page([make_trace(line_scores=np.array([0.5, 2.00001, -np.inf, -1.0, -np.inf]))], "t"))
    assert page.data["functions"][0]["lines"] == [[2, 2.0], [1, 0.5]]
    assert page.data["ranked"] == "lines that speak most for class 1"


def test_layers_without_scores_and_tokens_without_layers():
    """A layer that does not prune has NaN for scores, and JSON has no NaN."""
    scores = np.where(np.arange(3)[:, None] == 0, np.nan, make_trace().scores)
    (function,) = functions_of(make_trace(scores=scores, thresholds=np.array([np.nan, 0.2, 0.3])))
    assert function["layers"][0] == ["nan", "none: this layer does not prune"]
    assert function["tokens"][9]["scores"] == [0, 0.9, 0.9]


@pytest.mark.parametrize("teacher", [None, *RANK_TEACHERS])
def test_how_the_ranking_was_taught_stands_before_the_list(teacher):
    note = ranking_note(LTPConfig(rank_teacher=teacher), CODE)
    page = Page(html_page([make_trace()] * 2, "t", note))
    assert page.attributes("p", "role")[0] == {"class": "note" if teacher else "note warning", "role": "note"}
    assert page.text.count(note) == 1
    assert page.text.index(note) < page.text.index("Search")
    assert "note" not in [one["role"] for one in Page(html_page([make_trace()], "t")).attributes("p", "role")]


def test_a_token_of_many_lines_makes_no_page_of_quadratic_size():
    """Each of its lines shows the token's text."""

    def size(lines):
        text = "\n" * lines
        trace = make_trace(text, [text], [3, 3, 3], offsets=np.array([(0, 0), (0, lines), (0, 0)]), flaw_lines=())
        return len(html_page([trace], "t"))

    small, large = size(1000), size(100_000)
    assert large < small + 4.5 * 99_000
