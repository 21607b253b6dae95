"""Weights that do not belong to the configuration, are named otherwise, or are not numbers."""

import json
import re
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from ltp_pipeline.model.checkpoints import load_pruning_model, load_tokenizer
from ltp_pipeline.model.starting_model import ModelArguments, load_classifier
from ltp_pipeline.task.tasks import CODE
from tests.ltp_pipeline.model.refusals import load, refused
from tests.ltp_pipeline.model.test_config_values import edit
from tests.pruned_checkpoint import save_checkpoint

WEIGHTS = "model.safetensors"
ENCODER = "longformer."


def rewrite(folder, change) -> None:
    """Replaces the weights of a checkpoint, a dict by name, by what `change` makes of them."""
    weights = {name: weight.clone() for name, weight in change(load_file(folder / WEIGHTS)).items()}
    save_file(weights, folder / WEIGHTS, {"format": "pt"})


def test_learned_thresholds_that_are_not_used_are_a_note(tmp_path, capsys, recwarn):
    save_checkpoint(tmp_path)
    load_pruning_model(tmp_path, flag="--restore", prune_mode="topk", token_keep_rate=0.5)
    assert f"note: --restore {tmp_path}: the checkpoint has 4 learned thresholds" in capsys.readouterr().out
    assert not recwarn.list


def fine_tuned(folder):
    """The model that fine-tuning starts with."""
    tokenizer = load_tokenizer(folder, flag="--model_name_or_path")
    return load_classifier(ModelArguments(str(folder)), tokenizer, new_head=True, task=CODE)


def before(prefix: str):
    return lambda weights: {prefix + name: weight for name, weight in weights.items()}


def instead(prefix: str):
    return lambda weights: {re.sub(f"^{ENCODER}", prefix, name): weight for name, weight in weights.items()}


def without(part: str):
    return lambda weights: {name: weight for name, weight in weights.items() if part not in name}


@pytest.mark.parametrize(
    "change, prefix",
    [
        (before("module."), "module."),
        (before("model."), "model."),
        (before("_orig_mod."), "_orig_mod."),
        (before("_orig_mod.module."), "_orig_mod.module."),
        (before("student.model."), "student.model."),
        (instead("roberta."), "roberta."),
        (instead("encoder_model."), "encoder_model."),
        (lambda weights: before("module.")(instead("roberta.")(weights)), "module.roberta."),
        (lambda weights: before("model.")(instead("")(weights)), "model."),
    ],
)
def test_a_prefix_that_all_names_have_is_left_out(checkpoint, change, prefix, capsys):
    expected = load_file(checkpoint / WEIGHTS)
    rewrite(checkpoint, change)
    state = load_pruning_model(checkpoint, flag="--restore").state_dict()
    assert all(torch.equal(state[name], weight) for name, weight in expected.items())
    assert capsys.readouterr().out.count(f"begin with '{prefix}'") == 1
    load(checkpoint, trains=True)


def test_a_prefix_of_a_model_without_head(checkpoint, capsys):
    rewrite(
        checkpoint,
        lambda weights: {f"module.{n}": w for n, w in instead("")(weights).items() if "embed" in n or "layer" in n},
    )
    model = fine_tuned(checkpoint)
    out = capsys.readouterr().out
    assert "begin with 'module.'" in out
    assert re.search(r"note: 4 weights .* start at random: classifier.dense.bias, classifier.dense.weight, ", out)
    assert model.classifier.out_proj.weight.shape == (2, 32)


def test_a_missing_head_is_one_short_line(checkpoint, capsys):
    rewrite(checkpoint, lambda weights: {n: w for n, w in weights.items() if n.startswith(ENCODER)})
    fine_tuned(checkpoint)
    lines = [line for line in capsys.readouterr().out.splitlines() if "random" in line]
    assert len(lines) == 1 and len(lines[0]) < 300 + len(str(checkpoint)) and lines[0].startswith("note: 4 weights")
    refused(checkpoint, "4 weights are missing .classifier.*run run_glue_code_metrics.py first")


def both_prefixes(weights):
    return {**before("a.")(weights), **before("b.")(weights)}


def of_another_program(weights):
    return {f"blocks.{i}.w": weight for i, weight in enumerate(weights.values())}


@pytest.mark.parametrize("trains", [False, True])
@pytest.mark.parametrize(
    "change, pattern",
    [
        (of_another_program, "none of the weights fits.*blocks.0.w.*expected names such as longformer."),
        (both_prefixes, "none of the weights fits.*names are a.classifier"),
        (lambda weights: {"x": weights["classifier.dense.bias"]}, "none of the weights fits.*x"),
        (without("layer.2."), r"22 weights are missing \(longformer.encoder.layer.2"),
        (without("_global"), r"18 weights are missing .*key_global"),
        (without("word_embeddings"), r"1 weights are missing .*word_embeddings"),
        (lambda weights: before("module.")(without("layer.0.output")(weights)), "none of the weights fits.*module."),
    ],
)
def test_weights_that_do_not_fit(checkpoint, change, pattern, trains):
    rewrite(checkpoint, change)
    refused(checkpoint, pattern, trains=trains)


def test_weights_of_another_size(checkpoint):
    rewrite(checkpoint, lambda weights: {n: torch.cat([w, w]) if "position" in n else w for n, w in weights.items()})
    for trains in (False, True):
        refused(checkpoint, r"position_embeddings.weight is \[260, 32\]; expected \[130, 32\]", trains=trains)


def test_layers_that_the_configuration_leaves_out(checkpoint, capsys):
    edit(checkpoint, num_hidden_layers=2, attention_window=[8, 8])
    refused(checkpoint, r"22 weights have no place in the model \(longformer.encoder.layer.2.*config.json")
    fine_tuned(checkpoint)
    assert "22 weights" in capsys.readouterr().out


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("name", ["longformer.encoder.layer.1.output.dense.weight", "classifier.out_proj.bias"])
def test_weights_that_are_no_numbers(checkpoint, name, value):
    def spoil(weights):
        weights[name].view(-1)[0] = value
        return weights

    rewrite(checkpoint, spoil)
    for trains in (False, True):
        refused(checkpoint, rf"1 of \d+ numbers in {name} are NaN or infinite", trains=trains)


def test_thresholds_that_are_no_numbers(pruned_checkpoint, tmp_path):
    folder = shutil.copytree(pruned_checkpoint, tmp_path / "pruned")
    rewrite(folder, lambda weights: {n: w * float("nan") if "keep_threshold" in n else w for n, w in weights.items()})
    refused(folder, "1 of 1 numbers in .*keep_threshold are NaN")


def test_thresholds_that_are_missing(pruned_checkpoint, tmp_path):
    folder = shutil.copytree(pruned_checkpoint, tmp_path / "pruned")
    rewrite(folder, without("layer.1.attention.self.pruner"))
    refused(folder, "1 of 4 learned thresholds are missing.*layer.1.*keep_threshold")


def test_a_model_of_another_family(checkpoint, roberta, tmp_path):
    config = json.loads((roberta / "config.json").read_text())
    (checkpoint / "config.json").write_text(json.dumps({**config, "hidden_act": "gelu"}))
    refused(checkpoint, "weights|position_embeddings")
