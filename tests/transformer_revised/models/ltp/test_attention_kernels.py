"""Every implementation of attention against dense attention, alone and in whole models; the same on a GPU."""

import gc
from unittest import mock

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from transformer_revised import LTPForSequenceClassification
from transformer_revised.models.ltp import attention_banded, attention_tile_plan, device_policy
from transformer_revised.models.ltp.attention_banded import BandedPlan
from transformer_revised.models.ltp.attention_dispatch import (
    IMPLEMENTATIONS,
    local_attention,
    local_attention_pairs,
    local_attention_plan,
)
from transformer_revised.models.ltp.attention_tile_plan import QUERY_BLOCK
from transformer_revised.models.ltp.attention_tiles import Tile, TilePlan
from transformer_revised.models.ltp.packed_sequence import PackedSequence

from .... import dense_reference as dense
from .drawn_cases import MAX_LENGTH, Drawn, cases
from .test_against_dense_reference import MODES, THRESHOLD_MODES, check_encoder, check_gradients, drawn
from .tiny import random_batch, tiny_model

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
CASES = cases(range(1, MAX_LENGTH + 1), block=st.just(QUERY_BLOCK))

HEADS = 3
# lengths, half window, share of tokens that stay, global columns (None: the first)
LAYOUTS = {
    "one short": ([5], 2, 1.0, None),
    "all in reach": ([7, 7], 8, 1.0, None),
    "all in reach, different lengths": ([5, 1, 2], 8, 1.0, None),
    "several blocks": ([70, 33], 4, 1.0, None),
    "removed tokens": ([90, 40], 6, 0.4, None),
    "globals anywhere": ([64, 50], 5, 0.6, [3, 30]),
    "no global": ([40], 3, 0.8, []),
    "many sequences": ([9, 1, 70, 2, 2, 32, 31, 30], 6, 0.9, None),
    "half a window is a block": ([100], 16, 0.95, [0, 50]),
}
# Sizes of blocks: each sequence in several, short sequences in one, each sequence in one as in a model.
BLOCKS = {
    "small": {"QUERY_BLOCK": 16, "SHORT_SEQUENCE": 0, "TILE_PAIRS": 2000},
    "mixed": {"QUERY_BLOCK": 16, "SHORT_SEQUENCE": 32, "TILE_PAIRS": 2000},
    "large": {"QUERY_BLOCK": 128, "SHORT_SEQUENCE": 256},
}
BANDS = {
    "small": {"MIN_QUERY_BLOCK": 4, "MAX_QUERY_BLOCK": 8, "MAX_WEIGHTS": 1},
    "mixed": {"MIN_QUERY_BLOCK": 16, "MAX_QUERY_BLOCK": 16},
    "large": {"MIN_QUERY_BLOCK": 64, "MAX_QUERY_BLOCK": 256},
}


def as_on_a_gpu(*devices: str):
    """Treats these devices as a GPU, from which the forward pass reads as little as possible."""
    return mock.patch.object(device_policy, "DEVICES_THAT_STALL", devices)


def draw_packed(lengths, share, global_columns) -> PackedSequence:
    torch.manual_seed(0)
    mask = torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]
    firsts = torch.zeros_like(mask)
    firsts[:, :1] = True
    globals_ = None if global_columns is None else torch.zeros_like(mask)
    if global_columns:
        globals_[:, global_columns] = True
    return PackedSequence.from_masks(mask & ((torch.rand(mask.shape) < share) | firsts), globals_)


def dense_weights(packed, half_window, query, key):
    """The definition: weights `[H, N, N]`, and the pairs in reach `[N, N]`."""
    near = (packed.positions[:, None] - packed.positions[None]).abs() <= half_window
    allowed = (packed.sequence_of[:, None] == packed.sequence_of[None]) & (near | packed.is_global[None])
    return (query @ key.transpose(1, 2)).masked_fill(~allowed, -torch.inf).softmax(-1), allowed


@pytest.fixture(params=BLOCKS)
def blocks(request):
    with (
        mock.patch.multiple(attention_tile_plan, **BLOCKS[request.param]),
        mock.patch.multiple(attention_banded, **BANDS[request.param]),
    ):
        yield


