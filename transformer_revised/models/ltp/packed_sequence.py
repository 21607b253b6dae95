"""A batch without padding: the tokens of all sequences in one row, and how tokens leave it.

Lengths 2 and 3 padded to 4 are packed as `[a0 a1 b0 b1 b2]`: `rows` is `[0 0 1 1 1]`, `positions` is `[0 1 0 1 2]`,
`offsets` is `[0, 2, 5]`. When `b1` leaves, `[a0 a1 b0 b2]` is left, with positions `[0 1 0 2]`: the order of a
sequence and the original positions never change.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch


def uncompiled(function: Callable) -> Callable:
    """
    Keeps a function whose steps the host lays out, from the tokens that are alive, out of what `torch.compile` traces.

    `torch.compiler.disable` alone would import the compiler for every user.
    """

    @functools.wraps(function)
    def call(*args, **kwargs):
        if torch.compiler.is_compiling():
            return torch.compiler.disable(function)(*args, **kwargs)
        return function(*args, **kwargs)

    return call


# Reading a number back from these stops the host until all work before it is done, and the device right after.
DEVICES_THAT_WAIT = ("cuda",)


def waits(device: torch.device) -> bool:
    """Whether numbers should be read back from `device` as rarely as can be."""
    return device.type in DEVICES_THAT_WAIT


@dataclass
class HostKnowledge:
    """
    What the host knows of a batch on a GPU. Global tokens never leave, so that only the lengths ever change.

    Args:
        lengths, num_global: tokens and global tokens of each sequence, `[B]` int64.
        global_first: whether the first token of every sequence is global.
    """

    lengths: np.ndarray
    num_global: np.ndarray
    global_first: bool

    @classmethod
    def of(cls, real: torch.Tensor, global_attention_mask: torch.Tensor | None) -> HostKnowledge:
        """`[B, L]` masks, as in [`PackedSequence.from_masks`], read back at one go."""
        lengths = real.sum(dim=1)
        if global_attention_mask is None:
            lengths = lengths.cpu().numpy()
            return cls(lengths, np.ones_like(lengths), True)
        is_global = real & (global_attention_mask > 0)
        first = is_global.gather(1, real.int().argmax(dim=1, keepdim=True)).squeeze(1)
        lengths, num_global, first = torch.stack([lengths, is_global.sum(dim=1), first.long()]).cpu().numpy()
        return cls(lengths, num_global, bool(first.all()))


@dataclass
class PackedSequence:
    """
    Where the `N` tokens of a packed batch come from.

    Args:
        rows (`torch.LongTensor` of shape `[N]`): index of each token's sequence in the batch, ascending.
        positions (`torch.LongTensor` of shape `[N]`): its original column, ascending within a sequence.
        is_global (`torch.BoolTensor` of shape `[N]`): whether it attends to, and is attended by, its whole sequence.
        shape (`tuple[int, int]`): `(B, L)`, the padded batch.
        start (`PackedSequence`, *optional*): the batch before any token left; itself if not given.
        known (`HostKnowledge`, *optional*): on a GPU, what can be told without asking it.
    """

    rows: torch.Tensor
    positions: torch.Tensor
    is_global: torch.Tensor
    shape: tuple[int, int]
    start: PackedSequence | None = None
    known: HostKnowledge | None = None
    cache: dict = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if not waits(self.rows.device):  # here, and not where `torch.compile` might be looking on
            self.host_positions, self.offsets, self.global_indices, self.num_global  # noqa: B018

    # Host copies; of a batch on a GPU they are made when something on the host asks for them.

    @functools.cached_property
    def host_positions(self) -> np.ndarray:
        return self.positions.cpu().numpy()

    @functools.cached_property
    def lengths(self) -> np.ndarray:
        """Tokens of each sequence, `[B]` int64."""
        if self.known is not None:
            return self.known.lengths
        return np.bincount(self.rows.cpu().numpy(), minlength=self.shape[0])

    @functools.cached_property
    def offsets(self) -> list[int]:
        """Where each sequence starts in the packed row, and where the last one ends, `B + 1` numbers."""
        return [0, *np.cumsum(self.lengths).tolist()]

    @functools.cached_property
    def global_indices(self) -> list[np.ndarray]:
        """For each sequence, the packed indices of its global tokens."""
        host_global = self.is_global.cpu().numpy().nonzero()[0]
        return np.split(host_global, np.searchsorted(host_global, self.offsets[1:-1]))

    @functools.cached_property
    def num_global(self) -> np.ndarray:
        """Global tokens of each sequence, `[B]` int64."""
        return np.array([len(g) for g in self.global_indices]) if self.known is None else self.known.num_global

    @classmethod
    @uncompiled
    def from_masks(cls, attention_mask: torch.Tensor, global_attention_mask: torch.Tensor | None) -> PackedSequence:
        """
        Args:
            attention_mask: `[B, L]`, above 0 for real tokens; any may be missing, not only the last ones.
            global_attention_mask: `[B, L]`, above 0 for global tokens; `None` for the first real token of each
                sequence.

        Raises:
            ValueError: a sequence has no real token.
        """
        real = attention_mask > 0
        known = None
        if waits(attention_mask.device):
            known = HostKnowledge.of(real, global_attention_mask)
            rows, positions = torch.nonzero_static(real, size=int(known.lengths.sum())).T.contiguous()
        else:
            rows, positions = real.nonzero(as_tuple=True)
        if global_attention_mask is None:
            is_global = torch.ones_like(rows, dtype=torch.bool)
            is_global[1:] = rows[1:] != rows[:-1]
        else:
            is_global = (global_attention_mask > 0)[rows, positions]
        packed = cls(rows, positions, is_global, tuple(attention_mask.shape), known=known)
        if not packed.lengths.all():
            raise ValueError(
                f"sequence {int(packed.lengths.argmin())} of the batch has no token: its `attention_mask` is all zeros"
            )
        return packed

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def flat_index(self) -> torch.Tensor:
        """Index of each token in the padded batch laid out as `[B * L]`, `[N]` int64."""
        if "flat_index" not in self.cache:
            self.cache["flat_index"] = self.rows * self.shape[1] + self.positions
        return self.cache["flat_index"]

    @property
    def first_index(self) -> torch.Tensor:
        """Packed index of the first token of each sequence, `[B]` int64."""
        if self.known is None:
            return torch.tensor(self.offsets[:-1], device=self.rows.device)
        return self._device_offsets[:-1]

    @functools.cached_property
    def _device_offsets(self) -> torch.Tensor:
        """`offsets`, `[B + 1]` int64, worked out where the tokens are."""
        sequences = torch.arange(self.shape[0] + 1, device=self.rows.device)
        return torch.searchsorted(self.rows, sequences)

    @functools.cached_property
    def global_index(self) -> torch.Tensor:
        """Packed index of each global token, ascending, `[G]` int64."""
        return torch.nonzero_static(self.is_global, size=int(self.num_global.sum())).squeeze(1)

    @property
    def first_columns(self) -> torch.Tensor:
        """Column of the first token each sequence started with, `[B]` int64."""
        start = self.start or self
        return start.positions[start.first_index]

    @property
    def has_all_first_tokens(self) -> bool:
        """Whether every sequence still has the first token it started with."""
        start = self.start or self
        if start is self or (self.known is not None and self.known.global_first):
            return True
        firsts = start.host_positions[start.offsets[:-1]]
        return bool(self.lengths.all()) and bool((self.host_positions[self.offsets[:-1]] == firsts).all())

    @property
    def has_global_first_tokens(self) -> bool:
        """Whether the first token of every sequence is global."""
        if self.known is not None and self.known.global_first:
            return True
        return all(len(g) and g[0] == start for g, start in zip(self.global_indices, self.offsets))

    @property
    def length_tensor(self) -> torch.Tensor:
        """Tokens of each sequence, `[B]` int64."""
        if self.known is None:
            return torch.as_tensor(self.lengths, device=self.rows.device)
        return self._device_offsets.diff()

    def to_device(self, array: np.ndarray) -> torch.Tensor:
        """A host array where the tokens are; a GPU copies it in its own time."""
        tensor = torch.from_numpy(array)
        return tensor.pin_memory().to(self.rows.device, non_blocking=True) if self.rows.is_cuda else tensor

    @functools.cached_property
    def is_alive(self) -> torch.Tensor:
        """Which columns of the padded batch hold a token, `[B, L]` bool."""
        return self.unpack(torch.ones_like(self.is_global), fill=False)

    def pack(self, padded: torch.Tensor) -> torch.Tensor:
        """`[B, L, ...]` to `[N, ...]`."""
        return padded.flatten(0, 1).index_select(0, self.flat_index)

    def unpack(self, packed: torch.Tensor, fill: float | bool = 0) -> torch.Tensor:
        """`[N, ...]` to `[B, L, ...]`, with `fill` where there is no token."""
        padded = packed.new_full((self.shape[0] * self.shape[1], *packed.shape[1:]), fill)
        return padded.index_copy(0, self.flat_index, packed).unflatten(0, self.shape)

    @uncompiled
    def select(self, index: torch.Tensor, known: HostKnowledge | None = None) -> PackedSequence:
        """What is left when only the tokens at `index` (`[M]` int64, ascending) stay, and what is known of it."""
        return PackedSequence(
            self.rows[index], self.positions[index], self.is_global[index], self.shape, self.start or self, known
        )

    def first_tokens(self) -> PackedSequence:
        """What is left when only the first token of each sequence stays."""
        known = None
        if self.known is not None and self.known.global_first:
            ones = np.ones_like(self.known.lengths)
            known = HostKnowledge(ones, ones, True)
        return self.select(self.first_index, known)

    @uncompiled
    def keep(self, mask: torch.Tensor) -> tuple[PackedSequence, torch.Tensor, torch.Tensor]:
        """
        Takes tokens out of the batch; of a GPU only the lengths that are left are read back.

        Args:
            mask: `[N]` bool, True for the tokens that stay, all global ones among them.

        Returns:
            What is left (itself if all stay), and the indices of the tokens that stay and of those that leave.
        """
        known = self.known
        if known is None:
            stay, leave = mask.nonzero().squeeze(1), (~mask).nonzero().squeeze(1)
        else:
            known = dataclasses.replace(known, lengths=self.sum(mask.long()).cpu().numpy())
            staying = int(known.lengths.sum())
            stay = torch.nonzero_static(mask, size=staying).squeeze(1)
            leave = torch.nonzero_static(~mask, size=len(self) - staying).squeeze(1)
        return self.select(stay, known) if len(leave) else self, stay, leave

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        """Sum over each sequence: `[N]` to `[B]`."""
        return values.new_zeros(self.shape[0]).index_add(0, self.rows, values)

    def amax(self, values: torch.Tensor) -> torch.Tensor:
        """Largest value of each sequence: `[N]` to `[B]`."""
        return values.new_zeros(self.shape[0]).scatter_reduce(0, self.rows, values, "amax", include_self=False)
