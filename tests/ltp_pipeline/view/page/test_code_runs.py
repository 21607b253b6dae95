import time

import pytest

from ltp_pipeline.code.languages import LANGUAGES
from ltp_pipeline.view.page.code_runs import code_runs
from tests.ltp_pipeline.view.page_reader import pieces

C = LANGUAGES["c"]


def pieces_of(text, tokens, language=C):
    code, runs = code_runs(text, tokens, language)
    return pieces({"code": code, "runs": " ".join(map(str, runs))})


def test_runs_join_characters_of_the_same_token_and_syntax():
    assert pieces_of("int x = 1; // a", [(0, 3, 4), (4, 5, 4), (8, 15, 0)]) == [
        ("int", 4, 4),
        (" ", -1, 0),
        ("x", 4, 0),
        (" = ", -1, 0),
        ("1", 0, 3),
        ("; ", 0, 0),
        ("// a", 0, 1),
    ]


def test_a_character_belongs_to_the_last_of_its_tokens():
    assert pieces_of("ab", [(0, 2, 1), (1, 2, 5)]) == [("a", 1, 0), ("b", 5, 0)]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\u202eb", [("a", -1), ("\\u202eb", 0)]),
        ("a\U0001f600b", [("a", -1), ("\U0001f600b", 0)]),  # two UTF-16 code units
        ("a\U000e0041b", [("a", -1), ("\\U000e0041b", 0)]),
        ("a\ud800b", [("a", -1), ("\\ud800b", 0)]),
        ("a\r\n", [("a", -1), (" \n", 0)]),
        ("a\r;", [("a", -1), ("\\r;", 0)]),
        ("a\t\n", [("a", -1), ("\t\n", 0)]),
    ],
)
def test_offsets_count_characters_of_the_text_and_runs_code_units_of_what_is_shown(text, shown):
    assert [(text, token) for text, token, _ in pieces_of(text, [(1, 3, 0)])] == shown


def test_texts_without_anything():
    assert code_runs("", [], C) == ("", [])
    assert code_runs("", [(0, 0, 1)], C) == ("", [])


def test_time_is_linear():
    def seconds(text):
        start = time.process_time()
        code_runs(text, ((i, i + 1, i % 7) for i in range(len(text))), C)
        return time.process_time() - start

    for part in ("\n", "a ", "\u202e", '"', "/*", "#", "0x"):
        small, large = seconds(part * 5_000), seconds(part * 40_000)
        assert large < 25 * max(small, 0.01), part
