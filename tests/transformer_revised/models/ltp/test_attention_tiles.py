"""How local attention is cut into tiles, and the tiles of first tokens."""

import pytest
import torch

from transformer_revised.models.ltp.attention_tile_plan import first_token_plan, powers_of_two, tile_plan
from transformer_revised.models.ltp.attention_tiles import tiled_attention

from .test_attention_kernels import HEADS, blocks, dense_weights, layout  # noqa: F401, fixtures


def test_pairs_are_those_computed(layout):  # noqa: F811
    packed, half_window = layout
    plan = tile_plan(packed, half_window)
    query, key = torch.randn(2, HEADS, len(packed), 4)
    computed = sum(tile.probabilities(tile.queries(query), tile.keys(key)).numel() for tile in plan.tiles) / HEADS
    assert plan.pairs.sum() == computed >= dense_weights(packed, half_window, query, key)[1].sum()


def test_first_token_plan_agrees_with_the_full_one(layout):  # noqa: F811
    packed, half_window = layout
    tensors, first = torch.randn(3, HEADS, len(packed), 4, dtype=torch.float64), packed.first_index
    whole, _ = tiled_attention(*tensors, tile_plan(packed, half_window))
    part, _ = tiled_attention(*tensors, first_token_plan(packed, half_window))
    wanted = first[~packed.is_global[first]]
    torch.testing.assert_close(part[:, wanted], whole[:, wanted])
    assert not part[:, first[packed.is_global[first]]].any()


@pytest.mark.parametrize("number, most, parts", [
    (0, None, []),
    (7, None, [(0, 4), (4, 6), (6, 7)]),
    (7, 3, [(0, 2), (2, 4), (4, 6), (6, 7)]),
    (8, None, [(0, 8)]),
])  # fmt: skip
def test_powers_of_two(number, most, parts):
    assert list(powers_of_two(number, most)) == parts
