"""How blocks of one size are divided among tiles."""

import pytest

from transformer_revised.models.ltp.attention_tile_plan import groups_of_few_sizes


@pytest.mark.parametrize("number, most, parts", [
    (0, None, []),
    (1, None, [(0, 1)]),
    (3, None, [(0, 3)]),
    (7, None, [(0, 6), (6, 7)]),
    (7, 2, [(0, 2), (2, 4), (4, 6), (6, 7)]),
    (8, None, [(0, 8)]),
    (29, 12, [(0, 12), (12, 24), (24, 28), (28, 29)]),
])  # fmt: skip
def test_groups_of_few_sizes(number, most, parts):
    assert list(groups_of_few_sizes(number, most)) == parts
