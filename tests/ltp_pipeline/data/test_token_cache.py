"""Tokens are found again by their content, whoever made them, and made once where several want them."""

import multiprocessing
import time

import pandas as pd
import pytest

from ltp_pipeline.data import token_cache
from ltp_pipeline.data.token_cache import cached, content_key
from ltp_pipeline.data.tokenization import tokenize
from ltp_pipeline.data.truncation import Truncation
from tests.pruned_checkpoint import make_tokenizer

FRAME = pd.DataFrame({"functionSource": ["int a;", "int b = 1;" * 9], "label": [0, 1]})


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("LTP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tokens"


def entries(folder):
    return sorted(path.name for path in folder.iterdir() if path.is_dir())


def test_the_same_content_is_read_back_with_the_labels_of_today(folder, capsys):
    made = tokenize(FRAME, make_tokenizer(), 12)
    assert "are taken from" not in capsys.readouterr().out
    (entry,) = entries(folder)
    read = tokenize(FRAME.assign(label=[1, 0]), make_tokenizer(), 12)
    assert f"tokens of 2 rows are taken from {folder / entry} (--overwrite_cache makes them anew)" in (
        capsys.readouterr().out
    )
    assert read["labels"] == [1, 0] and made["labels"] == [0, 1]
    assert list(read["input_ids"]) == list(made["input_ids"]) and read.features == made.features


def test_whatever_changes_the_tokens_changes_the_name():
    tokenizer = make_tokenizer()
    other = make_tokenizer()
    other.add_tokens(["strcpy"])
    texts = [["int a;", "b"]]
    keys = [
        content_key(texts, tokenizer, {"max_length": 12}),
        content_key(texts, tokenizer, {"max_length": 13}),
        content_key(texts, other, {"max_length": 12}),
        content_key([["int a;", "c"]], tokenizer, {"max_length": 12}),
        content_key([["int a;b", ""]], tokenizer, {"max_length": 12}),
        content_key([["int a;"], ["b"]], tokenizer, {"max_length": 12}),
    ]
    assert len(set(keys)) == len(keys)
    tokenizer("int a; int b;", truncation=True, max_length=4)  # what a tokenizer was last told does not count
    assert content_key(texts, tokenizer, {"max_length": 12}) == keys[0]
    for mode in ("head", "tail"):
        tokenize(FRAME, tokenizer, 12, truncation=Truncation(mode))
    assert tokenize(FRAME, tokenizer, 12, truncation=Truncation("tail"))[1] != tokenize(FRAME, tokenizer, 12)[1]


def test_overwrite_and_damage_make_it_anew(folder, capsys):
    tokenizer = make_tokenizer()
    whole = tokenize(FRAME, tokenizer, 12)
    (entry,) = entries(folder)
    for file in (folder / entry).glob("*.arrow"):
        file.write_bytes(b"damaged")
    assert list(tokenize(FRAME, tokenizer, 12)["input_ids"]) == list(whole["input_ids"])
    tokenize(FRAME, tokenizer, 12, overwrite_cache=True)
    assert "are taken from" not in capsys.readouterr().out
    tokenize(FRAME, tokenizer, 12)
    assert "are taken from" in capsys.readouterr().out and entries(folder) == [entry]


def test_a_cache_that_cannot_be_written_stops_nothing(folder, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LTP_CACHE", str(tmp_path / "file"))
    assert len(tokenize(FRAME, make_tokenizer(), 12)) == 2
    assert "tokens are not cached: " in capsys.readouterr().out


def test_what_nobody_used_for_a_month_is_removed(folder, monkeypatch):
    tokenize(FRAME, make_tokenizer(), 12)
    old = entries(folder)
    monkeypatch.setattr(token_cache.time, "time", lambda: time.time_ns() / 1e9 + 31 * 24 * 3600)
    tokenize(FRAME, make_tokenizer(), 13)
    assert len(entries(folder)) == 1 and entries(folder) != old


def _want(folder, start, built):
    import os

    from datasets import Dataset

    os.environ["LTP_CACHE"] = folder

    def build():
        built.put(os.getpid())
        time.sleep(0.5)
        return Dataset.from_dict({"x": [1, 2, 3]})

    start.wait()
    assert cached("key", build)["x"] == [1, 2, 3]


def test_of_two_processes_at_once_one_makes_it_and_both_have_it(folder):
    context = multiprocessing.get_context("fork")
    start, built = context.Barrier(2), context.Queue()
    processes = [context.Process(target=_want, args=(str(folder.parent), start, built)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    assert built.get(timeout=5) in [process.pid for process in processes] and built.empty()
    assert entries(folder) == ["key"]
