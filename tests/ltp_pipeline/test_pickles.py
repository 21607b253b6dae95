"""Nothing in a checkpoint is executed: pickles, Python files, and names of code in its JSON files.

Each pickle here writes a file when it is loaded. No command may ever make that file appear.
"""

import contextlib
import json
import pickle
import shutil
from pathlib import Path

import pytest
import torch
import yaml

from ltp_pipeline.base.errors import UserError
from tests.ltp_pipeline.bad_inputs import check, compare, convert, extract, fine_tune, prune, visualise

PICKLES = (
    "pytorch_model.bin", "pytorch_model-00001-of-00002.bin", "training_args.bin", "optimizer.pt", "scheduler.pt",
    "rng_state.pth", "scaler.pt", "optimizer.bin", "adapter_model.bin", "model.pt", "model.pkl", "consolidated.00.pth",
    "tokenizer.pkl", "tokenizer.bin", "vocab.bin", ".metadata", "generation_config.pkl", "tf_model.h5",
    "flax_model.msgpack", "custom.pickle", "data.joblib",
)  # fmt: skip
CODE = (
    "modeling_ltp.py", "modeling_ltp_heads.py", "modeling_custom.py", "configuration_custom.py",
    "tokenization_custom.py", "__init__.py", "custom_generate/generate.py", "pipeline.py", "setup.py",
    "sitecustomize.py", "handler.py",
)  # fmt: skip
CARD = "---\nbase_model: !!python/object/apply:os.mknod ['{}']\nlicense: mit\n---\n"
MAP = {
    "AutoConfig": "configuration_custom.Custom", "AutoModel": "modeling_custom.Custom",
    "AutoModelForSequenceClassification": "modeling_custom.Custom",
    "AutoTokenizer": ["tokenization_custom.Custom", "tokenization_custom.Custom"],
}  # fmt: skip


