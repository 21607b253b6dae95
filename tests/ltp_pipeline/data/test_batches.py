"""Batches by tokens: how full, how shuffled, shared among processes, and what evaluation puts back in order."""

import numpy as np
import pytest

from ltp_pipeline.data.batches import (
    DEFAULT_MAX_TOKENS,
    EvalTokenBatches,
    TrainTokenBatches,
    rounded_lengths,
    sorted_batches,
)

LENGTHS = np.random.default_rng(0).integers(5, 200, size=300)


def epoch_of(batches, epoch=0):
    batches.set_epoch(epoch)
    return list(batches)


def cost(batch, padded):
    lengths = LENGTHS[batch]
    return lengths.max() * len(lengths) if padded else lengths.sum()


@pytest.mark.parametrize("padded", [False, True])
def test_every_function_once_and_no_batch_too_large(padded):
    sampler = TrainTokenBatches(LENGTHS, 512, padded=padded)
    for epoch in range(3):
        batches = epoch_of(sampler, epoch)
        assert sorted(i for batch in batches for i in batch) == list(range(300))
        assert max(cost(batch, padded) for batch in batches) <= 512
        assert len(batches) == len(sampler)
    # An eighth of each length at most is rounded up, and less than the next function does not fit.
    assert len(sampler) <= 1.35 * LENGTHS.sum() / 512


def test_a_batch_is_of_functions_of_like_length():
    spread = [np.ptp(LENGTHS[batch]) for batch in epoch_of(TrainTokenBatches(LENGTHS, 512))]
    assert np.median(spread) <= 12
    at_random = [np.ptp(chunk) for chunk in np.split(LENGTHS, range(5, 300, 5))]
    assert np.median(at_random) > 100


def test_epochs_differ_in_batches_and_order_and_seeds_do_and_nothing_else():
    sampler = TrainTokenBatches(LENGTHS, 512, seed=1)
    first, second = epoch_of(sampler, 0), epoch_of(sampler, 1)
    assert epoch_of(sampler, 0) == first == epoch_of(TrainTokenBatches(LENGTHS, 512, seed=1))
    members = [{frozenset(batch) for batch in epoch} for epoch in (first, second)]
    assert len(members[0] & members[1]) < len(first) / 4
    assert first != epoch_of(TrainTokenBatches(LENGTHS, 512, seed=2))
    means = [LENGTHS[batch].mean() for batch in first]
    assert abs(np.corrcoef(means, range(len(means)))[0, 1]) < 0.3  # not from short to long


@pytest.mark.parametrize("processes", [2, 3])
def test_processes_share_an_epoch(processes):
    samplers = [TrainTokenBatches(LENGTHS, 512, processes=processes, rank=rank) for rank in range(processes)]
    shares = [epoch_of(sampler, 2) for sampler in samplers]
    assert {len(share) for share in shares} == {len(samplers[0])}
    assert sorted(i for share in shares for batch in share for i in batch) == list(range(300))
    assert max(cost(batch, False) for share in shares for batch in share) <= 512
    for step in zip(*shares):  # none waits for another's long batch
        assert np.ptp([LENGTHS[batch].mean() for batch in step]) < 40


def test_fewer_functions_than_processes_are_repeated():
    shares = [epoch_of(TrainTokenBatches([9, 8, 7], 9, processes=2, rank=rank)) for rank in range(2)]
    assert [len(share) for share in shares] == [2, 2]
    assert sorted({i for share in shares for batch in share for i in batch}) == [0, 1, 2]


@pytest.mark.parametrize("processes", [1, 2, 4, 7])
@pytest.mark.parametrize("padded", [False, True])
def test_evaluation_is_put_back_in_order(processes, padded):
    samplers = [EvalTokenBatches(LENGTHS, 512, padded=padded, processes=processes, rank=r) for r in range(processes)]
    steps = list(zip(*samplers))
    assert all(len({len(batch) for batch in step}) == 1 for step in steps)  # what is gathered has one size
    assert max(cost(batch, padded) for step in steps for batch in step) <= 512
    gathered = np.array([i for step in steps for batch in step for i in batch])
    assert len(gathered) - 300 < processes
    counted = [i for s in samplers for batch in list(s)[: -1 if s.last_is_repeated else None] for i in batch]
    assert sorted(counted) == list(range(300))
    assert samplers[0].restore(gathered).tolist() == list(range(300))
    two = np.stack([gathered, LENGTHS[gathered]], axis=1)
    assert samplers[-1].restore(two)[:, 1].tolist() == LENGTHS.tolist()
    assert LENGTHS[steps[0][0][0]] == LENGTHS.max()


def test_lengths_are_rounded_up_by_an_eighth_at_most():
    lengths = np.arange(1, 1025)
    rounded = rounded_lengths(lengths, 1024)
    assert (rounded >= lengths).all() and (rounded < lengths * 1.125 + 1).all()
    assert rounded[:16].tolist() == list(range(1, 17))
    assert len(np.unique(rounded)) == 8 * 7 + 8
    assert rounded_lengths(np.array([1000]), 1010).tolist() == [1010]


def test_sorted_batches_by_tokens_or_by_number():
    lengths = [3, 9, 5, 5, 12]
    assert sorted_batches(lengths, max_tokens=14) == [[4], [1, 2], [3, 0]]
    assert sorted_batches(lengths, max_tokens=14, size=1) == [[4], [1, 2], [3, 0]]
    assert sorted_batches(lengths, max_tokens=14, padded=True) == [[4], [1], [2, 3], [0]]
    assert sorted_batches(lengths, max_tokens=4) == [[4], [1], [2], [3], [0]]  # too long ones by themselves
    assert sorted_batches(lengths, size=2) == [[4, 1], [2, 3], [0]]
    assert sorted_batches([DEFAULT_MAX_TOKENS - 1, 1, 1]) == [[0, 1], [2]]
    assert sorted_batches([]) == []
