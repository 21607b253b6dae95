"""Block-wise attention against a dense one that spells the definition out, float64."""

import math

import pytest
import torch
from torch import nn

from transformer_revised.models.ltp import attention_tile_plan as plans
from transformer_revised.models.ltp.attention_global import folding_is_cheaper, global_attention
from transformer_revised.models.ltp.attention_tile_plan import first_token_plan, tile_plan
from transformer_revised.models.ltp.attention_tiles import tiled_attention
from transformer_revised.models.ltp.packed_sequence import PackedSequence

HEADS, DIM = 3, 4
# lengths, half window, share of tokens that stay, global columns
LAYOUTS = {
    "one short": ([5], 2, 1.0, [0]),
    "no mask needed": ([5, 1, 2], 8, 1.0, [0]),
    "several blocks": ([70, 33], 4, 1.0, [0]),
    "removed tokens": ([90, 40], 6, 0.4, [0]),
    "globals anywhere": ([64, 50], 5, 0.6, [3, 30]),
    "no global": ([40], 3, 0.8, []),
    "like lengths": ([30, 32, 31, 7, 16], 40, 1.0, [0]),
}


@pytest.fixture(params=[0, 32, 256], ids="no sequence short,some,all".split(","))
def short(request):
    """Up to how many tokens a sequence shares tiles with others."""
    return request.param