@pytest.fixture(params=LAYOUTS.values(), ids=LAYOUTS)
def layout(request, blocks):
    lengths, half_window, share, global_columns = request.param
    return draw_packed(lengths, share, global_columns), half_window


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("gradient", ["none", "context", "context and importance"])
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_against_dense_attention(layout, implementation, gradient, dropout):
    """The values are unit vectors, so that the context is the attention weights after dropout. Which were dropped is
    read from it; the rest must agree with dense attention that drops the same weights.
    """
    (packed, half_window), learns_importance = layout, gradient == "context and importance"
    n = len(packed)
    query, key = (torch.randn(HEADS, n, n, dtype=torch.float64) * n**-0.25 for _ in range(2))
    leaves = [x.requires_grad_(gradient != "none") for x in (query, key, torch.eye(n).double().repeat(HEADS, 1, 1))]
    plan = local_attention_plan(implementation, packed, half_window)
    with torch.set_grad_enabled(gradient != "none"):
        actual = local_attention(
            *leaves, plan, dropout=dropout, with_importance=True, importance_gradient=learns_importance
        )
        alone, no_importance = local_attention(*leaves, plan)
        weights, allowed = dense_weights(packed, half_window, query, key)
    assert no_importance is None and actual[1].requires_grad == learns_importance
    torch.testing.assert_close(alone, weights)

    mask = (actual[0] / weights).where(allowed, 0).detach()
    kept = mask > 0.5
    torch.testing.assert_close(mask, kept.double() / (1 - dropout))
    pairs = HEADS * int(allowed.sum())
    assert abs(kept.sum() / pairs - (1 - dropout)) <= 5 * (dropout * (1 - dropout) / pairs) ** 0.5
    expected = (weights * mask) @ leaves[2], weights.sum((0, 1))
    for a, e in zip(actual, expected):
        torch.testing.assert_close(a.detach(), e.detach())
    if gradient != "none":
        outputs = slice(0, 2 if learns_importance else 1)
        upstream = [torch.randn_like(x) for x in expected[outputs]]
        gradients = (torch.autograd.grad(x[outputs], leaves, upstream) for x in (actual, expected))
        for a, e in zip(*gradients):
            torch.testing.assert_close(a, e)


def test_overwriting_the_query(layout):
    packed, half_window = layout
    tensors = torch.randn(3, HEADS, len(packed), 4)
    plan = local_attention_plan("eager", packed, half_window)
    with torch.no_grad():
        expected, _ = local_attention(*tensors, plan)
        context, _ = local_attention(*tensors, plan, overwrite_query=True)
    assert torch.equal(context, expected) and context.data_ptr() == tensors.data_ptr()


def test_pairs_of_the_bands():
    """Blocks of 64 queries against 192 keys, and 8 places for global tokens."""
    packed = draw_packed([128 * 20], 1.0, None)
    assert local_attention_plan("sdpa", packed, 64).pairs.tolist() == [128 * 20 * (192 + 8)]


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("bands", BANDS)
def test_pairs_are_counted_without_masks(bands, implementation, layout):
    """A plan on the CPU for each evaluation batch would take longer than the GPU needs to compute the batch."""
    with mock.patch.multiple(attention_banded, **BANDS[bands]):
        plan = local_attention_plan(implementation, *layout)
        layout[0].cache.clear()
        with mock.patch.object(attention_banded, "_plan_of_blocks", side_effect=AssertionError):
            counted = local_attention_pairs(implementation, *layout)
    assert counted.dtype == "int64" and counted.tolist() == plan.pairs.tolist()


@pytest.mark.parametrize("mode", MODES)
@given(case=CASES, small=st.booleans(), gpu=st.booleans())
@drawn(8)
def test_evaluation(case, mode, small, gpu):
    """With small blocks global tokens are outside the stretch of keys around a block."""
    sizes = BANDS["small" if small else "large"]
    with as_on_a_gpu(*(["cpu"] if gpu else [])), mock.patch.multiple(attention_banded, **sizes):
        it = Drawn(case, mode)
        it.model.set_attn_implementation("sdpa")
        check_encoder(it)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@given(case=CASES, mode=st.sampled_from(MODES), dtype=st.sampled_from([torch.float64, torch.float32]))
@drawn(10)
def test_sequence_classification(case, mode, dtype, implementation):
    """The last layer computes the first token only."""
    with as_on_a_gpu("cpu"):
        it = Drawn(case, mode, dtype, head=LTPForSequenceClassification)
        it.model.set_attn_implementation(implementation)
        logits = it.run().logits
    it.close(logits, dense.sequence_logits(it.weights, it.traces), "logits")


@pytest.mark.parametrize("mode", THRESHOLD_MODES)
@given(case=CASES, gpu=st.booleans())
@drawn(10)
def test_soft_training(case, mode, gpu):
    with as_on_a_gpu(*(["cpu"] if gpu else [])):
        it = Drawn(case, mode, soft=True)
        it.model.set_attn_implementation("sdpa")
        output = check_encoder(it)
    check_gradients(it, output)


