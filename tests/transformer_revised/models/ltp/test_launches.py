"""How many operators a layer launches on a GPU, with the CPU treated as one. Each costs the host several microseconds,
which a small batch cannot hide, so that a new one in each layer makes a pass slower.
"""

import contextlib
from collections import Counter
from unittest import mock

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from transformer_revised.models.ltp import attention_banded, cpu_products, packed_sequence

from .test_attention_kernels import as_on_a_gpu
from .tiny import random_batch, tiny_model

# These launch nothing: they allocate memory, or look at it in another shape.
VIEWS = {
    "view", "_unsafe_view", "_reshape_alias", "transpose", "t", "permute", "slice", "select", "expand", "unbind",
    "detach", "unsqueeze", "squeeze", "alias", "lift_fresh", "empty", "new_empty", "empty_like", "promote_types",
}  # fmt: skip
COPIES_OF_HEADS = 3  # on a CPU only, see `projected_heads`


class CountLaunches(TorchDispatchMode):
    """Counts the operators, transfers to the device (`"transfer"`) and reads (`"read"`) of each layer of `model`."""

    def __init__(self, model):
        super().__init__()
        self.layers, self.current, self.patches = [], None, contextlib.ExitStack()
        for layer in model.longformer.encoder.layer:
            layer.register_forward_pre_hook(self.begin)
            layer.register_forward_hook(self.end)

    def begin(self, *_):
        self.current = Counter()
        self.layers.append(self.current)

    def end(self, *_):
        self.current = None

    def __enter__(self):
        self.patches.enter_context(as_on_a_gpu("cpu"))
        # Products as on a GPU: of all rows at once, not through oneDNN.
        self.patches.enter_context(mock.patch.object(cpu_products, "takes_onednn", lambda *_: False))
        self.patches.enter_context(mock.patch.object(cpu_products, "computes_all_rows_at_once", lambda _: True))
        self.patches.enter_context(mock.patch.object(torch.Tensor, "cpu", self.counted("read", torch.Tensor.cpu)))
        for module in (packed_sequence, attention_banded):
            transfer = self.counted("transfer", module.to_device)
            self.patches.enter_context(mock.patch.object(module, "to_device", transfer))
        return super().__enter__()

    def __exit__(self, *error):
        self.patches.close()
        return super().__exit__(*error)

    def count(self, name):
        if self.current is not None:
            self.current[name] += 1

    def counted(self, name, original):
        def call(*args):
            self.count(name)
            return original(*args)

        return call

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = str(function).removeprefix("aten.").split(".")[0]
        if name not in VIEWS:
            self.count("launch")
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("lengths", [[250, 130, 90], [290], [256, 256]], ids=str)
@pytest.mark.parametrize("prunes", [False, True])
def test_launches_of_a_layer(prunes, lengths):
    """The first layer also makes the layout of the batch, and has a threshold of 0."""
    settings = {"attention_window": 128, "hidden_size": 16, "num_attention_heads": 2}
    model, batch = tiny_model(prune_mode="absolute_threshold" if prunes else None, **settings), random_batch(lengths)
    with torch.no_grad():
        expected = model(**batch)
        model.set_attn_implementation("sdpa")
        with CountLaunches(model) as counted:
            output = model(**batch)
    torch.testing.assert_close(output.logits, expected.logits)
    entered, kept = output.attention_sentence_lengths, output.ffn_sentence_lengths
    removed = [int(e.sum() - k.sum()) for e, k in zip(entered, kept)][:-1]
    assert all(removed[1:]) if prunes else not any(removed)

    first, *middle, last = counted.layers
    assert first["launch"] - COPIES_OF_HEADS <= 32 and first["transfer"] == 1
    assert last["launch"] <= 24 and last["transfer"] <= 2 and not last["read"]
    for layer in middle:
        assert layer["launch"] - COPIES_OF_HEADS <= (41 if prunes else 27)
        assert layer["read"] == prunes and layer["transfer"] <= 2 * prunes
