"""Options of the library's Trainer that must not change a result: gradient checkpointing and torch.compile."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.ltp_pipeline.training.conftest import FINE_TUNE, HARD, SOFT, fine_tune, prune, results

SHORT = "--max_steps 2 --dtype float32"
STAGES = {
    "tune": (fine_tune, f"{FINE_TUNE.replace('--output_dir code_test', '')} {SHORT} --learning_rate 1e-3"),
    "soft": (prune, f"{SOFT} {SHORT} --lr 1e-3"),
    "budget": (prune, f"{SOFT.replace('--temperature 0.1', '')} {SHORT} --lr 1e-3 --target_flops 0.9"),
    "hard": (prune, f"{HARD} {SHORT} --lr 1e-3 --no_load"),
}
OPTIONS = {"checkpointing": "--gradient_checkpointing", "compile": "--torch_compile_backend aot_eager"}


@pytest.fixture(scope="module")
def place(trained, tmp_path_factory):
    """The working directory of this module's runs, which start from the checkpoints of `trained`."""
    folder = shutil.copytree(trained, tmp_path_factory.mktemp("options") / "copy")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield folder


def run(stage, name, option=""):
    """The results of a run, made once, and its weights."""
    folder, (command, flags) = Path(f"{stage}_{name}"), STAGES[stage]
    if not folder.exists():
        command(f"{flags} {option} --output_dir {folder}")
    return results(folder), load_file(folder / "model.safetensors")


@pytest.mark.slow
@pytest.mark.parametrize("stage, option", [*((stage, "checkpointing") for stage in STAGES), ("soft", "compile")])
def test_the_result_is_the_same(place, stage, option):
    torch._dynamo.reset()
    plain, weights = run(stage, "plain")
    other, changed = run(stage, option, OPTIONS[option])
    for name in ("train_loss", "eval_loss", "eval_relative_flops"):
        assert other[name] == pytest.approx(plain[name], abs=1e-6), name
    for name, weight in weights.items():
        torch.testing.assert_close(changed[name], weight, atol=1e-5, rtol=0, msg=name)
