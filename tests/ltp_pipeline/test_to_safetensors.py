"""The one command that reads a pickle: what it writes is what the pickle held."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForMaskedLM

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.model.checkpoints import check_checkpoint, load_pruning_model, load_tokenizer
from ltp_pipeline.to_safetensors import main


@pytest.fixture
def weights(longformer_dir, tmp_path, monkeypatch) -> dict[str, torch.Tensor]:
    """The weights of a checkpoint `old`, which has them as pytorch_model.bin only."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(longformer_dir, "old")
    held = load_file("old/model.safetensors")
    Path("old/model.safetensors").unlink()
    torch.save(held, "old/pytorch_model.bin")
    return held


def convert(path: str = "old") -> None:
    main(["--model_name_or_path", path, "--output_dir", "new"])


def refused(pattern: str, path: str = "old") -> None:
    with pytest.raises(UserError, match=f"--model_name_or_path {re.escape(path)}: {pattern}") as error:
        convert(path)
    assert "\n" not in str(error.value) and not Path("new").exists()


def test_the_weights_are_those_of_the_pickle(weights, capsys):
    convert()
    assert f"{len(weights)} weights: new/model.safetensors" in capsys.readouterr().out
    assert sorted(path.name for path in Path("new").iterdir()) == sorted(
        {path.name for path in Path("old").iterdir()} - {"pytorch_model.bin"} | {"model.safetensors"}
    )
    state = load_pruning_model("new", flag="--restore").state_dict()
    assert all(torch.equal(state[name], weight) for name, weight in weights.items())
    assert len(load_tokenizer("new", flag="--restore")) == len(load_tokenizer("old", flag="--restore"))


@pytest.mark.parametrize("old_format", [True, False])
def test_weights_in_two_files_with_a_prefix(weights, old_format, capsys):
    Path("old/pytorch_model.bin").unlink()
    names = list(weights)
    for number, part in enumerate((names[::2], names[1::2]), start=1):
        held = {f"module.{name}": weights[name] for name in part}
        torch.save(held, f"old/pytorch_model-0000{number}-of-00002.bin", _use_new_zipfile_serialization=not old_format)
    convert()
    state = load_pruning_model("new", flag="--restore").state_dict()
    assert all(torch.equal(state[name], weight) for name, weight in weights.items())


def test_weights_that_share_memory(weights, longformer_dir):
    config = json.loads(Path("old/config.json").read_text())
    Path("old/config.json").write_text(json.dumps({**config, "architectures": ["LongformerForMaskedLM"]}))
    words = weights["longformer.embeddings.word_embeddings.weight"]
    head = {f"lm_head.{n}": torch.ones(32) for n in ("dense.bias", "layer_norm.weight", "layer_norm.bias")}
    head |= {"lm_head.dense.weight": torch.eye(32), "lm_head.bias": torch.zeros(400), "lm_head.decoder.weight": words}
    torch.save({"state_dict": {**weights, **head}}, "old/pytorch_model.bin")
    convert()
    model, info = AutoModelForMaskedLM.from_pretrained("new", output_loading_info=True)
    assert not info["missing_keys"]
    assert torch.equal(model.lm_head.decoder.weight, words)


@pytest.mark.parametrize(
    "content, pattern",
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "pytorch_model.bin is a Git LFS pointer.*git lfs pull"),
        (b"<!DOCTYPE html>", "pytorch_model.bin is a web page"),
        (b"", "pytorch_model.bin is empty"),
        (b"PK\x03\x04 cut", "pytorch_model.bin is cut off"),
        (b"\x80\x02}q\x00", "pytorch_model.bin is cut off"),
    ],
)
def test_pickles_that_cannot_be_read(weights, content, pattern):
    Path("old/pytorch_model.bin").write_bytes(content)
    refused(pattern)


def test_pickles_that_hold_something_else(weights):
    for held in ([1, 2], {"step": 3}, {1: torch.zeros(2)}, torch.zeros(2), {"a": {"b": torch.zeros(2)}}):
        torch.save(held, "old/pytorch_model.bin")
        refused("pytorch_model.bin holds more than weights")


def test_folders_that_hold_no_pickle(weights, longformer_dir):
    shutil.copytree(longformer_dir, "good")
    refused("already holds model.safetensors", "good")
    Path("old/pytorch_model.bin").unlink()
    refused("no pytorch_model.*bin in this folder")
    Path("old/config.json").unlink()
    refused("no config.json in this folder")
    refused("no such folder", "./none")
    Path("new").mkdir()
    Path("new/file").touch()
    with pytest.raises(UserError, match="--output_dir new: expected a new or an empty folder"):
        convert("good")


def test_the_refusal_names_a_command_that_works(weights):
    with pytest.raises(UserError) as error:
        check_checkpoint("old")
    flags = re.search(r"python -m ltp_pipeline.to_safetensors (.*)", str(error.value))[1]
    main(flags.replace("NEW_FOLDER", "new").split())
    check_checkpoint("new")