@pytest.mark.parametrize("training", ["evaluation", "hard", "soft"])
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_a_batch_is_freed_by_counting_references(implementation, training):
    """Reference cycles would keep the masks of a step in memory until the cyclic garbage collector runs."""
    model = tiny_model().train(training != "evaluation")
    model.set_hard_masking(training != "soft")
    model.set_attn_implementation(implementation)
    gc.collect()
    before = batches_in_memory()
    gc.disable()
    try:
        output = model(**random_batch([60, 33]), labels=torch.tensor([0, 1]))
        if training != "evaluation":
            output.loss.backward()
        del output
        assert batches_in_memory() == before
    finally:
        gc.enable()


def batches_in_memory() -> int:
    """How many packed batches and plans there are."""
    return sum(type(x) in (PackedSequence, TilePlan, Tile, BandedPlan) for x in gc.get_objects())


@needs_gpu
class TestGPU:
    SETTINGS = {"hidden_size": 64, "max_position_embeddings": 1100, "attention_window": 64}

    @pytest.mark.parametrize("lengths", [[1000], [400, 90, 1000, 3]])
    @pytest.mark.parametrize("mode", MODES)
    @pytest.mark.parametrize("implementation", [None, *IMPLEMENTATIONS])
    def test_as_on_a_cpu(self, implementation, mode, lengths):
        more = {"token_keep_rate": 0.4, "token_threshold": 0.05, "num_hidden_layers": 6}
        model, batch = tiny_model(prune_mode=mode, **self.SETTINGS, **more).double(), random_batch(lengths)
        with torch.no_grad():
            expected = model(**batch, output_pruning=True), model(**batch)
            model.set_attn_implementation(implementation)
            model.cuda()
            batch = {name: tensor.cuda() for name, tensor in batch.items()}
            output = model(**batch, output_pruning=True), model(**batch)
        for o, e in zip(output, expected):
            torch.testing.assert_close(o.logits.cpu(), e.logits, rtol=1e-3, atol=1e-3)
        for o, e in zip(output[0].kept_tokens, expected[0].kept_tokens):
            assert (o.cpu() != e).float().mean() < 0.01

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
    def test_gradients(self, dtype):
        # Smooth attention and masks: steep ones enlarge the rounding errors of bfloat16 twentyfold.
        model = tiny_model(**self.SETTINGS, initializer_range=0.1, temperature=0.3).train()
        model.set_hard_masking(False)
        batch, gradients = random_batch([700, 300]), {}
        for device in ("cpu", "cuda"):
            model.to(device).zero_grad()
            inputs = {name: tensor.to(device) for name, tensor in batch.items()}
            with torch.autocast(device, dtype, enabled=dtype != torch.float32 and device == "cuda"):
                output = model(**inputs, labels=torch.tensor([0, 1], device=device))
            (output.loss + output.pruning_regularizer).backward()
            # Copied, because `model.to` moves the gradients too.
            gradients[device] = [p.grad.to("cpu", copy=True) for p in model.parameters() if p.grad is not None]
        bound = 0.01 if dtype == torch.float32 else 0.05
        for a, e in zip(gradients["cuda"], gradients["cpu"]):
            assert (a - e).norm() <= bound * e.norm() + 1e-4

    def test_importance_in_bfloat16(self):
        packed = draw_packed([900, 300], 0.8, None)
        query, key, value = torch.randn(3, HEADS, len(packed), 64)
        query /= 8
        expected, importance = local_attention(
            query, key, value, local_attention_plan("eager", packed, 64), with_importance=True
        )
        packed = PackedSequence(
            packed.sequence_of.cuda(), packed.positions.cuda(), packed.is_global.cuda(), packed.shape
        )
        half = (x.cuda().bfloat16() for x in (query, key, value))
        context, actual = local_attention(*half, local_attention_plan("sdpa", packed, 64), with_importance=True)
        assert actual.dtype == torch.float32
        torch.testing.assert_close(actual.cpu(), importance, rtol=0.02, atol=0.02)
        torch.testing.assert_close(context.cpu().float(), expected, rtol=0.05, atol=0.05)

    def test_one_synchronisation_a_layer(self):
        model, batch = tiny_model(**self.SETTINGS).cuda(), random_batch([400, 90])
        batch = {name: tensor.cuda() for name, tensor in batch.items()}
        with torch.no_grad():
            model(**batch)
            torch.cuda.set_sync_debug_mode("warn")
            try:
                with pytest.warns(UserWarning, match="synchroniz") as warned:
                    model(**batch)
            finally:
                torch.cuda.set_sync_debug_mode("default")
        # Lengths, thresholds, and what the two middle layers keep; see `test_device_policy.py`.
        assert len([w for w in warned if "synchroniz" in str(w.message)]) <= 4
