"""What a forward pass reads back from a GPU, with the CPU treated as one."""

import contextlib
from unittest import mock

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from transformer_revised.models.ltp.packed_sequence import PackedSequence

from .test_attention_kernels import as_on_a_gpu
from .tiny import random_batch, tiny_model


class CountReads(TorchDispatchMode):
    """Counts `cpu` and `tolist`; refuses all else that would make the host wait for a GPU."""

    REFUSED = ("nonzero.default", "_local_scalar_dense", "is_nonzero", "bincount", "unique", "masked_select")

    def __enter__(self):
        self.count, self.patches = 0, contextlib.ExitStack()
        for name in ("cpu", "tolist"):
            self.patches.enter_context(
                mock.patch.object(torch.Tensor, name, self.counted(getattr(torch.Tensor, name)))
            )
        for name in ("tensor", "as_tensor"):
            error = AssertionError(f"torch.{name} copies from the host")
            self.patches.enter_context(mock.patch.object(torch, name, side_effect=error))
        return super().__enter__()

    def __exit__(self, *error):
        self.patches.close()
        return super().__exit__(*error)

    def counted(self, original):
        def read(tensor):
            self.count += 1
            return original(tensor)

        return read

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        assert not str(function).removeprefix("aten.").startswith(self.REFUSED), function
        if function is torch.ops.aten.index.Tensor:
            assert all(i is None or i.dtype != torch.bool for i in args[1])
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("globals_given", [False, True])
@pytest.mark.parametrize("settings, reads", [
    ({}, 2 + 2),  # all thresholds at once; the first is 0, and the last layer removes nothing
    ({"prune_mode": "threshold", "token_threshold": 0.1}, 1 + 3),
    ({"prune_mode": "topk", "token_keep_rate": 0.3, "num_hidden_layers": 6}, 1 + 2),
    ({"prune_mode": None}, 1),
], ids=str)  # fmt: skip
def test_one_read_a_layer(settings, reads, globals_given):
    """The lengths of the batch, the thresholds, and for each layer that prunes the lengths that are left."""
    model, batch = tiny_model(**settings), random_batch([120, 50, 80])
    if globals_given:
        batch["global_attention_mask"] = torch.zeros_like(batch["input_ids"]).index_fill(1, torch.tensor([0]), 1)
    with torch.no_grad():
        expected = model(**batch)
        model.set_attn_implementation("sdpa")
        with as_on_a_gpu("cpu"), CountReads() as counted:
            output = model(**batch)
    assert counted.count == reads
    torch.testing.assert_close(output.logits, expected.logits)


@pytest.mark.parametrize("given_globals", [None, [0], [0, 5], [5]], ids=str)
def test_lengths_on_the_host(given_globals):
    """A batch on a GPU agrees with one on a CPU, also after tokens have left."""
    lengths = [40, 7, 23]
    mask = torch.arange(40)[None] < torch.tensor(lengths)[:, None]
    globals_ = None if given_globals is None else torch.zeros(3, 40).index_fill(1, torch.tensor(given_globals), 1)
    on_cpu = PackedSequence.from_masks(mask, globals_)
    with as_on_a_gpu("cpu"):
        packed = PackedSequence.from_masks(mask, globals_)
        for _ in range(2):
            for name in ("sequence_of", "positions", "is_global", "first_index", "length_tensor", "flat_index"):
                assert torch.equal(getattr(packed, name), getattr(on_cpu, name)), name
            for name in ("has_global_first_tokens", "has_all_first_tokens", "offsets"):
                assert getattr(packed, name) == getattr(on_cpu, name), name
            assert packed.host_lengths.first_is_global == on_cpu.has_global_first_tokens
            assert packed.num_global.tolist() == [len(g) for g in on_cpu.global_indices]
            assert torch.equal(packed.global_index, on_cpu.is_global.nonzero()[:, 0])
            keep = (torch.arange(len(packed)) % 3 == 0) | packed.is_global
            (packed, *indices), on_cpu = packed.keep(keep), on_cpu.select(keep.nonzero()[:, 0])
            assert [i.tolist() for i in indices] == [keep.nonzero()[:, 0].tolist(), (~keep).nonzero()[:, 0].tolist()]
        same, kept, removed = packed.keep(torch.ones_like(packed.is_global))
        assert same is packed and len(kept) == len(packed) and not len(removed)


def test_a_sequence_without_tokens():
    with as_on_a_gpu("cpu"), pytest.raises(ValueError, match="sequence 1 of the batch has no token"):
        PackedSequence.from_masks(torch.tensor([[1, 1], [0, 0]]), None)
