"""No group is in two splits, and the splits have the shares that were asked for."""

import time

import numpy as np
import pytest

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.quality.group_splits import group_components, group_splits, shares_note

SHARES = (0.8, 0.1, 0.1)


def random_groups(rows, names, seed=0):
    """`rows` rows with 0 to 2 names each."""
    rng = np.random.default_rng(seed)
    return [[f"g{name}" for name in rng.integers(names, size=rng.integers(3))] for _ in range(rows)]


def test_rows_that_share_any_name_are_one_component():
    groups = [["a"], ["b"], ["a", "c"], ["c", "b"], ["d"], [], [""], ["d", ""], []]
    found = group_components(groups)
    assert found[0] == found[1] == found[2] == found[3]
    assert found[4] == found[7]
    assert len(set(found)) == 5  # the three rows without a name are alone


@pytest.mark.parametrize("seed", range(5))
def test_no_name_is_in_two_splits(seed):
    groups = random_groups(500, 300, seed)
    splits = group_splits(groups, SHARES, seed)
    split_of = {}
    for names, split in zip(groups, splits):
        for name in names:
            assert split_of.setdefault(name, split) == split
    assert np.array_equal(splits, group_splits(groups, SHARES, seed))
    assert not np.array_equal(splits, group_splits(groups, SHARES, seed + 1))


@pytest.mark.parametrize("shares", [SHARES, (0.5, 0.5), (8, 1, 1), (0.4, 0.3, 0.2, 0.1)])
def test_shares_and_classes(shares):
    rng = np.random.default_rng(0)
    groups = [[f"g{rng.integers(400)}"] for _ in range(4000)]
    labels = (rng.random(4000) < 0.1).astype(int)
    splits = group_splits(groups, shares, 0, labels)
    for split, share in enumerate(np.array(shares) / sum(shares)):
        assert np.mean(splits == split) == pytest.approx(share, abs=0.005)
        assert labels[splits == split].mean() == pytest.approx(labels.mean(), abs=0.01)
    assert shares_note(groups, splits, shares) is None


def test_classes_are_balanced_where_groups_have_one_class():
    groups, labels = [[f"g{row // 10}"] for row in range(1000)], [int(row < 200) for row in range(1000)]
    splits = group_splits(groups, SHARES, 0, labels)
    assert [np.mean(np.array(labels)[splits == split]) for split in range(3)] == [0.2, 0.2, 0.2]


def test_each_split_holds_large_and_small_groups():
    groups = [[f"g{row // 10}"] for row in range(1000)] + [[] for _ in range(1000)]
    splits = group_splits(groups, SHARES, 0)
    for half in (splits[:1000], splits[1000:]):
        assert [np.mean(half == split) for split in range(3)] == pytest.approx(SHARES, abs=0.02)


@pytest.mark.parametrize("sizes", [(50, 50, 1), (98, 1, 1), (1, 1, 1), (40, 30, 20, 10), (900, 50, 25, 25)])
def test_each_split_has_rows_however_large_a_group_is(sizes):
    groups = [[f"g{number}"] for number, size in enumerate(sizes) for _ in range(size)]
    splits = group_splits(groups, SHARES, 0)
    assert set(splits) == {0, 1, 2}
    note = shares_note(groups, splits, SHARES)
    assert note is None or f"{max(sizes):,} of {sum(sizes):,}" in note


def test_a_note_if_a_group_is_too_large():
    groups = [["a"]] * 95 + [["b"]] * 3 + [["c"]] * 2
    splits = group_splits(groups, SHARES, 0)
    assert "95.0% / 3.0% / 2.0%" in shares_note(groups, splits, SHARES)


@pytest.mark.parametrize("groups", [[], [["a"], ["b"]], [["a"], ["a", "b"], ["b"], ["c"]]])
def test_fewer_components_than_splits_is_an_error(groups):
    with pytest.raises(UserError, match="expected 3 or more"):
        group_splits(groups, SHARES, 0)


def test_time_is_linear():
    start = time.process_time()
    chain = [[f"g{row}", f"g{row + 1}"] for row in range(50_000)]  # one component
    group_splits(chain + [[] for _ in range(50_000)], SHARES, 0)
    assert time.process_time() - start < 5
