"""A batch without padding: the tokens of all sequences in one row, and how tokens are removed from it.

Lengths 2 and 3 padded to 4 are packed as `[a0 a1 b0 b1 b2]`: `sequence_of` is `[0 0 1 1 1]`, `positions` is
`[0 1 0 1 2]`, `offsets` is `[0, 2, 5]`. After `b1` is removed the row is `[a0 a1 b0 b2]`, with positions `[0 1 0 2]`:
the order within a sequence and the original positions never change.
"""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass, field

import numpy as np
import torch

from .device_policy import reading_back_stalls, run_uncompiled
from .host_tokens import HostTokens, to_device


@dataclass(frozen=True)
class HostLengths:
    """Numbers of tokens of a batch, stored on the CPU so that they need not be read back from a GPU."""

    lengths: np.ndarray  # `[B]` int64, alive tokens of each sequence
    num_global: np.ndarray  # `[B]` int64, global tokens of each sequence
    first_is_global: bool  # whether the first token of every sequence is global

    @classmethod
    def of_masks(cls, real: torch.Tensor, global_attention_mask: torch.Tensor | None) -> HostLengths:
        """Counts the tokens of `[B, L]` masks, as in [`PackedSequence.from_masks`], with one read of their device."""
        lengths = real.sum(dim=1)
        if global_attention_mask is None:
            lengths = lengths.cpu().numpy()
            return cls(lengths, np.ones_like(lengths), True)
        is_global = real & (global_attention_mask > 0)
        first = is_global.gather(1, real.int().argmax(dim=1, keepdim=True)).squeeze(1)
        lengths, num_global, first = torch.stack([lengths, is_global.sum(dim=1), first.long()]).cpu().numpy()
        return cls(lengths, num_global, bool(first.all()))

    @classmethod
    def of_host(cls, tokens: HostTokens) -> HostLengths:
        """Counts tokens that are known on the host."""
        ends = np.cumsum(tokens.is_global, dtype=np.int64)
        before = np.concatenate([[0], ends])[[*tokens.starts.tolist(), len(ends)]]
        first_is_global = bool(tokens.lengths.all()) and bool(tokens.is_global[tokens.starts].all())
        return cls(tokens.lengths, np.diff(before), first_is_global)

    @classmethod
    def of_tokens(cls, sequence_of: torch.Tensor, is_global: torch.Tensor, batch_size: int) -> HostLengths:
        """Counts packed tokens, `[N]` each."""
        sequence_of, is_global = sequence_of.cpu().numpy(), is_global.cpu().numpy()
        lengths = np.bincount(sequence_of, minlength=batch_size)
        num_global = np.bincount(sequence_of[is_global], minlength=batch_size)
        first_is_global = bool(lengths.all()) and bool(is_global[np.cumsum(lengths) - lengths].all())
        return cls(lengths, num_global, first_is_global)


