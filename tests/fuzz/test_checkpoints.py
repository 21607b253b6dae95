"""Readers of checkpoints and of the records of runs: each returns values that can be used, or raises UserError."""

from __future__ import annotations

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import strategies as st
from safetensors.numpy import save

from ltp_pipeline.base import folder_lock
from ltp_pipeline.base.config_file import read_config
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.model.checkpoint_files import INDEX, WEIGHTS, check_model_files, check_weights, read_json
from ltp_pipeline.model.checkpoints import load_config, load_tokenizer
from ltp_pipeline.overlay import records, state
from ltp_pipeline.training.resume import best_checkpoint, what_is_missing
from ltp_pipeline.training.run_record import RunRecord, read_record
from tests.fuzz.limits import fuzz
from tests.fuzz.strategies import changed, code, encoded, json_files

CONFIG = {
    "model_type": "ltp",
    "vocab_size": 100,
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 40,
    "attention_window": [4, 4],
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "layer_norm_eps": 1e-5,
    "initializer_range": 0.02,
    "type_vocab_size": 1,
    "id2label": {"0": "clean", "1": "defective"},
    "label2id": {"clean": 0, "defective": 1},
    "problem_type": None,
    "dtype": "float32",
    "prune_mode": "absolute_threshold",
    "final_token_threshold": 0.01,
    "prune_first_layer": False,
    "temperature": 1e-5,
    "token_keep_rate": 1.0,
    "score_normalization": "max",
    "target_flops": 0.5,
    "truncation": "head",
    "window_stride": 2,
    "decision_threshold": 0.5,
    "chunk_size_feed_forward": 0,
    "architectures": ["X"],
    "auto_map": {"AutoConfig": "x.y"},
}
LONGFORMER = {**CONFIG, "model_type": "longformer"}
STATE = {
    "global_step": 5,
    "epoch": 1.0,
    "best_model_checkpoint": "out/checkpoint-5",
    "log_history": [{"step": 1, "loss": 1.0}],
}
RECORD = {
    "started": "x",
    "command": "c",
    "differs_from_published": {},
    "length": {"num_train_epochs": 3.0, "max_steps": -1},
    "versions": {"python": "3.11.7", "torch": "2"},
    "machine": {"threads": 1},
    "settings": {"--lr": 1e-4},
    "start": {"a": "b"},
    "run": {"the device": "cpu"},
    "reading": {"text_column": None},
    "files": {},
    "data": {"--train_file": "x"},
    "resumed": [{"from": "checkpoint-5", "notes": []}],
}
MANIFEST = {
    "version": "5.23.0",
    "added": {"models/ltp/modeling_ltp.py": "0" * 64},
    "edited": {
        "models/auto/modeling_auto.py": {
            "before": "a",
            "after": "b",
            "block": "c",
            "mtime_ns": 5,
            "bytecode": ["x.pyc"],
        }
    },
}
HOLDER = {"pid": 1, "host": "h", "since": "s", "replaces": True, "command": "c"}


def only_user_error(read, *arguments, **options):
    try:
        return read(*arguments, **options)
    except UserError as error:
        assert len(str(error)) < 3000
        return None


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint-5")
    return folder


@fuzz(content=st.one_of(json_files(CONFIG), encoded(code())))
def test_read_json(folder, content):
    (folder / "a.json").write_bytes(content)
    read = only_user_error(read_json, folder / "a.json", "--restore x")
    assert read is None or isinstance(read, dict)


@fuzz(content=json_files(CONFIG, CONFIG, LONGFORMER))
def test_load_config(folder, content):
    (folder / "config.json").write_bytes(content)
    config = only_user_error(load_config, folder, flag="--restore")
    if config is not None and config.model_type == "ltp":
        assert config.num_labels >= 1 and config.hidden_size % config.num_attention_heads == 0


def safetensors(names) -> bytes:
    return save({name: np.zeros((2, 3), np.float32) for name in names})


HEADERS = json_files(
    {"w": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, "__metadata__": {"format": "pt"}}
)


@fuzz(
    content=st.one_of(
        changed(st.just(safetensors("ab"))),
        HEADERS.map(lambda head: len(head).to_bytes(8, "little") + head + bytes(24)),
    )
)
def test_check_weights(folder, content):
    (folder / WEIGHTS).write_bytes(content)
    only_user_error(check_weights, folder / WEIGHTS, "--restore x")