class Writes:
    """Writes a file when it is unpickled."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self):
        return exec, (f"open({str(self.marker)!r}, 'w').close()",)


def arm(folder: Path, marker: Path, archive: bool) -> None:
    """Puts every kind of file that could execute something into a checkpoint."""
    for name in PICKLES:
        if archive:  # as torch.save writes it
            with (folder / name).open("wb") as file:
                torch.save({"weight": torch.zeros(2), "more": Writes(marker)}, file)
        else:
            (folder / name).write_bytes(pickle.dumps(Writes(marker)))
    for name in CODE:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(f"open({str(marker)!r}, 'w').close()\nclass Custom: pass\n")
    (folder / "README.md").write_text(CARD.format(marker))
    for name in ("config.json", "tokenizer_config.json"):
        values = json.loads((folder / name).read_text())
        values |= {"auto_map": MAP, "trust_remote_code": True, "use_kernels": True, "custom_generate": "."}
        values |= {"custom_pipelines": {"text-classification": {"impl": "pipeline.Custom", "pt": ["AutoModel"]}}}
        (folder / name).write_text(json.dumps(values))


@pytest.fixture
def place(files, longformer_dir, pruned_checkpoint, tmp_path, monkeypatch) -> Path:
    """The working directory, with two checkpoints, a RoBERTa and data."""
    from tests.ltp_pipeline.model.conftest import source_model

    monkeypatch.chdir(tmp_path)
    shutil.copy(files["train"], "good.csv")
    shutil.copytree(longformer_dir, "longformer")
    shutil.copytree(pruned_checkpoint, "pruned")
    names = {"id2label": {0: "LABEL_0", 1: "LABEL_1"}, "label2id": {"LABEL_0": 0, "LABEL_1": 1}}
    source_model("roberta", "ForSequenceClassification", **names).save_pretrained("roberta")
    shutil.copy("longformer/tokenizer.json", "roberta")
    shutil.copy("longformer/tokenizer_config.json", "roberta")
    return tmp_path


COMMANDS = {
    "fine-tune": (fine_tune, "--do_train --train_file good.csv --max_steps 1 --max_train_samples 4 --use_cpu"),
    "evaluate": (fine_tune, "--do_eval --validation_file good.csv --max_eval_samples 4 --use_cpu"),
    "convert and fine-tune": (
        fine_tune,
        "--model_name_or_path roberta --convert_to_ltp --do_train --train_file good.csv --max_steps 1 "
        "--max_train_samples 4 --use_cpu",
    ),
    "prune": (
        prune,
        "good.csv --output_dir out --max_steps 1 --max_train_samples 4 --max_eval_samples 4 --use_cpu "
        "--lr_threshold 0.01",
    ),
    "evaluate a stage": (prune, "good.csv --restore pruned --eval --output_dir out --max_eval_samples 4 --use_cpu"),
    "show": (visualise, "--train_file good.csv --output_dir out --num_functions 2 --num_sampled 2"),
    "extract": (extract, "--train_file good.csv --output_dir out"),
    "compare": (compare, "good.csv --checkpoints a=longformer b=pruned --rounds 1"),
    "convert": (convert, "--max_positions 64 --attention_window 16"),
    "check the data": (check, "good.csv --tokenizer longformer"),
}


@pytest.mark.parametrize("weights", ["safetensors", "pickle only"])
@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_executes_what_a_checkpoint_holds(command, weights, place, capsys):
    marker, (run, flags) = place / "executed", COMMANDS[command]
    (place / "README.md").write_text(CARD.format(marker))  # beside the data
    for folder in ("longformer", "pruned", "roberta"):
        arm(place / folder, marker, archive=weights == "safetensors")
        if weights == "pickle only":
            (place / folder / "model.safetensors").unlink()
    try:
        run(flags.split())
    except UserError as error:
        assert weights == "pickle only" and "\n" not in str(error), error
        assert "ltp_pipeline.to_safetensors" in str(error) or "adapter" in str(error), error
    else:
        assert weights == "safetensors" or command == "check the data"
    assert not marker.exists()


def test_the_files_execute_something_when_they_are_loaded(tmp_path):
    """Otherwise the test above shows nothing."""
    for archive in (True, False):
        (tmp_path / "a").mkdir(exist_ok=True)
        for name in ("config.json", "tokenizer_config.json"):
            (tmp_path / "a" / name).write_text("{}")
        arm(tmp_path / "a", tmp_path / "executed", archive)
        for name in PICKLES:
            with contextlib.suppress(RuntimeError):  # a bare pickle is no archive of torch, but is loaded first
                torch.load(tmp_path / "a" / name, weights_only=False)
            (tmp_path / "executed").unlink()
        yaml.unsafe_load((tmp_path / "a" / "README.md").read_text().split("---")[1])
        (tmp_path / "executed").unlink()


@pytest.mark.parametrize("name", ["optimizer.pt", "scheduler.pt", "rng_state.pth", "scaler.pt", "training_args.bin"])
def test_resuming_executes_nothing(name, place, capsys):
    flags = (
        "--do_train --train_file good.csv --max_train_samples 8 --per_device_train_batch_size 4 "
        "--save_strategy steps --save_steps 1 --save_total_limit 5 --use_cpu --max_steps 2 --output_dir run"
    ).split()
    fine_tune(flags)
    marker, checkpoint = place / "executed", place / "run" / "checkpoint-1"
    torch.save({"more": Writes(marker)}, checkpoint / name)
    try:
        fine_tune([*flags, "--output_dir", "again", "--resume_from_checkpoint", str(checkpoint)])
    except UserError as error:
        assert name != "training_args.bin" and "\n" not in str(error)
        assert str(checkpoint) in str(error) and name in str(error)
    else:
        assert name == "training_args.bin"
    assert not marker.exists()


def test_a_pickle_that_executes_something_is_not_converted(place):
    from ltp_pipeline.to_safetensors import main

    (place / "longformer" / "model.safetensors").unlink()
    for archive in (True, False):
        arm(place / "longformer", place / "executed", archive)
        with pytest.raises(UserError, match="longformer: pytorch_model.*nothing in it was executed") as error:
            main(["--model_name_or_path", "longformer", "--output_dir", "new"])
        assert "\n" not in str(error.value)
    assert not (place / "executed").exists() and not (place / "new").exists()
