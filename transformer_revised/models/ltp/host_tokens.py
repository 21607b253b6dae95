"""The layout of a batch on the host, for a GPU: from a mask that was read back, NumPy computes everything that the
next layers need, and one transfer brings it to the device. The same with operators of the GPU would be some twenty
launches for each layer that prunes.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

# In a transfer the arrays of one dtype begin at a multiple of this many bytes.
ALIGNMENT = 16
TORCH_DTYPES = {"int32": torch.int32, "int64": torch.int64, "float32": torch.float32, "bool": torch.bool}


@dataclass
class HostTokens:
    """The `N` tokens of a packed batch, on the host."""

    lengths: np.ndarray  # `[B]` int64, alive tokens of each sequence; the sum is `N`
    positions: np.ndarray  # `[N]` int64, original column of each token
    is_global: np.ndarray  # `[N]` bool

    @classmethod
    def of_masks(cls, real: torch.Tensor, global_attention_mask: torch.Tensor | None) -> HostTokens:
        """The tokens of `[B, L]` masks, as in [`PackedSequence.from_masks`], with one read of their device."""
        if global_attention_mask is None:
            real, is_global = real.cpu().numpy(), None
        else:
            real, is_global = torch.stack([real, global_attention_mask > 0]).cpu().numpy()
        lengths, flat = real.sum(axis=1), np.flatnonzero(real)
        if is_global is not None:
            is_global = is_global.ravel()[flat]
        elif lengths.all():
            is_global = np.zeros(len(flat), dtype=bool)
            is_global[np.cumsum(lengths) - lengths] = True
        else:
            is_global = np.zeros(len(flat), dtype=bool)
        return cls(lengths, flat - np.repeat(np.arange(len(real)) * real.shape[1], lengths), is_global)

    @functools.cached_property
    def starts(self) -> np.ndarray:
        """Packed index of the first token of each sequence, `[B]` int64."""
        return np.cumsum(self.lengths) - self.lengths

    def keep(self, mask: np.ndarray) -> tuple[HostTokens, np.ndarray]:
        """The tokens where `mask` (`[N]` bool) is True, and their packed indices, `[M]` int64."""
        kept = np.flatnonzero(mask)
        lengths = np.diff(np.searchsorted(kept, self.starts), append=len(kept))
        return HostTokens(lengths, self.positions[kept], self.is_global[kept]), kept

    def padded_index(self) -> tuple[np.ndarray, np.ndarray]:
        """The sequences below each other, each filled up with its last token to the longest: packed indices `[B, W]`
        int64, and where the filling is `[B, W]` bool. An empty sequence is filled with any token.
        """
        column = np.arange(self.lengths.max())
        index = self.starts[:, None] + np.minimum(column, np.maximum(self.lengths[:, None] - 1, 0))
        return np.minimum(index, len(self.positions) - 1), column >= self.lengths[:, None]


def to_device(arrays: Sequence[np.ndarray], device: torch.device) -> list[torch.Tensor]:
    """Copies of host arrays on `device`, by one transfer for which the host does not wait."""
    if device.type != "cuda":
        return [torch.from_numpy(array) for array in arrays]
    return through_one_buffer(arrays, device, pinned=True)


def through_one_buffer(arrays: Sequence[np.ndarray], device: torch.device, pinned: bool) -> list[torch.Tensor]:
    """See `to_device`. `pinned`: whether the buffer on the host is memory from which a GPU copies by itself."""
    by_dtype: dict[np.dtype, list[int]] = {}
    for i, array in enumerate(arrays):
        by_dtype.setdefault(array.dtype, []).append(i)
    sizes = [sum(arrays[i].nbytes for i in indices) for indices in by_dtype.values()]
    begins = np.cumsum([0, *(-(-size // ALIGNMENT) * ALIGNMENT for size in sizes)]).tolist()
    buffer = torch.empty(begins[-1], dtype=torch.uint8, pin_memory=pinned)
    memory, copies = buffer.numpy(), list(arrays)
    for (dtype, indices), begin, size in zip(by_dtype.items(), begins, sizes):
        np.concatenate([arrays[i].ravel() for i in indices], out=memory[begin : begin + size].view(dtype))
    copied = buffer.to(device, non_blocking=True)
    # One view of each dtype, cut by one call: each view by itself takes the host a microsecond or two.
    for (dtype, indices), begin, size in zip(by_dtype.items(), begins, sizes):
        pieces = copied[begin : begin + size].view(TORCH_DTYPES[dtype.name]).split([arrays[i].size for i in indices])
        for i, piece in zip(indices, pieces):
            copies[i] = piece if arrays[i].ndim == 1 else piece.view(arrays[i].shape)
    return copies
