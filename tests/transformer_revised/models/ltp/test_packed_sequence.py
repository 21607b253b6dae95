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


def test_masks_with_left_padding_and_holes():
    packed = PackedSequence.from_masks(torch.tensor([[0, 0, 1, 1], [1, 0, 1, 0]]), None)
    assert packed.sequence_of.tolist() == [0, 0, 1, 1]
    assert packed.positions.tolist() == [2, 3, 0, 2]
    assert packed.is_global.tolist() == [True, False, True, False]


def test_global_indices_by_sequence():
    globals_ = torch.tensor([[0, 1, 1], [0, 0, 0], [1, 0, 1]])
    packed = PackedSequence.from_masks(torch.tensor([[1, 1, 1], [1, 1, 0], [1, 1, 0]]), globals_)
    assert [g.tolist() for g in packed.global_indices] == [[1, 2], [], [5]]


def test_pack_and_unpack_are_inverse():
    mask = torch.tensor([[1, 1, 0], [1, 1, 1]])
    padded = torch.randn(2, 3, 4)
    packed = PackedSequence.from_masks(mask, None)
    back = packed.unpack(packed.pack(padded), fill=-7.0)
    assert torch.equal(back[mask > 0], padded[mask > 0])
    assert (back[mask == 0] == -7).all()


def test_sum_and_maximum_of_each_sequence():
    packed = PackedSequence.from_masks(torch.tensor([[1, 1, 0], [1, 1, 1]]), None)
    values = torch.tensor([-3.0, -5.0, 1.0, 4.0, 2.0])
    assert packed.sum(values).tolist() == [-8.0, 7.0]
    assert packed.amax(values).tolist() == [-3.0, 4.0]


def test_a_sequence_without_tokens_is_refused():
    with pytest.raises(ValueError, match="sequence 1 of the batch has no token"):
        PackedSequence.from_masks(torch.tensor([[1, 0], [0, 0]]), None)
