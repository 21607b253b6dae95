"""LoRA through both scripts, on a tiny Longformer: what learns and what is saved. (test_resume.py resumes it.)"""

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.training import lora
from ltp_pipeline.training.arguments import FineTuningArguments
from ltp_pipeline.training.checks import check_numbers
from tests.ltp_pipeline.training.conftest import FINE_TUNE, STAGE, fine_tune, prune, results
from tests.transformer_revised.models.ltp.tiny import random_batch, tiny_model
from transformer_revised import LTPForSequenceClassification

LORA = "--lora_r 4 --lora_dropout 0.1 --dtype float32"
TUNE = FINE_TUNE.replace("2e-5", "1e-2").replace("code_test", "tuned") + f" {LORA}"
SOFT = (
    f"{STAGE} --restore tuned --temperature 0.1 --lambda 0.1 --masking_mode soft --epoch 1 --save_step 2 {LORA} "
    "--final_token_threshold 0.9 --lr_threshold 0.01 --no_load --output_dir soft"
)
BUDGET = (
    f"{STAGE.replace('2e-5', '1e-2')} --restore tuned --target_flops 0.9 --masking_mode soft --epoch 1 {LORA} "
    "--no_load --output_dir budget --calibration_samples 10"
)
HARD = f"{STAGE.replace('2e-5', '1e-2')} --restore soft --masking_mode hard --epoch 1 --save_step 2 {LORA}"
ADAPTED = tuple(f"attention.self.{name}.weight" for name in lora.TARGETS)


def flags(tmp_path, **values):
    return FineTuningArguments(output_dir=str(tmp_path), **values)


def adapted_model(tmp_path, **values):
    """A tiny model whose adapters, unlike new ones, change its predictions."""
    torch.manual_seed(0)
    model = tiny_model()
    lora.add_adapters(model, flags(tmp_path, lora_r=4, **values))
    with torch.no_grad():
        for _, layer in lora.adapted_layers(model):
            layer.lora_B["default"].weight.normal_(std=0.1)
    return model


def changed(before, after):
    """The names of the weights of two checkpoints that differ."""
    before, after = (load_file(Path(folder, "model.safetensors")) for folder in (before, after))
    return {name for name, weight in after.items() if name not in before or not torch.equal(weight, before[name])}


@pytest.mark.parametrize(
    "names", [None, ["key_global", "value_global"], ["query", "attention.output.dense", "intermediate.dense"]]
)
@pytest.mark.parametrize("lengths", [[60, 33], [5, 3]])
def test_merged_weights_give_the_same_logits(tmp_path, names, lengths):
    """Also with adapters on layers that are folded into the global query and context where they are plain."""
    model, batch = adapted_model(tmp_path, lora_target_modules=names).eval(), random_batch(lengths)
    plain, merged = tiny_model(), tiny_model()
    merged.load_state_dict(lora.merged_weights(model))
    with torch.no_grad():
        adapted = model(**batch).logits
        assert not torch.allclose(adapted, plain(**batch).logits, atol=1e-4)
        torch.testing.assert_close(adapted, merged(**batch).logits, atol=2e-6, rtol=1e-5)
        lora.merge_adapters(model)
        assert torch.equal(model(**batch).logits, merged(**batch).logits)
    assert not lora.has_adapters(model) and model.state_dict().keys() == merged.state_dict().keys()
    assert all(p.requires_grad for name, p in model.named_parameters() if ".pruner." not in name)


def test_adapters_and_the_head_are_all_that_is_trained(tmp_path):
    model = adapted_model(tmp_path)
    names = {name for name, p in model.named_parameters() if p.requires_grad}
    assert all(".lora_" in name or name.startswith("classifier.") for name in names)
    assert len(names) == 4 * 4 * 2 + 4  # layers, adapted projections, A and B; the head


def test_new_adapters_change_nothing(tmp_path):
    """So a teacher that is computed with them has the weights of the checkpoint, and its cache is the same."""
    model = tiny_model()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    lora.add_adapters(model, flags(tmp_path, lora_r=4))
    after = lora.merged_weights(model)
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize(
    "values, says",
    [
        ({"lora_alpha": 8.0}, "--lora_alpha: expected --lora_r"),
        ({"lora_target_modules": ["query"]}, "--lora_target_modules: expected --lora_r"),
        ({"lora_r": 0}, "--lora_r 0: expected a number above 0"),
        ({"lora_r": 4, "lora_dropout": 1.0}, "--lora_dropout 1.0: .*below 1"),
        ({"lora_r": 4, "gradient_checkpointing_kwargs": {"use_reentrant": True}}, "use_reentrant: expected false"),
    ],
)
def test_flags_that_cannot_be_used(tmp_path, values, says):
    from ltp_pipeline.data.flags import DataArguments

    args = flags(tmp_path, **values)
    with pytest.raises(UserError, match=says):
        check_numbers(args, DataArguments())
        lora.check_lora(args)


