"""Files of a checkpoint that are no weights, no configuration or no tokenizer are named before a model is loaded."""

import json
import os
import re
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.ltp_pipeline.model.refusals import load, refused

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 597257159\n"
PAGE = b"\n<!DOCTYPE html><html><body>Sign in</body></html>"
TEXTS = ("config.json", "tokenizer.json", "tokenizer_config.json")
PLACEHOLDERS = {
    "pointer": (POINTER, "Git LFS pointer.*git lfs pull"),
    "page": (PAGE, "web page"),
    "annex": (b"/annex/objects/MD5E-s5--1", "git-annex pointer"),
    "page with a mark": (b"\xef\xbb\xbf<html>", "web page"),
    "empty": (b"", "is empty"),
}


@pytest.mark.parametrize("content, pattern", PLACEHOLDERS.values(), ids=list(PLACEHOLDERS))
@pytest.mark.parametrize("name", [*TEXTS, WEIGHTS, "merges.txt", "vocab.json", "special_tokens_map.json"])
def test_placeholders_of_files(checkpoint, name, content, pattern):
    (checkpoint / name).write_bytes(content)
    refused(checkpoint, f"{re.escape(name)} .*{pattern}")


@pytest.mark.parametrize("content, pattern", PLACEHOLDERS.values(), ids=list(PLACEHOLDERS))
@pytest.mark.parametrize("name", ["pytorch_model.bin", "tf_model.h5", "adapter_model.safetensors", "optimizer.pt"])
def test_placeholders_in_place_of_weights(checkpoint, name, content, pattern):
    (checkpoint / WEIGHTS).unlink()
    (checkpoint / name).write_bytes(content)
    refused(checkpoint, f"{re.escape(name)} .*{pattern}")


@pytest.mark.parametrize(
    "name, pattern",
    [
        ("pytorch_model.bin", "pickle.*ltp_pipeline.to_safetensors"),
        ("pytorch_model-00001-of-00002.bin", "pickle.*ltp_pipeline.to_safetensors"),
        ("tf_model.h5", "TensorFlow"),
        ("bert_model.ckpt.index", "TensorFlow"),
        ("flax_model.msgpack", "Flax"),
        ("model.onnx", "ONNX"),
        ("onnx/model.onnx", "ONNX"),
        ("model.Q4_K_M.gguf", "GGUF"),
        ("rust_model.ot", "Rust"),
        ("adapter_model.safetensors", "PEFT adapter"),
        ("adapter_model.bin", "PEFT adapter"),
        ("model-00001-of-00002.safetensors", "a part of a model.*model.safetensors.index.json"),
        ("model.fp16.safetensors", "expected model.safetensors"),
        ("optimizer.pt", "optimizer"),
        ("model.pt", "pickle"),
        ("weights.pkl", "pickle"),
    ],
)
@pytest.mark.parametrize("has_config", [True, False])
def test_folders_of_other_programs(checkpoint, name, pattern, has_config):
    (checkpoint / WEIGHTS).unlink()
    if not has_config:
        (checkpoint / "config.json").unlink()
    (checkpoint / name).parent.mkdir(exist_ok=True)
    (checkpoint / name).write_bytes(b"\x80\x02 not read")
    missing = "no weights" if has_config else "no config.json"
    refused(checkpoint, f"{missing}.*{re.escape(Path(name).name)} is .*{pattern}")


def test_a_folder_of_a_tokenizer_only(tokenizer_dir):
    refused(tokenizer_dir, "no config.json.*tokenizer.*expected a model")


def test_a_folder_above_checkpoints_names_the_last_one(checkpoint, tmp_path):
    for step in (8, 20):
        shutil.copytree(checkpoint, tmp_path / f"checkpoint-{step}")
    shutil.rmtree(checkpoint)
    refused(tmp_path, "did you mean .*checkpoint-20")


def test_an_adapter_beside_a_model(checkpoint):
    (checkpoint / "adapter_config.json").write_text('{"base_model_name_or_path": "x", "peft_type": "LORA"}')
    refused(checkpoint, "adapter_config.json.*PEFT adapter.*merge")


