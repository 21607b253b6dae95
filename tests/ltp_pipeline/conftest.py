"""A tiny world for the pipeline's tests: C functions, a tokenizer learned from them, a Longformer of three layers."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch

SAFE = """static int copy_{i}(char *dst, const char *src, size_t size)
{{
    size_t n = strlen(src);
    if (n >= size)
        return -{i};
    memmove(dst, src, n + 1);
    return (int) n;
}}
"""
UNSAFE = """static int copy_{i}(char *dst, const char *src)
{{
    char buffer[{i}];
    strcpy(buffer, src);
    sprintf(dst, "%s, %d", buffer, {i});
    return gets(buffer) != NULL;
}}
"""
MAX_LENGTH = 96


def functions(count: int, first: int = 0) -> pd.DataFrame:
    """`count` C functions, safe (0) and unsafe (1) in turn."""
    rows = [(UNSAFE if i % 2 else SAFE).format(i=i) for i in range(first, first + count)]
    return pd.DataFrame({"functionSource": rows, "label": [i % 2 for i in range(first, first + count)]})


@pytest.fixture(scope="session")
def files(tmp_path_factory) -> dict[str, Path]:
    """train.csv (24 functions), test.csv (10 others)."""
    folder = tmp_path_factory.mktemp("data")
    functions(24).to_csv(folder / "train.csv", index=False)
    functions(10, first=100).to_csv(folder / "test.csv", index=False)
    return {"train": folder / "train.csv", "test": folder / "test.csv"}


@pytest.fixture(scope="session")
def tokenizer_dir(files, tmp_path_factory) -> Path:
    """A tokenizer that `train_tokenizer` has learned from train.csv."""
    from ltp_pipeline.train_tokenizer import main

    folder = tmp_path_factory.mktemp("tokenizer")
    main(
        ["--train_file", str(files["train"]), "--output_dir", str(folder), "--vocab_size", "400", "--max_length", "96"]
    )
    return folder


@pytest.fixture(scope="session")
def longformer_dir(tokenizer_dir, tmp_path_factory) -> Path:
    """A Longformer classifier of three layers with random weights, as the library saves it, and its tokenizer."""
    return save_longformer(tokenizer_dir, tmp_path_factory.mktemp("longformer"))


def save_longformer(tokenizer_dir: Path, folder: Path) -> Path:
    """What `longformer_dir` is, in `folder`."""
    from transformers import AutoTokenizer, LongformerConfig, LongformerForSequenceClassification

    torch.manual_seed(0)
    config = LongformerConfig(
        vocab_size=400,
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=130,
        attention_window=8,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
        sep_token_id=2,
        type_vocab_size=1,
    )
    LongformerForSequenceClassification(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(tokenizer_dir).save_pretrained(folder)
    return folder


def fill(place: Path, files: dict[str, Path], longformer_dir: Path) -> Path:
    """Puts train.csv, test.csv and the Longformer into `place`."""
    for name in ("train", "test"):
        shutil.copy(files[name], place / f"{name}.csv")
    shutil.copytree(longformer_dir, place / "longformer")
    return place


@pytest.fixture
def workplace(files, longformer_dir, tmp_path, monkeypatch) -> Path:
    """The working directory: train.csv, test.csv and the Longformer."""
    monkeypatch.chdir(fill(tmp_path, files, longformer_dir))
    return tmp_path
