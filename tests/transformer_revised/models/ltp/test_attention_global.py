"""Global attention: folded, not folded and padded, against dense attention."""

import pytest
import torch
from torch import nn

from transformer_revised.models.ltp.attention_global import (
    folding_is_cheaper,
    global_attention,
    padded_global_attention,
)
from transformer_revised.models.ltp.packed_sequence import PackedSequence

HEADS, DIM = 3, 4


@pytest.mark.parametrize("lengths", [[9, 6], [80], [80, 33, 50, 33]], ids=str)
@pytest.mark.parametrize("way, num_global", [("folded", 1), ("folded", 2), ("not folded", 6), ("padded", 1)])
def test_against_dense_attention(way, num_global, lengths):
    torch.manual_seed(0)
    hidden = HEADS * DIM
    packed = PackedSequence.from_masks(torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None], None)
    key, value = nn.Linear(hidden, hidden).double(), nn.Linear(hidden, hidden).double()
    states = torch.randn(len(packed), hidden, dtype=torch.float64, requires_grad=True)
    query = torch.randn(len(lengths) * num_global, HEADS, DIM, dtype=torch.float64, requires_grad=True)
    keys, values = key(states).view(-1, HEADS, DIM), value(states).view(-1, HEADS, DIM)
    own = torch.arange(len(lengths)).repeat_interleave(num_global)[:, None] == packed.sequence_of[None]
    scores = torch.einsum("ghd,nhd->ghn", query, keys)
    dense = scores.masked_fill(~own[:, None], -torch.inf).softmax(-1)
    expected = torch.einsum("ghn,nhd->ghd", dense, values).flatten(1)

    if way == "padded":
        actual = padded_global_attention(query, states, packed, key, value)
        dropped = padded_global_attention(query, states, packed, key, value, dropout=1.0)
        torch.testing.assert_close(dropped, torch.zeros_like(dropped))  # also no bias, which the weights multiply
    else:
        numbers = [num_global] * len(lengths), lengths
        assert folding_is_cheaper(packed.lengths, packed.lengths * 0 + num_global, HEADS, hidden) == (way == "folded")
        actual, weights = global_attention(query, states, *numbers, key, value)
        for a, e in zip(weights, dense.split(num_global)):
            torch.testing.assert_close(a, e[..., e[0, 0] > 0])
        dropped, _ = global_attention(query, states, *numbers, key, value, dropout=1.0)
        if way == "folded":
            torch.testing.assert_close(dropped, torch.zeros_like(dropped))
    torch.testing.assert_close(actual, expected)
    inputs = [query, states, key.weight, value.weight, value.bias]
    gradients = (torch.autograd.grad(x.square().sum(), inputs) for x in (actual, expected))
    for a, e in zip(*gradients):
        torch.testing.assert_close(a, e)
