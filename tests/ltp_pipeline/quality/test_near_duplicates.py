import pytest

from ltp_pipeline.code.code_tokens import code_tokens
from ltp_pipeline.quality.near_duplicates import NearDuplicates, near_duplicate_groups

LONG = "static int f(int a) { " + " ".join(f"a = g{i}(a, {i});" for i in range(40)) + " return a; }"


def test_the_most_similar_function_seen_before_is_found():
    pytest.importorskip("datasketch")
    near = NearDuplicates(0.85)
    texts = [LONG, "int other(void) { return 1; }", LONG.replace("g7(", "h7("), LONG.replace("a", "b"), LONG]
    found = [near.add(number, code_tokens(text)) for number, text in enumerate(texts)]
    assert found[:2] == [None, None] and found[3] is None
    assert found[2][0] == 0 and 0.9 < found[2][1] < 1
    assert found[4] == (0, 1.0)


def test_candidates_below_the_threshold_are_none():
    pytest.importorskip("datasketch")
    for threshold, expected in ((0.95, 0), (0.99, None), (1.0, None)):
        near = NearDuplicates(threshold)
        near.add(0, code_tokens(LONG))
        found = near.add(1, code_tokens(LONG.replace("g7(", "h7(")))
        assert (found and found[0]) == expected


def test_groups_join_copies_and_chains_of_near_duplicates():
    first = [f"w{i}" for i in range(100)]
    near, far = [*first[:96], "a", "b", "c", "d"], [f"v{i}" for i in range(100)]
    chain = [*first[:92], *"efghabcd"]
    groups = near_duplicate_groups([first, far, near, list(first), chain, far[:50]])
    assert groups[0] == groups[2] == groups[3] == groups[4]
    assert len(set(groups)) == 3 and groups[1] != groups[5]
    assert len(set(near_duplicate_groups([first, chain]))) == 2  # only the chain joins them
    assert near_duplicate_groups([]) == []


def test_a_removed_function_is_not_found():
    near, tokens = NearDuplicates(), [f"w{i}" for i in range(20)]
    near.add(0, tokens)
    assert near.add_and_list(1, tokens) == [(0, 1.0)]
    near.remove(0)
    assert near.add_and_list(2, tokens) == [(1, 1.0)]
