"""How blocks of one size are divided among tiles."""

import pytest

from transformer_revised.models.ltp.attention_tile_plan import powers_of_two


@pytest.mark.parametrize("number, most, parts", [
    (0, None, []),
    (7, None, [(0, 4), (4, 6), (6, 7)]),
    (7, 3, [(0, 2), (2, 4), (4, 6), (6, 7)]),
    (8, None, [(0, 8)]),
])  # fmt: skip
def test_powers_of_two(number, most, parts):
    assert list(powers_of_two(number, most)) == parts