def test_weights_cut_off_anywhere(checkpoint):
    whole = (checkpoint / WEIGHTS).read_bytes()
    header = 8 + struct.unpack("<Q", whole[:8])[0]
    for size in (1, 7, 8, 9, header // 2, header - 1, header, header + 1, len(whole) // 2, len(whole) - 1):
        (checkpoint / WEIGHTS).write_bytes(whole[:size])
        refused(checkpoint, f"model.safetensors is cut off or damaged .{size} bytes")
    for content in (whole + b"x", b"\0" * len(whole), b"\xff" * 100, b"{}", whole[::-1]):
        (checkpoint / WEIGHTS).write_bytes(content)
        refused(checkpoint, "model.safetensors is cut off or damaged")
    (checkpoint / WEIGHTS).write_bytes(whole)
    load(checkpoint)


@pytest.mark.parametrize("old_format", [True, False])
def test_a_pickle_by_the_name_of_safetensors(checkpoint, old_format):
    torch.save({"a": torch.zeros(2)}, checkpoint / WEIGHTS, _use_new_zipfile_serialization=not old_format)
    refused(checkpoint, "model.safetensors is a pickle.*pytorch_model.bin.*ltp_pipeline.to_safetensors")


@pytest.mark.parametrize("name", [WEIGHTS, "config.json"])
def test_a_link_whose_file_is_missing(checkpoint, name):
    (checkpoint / name).unlink()
    (checkpoint / name).symlink_to("../../blobs/0123")
    refused(checkpoint, f"{name} is a link to a file that is missing")


def test_names_of_weights_cannot_control_a_terminal(checkpoint):
    save_file({"a\x1b[2J\n\u202e": torch.zeros(2)}, checkpoint / WEIGHTS, {"format": "pt"})
    refused(checkpoint, r"names are a\\x1b\[2J\\n\\u202e;")


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.float8_e4m3fn, torch.bool])
def test_weights_of_a_quantized_checkpoint(checkpoint, dtype):
    weights = load_file(checkpoint / WEIGHTS)
    name = "longformer.encoder.layer.1.output.dense.weight"
    save_file({**weights, name: weights[name].to(dtype)}, checkpoint / WEIGHTS, {"format": "pt"})
    refused(checkpoint, f"{name} has dtype .*quantized")


def in_parts(checkpoint: Path) -> dict[str, str]:
    """Splits the weights into two files, and returns the map of the index."""
    weights = load_file(checkpoint / WEIGHTS)
    (checkpoint / WEIGHTS).unlink()
    parts = {name: f"model-0000{i % 2 + 1}-of-00002.safetensors" for i, name in enumerate(sorted(weights))}
    for part in set(parts.values()):
        save_file({n: w for n, w in weights.items() if parts[n] == part}, checkpoint / part, {"format": "pt"})
    (checkpoint / INDEX).write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": parts}))
    return parts


def _remap(change: Callable[[dict[str, str]], dict[str, str]]) -> Callable[[Path, dict[str, str]], None]:
    def edit(folder: Path, parts: dict[str, str]) -> None:
        (folder / INDEX).write_text(json.dumps({"weight_map": change(parts)}))

    return edit


FIRST, SECOND = (f"model-0000{i}-of-00002.safetensors" for i in (1, 2))


@pytest.mark.parametrize(
    "edit, pattern",
    [
        (lambda folder, parts: (folder / SECOND).unlink(), f"{SECOND} is missing, which {INDEX} names"),
        (lambda folder, parts: (folder / SECOND).write_bytes(POINTER), f"{SECOND} is a Git LFS pointer"),
        (lambda folder, parts: (folder / INDEX).write_bytes(POINTER), f"{INDEX} is a Git LFS pointer"),
        (lambda folder, parts: (folder / INDEX).write_text("{"), f"{INDEX} is not well-formed JSON"),
        (lambda folder, parts: (folder / INDEX).write_text("[]"), f"{INDEX} holds a JSON list"),
        (lambda folder, parts: (folder / INDEX).write_text("{}"), f'{INDEX} has no "weight_map"'),
        (lambda folder, parts: os.truncate(folder / FIRST, 900), f"{FIRST} is cut off"),
        (lambda folder, parts: shutil.copy(folder / FIRST, folder / SECOND), f"{SECOND} lacks .* weights"),
        (_remap(lambda parts: dict.fromkeys(parts, "../other.safetensors")), "'../other.safetensors'"),
        (_remap(lambda parts: dict.fromkeys(parts, "pytorch_model.bin")), "'pytorch_model.bin'"),
        (_remap(lambda parts: dict.fromkeys(parts, 1)), '"weight_map"'),
    ],
)
def test_models_in_parts(checkpoint, edit, pattern):
    parts = in_parts(checkpoint)
    load(checkpoint)
    edit(checkpoint, parts)
    refused(checkpoint, pattern)


@pytest.mark.parametrize(
    "content, pattern",
    [
        (b"{", "not well-formed JSON"),
        (b"[]", "holds a JSON list"),
        (b'"longformer"', "holds a JSON str"),
        (b"null", "holds a JSON NoneType"),
        ('{"model_type": "longformer"}'.encode("utf-16"), "UTF-16"),
        (b'{"model_type": "\xe9"}', "UTF-8"),
        (b"\x00\x01\x02", "not well-formed JSON"),
        (b"[" * 100_000, "nested too deeply|not well-formed"),
    ],
)
@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
def test_json_that_is_none(checkpoint, name, content, pattern):
    (checkpoint / name).write_bytes(content)
    refused(checkpoint, f"{name} .*{pattern}")