@fuzz(
    content=json_files(
        {"metadata": {"total_size": 48}, "weight_map": {"a": "m-1.safetensors", "b": "m-2.safetensors"}}
    )
)
def test_check_parts(folder, content):
    parts = folder / "parts"
    parts.mkdir(exist_ok=True)
    (parts / "config.json").write_text(json.dumps(CONFIG))
    for number, name in enumerate("ab", start=1):
        (parts / f"m-{number}.safetensors").write_bytes(safetensors(name))
    (parts / INDEX).write_bytes(content)
    only_user_error(check_model_files, parts, f"--restore {parts}")


@pytest.fixture(scope="module")
def tokenizer_files(pruned_checkpoint, tmp_path_factory):
    """A copy of a tokenizer's files, and their names and contents."""
    folder = tmp_path_factory.mktemp("tokenizer")
    for file in pruned_checkpoint.glob("*"):
        if "tokenizer" in file.name or file.name == "config.json":
            shutil.copy(file, folder)
    return folder, {file.name: json.loads(file.read_bytes()) for file in folder.glob("tokenizer*.json")}


@fuzz(data=st.data())
def test_load_tokenizer(tokenizer_files, data):
    folder, contents = tokenizer_files
    for name, values in contents.items():
        if name == "tokenizer.json":
            values = {**values, "model": {**values["model"], "merges": values["model"]["merges"][:3]}}
        (folder / name).write_bytes(data.draw(st.one_of(json_files(values), st.just(json.dumps(values).encode()))))
    tokenizer = only_user_error(load_tokenizer, folder, flag="--restore")
    assert tokenizer is None or tokenizer.pad_token_id is not None


@fuzz(content=json_files(MANIFEST, MANIFEST, RECORD))
def test_manifest_of_the_overlay(folder, content):
    package = folder / "transformers"
    records.folder(package).mkdir(parents=True, exist_ok=True)
    (package / "models/auto").mkdir(parents=True, exist_ok=True)
    (package / "models/auto/modeling_auto.py").write_text("A = {}\n")
    (records.folder(package) / records.INSTALLED).write_bytes(content)
    lines = only_user_error(state.describe, package, "5.23.0")
    assert lines is None or all(isinstance(line, str) for line in lines)


ARGS = SimpleNamespace(
    command="c",
    flags={},
    num_train_epochs=5.0,
    max_steps=-1,
    masking_mode="soft",
    target_flops=None,
    lr_scheduler_type="linear",
    device=SimpleNamespace(type="cpu"),
    world_size=1,
)


@fuzz(record=json_files(RECORD, RECORD, RECORD), values=json_files(STATE))
def test_record_of_an_interrupted_run(folder, record, values):
    checkpoint = folder / "checkpoint-5"
    checkpoint.mkdir(exist_ok=True)
    (folder / "run.json").write_bytes(record)
    (checkpoint / "trainer_state.json").write_bytes(values)
    assert what_is_missing(checkpoint) is not None

    def resume():
        found = RunRecord(ARGS, checkpoint)
        found.add("settings", {"--lr": 1e-4})
        found.add_environment(ARGS)
        found.write(folder / "new")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ltp_pipeline.training.run_record.versions", lambda: {"python": "3.11.7", "torch": "3"})
        (checkpoint / "trainer_state.json").write_text(json.dumps(STATE))
        only_user_error(resume)
    assert read_record(folder / "new") is None or isinstance(read_record(folder / "new")["resumed"], list)


@fuzz(content=json_files(STATE, STATE))
def test_state_of_a_checkpoint(folder, content):
    checkpoint = folder / "checkpoint-5"
    checkpoint.mkdir(exist_ok=True)
    (checkpoint / "trainer_state.json").write_bytes(content)
    missing = what_is_missing(checkpoint)
    assert missing
    if "optimizer.pt" in missing:  # the state was accepted
        best_checkpoint(checkpoint)


@fuzz(content=json_files(HOLDER, HOLDER))
def test_holder_of_a_lock(folder, content):
    (folder / "holder.json").write_bytes(content)
    holder = folder_lock._read(folder / "holder.json")
    assert folder_lock._described(holder)
    if holder is not None:
        assert folder_lock._is_alive(holder) in (True, False)


@fuzz(
    content=st.one_of(json_files({"lr": 1e-4, "output_dir": "x", "do_train": True, "rows": [1, 2]}), encoded(code()))
)
def test_flags_in_a_file(folder, content):
    (folder / "flags.json").write_bytes(content)
    flags = only_user_error(read_config, folder / "flags.json")
    assert flags is None or isinstance(flags, dict)
