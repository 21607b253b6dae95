import pytest
import torch

from transformer_revised.models.ltp.packed_sequence import PackedSequence


def test_the_example_of_the_docstring():
    packed = PackedSequence.from_masks(torch.tensor([[1, 1, 0, 0], [1, 1, 1, 0]]), None)
    assert packed.sequence_of.tolist() == [0, 0, 1, 1, 1]
    assert packed.positions.tolist() == [0, 1, 0, 1, 2]
    assert packed.offsets == [0, 2, 5]
    assert packed.is_global.tolist() == [True, False, True, False, False]
    left = packed.select(torch.tensor([0, 1, 2, 4]))
    assert left.positions.tolist() == [0, 1, 0, 2]
    assert left.offsets == [0, 2, 4]


def test_a_sequence_without_tokens_is_refused():
    with pytest.raises(ValueError, match="sequence 1 of the batch has no token"):
        PackedSequence.from_masks(torch.tensor([[1, 0], [0, 0]]), None)
