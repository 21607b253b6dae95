"""The layout of a batch on the host."""

import numpy as np
import torch

from transformer_revised.models.ltp.host_tokens import HostTokens, through_one_buffer


def test_arrays_through_one_buffer():
    """Of each dtype several, in any order, some empty."""
    arrays = [
        np.arange(3), np.array([True, False, True]), np.array([[0.5, np.inf]], dtype=np.float32),
        np.arange(6).reshape(2, 3)[:, ::-1], np.zeros(0, dtype=np.int64), np.ones((1, 5), dtype=bool),
    ]  # fmt: skip
    copies = through_one_buffer(arrays, torch.device("cpu"), pinned=False)
    assert [c.dtype for c in copies] == [torch.int64, torch.bool, torch.float32, torch.int64, torch.int64, torch.bool]
    for array, copy in zip(arrays, copies):
        assert copy.shape == array.shape and copy.tolist() == array.tolist()


def test_padded_index():
    tokens = HostTokens(np.array([2, 0, 3]), np.array([0, 1, 0, 1, 2]), np.zeros(5, dtype=bool))
    index, is_padding = tokens.padded_index()
    assert index[[0, 2]].tolist() == [[0, 1, 1], [2, 3, 4]]
    assert is_padding.tolist() == [[False, False, True], [True] * 3, [False] * 3]