@pytest.fixture(params=LAYOUTS.values(), ids=LAYOUTS)
def layout(request, short, monkeypatch):
    monkeypatch.setattr(plans, "QUERY_BLOCK", 16)
    monkeypatch.setattr(plans, "SHORT_SEQUENCE", short)
    monkeypatch.setattr(plans, "TILE_PAIRS", 2000)
    lengths, half_window, share, global_columns = request.param
    torch.manual_seed(0)
    mask = torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]
    globals_ = torch.zeros_like(mask)
    globals_[:, global_columns] = True
    mask &= (torch.rand(mask.shape) < share) | globals_
    packed = PackedSequence.from_masks(mask, globals_)
    tensors = [torch.randn(HEADS, len(packed), DIM, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    return packed, half_window, tensors


def allowed_pairs(packed, half_window):
    """[N, N] bool, from the definition."""
    near = (packed.positions[:, None] - packed.positions[None]).abs() <= half_window
    return (packed.sequence_of[:, None] == packed.sequence_of[None]) & (near | packed.is_global[None])


def dense_attention(packed, half_window, query, key, value):
    scores = (query @ key.transpose(1, 2)).masked_fill(~allowed_pairs(packed, half_window), -math.inf)
    weights = scores.softmax(-1)
    return weights @ value, weights.sum((0, 1))


def test_context_and_importance(layout):
    packed, half_window, tensors = layout
    plan = tile_plan(packed, half_window)
    context, importance = tiled_attention(*tensors, plan, with_importance=True)
    expected_context, expected_importance = dense_attention(packed, half_window, *tensors)
    torch.testing.assert_close(context, expected_context)
    torch.testing.assert_close(importance, expected_importance)
    # every query gives away a total of 1 per head
    torch.testing.assert_close(packed.sum(importance), (HEADS * packed.length_tensor).double())


def test_gradients(layout):
    packed, half_window, tensors = layout
    plan = tile_plan(packed, half_window)
    upstream = torch.randn(HEADS, len(packed), DIM, dtype=torch.float64)
    actual = torch.autograd.grad(tiled_attention(*tensors, plan)[0], tensors, upstream)
    expected = torch.autograd.grad(dense_attention(packed, half_window, *tensors)[0], tensors, upstream)
    for a, e in zip(actual, expected):
        torch.testing.assert_close(a, e)


def test_gradients_with_dropout_match_finite_differences(short, monkeypatch):
    monkeypatch.setattr(plans, "QUERY_BLOCK", 4)
    monkeypatch.setattr(plans, "SHORT_SEQUENCE", short)
    packed = PackedSequence.from_masks(torch.ones(2, 7), None)
    plan = tile_plan(packed, 2)
    tensors = [torch.randn(2, 14, 3, dtype=torch.float64, requires_grad=True) for _ in range(3)]

    def attend(*qkv):
        torch.manual_seed(5)  # the same weights are dropped in each evaluation
        return tiled_attention(*qkv, plan, dropout=0.4)[0]

    assert torch.autograd.gradcheck(attend, tensors)


def test_dropout_keeps_the_expected_context_and_leaves_importance_alone():
    packed = PackedSequence.from_masks(torch.ones(1, 20), None)
    plan = tile_plan(packed, 4)
    query, key, value = (torch.randn(2, 20, 4, dtype=torch.float64) for _ in range(3))
    exact, importance = tiled_attention(query, key, value, plan, with_importance=True)
    draws = [tiled_attention(query, key, value, plan, dropout=0.3, with_importance=True) for _ in range(3000)]
    assert not torch.equal(draws[0][0], draws[1][0])
    torch.testing.assert_close(torch.stack([d[0] for d in draws]).mean(0), exact, rtol=0, atol=0.1)
    torch.testing.assert_close(draws[0][1], importance)


def test_pairs_are_those_computed(layout):
    packed, half_window, tensors = layout
    plan = tile_plan(packed, half_window)
    query, key, _ = tensors
    counted = sum(tile.queries(query).shape[:2].numel() * tile.keys(key).shape[1] for tile in plan.tiles) / HEADS
    assert plan.pairs.sum() == counted
    assert counted >= allowed_pairs(packed, half_window).sum()


def test_first_token_plan_agrees_with_the_full_one(layout):
    packed, half_window, tensors = layout
    first = packed.first_index
    whole, _ = tiled_attention(*tensors, tile_plan(packed, half_window))
    part, _ = tiled_attention(*tensors, first_token_plan(packed, half_window))
    wanted = first[~packed.is_global[first]]
    torch.testing.assert_close(part[:, wanted], whole[:, wanted])
    assert not part[:, first[packed.is_global[first]]].any()


@pytest.mark.parametrize("num_global, folded", [(1, True), (6, False)])
def test_global_attention_both_ways(num_global, folded):
    """Few queries fold the projections, many do not; both give what dense attention gives."""
    torch.manual_seed(0)
    hidden, lengths = HEADS * DIM, [9, 6]
    key, value = nn.Linear(hidden, hidden).double(), nn.Linear(hidden, hidden).double()
    states = torch.randn(sum(lengths), hidden, dtype=torch.float64, requires_grad=True)
    query = torch.randn(2 * num_global, HEADS, DIM, dtype=torch.float64, requires_grad=True)
    packed = PackedSequence.from_masks(torch.arange(9)[None] < torch.tensor(lengths)[:, None], None)
    assert folding_is_cheaper(packed.lengths, packed.lengths * 0 + num_global, HEADS, hidden) == folded
    context, weights = global_attention(query, states, [num_global] * 2, lengths, key, value)

    keys, values = key(states).view(-1, HEADS, DIM), value(states).view(-1, HEADS, DIM)
    scores = torch.einsum("ghd,nhd->ghn", query, keys)
    own = torch.arange(2).repeat_interleave(num_global)[:, None] == packed.sequence_of[None]
    dense = scores.masked_fill(~own[:, None], -math.inf).softmax(-1)
    expected = torch.einsum("ghn,nhd->ghd", dense, values).flatten(1)
    torch.testing.assert_close(context, expected)
    torch.testing.assert_close(weights[1], dense[num_global:, :, 9:])
    inputs = [query, states, key.weight, value.weight, value.bias]
    for a, e in zip(
        torch.autograd.grad(context.square().sum(), inputs), torch.autograd.grad(expected.square().sum(), inputs)
    ):
        torch.testing.assert_close(a, e)
