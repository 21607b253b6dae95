"""A batch without padding: the tokens of all sequences in one row, and how tokens leave it.

Lengths 2 and 3 padded to 4 are packed as `[a0 a1 b0 b1 b2]`: `rows` is `[0 0 1 1 1]`, `positions` is `[0 1 0 1 2]`,
`offsets` is `[0, 2, 5]`. When `b1` leaves, `[a0 a1 b0 b2]` is left, with positions `[0 1 0 2]`: the order of a
sequence and the original positions never change.
"""

from __future__ import annotations

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
    """

    rows: torch.Tensor
    positions: torch.Tensor
    is_global: torch.Tensor
    shape: tuple[int, int]
    start: PackedSequence | None = None
    cache: dict = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        # Host copies: the blocks of attention are laid out by the host, once for each set of tokens.
        self.host_positions: np.ndarray = self.positions.cpu().numpy()
        self.lengths: np.ndarray = np.bincount(self.rows.cpu().numpy(), minlength=self.shape[0])
        self.offsets: list[int] = [0, *np.cumsum(self.lengths).tolist()]
        host_global = self.is_global.cpu().numpy().nonzero()[0]
        splits = np.searchsorted(host_global, self.offsets[1:-1])
        #: for each sequence, the packed indices of its global tokens
        self.global_indices: list[np.ndarray] = np.split(host_global, splits)

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
        rows, positions = real.nonzero(as_tuple=True)
        if global_attention_mask is None:
            is_global = torch.ones_like(rows, dtype=torch.bool)
            is_global[1:] = rows[1:] != rows[:-1]
        else:
            is_global = (global_attention_mask > 0)[rows, positions]
        packed = cls(rows, positions, is_global, tuple(attention_mask.shape))
        if not packed.lengths.all():
            raise ValueError(
                f"sequence {int(packed.lengths.argmin())} of the batch has no token: its `attention_mask` is all zeros"
            )
        return packed

    def __len__(self) -> int:
        return self.offsets[-1]

    @property
    def flat_index(self) -> torch.Tensor:
        """Index of each token in the padded batch laid out as `[B * L]`, `[N]` int64."""
        if "flat_index" not in self.cache:
            self.cache["flat_index"] = self.rows * self.shape[1] + self.positions
        return self.cache["flat_index"]

    @property
    def first_index(self) -> torch.Tensor:
        """Packed index of the first token of each sequence, `[B]` int64."""
        return torch.tensor(self.offsets[:-1], device=self.rows.device)

    @property
    def first_columns(self) -> torch.Tensor:
        """Column of the first token each sequence started with, `[B]` int64."""
        start = self.start or self
        return start.positions[start.first_index]

    @property
    def has_all_first_tokens(self) -> bool:
        """Whether every sequence still has the first token it started with."""
        start = self.start or self
        if start is self:
            return True
        firsts = start.host_positions[start.offsets[:-1]]
        return bool(self.lengths.all()) and bool((self.host_positions[self.offsets[:-1]] == firsts).all())

    @property
    def has_global_first_tokens(self) -> bool:
        """Whether the first token of every sequence is global."""
        return all(len(g) and g[0] == start for g, start in zip(self.global_indices, self.offsets))

    @property
    def length_tensor(self) -> torch.Tensor:
        """Tokens of each sequence, `[B]` int64."""
        return torch.as_tensor(self.lengths, device=self.rows.device)

    def pack(self, padded: torch.Tensor) -> torch.Tensor:
        """`[B, L, ...]` to `[N, ...]`."""
        return padded.flatten(0, 1).index_select(0, self.flat_index)

    def unpack(self, packed: torch.Tensor, fill: float | bool = 0) -> torch.Tensor:
        """`[N, ...]` to `[B, L, ...]`, with `fill` where there is no token."""
        padded = packed.new_full((self.shape[0] * self.shape[1], *packed.shape[1:]), fill)
        return padded.index_copy(0, self.flat_index, packed).unflatten(0, self.shape)

    @uncompiled
    def select(self, index: torch.Tensor) -> PackedSequence:
        """What is left when only the tokens at `index` (`[M]` int64, ascending) stay."""
        return PackedSequence(
            self.rows[index], self.positions[index], self.is_global[index], self.shape, self.start or self
        )

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        """Sum over each sequence: `[N]` to `[B]`."""
        return values.new_zeros(self.shape[0]).index_add(0, self.rows, values)

    def amax(self, values: torch.Tensor) -> torch.Tensor:
        """Largest value of each sequence: `[N]` to `[B]`."""
        return values.new_zeros(self.shape[0]).scatter_reduce(0, self.rows, values, "amax", include_self=False)