def test_peft_is_optional(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(UserError, match="--lora_r 4 needs peft, which is not installed: pip install"):
        lora.check_lora(flags(tmp_path, lora_r=4))


def test_layers_that_the_encoder_does_not_have(tmp_path):
    with pytest.raises(UserError, match="--lora_target_modules out_proj: .*expected some of dense, key, key_global"):
        lora.add_adapters(tiny_model(), flags(tmp_path, lora_r=4, lora_target_modules=["query", "out_proj"]))


def test_a_rank_above_that_of_a_layer_would_only_cost_memory(tmp_path):
    size = tiny_model().config.hidden_size
    lora.add_adapters(tiny_model(), flags(tmp_path, lora_r=size))
    with pytest.raises(UserError, match=f"--lora_r {size + 1}: expected at most {size}, the rank"):
        lora.add_adapters(tiny_model(), flags(tmp_path, lora_r=size + 1))


@pytest.fixture(scope="module")
def tuned(files, longformer_dir, tmp_path_factory):
    """A working directory after fine-tuning with adapters, soft and hard pruning."""
    from tests.ltp_pipeline.conftest import fill

    place = fill(tmp_path_factory.mktemp("lora"), files, longformer_dir)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        fine_tune(f"{TUNE} --save_total_limit 2 --load_best_model_at_end")
        prune(f"{SOFT} --save_all")
        prune(f"{HARD} --output_dir hard")
    return place


@pytest.mark.parametrize("before, after", [("longformer", "tuned"), ("tuned", "soft"), ("soft", "hard")])
def test_only_the_adapted_weights_thresholds_and_the_head_change(tuned, before, after):
    names = changed(tuned / before, tuned / after)
    encoder = {name for name in names if name.startswith("longformer.") and ".pruner." not in name}
    assert encoder and all(name.endswith(ADAPTED) for name in encoder)
    assert any(name.startswith("classifier.") for name in names)
    pruners = {name for name in names if ".pruner." in name}
    assert bool(pruners) == (after == "soft")


def test_thresholds_learn(tuned):
    weights = load_file(tuned / "soft" / "model.safetensors")
    learned = [weights[f"longformer.encoder.layer.{i}.attention.self.pruner.keep_threshold"].item() for i in range(3)]
    assert learned[0] == 0 and all(abs(value) > 1e-3 for value in learned[1:])


@pytest.mark.parametrize("folder", ["tuned", "soft", "hard", "tuned/checkpoint-18", "soft/checkpoint-2"])
def test_every_checkpoint_is_a_plain_one(tuned, folder):
    model, loaded = LTPForSequenceClassification.from_pretrained(tuned / folder, output_loading_info=True)
    assert not loaded["missing_keys"] and not loaded["unexpected_keys"] and not lora.has_adapters(model)
    assert not list((tuned / folder).glob("adapter*"))
    assert (tuned / folder / lora.LORA_STATE).exists() == ("checkpoint" in folder)


def test_the_last_checkpoint_is_the_result(tuned):
    """Merged when it was saved, or after training: the same weights."""
    assert not changed(tuned / "soft" / "checkpoint-6", tuned / "soft")
    best = json.loads((tuned / "tuned" / "trainer_state.json").read_text())["best_global_step"]
    assert not changed(tuned / "tuned" / f"checkpoint-{best}", tuned / "tuned")


def test_the_result_predicts_what_the_run_reported(tuned, monkeypatch):
    monkeypatch.chdir(tuned)
    prune("--restore hard --eval --validation_file test.csv --dtype float32 --bs 4 --output_dir evaluated")
    assert Path("evaluated/predictions.csv").read_bytes() == Path("hard/predictions.csv").read_bytes()


def test_a_budget_is_met_and_its_ranking_taught(tuned, tmp_path, monkeypatch):
    shutil.copytree(tuned, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    prune(BUDGET)
    assert results("budget")["eval_relative_flops"] == pytest.approx(0.9, abs=0.02)
    encoder = {name for name in changed("tuned", "budget") if name.startswith("longformer.") and "pruner" not in name}
    assert encoder and all(name.endswith(ADAPTED) for name in encoder)
    prune(f"{HARD.replace('--restore soft', '--restore budget')} --output_dir hard_budget")
    assert results("hard_budget")["eval_relative_flops"] == pytest.approx(0.9, abs=0.02)


def test_how_many_parameters_are_trained_is_printed(workplace, capsys):
    fine_tune(f"{TUNE} --max_steps 1 --do_eval")
    assert "LoRA: 12 layers have adapters; " in capsys.readouterr().out


def test_a_checkpoint_without_adapters_cannot_be_resumed(tuned, tmp_path, monkeypatch):
    shutil.copytree(tuned, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    Path("soft/checkpoint-4", lora.LORA_STATE).unlink()
    with pytest.raises(UserError, match=f"checkpoint-4: {lora.LORA_STATE} cannot be read.*--lora_r"):
        prune(f"{SOFT.replace('--output_dir soft', '--output_dir again')} --resume_from_checkpoint soft/checkpoint-4")
