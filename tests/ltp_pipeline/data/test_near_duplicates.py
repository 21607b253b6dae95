import pytest

from ltp_pipeline.code.code_tokens import code_tokens
from ltp_pipeline.data.near_duplicates import NearDuplicates

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
