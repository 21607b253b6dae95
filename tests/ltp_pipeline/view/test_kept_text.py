import numpy as np
import pytest

from ltp_pipeline.view.encode import FunctionTokens, encode, joined
from ltp_pipeline.view.kept_text import kept_text, kept_texts
from tests.ltp_pipeline.view.traces import offsets_of
from tests.pruned_checkpoint import FUNCTIONS, make_tokenizer

CALL = "strcpy(buf, argv[1]);"
CALL_WORDS = ["str", "cpy", "(", "buf", ",", "argv", "[", "1", "]", ")", ";"]


def by_word(source: str, words: list[str]) -> FunctionTokens:
    """One token for each of `words`, in order, between `<s>` and `</s>`."""
    is_text = np.array([False, *[True] * len(words), False])
    return FunctionTokens(np.zeros(len(is_text), dtype=np.int32), offsets_of(source, words), is_text)


@pytest.mark.parametrize(
    ("removed", "expected"),
    [
        ([], CALL),
        (["(", "[", "]"], "strcpy buf, argv 1 );"),
        (["str"], "cpy(buf, argv[1]);"),
        (["cpy", "(", "buf"], "str , argv[1]);"),
        ([",", "argv", "[", "1", "]", ")"], "strcpy(buf ;"),
        (CALL_WORDS, ""),
    ],
)
def test_neighbours_stay_as_written_and_gaps_become_one_space(removed, expected):
    kept = np.array([True, *(word not in removed for word in CALL_WORDS), True])
    assert kept_text(CALL, by_word(CALL, CALL_WORDS), kept) == expected


def test_line_breaks_between_kept_tokens_stay():
    source = "a;\r\n\t  b;\n"
    function = by_word(source, ["a", ";", "\r\n", "\t", "b", ";", "\n"])
    kept = np.array([False, True, True, True, True, True, False, True, False])
    assert kept_text(source, function, kept) == "a;\r\n\t  b \n"


@pytest.mark.parametrize("trim_offsets", [True, False])
def test_with_every_token_kept_the_text_is_the_source(trim_offsets):
    sources = [*FUNCTIONS[:5], "vector<s> v;"]
    for source, function in zip(sources, encode(sources, make_tokenizer(trim_offsets), 512), strict=True):
        assert kept_text(source, function, np.ones(len(function), dtype=bool)) == source


@pytest.mark.parametrize("trim_offsets", [True, False])
def test_the_text_does_not_depend_on_whether_offsets_include_white_space(trim_offsets):
    source = "int  n = x;"
    (function,) = encode([source], make_tokenizer(trim_offsets), 512)
    kept = np.array([source[slice(*span)].strip() != "=" for span in function.offsets])
    assert kept_text(source, function, kept) == "int  n x;"


@pytest.mark.parametrize("kept", ["0010100", "0000100", "0011100"])
def test_a_character_of_several_tokens_is_written_once(kept):
    (function,) = encode(["a漢b"], make_tokenizer(), 512)
    assert kept_text("a漢b", function, np.array(list(kept)) == "1") == "漢"


@pytest.mark.parametrize("trim_offsets", [True, False])
def test_a_pair_gives_two_texts(trim_offsets):
    pair = ("int a = 漢;", " char b ;")
    (function,) = encode([pair], make_tokenizer(trim_offsets), 512)
    words = [joined(pair)[slice(*span)].strip() for span in function.offsets]
    assert kept_texts(pair, function, np.ones(len(function), dtype=bool)) == list(pair)
    assert kept_texts(pair, function, np.array([word not in ("a", "b") for word in words])) == ["int = 漢;", " char ;"]
    assert kept_texts(pair, function, ~function.is_second) == ["int a = 漢;", ""]
