"""The models of the speed benchmark share what they can; thresholds meet their share of the FLOPs."""

import subprocess

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from benchmarks.speed.memory import peak_in_new_process
from benchmarks.speed.models import MODELS, SIZES, build_models, converted
from benchmarks.speed.pruning import executed, prune_to, set_thresholds
from benchmarks.speed.work import make_batch
from ltp_pipeline.base.errors import UserError
from transformer_revised import LTPForSequenceClassification

TINY = SIZES["tiny"]


@pytest.fixture(scope="module")
def models():
    return build_models(MODELS, ["float32", "bfloat16"], TINY, seed=0)


def test_longformer_and_ltp_have_the_same_weights(models):
    longformer = dict(models["longformer", "float32"].named_parameters())
    for name in ("ltp", "ltp_pruned"):
        parameters = dict(models[name, "float32"].named_parameters())
        assert longformer.keys() == {key for key in parameters if "pruner" not in key}
        assert all(parameters[key].data_ptr() == longformer[key].data_ptr() for key in longformer)
    assert not models["longformer", "float32"].training


def test_sizes_are_alike(models):
    def per_layer(name):
        model = models[name, "float32"]
        return sum(p.numel() for key, p in model.named_parameters() if "layer.1." in key or "layers.1." in key)

    roberta, modernbert = per_layer("roberta"), per_layer("modernbert")
    assert modernbert == pytest.approx(roberta, rel=0.03)
    three_globals = 3 * (64 * 64 + 64)
    assert per_layer("longformer") == roberta + three_globals == per_layer("ltp")
    assert models["roberta", "float32"].config._attn_implementation == "sdpa"


def test_bfloat16_is_what_from_pretrained_makes(models, tmp_path):
    models["ltp_pruned", "float32"].save_pretrained(tmp_path)
    loaded = LTPForSequenceClassification.from_pretrained(tmp_path, dtype=torch.bfloat16)
    made = {name: p.dtype for name, p in models["ltp_pruned", "bfloat16"].named_parameters()}
    assert made == {name: p.dtype for name, p in loaded.named_parameters()}
    assert {dtype for name, dtype in made.items() if "pruner" in name} == {torch.float32}
    assert {dtype for name, dtype in made.items() if "pruner" not in name} == {torch.bfloat16}
    assert models["ltp_pruned", "float32"].classifier.dense.weight.dtype == torch.float32  # another model's
    plain = converted(AutoModelForSequenceClassification.from_config(models["roberta", "float32"].config), torch.half)
    assert {p.dtype for p in plain.parameters()} == {torch.float16}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("target", [0.5, 0.8])
def test_thresholds_meet_the_share(models, dtype, target):
    model = models["ltp_pruned", dtype]
    batches = [make_batch([300, 200], TINY, 1), make_batch([90] * 8, TINY, 2)]
    thresholds = prune_to(model, batches, target)
    set_thresholds(model, [0.0] * 4)
    assert executed(model, batches)["relative_flops"] == 1
    set_thresholds(model, thresholds)
    figures = executed(model, batches)
    assert figures["relative_flops"] == pytest.approx(target, abs=0.01)
    unpruned = executed(models["ltp", dtype], batches)
    assert figures["flops"] / unpruned["flops"] == pytest.approx(figures["relative_flops"])


def test_each_layer_drops_some(models):
    model, batch = models["ltp_pruned", "float32"], make_batch([400], TINY, 3)
    prune_to(model, [batch], 0.5)
    with torch.no_grad():
        left = [int(n) for n in model(**batch).ffn_sentence_lengths]
    assert 400 > left[0] > left[1] > left[2] > 1 == left[3]
    shares = [b / a for a, b in zip([400, *left], left[:3])]
    assert max(shares) - min(shares) < 0.2


def test_the_tokens_that_leave_are_scattered(models):
    model, batch = models["ltp_pruned", "float32"], make_batch([400], TINY, 3)
    prune_to(model, [batch], 0.5)
    with torch.no_grad():
        kept = model(**batch, output_pruning=True).kept_tokens[0][0].int()
    assert kept.diff().abs().sum() > 30  # pieces that stay or leave together, of 400 tokens


def test_a_share_below_the_first_layers_is_refused(models):
    with pytest.raises(UserError, match="--relative_flops 0.05: 0.05 cannot be reached.*expected at least"):
        prune_to(models["ltp_pruned", "float32"], [make_batch([200], TINY, 1)], 0.05)


def test_unknown_attention_is_refused():
    with pytest.raises(UserError, match="--ltp_attn nonsense: "):
        build_models(["ltp"], ["float32"], TINY, 0, "nonsense")


@pytest.mark.slow
def test_peak_memory_is_that_of_the_forward_pass():
    peak = peak_in_new_process("longformer", "float32", "tiny", 0, None, None, [64] * 256, 64, 1)
    # 256 x 64 tokens: the 256 floats of each in the feed-forward part alone are 16 MiB; loading a model takes 100s.
    assert 16 * 2**20 < peak < 160 * 2**20


def test_a_failed_process_is_reported(monkeypatch):
    failed = subprocess.CompletedProcess([], 1, "", "MemoryError")
    monkeypatch.setattr(subprocess, "run", lambda *args, **kwargs: failed)
    with pytest.raises(RuntimeError, match="memory of ltp in float32: status 1: MemoryError"):
        peak_in_new_process("ltp", "float32", "tiny", 0, None, None, [64], 64, 1)
