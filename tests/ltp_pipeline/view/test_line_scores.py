"""Scores of lines: which lines a token counts for, windows, unread lines, batches and processes."""

import numpy as np
import pytest

from ltp_pipeline.data.truncation import Truncation
from ltp_pipeline.view import line_scores as module
from ltp_pipeline.view import token_batches
from ltp_pipeline.view.encode import FunctionTokens, encode, encode_windows
from ltp_pipeline.view.line_scores import function_scores, line_maxima, line_scores, lines_of_tokens
from tests.ltp_pipeline.view.traces import offsets_of
from tests.pruned_checkpoint import FUNCTIONS, MAX_LENGTH, make_tokenizer

LONG = "\n".join(f"  x{i} = y[{i}] + {i * 7};" for i in range(40)) + "\n"


def tokens_of(source, words):
    offsets = offsets_of(source, words)
    return FunctionTokens(np.arange(len(offsets)), offsets, np.array([False, *[True] * len(words), False]))


@pytest.mark.parametrize(
    ("source", "words", "expected"),
    [
        ("a b\nc", ["a", " b", "\n", "c"], [(1, 0), (2, 0), (4, 1)]),
        ("a\n\n b", ["a", "\n\n", " b"], [(1, 0), (3, 2)]),
        ("a\r\nb\r\n", ["a", "\r\n", "b", "\r\n"], [(1, 0), (3, 1)]),
        ("a;\n  b;\n", ["a", ";\n  b", ";\n"], [(1, 0), (2, 0), (2, 1), (3, 1)]),
        ("'x\n\n \ny'", ["'x\n\n \ny'"], [(1, 0), (1, 3)]),
        ("\n\na", ["\n", "\na"], [(2, 2)]),
        ("漢é\n𝒳", ["漢", "漢é", "\n𝒳"], None),
        ("\n", ["\n"], []),
        ("", [], []),
    ],
)
def test_lines_of_tokens(source, words, expected):
    if expected is None:  # two tokens that share a character
        offsets = np.array([(0, 0), (0, 1), (0, 2), (2, 4), (0, 0)])
        function = FunctionTokens(np.arange(5), offsets, np.array([False, True, True, True, False]))
        expected = [(1, 0), (2, 0), (3, 1)]
    else:
        function = tokens_of(source, words)
    assert list(zip(*(values.tolist() for values in lines_of_tokens(source, function)))) == expected


@pytest.mark.parametrize("trim_offsets", [True, False])
@pytest.mark.parametrize("text", [*FUNCTIONS, LONG])
def test_each_line_with_text_has_tokens_and_no_other(text, trim_offsets):
    function = encode([text], make_tokenizer(trim_offsets), 10_000)[0]
    _, lines = lines_of_tokens(text, function)
    assert set(lines.tolist()) == {i for i, line in enumerate(text.split("\n")) if line.strip()}


def test_a_line_has_the_score_of_its_highest_token():
    source = "ab\n\nc d\n"
    function = tokens_of(source, ["a", "b", "\n\n", "c", " d", "\n"])
    scores = np.array([9, -1, -2, 9, -3, 0.5, 9, 9], dtype=np.float32)  # special tokens and white space do not count
    assert line_maxima(source, function, scores).tolist() == [-1, -np.inf, 0.5, -np.inf]


def test_lines_that_the_model_did_not_read_are_lowest(pruned_model):
    model, tokenizer = pruned_model
    (head,) = line_scores(model, tokenizer, [LONG], 40)
    (tail,) = line_scores(model, tokenizer, [LONG], 40, Truncation("tail"))
    assert len(head) == len(tail) == LONG.count("\n") + 1
    assert np.isfinite(head[:2]).all() and np.isneginf(head[10:]).all()
    assert np.isneginf(tail[:10]).all() and np.isfinite(tail[-3:-1]).all() and np.isneginf(tail[-1])


def test_a_line_has_its_highest_score_of_all_windows(pruned_model):
    model, tokenizer = pruned_model
    truncation = Truncation("windows", 20)
    scores = line_scores(model, tokenizer, ["int a;", LONG], 60, truncation)
    (windows,) = encode_windows([LONG], tokenizer, 60, truncation)
    each = [line_maxima(LONG, w, function_scores(model, "gradient_x_input", [w])[0]) for w in windows]
    assert len(each) > 5 and np.allclose(scores[1], np.max(each, axis=0), atol=1e-5)
    assert np.isfinite(scores[1][:-1]).all()
    assert np.allclose(scores[0], line_scores(model, tokenizer, ["int a;"], 60)[0], atol=1e-6)


@pytest.mark.parametrize("method", ["gradient_x_input", "layers_survived"])
def test_batches_do_not_change_scores(pruned_model, method):
    model, tokenizer = pruned_model
    one, all_ = (
        line_scores(model, tokenizer, FUNCTIONS, MAX_LENGTH, method=method, batch_size=size) for size in (1, 100)
    )
    for a, b, text in zip(one, all_, FUNCTIONS, strict=True):
        assert a.dtype == np.float64 and len(a) == len(text.split("\n")) and np.allclose(a, b, atol=1e-4)


def test_processes_share_the_work(pruned_model, monkeypatch):
    model, tokenizer = pruned_model
    alone, shares = line_scores(model, tokenizer, FUNCTIONS, MAX_LENGTH, batch_size=2), []
    monkeypatch.setattr(token_batches, "process_count", lambda: 2)
    for process in (1, 0):
        monkeypatch.setattr(token_batches, "process_index", lambda process=process: process)
        last = process == 0
        monkeypatch.setattr(
            module.processes, "gather", lambda own, last=last: [*shares, own] if last else shares.append(own)
        )
        result = line_scores(model, tokenizer, FUNCTIONS, MAX_LENGTH, batch_size=2)
        assert last or result is None
    assert len(shares[0]) > 0 and all(np.array_equal(a, b) for a, b in zip(alone, result, strict=True))
