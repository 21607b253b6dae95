"""Masks of dropout that are drawn again in the backward pass."""

import pytest
import torch

from transformer_revised.models.ltp.dropout_masks import Dropout, draw_seed


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_share_and_scale(dtype):
    x = torch.full((3, 100_003), 3.0, dtype=dtype)
    drops = Dropout(0.1, seed=5)
    drops.drop_(x)
    assert set(x.unique().tolist()) == {0.0, 3.0}
    assert abs((x == 0).double().mean().item() - 0.1) < 0.002
    assert drops.scale == pytest.approx(1 / 0.9)


def test_the_same_seed_drops_the_same():
    def masks(seed, *tensors):
        drops = Dropout(0.5, seed)
        for group in tensors:
            drops.drop_(*group)
        return [group[0] for group in tensors]

    shapes = (1000, 300_000)
    first = masks(7, *((torch.ones(n),) for n in shapes))
    again = masks(7, *((torch.ones(n), torch.ones(n)) for n in shapes))  # as the backward pass: two tensors
    other = masks(8, *((torch.ones(n),) for n in shapes))
    assert all(torch.equal(a, b) for a, b in zip(first, again))
    assert not any(torch.equal(a, b) for a, b in zip(first, other))


def test_elements_are_dropped_independently():
    """Neighbours, and the same place in two calls, are dropped together as often as independent ones."""
    drops = Dropout(0.5, seed=1)
    x, y = torch.ones(2**18), torch.ones(2**18)
    drops.drop_(x)
    drops.drop_(y)
    assert abs((x * y).mean().item() - 0.25) < 0.005
    assert abs((x[1:] * x[:-1]).mean().item() - 0.25) < 0.005
    half = len(x) // 2
    assert abs((x[:half] * x[half:]).mean().item() - 0.25) < 0.005


def test_bounds_of_the_probability():
    x = torch.ones(1000)
    drops = Dropout(1.0, seed=1)
    drops.drop_(x)
    assert not x.any() and drops.scale == 1
    y = torch.ones(1000)
    Dropout(1e-9, seed=1).drop_(y)
    assert y.sum() > 990
    assert draw_seed(0.0) is None


def test_the_seed_comes_from_torch():
    torch.manual_seed(3)
    first = draw_seed(0.1)
    torch.manual_seed(3)
    assert draw_seed(0.1) == first != draw_seed(0.1)


def test_another_default_device():
    x = torch.ones(1000)
    with torch.device("meta"):
        Dropout(0.5, draw_seed(0.5)).drop_(x)
    assert 300 < x.sum() < 700


@pytest.mark.parametrize("shape", [(0, 3), (1,), (3, 5)])
def test_few_elements(shape):
    x = torch.ones(shape)
    Dropout(1 - 1e-9, seed=2**62 - 1).drop_(x)
    assert x.shape == shape and not x.any()