@dataclass
class PackedSequence:
    """Where the `N` tokens of a packed batch come from."""

    sequence_of: torch.Tensor  # `[N]` int64, index of each token's sequence in the batch, ascending
    positions: torch.Tensor  # `[N]` int64, original column of each token, ascending within a sequence
    is_global: torch.Tensor  # `[N]` bool, whether each token is a global token
    shape: tuple[int, int]  # `(B, L)`, the padded batch
    start: PackedSequence | None = None  # the batch before any token was removed, if tokens were removed
    host_lengths: HostLengths | None = None  # numbers of tokens; counted if not given
    cache: dict = field(default_factory=dict, repr=False)  # attention plans, which consecutive layers share
    has_tokens_everywhere: bool = field(init=False)  # whether a token of each sequence is alive

    def __post_init__(self) -> None:
        if self.host_lengths is None:
            self.host_lengths = HostLengths.of_tokens(self.sequence_of, self.is_global, self.shape[0])
        self.has_tokens_everywhere = bool(self.lengths.all())
        if not reading_back_stalls(self.positions.device):  # computed now, because `torch.compile` cannot trace NumPy
            self.host_positions, self.offsets, self.global_indices, self.first_index  # noqa: B018

    @classmethod
    @run_uncompiled
    def from_masks(cls, attention_mask: torch.Tensor, global_attention_mask: torch.Tensor | None) -> PackedSequence:
        """
        Args:
            attention_mask: `[B, L]`, above 0 for real tokens; any may be missing, not only the last ones.
            global_attention_mask: `[B, L]`, above 0 for global tokens; `None` for the first real token of each
                sequence.

        Raises ValueError if a sequence has no real token.
        """
        real = attention_mask > 0
        stalls = reading_back_stalls(real.device)
        host = (HostTokens if stalls else HostLengths).of_masks(real, global_attention_mask)
        if not host.lengths.all():
            raise ValueError(
                f"sequence {int(host.lengths.argmin())} of the batch has no token: its `attention_mask` is all zeros"
            )
        if stalls:
            return cls._of_host(host, HostLengths.of_host(host), tuple(attention_mask.shape), real.device)[0]
        sequence_of, positions = torch.nonzero_static(real, size=int(host.lengths.sum())).T.contiguous()
        if global_attention_mask is None:
            is_global = torch.ones_like(sequence_of, dtype=torch.bool)
            is_global[1:] = sequence_of[1:] != sequence_of[:-1]
        else:
            is_global = (global_attention_mask > 0)[sequence_of, positions]
        return cls(sequence_of, positions, is_global, tuple(attention_mask.shape), host_lengths=host)

    @classmethod
    def _of_host(
        cls,
        host: HostTokens,
        host_lengths: HostLengths,
        shape: tuple[int, int],
        device: torch.device,
        *more: np.ndarray,
        start: PackedSequence | None = None,
    ) -> tuple[PackedSequence, list[torch.Tensor]]:
        """The tokens, with all that later steps ask for, by one transfer to a GPU; and `more` arrays on the GPU."""
        sequence_of = np.repeat(np.arange(shape[0]), host.lengths)
        flat_index = sequence_of * shape[1] + host.positions
        offsets = np.append(host.starts, len(flat_index))
        ones = np.ones_like(host.lengths)
        arrays = [sequence_of, host.positions, host.is_global, flat_index, offsets, host.lengths, ones, *more]
        pads = shape[0] > 1 and len(flat_index) > 0
        if pads:
            arrays += host.padded_index()
        sequence_of, positions, is_global, flat_index, offsets, lengths, ones, *more = to_device(arrays, device)
        packed = cls(sequence_of, positions, is_global, shape, start, host_lengths)
        packed.host_positions, packed.host_is_global = host.positions, host.is_global
        packed.flat_index, packed._device_offsets, packed.length_tensor = flat_index, offsets, lengths
        packed.ones = ones
        if pads:
            *more, index, is_padding = more
            packed.padding = index, is_padding if host.lengths.min() < host.lengths.max() else None
        return packed, more

    def __len__(self) -> int:
        return len(self.positions)

    # Numbers and indices on the host. The first three are known, the others copied from the device on first use.

    @property
    def lengths(self) -> np.ndarray:
        """Alive tokens of each sequence, `[B]` int64."""
        return self.host_lengths.lengths

    @property
    def num_global(self) -> np.ndarray:
        """Global tokens of each sequence, `[B]` int64."""
        return self.host_lengths.num_global

    @functools.cached_property
    def offsets(self) -> list[int]:
        """Packed index of the first token of each sequence, then `N`: `B + 1` numbers."""
        return [0, *np.cumsum(self.lengths).tolist()]

    @functools.cached_property
    def host_positions(self) -> np.ndarray:
        """`positions`, `[N]` int64."""
        return self.positions.cpu().numpy()

    @functools.cached_property
    def host_is_global(self) -> np.ndarray:
        """`is_global`, `[N]` bool."""
        return self.is_global.cpu().numpy()

    @functools.cached_property
    def global_indices(self) -> list[np.ndarray]:
        """For each sequence, the packed indices of its global tokens."""
        host_global = self.host_is_global.nonzero()[0]
        return np.split(host_global, np.searchsorted(host_global, self.offsets[1:-1]))

    @property
    def has_all_first_tokens(self) -> bool:
        """Whether the first token of every sequence is still alive."""
        if self.start is None or self.host_lengths.first_is_global:
            return True
        firsts = self.start.host_positions[self.start.offsets[:-1]]
        return bool(self.lengths.all()) and bool((self.host_positions[self.offsets[:-1]] == firsts).all())

    @property
    def has_global_first_tokens(self) -> bool:
        """Whether the first alive token of every sequence is global."""
        if self.host_lengths.first_is_global:
            return True
        return all(len(g) and g[0] == start for g, start in zip(self.global_indices, self.offsets))

    # Numbers and indices where the tokens are.

    @functools.cached_property
    def _device_offsets(self) -> torch.Tensor:
        """`offsets`, `[B + 1]` int64."""
        sequences = torch.arange(self.shape[0] + 1, device=self.sequence_of.device)
        return torch.searchsorted(self.sequence_of, sequences)

    @functools.cached_property
    def first_index(self) -> torch.Tensor:
        """Packed index of the first token of each sequence, `[B]` int64."""
        return self._device_offsets[:-1]

    @functools.cached_property
    def length_tensor(self) -> torch.Tensor:
        """Alive tokens of each sequence, `[B]` int64."""
        return self._device_offsets.diff()

    @functools.cached_property
    def ones(self) -> torch.Tensor:
        """`[B]` int64; in place of `ones_like` in each layer."""
        return torch.ones_like(self.first_index)

    @functools.cached_property
    def global_index(self) -> torch.Tensor:
        """Packed index of each global token, ascending, `[G]` int64."""
        return torch.nonzero_static(self.is_global, size=int(self.num_global.sum())).squeeze(1)

    @property
    def first_columns(self) -> torch.Tensor:
        """Column of the first token of each sequence before any token was removed, `[B]` int64."""
        start = self.before_removal
        return start.positions[start.first_index]

    @functools.cached_property
    def flat_index(self) -> torch.Tensor:
        """Index of each token in the padded batch laid out as `[B * L]`, `[N]` int64."""
        return self.sequence_of * self.shape[1] + self.positions

    @functools.cached_property
    def padding(self) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The padded batch without the columns that are longer than each sequence: packed indices `[B, W]` int64,
        and which of them are padding, `[B, W]` bool; `None` if none is. See [`HostTokens.padded_index`].
        """
        index, is_padding = self.host_tokens.padded_index()
        index, mask = to_device([index, is_padding], self.positions.device)
        return index, mask if is_padding.any() else None

    @property
    def host_tokens(self) -> HostTokens:
        """The tokens on the host; on a GPU they are known, unless the batch was made of tensors."""
        return HostTokens(self.lengths, self.host_positions, self.host_is_global)

    @functools.cached_property
    def is_alive(self) -> torch.Tensor:
        """Which columns of the padded batch hold a token, `[B, L]` bool."""
        return self.unpack(torch.ones_like(self.is_global), fill=False)

    def to_device(self, array: np.ndarray) -> torch.Tensor:
        """A copy of a host array on the tokens' device; the host does not wait for a GPU to make it."""
        return to_device([array], self.positions.device)[0]

    # Between packed and padded tensors.

    def pack(self, padded: torch.Tensor) -> torch.Tensor:
        """`[B, L, ...]` to `[N, ...]`."""
        return padded.flatten(0, 1).index_select(0, self.flat_index)

    def unpack(self, packed: torch.Tensor, fill: float | bool = 0) -> torch.Tensor:
        """`[N, ...]` to `[B, L, ...]`, with `fill` where there is no token."""
        padded = packed.new_full((self.shape[0] * self.shape[1], *packed.shape[1:]), fill)
        return padded.index_copy(0, self.flat_index, packed).unflatten(0, self.shape)

    # Removal.

    @property
    def before_removal(self) -> PackedSequence:
        """The batch before any token was removed."""
        return self if self.start is None else self.start

    @run_uncompiled
    def select(self, index: torch.Tensor, host_lengths: HostLengths | None = None) -> PackedSequence:
        """The tokens at `index` (`[M]` int64, ascending); their numbers are counted if not given."""
        tokens = self.sequence_of[index], self.positions[index], self.is_global[index]
        return PackedSequence(*tokens, self.shape, self.before_removal, host_lengths)

    @run_uncompiled
    def first_tokens(self) -> PackedSequence:
        """The first alive token of each sequence."""
        host = None
        if self.host_lengths.first_is_global:
            ones = np.ones_like(self.lengths)
            host = HostLengths(ones, ones, True)
            if reading_back_stalls(self.positions.device):
                starts = self.offsets[:-1]
                tokens = HostTokens(ones, self.host_positions[starts], self.host_is_global[starts])
                return self._of_host(tokens, host, self.shape, self.positions.device, start=self.before_removal)[0]
        return self.select(self.first_index, host)

    @run_uncompiled
    def keep(self, mask: torch.Tensor) -> tuple[PackedSequence, torch.Tensor, torch.Tensor]:
        """Removes tokens. Of a GPU only the mask is read back.

        `mask`: `[N]` bool, True for the tokens to keep, which include all global ones.
        Returns the tokens kept (`self` if all are), and the packed indices of the tokens kept and of those removed.
        """
        if reading_back_stalls(self.positions.device):
            return self.keep_on_host(mask.cpu().numpy())
        lengths = self.sum(mask.long()).cpu().numpy()
        num_kept = int(lengths.sum())
        kept = torch.nonzero_static(mask, size=num_kept).squeeze(1)
        removed = torch.nonzero_static(~mask, size=len(self) - num_kept).squeeze(1)
        if not len(removed):
            return self, kept, removed
        return self.select(kept, dataclasses.replace(self.host_lengths, lengths=lengths)), kept, removed

    @run_uncompiled
    def keep_on_host(self, mask: np.ndarray) -> tuple[PackedSequence, torch.Tensor, torch.Tensor]:
        """[`keep`] with a mask that is on the host."""
        tokens, kept = self.host_tokens.keep(mask)
        if len(kept) == len(self):
            indices = torch.arange(len(self), device=self.positions.device)
            return self, indices, indices[:0]
        lengths = dataclasses.replace(self.host_lengths, lengths=tokens.lengths)
        device, removed = self.positions.device, np.flatnonzero(~mask)
        packed, (kept, removed) = self._of_host(
            tokens, lengths, self.shape, device, kept, removed, start=self.before_removal
        )
        return packed, kept, removed

    # By sequence.

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        """Sum over each sequence: `[N]` to `[B]`."""
        return values.new_zeros(self.shape[0]).index_add(0, self.sequence_of, values)

    def amax(self, values: torch.Tensor) -> torch.Tensor:
        """Largest value of each sequence: `[N]` to `[B]`."""
        if reading_back_stalls(values.device) and self.has_tokens_everywhere:
            if self.shape[0] == 1:
                return values.amax(0, keepdim=True)
            return values.index_select(0, self.padding[0].flatten()).view(self.shape[0], -1).amax(1)
        return values.new_zeros(self.shape[0]).scatter_reduce(0, self.sequence_of, values, "amax", include_self=False)
