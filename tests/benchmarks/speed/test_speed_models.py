"""Models of the speed benchmark: shared weights, dtypes, sizes, thresholds that meet a budget, and peak memory."""

import pytest
import torch

from benchmarks.speed.memory import peak_in_new_process
from benchmarks.speed.models import MODELS, SIZES, build_models
from benchmarks.speed.pruning import measure_flops, prune_to_budget, set_thresholds
from benchmarks.speed.work import make_batch
from ltp_pipeline.base.errors import UserError
from transformer_revised import LTPForSequenceClassification

TINY = SIZES["tiny"]


@pytest.fixture(scope="module")
def models():
    return build_models(MODELS, ["float32", "bfloat16"], TINY, seed=0)


def test_longformer_and_ltp_share_their_weights(models):
    longformer = dict(models["longformer", "float32"].named_parameters())
    for name in ("ltp", "ltp_pruned"):
        parameters = dict(models[name, "float32"].named_parameters())
        assert longformer.keys() == {key for key in parameters if "pruner" not in key}
        assert all(parameters[key].data_ptr() == longformer[key].data_ptr() for key in longformer)
    assert not models["longformer", "float32"].training


def test_layers_have_about_as_many_parameters(models):
    def per_layer(name):
        model = models[name, "float32"]
        return sum(p.numel() for key, p in model.named_parameters() if "layer.1." in key or "layers.1." in key)

    roberta, global_projections = per_layer("roberta"), 3 * (64 * 64 + 64)
    assert per_layer("modernbert") == pytest.approx(roberta, rel=0.03)
    assert per_layer("longformer") == roberta + global_projections == per_layer("ltp")
    assert models["roberta", "float32"].config._attn_implementation == "sdpa"


def test_bfloat16_is_what_from_pretrained_makes(models, tmp_path):
    models["ltp_pruned", "float32"].save_pretrained(tmp_path)
    loaded = LTPForSequenceClassification.from_pretrained(tmp_path, dtype=torch.bfloat16)
    made = {name: p.dtype for name, p in models["ltp_pruned", "bfloat16"].named_parameters()}
    assert made == {name: p.dtype for name, p in loaded.named_parameters()}
    assert {dtype for name, dtype in made.items() if "pruner" in name} == {torch.float32}
    assert models["ltp_pruned", "float32"].classifier.dense.weight.dtype == torch.float32  # its copy was cast
    assert {p.dtype for p in models["roberta", "bfloat16"].parameters()} == {torch.bfloat16}


@pytest.mark.parametrize(("dtype", "budget"), [("float32", 0.5), ("bfloat16", 0.8)])
def test_thresholds_meet_a_budget(models, dtype, budget):
    model = models["ltp_pruned", dtype]
    batches = [make_batch([300, 200], TINY, 1), make_batch([90] * 8, TINY, 2)]
    thresholds = prune_to_budget(model, batches, budget)
    set_thresholds(model, [0.0] * 4)
    assert measure_flops(model, batches)["relative_flops"] == 1
    set_thresholds(model, thresholds)
    figures = measure_flops(model, batches)
    assert figures["relative_flops"] == pytest.approx(budget, abs=0.01)
    unpruned = measure_flops(models["ltp", dtype], batches)
    assert figures["flops"] / unpruned["flops"] == pytest.approx(figures["relative_flops"])


def test_each_layer_removes_scattered_tokens(models):
    model, batch = models["ltp_pruned", "float32"], make_batch([400], TINY, 3)
    prune_to_budget(model, [batch], 0.5)
    with torch.no_grad():
        alive = [int(count) for count in model(**batch).ffn_sentence_lengths]
        kept = model(**batch, output_pruning=True).kept_tokens[0][0].int()
    assert 400 > alive[0] > alive[1] > alive[2] > 1 == alive[3]
    shares = [b / a for a, b in zip([400, *alive], alive[:3])]
    assert max(shares) - min(shares) < 0.2
    assert kept.diff().abs().sum() > 30  # changes between kept and removed along 400 tokens


def test_a_budget_below_the_first_layer_is_refused(models):
    with pytest.raises(UserError, match="--relative_flops 0.05: .*expected at least"):
        prune_to_budget(models["ltp_pruned", "float32"], [make_batch([200], TINY, 1)], 0.05)


@pytest.mark.slow
def test_peak_memory_is_that_of_the_forward_pass(monkeypatch):
    # The C library then returns each freed tensor to the system. Otherwise free memory between blocks counts, 30 to 80
    # MiB of it, and more in some runs than in others, because it depends on where blocks happen to lie.
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.mmap_threshold=131072")
    peak = peak_in_new_process("longformer", "float32", "tiny", 0, None, None, [64] * 256, 64, 1)
    # The tensors alive at once need 82 MiB, by the profiler's record of all allocations. Loading a model takes 100s.
    assert 64 * 2**20 < peak < 128 * 2**20
