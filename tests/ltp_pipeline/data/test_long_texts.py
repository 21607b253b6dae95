"""Time and memory grow with the length of a text, not with its square."""

import time
import tracemalloc

import numpy as np
import pandas as pd
import pytest

from ltp_pipeline.data.tokenization import tokenize
from ltp_pipeline.data.truncation import MODES, Truncation
from ltp_pipeline.quality.near_duplicates import NearDuplicates, minhash_of, token_runs
from ltp_pipeline.train_tokenizer import LONGEST_WORD, train_tokenizer
from tests.pruned_checkpoint import make_tokenizer

TOKENIZER = make_tokenizer()


def seconds(work, *args):
    """CPU seconds of a call: other processes do not count."""
    start = time.process_time()
    work(*args)
    return time.process_time() - start


@pytest.mark.parametrize("mode", MODES)
def test_reading_a_long_text_takes_linear_time(mode, tmp_path, monkeypatch):
    monkeypatch.setenv("LTP_CACHE", str(tmp_path))

    def read(characters):
        text = "int x = f(y); " * (characters // 14)
        tokenize(pd.DataFrame({"functionSource": [text], "label": [0]}), TOKENIZER, 64, truncation=Truncation(mode))

    read(100)
    small = seconds(read, 50_000)
    assert seconds(read, 400_000) < 8 * small + 1  # by a quadratic step 64 times


@pytest.mark.parametrize("run", ["A", "0", "_", " ", "é", "\0", "ab", "aB3+/", "};"])
def test_a_tokenizer_is_learned_from_a_long_run_in_linear_time(run):
    text = run * (200_000 // len(run))
    start = time.process_time()
    tokenizer = train_tokenizer([text, "int a = b;", "int a = c;"], 400, 64)
    assert time.process_time() - start < 3  # before words were cut: half a minute
    assert max(map(len, tokenizer.get_vocab())) <= LONGEST_WORD
    assert len(tokenizer(text)["input_ids"]) < (len(text) if run == "aB3+/" else len(text) / 8)  # runs are tokens
    assert "int" in tokenizer.get_vocab()


def test_words_of_usual_length_are_learned_whole():
    words = ["x" * LONGEST_WORD, "y" * (LONGEST_WORD + 1)]
    vocabulary = train_tokenizer(words * 2, 10_000, 64).get_vocab()
    assert words[0] in vocabulary and words[1] not in vocabulary and words[1][:-1] in vocabulary


def test_near_duplicates_of_a_long_text_take_little_memory():
    tokens, near = [f"name_{i}" for i in range(100_000)], NearDuplicates()
    near.add(0, tokens[:9])  # imports the library
    tracemalloc.start()
    try:
        assert near.add(1, tokens) is None
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 60e6  # bytes; a matrix of all runs: 120 million
    assert near.add(2, tokens[1000:]) == (1, pytest.approx(0.99, abs=1e-3))


def test_a_signature_does_not_depend_on_how_many_runs_are_taken_at_once(monkeypatch):
    runs = token_runs([f"name_{i % 97}_{i % 89}" for i in range(5000)])
    whole = minhash_of(runs).hashvalues
    monkeypatch.setattr("ltp_pipeline.quality.near_duplicates.RUNS_AT_ONCE", 64)
    assert np.array_equal(minhash_of(runs).hashvalues, whole)
