"""Works of the speed benchmark: lengths, batches, padding, and the files that lengths are read from."""

import argparse
import json

import numpy as np
import pandas as pd
import pytest
import torch

from benchmarks.speed.models import SIZES
from benchmarks.speed.work import (
    LENGTHS_FILE,
    batch_and_tokens,
    describe_work,
    make_batch,
    micro_batches,
    padded_width,
    read_lengths,
    tokenized_lengths,
    work_items,
    work_name,
)
from ltp_pipeline.base.errors import UserError

BASE = SIZES["base"]


@pytest.fixture(scope="module")
def lengths():
    return read_lengths(LENGTHS_FILE)


def test_works_of_fixed_lengths(lengths):
    expected = {"W1": (1024,) * 4, "W2": (200,) * 4, "W3": (4096,)}
    items = {work: work_items(work, BASE, lengths) for work in expected}
    assert {work: item.batches[0] for work, (item,) in items.items()} == expected
    assert [padded_width(model, BASE) for model in ("longformer", "longformer_compiled", "ltp")] == [1024, 1024, 0]
    sweep = work_items("W5", BASE, lengths)
    assert [item.label for item in sweep] == [f"W5 {256 * 2**i}" for i in range(7)]
    assert sweep[-1].batches == ((16384,),) and sweep[-1].tokens == 16384


def test_works_by_batch_and_tokens(lengths):
    (item,) = work_items("8x200", BASE, lengths)
    assert (item.label, item.batches, item.tokens) == ("8x200", ((200,) * 8,), 1600)
    assert batch_and_tokens("2x1024") == (2, 1024) and batch_and_tokens("W1") is None
    assert work_name("1x3") == "1x3" and work_name("latency") == "latency"
    assert describe_work("1x200", 1024).startswith("1 function of 200 tokens; Longformer pads to a multiple of 1024")
    assert describe_work("W1", 64) == "4 sequences of 1024 tokens, every length times 64/1024"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("8y200", "8y200: expected one of W1, W2, .* or BATCHxTOKENS such as 8x200"),
        ("0x200", "0x200: expected one of"),
        ("8x", "8x: expected one of"),
        ("-1x200", "-1x200: expected one of"),
        ("8x2", "8x2: expected at least 3 tokens, such as 8x200"),
    ],
)
def test_names_that_are_no_work(text, message):
    with pytest.raises(argparse.ArgumentTypeError, match=message):
        work_name(text)


def test_latency_has_single_functions_of_all_lengths_in_mixed_order(lengths):
    (item,) = work_items("latency", BASE, lengths)
    tokens = [length for (length,) in item.batches]
    assert item.functions == 64 == len(item.batches) and item.tokens / 64 == pytest.approx(304, rel=0.03)
    assert max(tokens) == 1024 and min(tokens) < 40 and tokens not in (sorted(tokens), sorted(tokens, reverse=True))
    assert work_items("latency", BASE, lengths) == [item]


def test_real_lengths_are_cut_sorted_and_sampled(lengths):
    assert len(lengths) == 2000 and lengths.min() == 7 and lengths.max() == 11299
    cut = np.minimum(lengths, 1024)
    assert cut.mean() == pytest.approx(304.05, abs=0.01)
    (whole,) = work_items("W4", BASE, lengths)
    assert whole.functions == 2000 and len(whole.batches) == 63
    assert [n for batch in whole.batches for n in batch] == sorted(cut.tolist(), reverse=True)
    (item,) = work_items("W4", BASE, lengths, max_batches=3)
    assert len(item.batches) == 3 and set(item.batches) <= set(whole.batches)
    assert item.tokens / item.functions == pytest.approx(304, rel=0.02)


def test_the_training_step_has_functions_of_all_lengths(lengths):
    (item,) = work_items("train", BASE, lengths)
    assert item.functions == 32 and item.tokens / 32 == pytest.approx(304, rel=0.05)
    assert item.batches[0][0] == 1024 and min(item.batches[0]) < 60


@pytest.mark.parametrize(
    ("model", "parts"),
    [
        ("longformer", [(90, 50), (30, 20), (10,)]),  # 2 x 100 each
        ("roberta", [(90, 50), (30, 20, 10)]),  # 2 x 90, 3 x 30
        ("ltp", [(90, 50, 30, 20, 10)]),
    ],
)
def test_micro_batches_count_what_a_model_computes(model, parts):
    assert micro_batches((90, 50, 30, 20, 10), model, 100, 200) == parts


def test_the_tokens_of_a_function_do_not_depend_on_its_padding():
    narrow, wide = make_batch([7, 3], SIZES["tiny"], seed=1), make_batch([7, 3], SIZES["tiny"], seed=1, width=20)
    assert narrow["input_ids"].shape == (2, 7) and wide["input_ids"].shape == (2, 20)
    assert torch.equal(wide["input_ids"][:, :7], narrow["input_ids"])
    assert wide["attention_mask"].sum(1).tolist() == [7, 3]
    assert wide["input_ids"][1].tolist()[:4] == [0, narrow["input_ids"][1, 1].item(), 2, 1]
    assert (wide["input_ids"][:, 7:] == 1).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no such file"),
        ("length\n5\n", "expected a column 'tokens'"),
        ("tokens\n5\n2\n", "row 2: .* from 3"),
        ("tokens\n5\nmany\n", "row 2: .*'many'"),
        ("tokens\n5.5\n", "row 1: .*5.5"),
        ("", "the file is empty"),
        ("tokens\n\udc88\n", "line 2 holds a byte that is not UTF-8"),
    ],
)
def test_bad_lengths(tmp_path, text, message):
    path = tmp_path / "lengths.csv"
    if text is not None:
        path.write_text(text, errors="surrogateescape")
    with pytest.raises(UserError, match=f"--lengths_file {path}: {message}"):
        read_lengths(path)


def test_functions_are_counted_uncut(tmp_path):
    from ltp_pipeline.train_tokenizer import main as train_tokenizer

    data, tokenizer = tmp_path / "test.csv", tmp_path / "tokenizer"
    with pytest.raises(UserError, match="--data_file .*build_dataset.py"):
        tokenized_lengths(data, str(tokenizer))
    data.touch()
    with pytest.raises(UserError, match=f"--data_file {data}: the file is empty"):
        tokenized_lengths(data, str(tokenizer))
    functions = ["int f(int a) { return a; }", "int g() { return f(1) + f(2) + f(3); } " * 400]
    pd.DataFrame({"functionSource": functions, "label": [0, 1]}).to_csv(data, index=False)
    with pytest.raises(UserError, match=f"--tokenizer {tokenizer}: "):
        tokenized_lengths(data, str(tokenizer))
    train_tokenizer(["--train_file", str(data), "--output_dir", str(tokenizer)])
    limit = json.loads((tokenizer / "tokenizer_config.json").read_text())["model_max_length"]
    short, long = tokenized_lengths(data, str(tokenizer))
    assert 3 < short < 30 and long > limit
