"""
`attn_implementation`: the ways to compute the attention agree with each other and with `tests/dense_reference.py`.

On a CPU FlexAttention is run as its definition stands (and once compiled, which takes a C++ compiler); what a GPU lays
out for itself is laid out on the CPU here, and once more on a GPU where there is one.
"""

import math
from unittest import mock

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForSequenceClassification

from transformer_revised import LTPForSequenceClassification, LTPModel
from transformer_revised.models.ltp import attention_banded as banded_attention
from transformer_revised.models.ltp import attention_dispatch as attention_implementations
from transformer_revised.models.ltp import cpu_products as token_wise
from transformer_revised.models.ltp import device_policy
from transformer_revised.models.ltp.attention_dispatch import (
    choose_implementation,
    local_attention,
    local_attention_plan,
)
from transformer_revised.models.ltp.attention_global import global_attention, padded_global_attention
from transformer_revised.models.ltp.attention_tile_plan import QUERY_BLOCK, tile_plan
from transformer_revised.models.ltp.flops_ltp import executed_flops, layer_counts, unpruned_flops
from transformer_revised.models.ltp.packed_sequence import PackedSequence
from transformer_revised.models.ltp.prune_modules import read_active_layers

from .... import dense_reference as dense
from .drawn_cases import MAX_LENGTH, Drawn, cases
from .test_against_dense_reference import MODES, THRESHOLD_MODES, check_gradients, check_hidden, check_pruning, drawn
from .test_attention_tiles import allowed_pairs, dense_attention
from .tiny import random_batch, tiny_model

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
CASES = cases(range(1, MAX_LENGTH + 1), block=st.just(QUERY_BLOCK))

HEADS, DIM = 3, 16
# lengths, half window, share of tokens that stay, global columns (None: the first)
LAYOUTS = {
    "one short": ([5], 2, 1.0, None),
    "all in reach": ([7, 7], 8, 1.0, None),
    "all in reach but for their lengths": ([5, 1, 2], 8, 1.0, None),
    "several blocks": ([170, 33], 4, 1.0, None),
    "removed tokens": ([390, 140], 30, 0.4, None),
    "globals anywhere": ([264, 50], 5, 0.6, [3, 30, 200]),
    "no global": ([340], 3, 0.8, []),
    "many sequences": ([9, 1, 130, 2, 2, 64, 40, 3], 6, 0.9, None),
    "half as wide as a block": ([700], 64, 0.95, [0, 350]),
}


def wait(*devices: str):
    """Has batches on these devices laid out as on a GPU."""
    return mock.patch.object(device_policy, "DEVICES_THAT_STALL", devices)


def draw_packed(lengths, share, global_columns) -> PackedSequence:
    torch.manual_seed(0)
    mask = torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]
    firsts = torch.zeros_like(mask)
    firsts[:, :1] = True
    globals_ = None if global_columns is None else torch.zeros_like(mask)
    if global_columns:
        globals_[:, global_columns] = True
    return PackedSequence.from_masks(mask & ((torch.rand(mask.shape) < share) | firsts), globals_)


@pytest.fixture(params=LAYOUTS.values(), ids=LAYOUTS)
def layout(request):
    lengths, half_window, share, global_columns = request.param
    packed = draw_packed(lengths, share, global_columns)
    tensors = [torch.randn(HEADS, len(packed), DIM, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    return packed, half_window, tensors


class TestFunctions:
    """The attention by itself, float64."""

    @pytest.mark.parametrize("implementation", ["sdpa"])
    def test_context_and_importance(self, layout, implementation):
        packed, half_window, tensors = layout
        plan = local_attention_plan(implementation, packed, half_window)
        expected_context, expected_importance = dense_attention(packed, half_window, *tensors)
        with torch.no_grad():
            context, importance = local_attention(*tensors, plan, with_importance=True)
            alone, nothing = local_attention(*tensors, plan)
        torch.testing.assert_close(context, expected_context)
        torch.testing.assert_close(importance, expected_importance)
        torch.testing.assert_close(alone, expected_context)
        assert nothing is None

    @pytest.mark.parametrize("implementation", ["sdpa"])
    def test_gradients_where_importance_has_none(self, layout, implementation):
        packed, half_window, tensors = layout
        plan = local_attention_plan(implementation, packed, half_window)
        upstream = torch.randn(HEADS, len(packed), DIM, dtype=torch.float64)
        context, importance = local_attention(*tensors, plan, with_importance=True)
        actual = torch.autograd.grad(context, tensors, upstream)
        expected_context, expected_importance = dense_attention(packed, half_window, *tensors)
        assert not importance.requires_grad
        torch.testing.assert_close(importance, expected_importance.detach())
        for a, e in zip(actual, torch.autograd.grad(expected_context, tensors, upstream)):
            torch.testing.assert_close(a, e)

    def test_gradients_through_importance(self, layout):
        packed, half_window, tensors = layout
        plan = local_attention_plan("sdpa", packed, half_window)
        context, importance = local_attention(*tensors, plan, with_importance=True, importance_gradient=True)
        expected = dense_attention(packed, half_window, *tensors)
        by = [torch.randn_like(x) for x in expected]
        actual = torch.autograd.grad([context, importance], tensors, by)
        for a, e in zip(actual, torch.autograd.grad(expected, tensors, by)):
            torch.testing.assert_close(a, e)

    def test_weights_in_steps(self, layout, monkeypatch):
        packed, half_window, tensors = layout
        monkeypatch.setattr(banded_attention, "MAX_WEIGHTS", 1)
        plan = local_attention_plan("sdpa", packed, half_window)
        with torch.no_grad():
            context, importance = local_attention(*tensors, plan, with_importance=True)
        expected_context, expected_importance = dense_attention(packed, half_window, *tensors)
        torch.testing.assert_close(context, expected_context)
        torch.testing.assert_close(importance, expected_importance)

    def test_every_pair_of_the_band_once(self, layout):
        packed, half_window, _ = layout
        plan = local_attention_plan("sdpa", packed, half_window)
        allowed = plan.allowed if plan.allowed is not None else torch.ones(*plan.queries.shape, plan.keys.shape[1])
        counts = torch.zeros(len(packed), len(packed), dtype=torch.long)
        allowed = (allowed.bool() & plan.is_query[:, :, None]).nonzero()
        at = plan.queries[allowed[:, 0], allowed[:, 1]], plan.keys[allowed[:, 0], allowed[:, 2]]
        counts.index_put_(at, torch.ones(len(allowed), dtype=torch.long), accumulate=True)
        assert torch.equal(counts, allowed_pairs(packed, half_window).long())
        assert torch.equal(plan.queries.flatten()[plan.place], torch.arange(len(packed)))

    @pytest.mark.parametrize("learns", [False, True])
    def test_dropout(self, learns):
        """Also where the fused kernel drops weights, and importance is worked out beside it."""
        packed, dropout = draw_packed([90, 40], 0.5, None), 0.3
        tensors = torch.randn(3, HEADS, len(packed), DIM, requires_grad=learns)
        plan = local_attention_plan("sdpa", packed, 8)
        context, importance = local_attention(*tensors, plan, with_importance=True)
        draws = [local_attention(*tensors, plan, dropout=dropout, with_importance=True) for _ in range(500)]
        assert all(torch.equal(i, importance) for _, i in draws)
        contexts = torch.stack([c.detach() for c, _ in draws])
        error = (contexts.mean(0) - context) / (contexts.std(0) / math.sqrt(len(draws)) + 1e-6)
        assert error.abs().max() < 6 and contexts.std(0).mean() > 0.1

    @pytest.mark.parametrize("lengths", [[80], [80, 33, 50]])
    def test_padded_global_attention(self, lengths):
        packed, hidden_size = draw_packed(lengths, 0.6, None), HEADS * DIM
        query = torch.randn(len(lengths), HEADS, DIM, requires_grad=True)
        states = torch.randn(len(packed), hidden_size, requires_grad=True)
        key, value = torch.nn.Linear(hidden_size, hidden_size), torch.nn.Linear(hidden_size, hidden_size)
        leaves = [query, states, key.weight, value.weight, value.bias]
        actual = padded_global_attention(query, states, packed, key, value)
        numbers = [1] * len(lengths), packed.lengths.tolist()
        expected, _ = global_attention(query, states, *numbers, key, value)
        torch.testing.assert_close(actual, expected)
        by = torch.randn_like(actual)
        for a, e in zip(torch.autograd.grad(actual, leaves, by), torch.autograd.grad(expected, leaves, by)):
            torch.testing.assert_close(a, e, rtol=1e-4, atol=1e-4)
        dropped = padded_global_attention(query, states, packed, key, value, dropout=1.0)
        torch.testing.assert_close(dropped, torch.zeros_like(dropped))  # the bias comes with the weights


@pytest.mark.parametrize("implementation", ["sdpa"])
@pytest.mark.parametrize("mode", MODES)
@given(case=CASES, small=st.booleans(), host=st.booleans())
@drawn(8)
def test_evaluation(case, mode, implementation, small, host):
    """Against the dense reference, laid out by the host or the device; with small blocks, in which globals are far."""
    blocks = (4, 8) if small else (64, 256)
    with (
        wait(*(() if host else ("cpu",))),
        mock.patch.multiple(banded_attention, MIN_QUERY_BLOCK=blocks[0], MAX_QUERY_BLOCK=blocks[1]),
    ):
        it = Drawn(case, mode)
        it.model.set_attn_implementation(implementation)
        output = it.run(output_pruning=True)
    check_hidden(it, output)
    check_pruning(it, output)


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@given(case=CASES, mode=st.sampled_from(MODES), dtype=st.sampled_from([torch.float64, torch.float32]))
@drawn(10)
def test_sequence_classification(case, mode, dtype, implementation):
    """The last layer for the first token only, and what a GPU lays out for itself."""
    with wait("cpu"):
        it = Drawn(case, mode, dtype, head=LTPForSequenceClassification)
        it.model.set_attn_implementation(implementation)
        logits = it.run().logits
    it.close(logits, dense.sequence_logits(it.weights, it.traces), "logits")


@pytest.mark.parametrize("mode", THRESHOLD_MODES)
@given(case=CASES, implementation=st.just("sdpa"), host=st.booleans())
@drawn(10)
def test_soft_training(case, mode, implementation, host):
    with wait(*(() if host else ("cpu",))):
        it = Drawn(case, mode, soft=True)
        it.model.set_attn_implementation(implementation)
        output = it.run(output_pruning=True)
    check_hidden(it, output)
    check_pruning(it, output)
    check_gradients(it, output)


@pytest.mark.parametrize("given_globals", [None, [0], [0, 5], [5]], ids=str)
def test_what_the_host_knows(given_globals):
    """The same as the host copies say, also after tokens have left."""
    lengths = [40, 7, 23]
    mask = torch.arange(40)[None] < torch.tensor(lengths)[:, None]
    globals_ = None if given_globals is None else torch.zeros(3, 40).index_fill(1, torch.tensor(given_globals), 1)
    copied = PackedSequence.from_masks(mask, globals_)
    with wait("cpu"):
        known = PackedSequence.from_masks(mask, globals_)
        for _ in range(2):
            for name in ("sequence_of", "positions", "is_global", "first_index", "length_tensor", "flat_index"):
                assert torch.equal(getattr(known, name), getattr(copied, name)), name
            assert known.lengths.tolist() == copied.lengths.tolist() and len(known) == len(copied)
            assert known.num_global.tolist() == [len(g) for g in copied.global_indices]
            assert (
                known.host_lengths.first_is_global == copied.has_global_first_tokens == known.has_global_first_tokens
            )
            assert known.has_all_first_tokens == copied.has_all_first_tokens
            assert torch.equal(known.global_index, copied.is_global.nonzero()[:, 0])
            keep = (torch.arange(len(known)) % 3 == 0) | known.is_global
            (known, *indices), copied = known.keep(keep), copied.select(keep.nonzero()[:, 0])
            assert [i.tolist() for i in indices] == [keep.nonzero()[:, 0].tolist(), (~keep).nonzero()[:, 0].tolist()]
        same, stay, leave = known.keep(torch.ones_like(known.is_global))
        assert same is known and len(stay) == len(known) and not len(leave)


def test_a_sequence_without_tokens():
    with wait("cpu"), pytest.raises(ValueError, match="sequence 1 of the batch has no token"):
        PackedSequence.from_masks(torch.tensor([[1, 1], [0, 0]]), None)


class Reads(torch.utils._python_dispatch.TorchDispatchMode):
    """Counts what makes a host wait for a GPU."""

    WAITING = ("nonzero.default", "_local_scalar_dense", "is_nonzero", "bincount", "unique", "masked_select")

    def __enter__(self):
        self.count = 0
        self.patches = [mock.patch.object(torch.Tensor, name, self.counted(name)) for name in ("cpu", "tolist")]
        self.patches += [mock.patch.object(torch, name, self.refused(name)) for name in ("tensor", "as_tensor")]
        for patch in self.patches:
            patch.start()
        return super().__enter__()

    def __exit__(self, *error):
        for patch in self.patches:
            patch.stop()
        return super().__exit__(*error)

    def counted(self, name):
        original = getattr(torch.Tensor, name)

        def read(tensor):
            self.count += 1
            return original(tensor)

        return read

    def refused(self, name):
        def make(*args, **kwargs):
            raise AssertionError(f"torch.{name} copies from the host")

        return make

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        assert not any(str(function).removeprefix("aten.").startswith(name) for name in self.WAITING), function
        if function is torch.ops.aten.index.Tensor:
            assert all(i is None or i.dtype != torch.bool for i in args[1])
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("globals_given", [False, True])
@pytest.mark.parametrize("settings, reads", [
    ({}, 2 + 2),  # all thresholds at one go; the first is 0, and in the last layer nothing leaves
    ({"prune_mode": "threshold", "token_threshold": 0.1}, 1 + 3),
    ({"prune_mode": "topk", "token_keep_rate": 0.3, "num_hidden_layers": 6}, 1 + 2),
    ({"prune_mode": None}, 1),
], ids=lambda x: str(x))  # fmt: skip
def test_one_read_a_layer(settings, reads, globals_given):
    """The lengths left by each layer that prunes; before them those of the batch, and the thresholds."""
    model, batch = tiny_model(**settings), random_batch([120, 50, 80])
    if globals_given:
        batch["global_attention_mask"] = torch.zeros_like(batch["input_ids"])
        batch["global_attention_mask"][:, 0] = 1
    with torch.no_grad():
        expected = model(**batch)
        model.set_attn_implementation("sdpa")
        with wait("cpu"), Reads() as counted:
            output = model(**batch)
    assert counted.count == reads
    torch.testing.assert_close(output.logits, expected.logits)


def test_thresholds_read_at_one_go():
    pruners = tiny_model().pruners()
    assert read_active_layers([*pruners, None]) == {}
    with wait("cpu"):
        assert read_active_layers([*pruners, None]) == {0: False, 1: True, 2: True, 3: True}


def test_a_gpu_computes_a_layer_at_one_go():
    """No device but the CPU has a cache to keep pieces for; the device without data stands for a GPU."""
    layer, tokens = tiny_model().longformer.encoder.layer[0], 2 * token_wise.PIECE_TOKENS + token_wise.PIECE_STEP + 5
    for device, calls in (("cpu", 4), ("meta", 1)):
        layer.to(device)
        blocks = layer.attention.output, layer.intermediate, layer.output
        context, residual = torch.zeros(tokens, 4, 8, device=device), torch.zeros(tokens, 32, device=device)
        with mock.patch.object(layer.output, "forward", wraps=layer.output.forward) as output, torch.no_grad():
            states = token_wise.after_attention(*blocks, context, residual)
        assert output.call_count == calls and len(states) == tokens


@pytest.mark.parametrize("requested, device, output_attentions, used", [
    (None, "cpu", False, "eager"),
    (None, "mps", False, "eager"),
    (None, "cuda", False, "sdpa"),
    (None, "cuda", True, "eager"),
    ("eager", "cuda", False, "eager"),
    ("sdpa", "cpu", False, "sdpa"),
    ("sdpa", "cpu", True, "eager"),
])  # fmt: skip
def test_choice(requested, device, output_attentions, used):
    assert choose_implementation(requested, torch.device(device), output_attentions) == used


class TestSetting:
    def used(self, model) -> set[str]:
        """The functions that one forward pass went through."""
        called = set()

        def watch(owner, name):
            original = getattr(owner, name)

            def call(*args, **kwargs):
                called.add(f"{owner.__name__.rpartition('.')[2]}.{name}")
                return original(*args, **kwargs)

            return mock.patch.object(owner, name, call)

        with (
            watch(attention_implementations, "tiled_attention"),
            watch(attention_implementations, "banded_attention"),
            torch.no_grad(),
        ):
            model(**random_batch([30, 20]))
        return called

    def test_set_and_unset(self):
        model = tiny_model()
        assert self.used(model) == {"attention_dispatch.tiled_attention"}
        model.set_attn_implementation("sdpa")
        assert self.used(model) == {"attention_dispatch.banded_attention"}
        model.set_attn_implementation(None)
        assert self.used(model) == {"attention_dispatch.tiled_attention"}

    def test_loading_and_saving(self, tmp_path):
        tiny_model().save_pretrained(tmp_path / "saved")
        for cls in (LTPForSequenceClassification, LTPModel, AutoModelForSequenceClassification):
            model = cls.from_pretrained(tmp_path / "saved", attn_implementation="sdpa").eval()
            assert model.config._attn_implementation == "sdpa"
            assert self.used(model) == {"attention_dispatch.banded_attention"}
        model.save_pretrained(tmp_path / "again")
        assert "attn" not in (tmp_path / "again" / "config.json").read_text()
        again = LTPForSequenceClassification.from_pretrained(tmp_path / "again").eval()
        assert again.config._attn_implementation is None
        assert self.used(again) == {"attention_dispatch.tiled_attention"}

    @pytest.mark.parametrize("wrong", ["flash_attention_2", "flex_attention", "paged|eager"])
    def test_wrong_values(self, wrong, tmp_path):
        model = tiny_model()
        with pytest.raises(ValueError, match="is not supported.*eager, sdpa, and None"):
            model.set_attn_implementation(wrong)
        assert model.config._attn_implementation is None
        model.save_pretrained(tmp_path)
        with pytest.raises(ValueError, match="is not supported.*eager, sdpa, and None"):
            LTPForSequenceClassification.from_pretrained(tmp_path, attn_implementation=wrong)

    def test_attention_weights_are_given_out_all_the_same(self):
        model, batch = tiny_model(), random_batch([60, 33])
        expected = model(**batch, output_attentions=True)
        for implementation in ("sdpa",):
            model.set_attn_implementation(implementation)
            with wait("cpu"):
                output = model(**batch, output_attentions=True)
            for name in ("attentions", "global_attentions"):
                for a, e in zip(output[name], expected[name]):
                    torch.testing.assert_close(a, e)


@pytest.mark.parametrize("implementation", ["sdpa"])
def test_flops_without_pruning_are_relative_to_themselves(implementation):
    model, batch = tiny_model(prune_mode=None), random_batch([120, 50])
    model.set_attn_implementation(implementation)
    with torch.no_grad():
        layers = layer_counts(model(**batch))
    packed = PackedSequence.from_masks(batch["attention_mask"], None)
    assert executed_flops(model.config, layers).tolist() == unpruned_flops(model.config, packed).tolist()
    full = unpruned_flops(model.config, packed, full=True)
    model.set_attn_implementation("eager")
    assert unpruned_flops(model.config, packed, full=True).tolist() == full.tolist()


@needs_gpu
class TestGPU:
    SETTINGS = {"hidden_size": 64, "max_position_embeddings": 1100, "attention_window": 64}

    @pytest.mark.parametrize("lengths", [[1000], [400, 90, 1000, 3]])
    @pytest.mark.parametrize("mode", MODES)
    @pytest.mark.parametrize("implementation", [None, "eager", "sdpa"])
    def test_as_on_a_cpu(self, implementation, mode, lengths):
        more = {"token_keep_rate": 0.4, "token_threshold": 0.05, "num_hidden_layers": 6}
        model, batch = tiny_model(prune_mode=mode, **self.SETTINGS, **more).double(), random_batch(lengths)
        with torch.no_grad():
            expected = model(**batch, output_pruning=True), model(**batch)
            model.set_attn_implementation(implementation)
            model.cuda()
            batch = {name: tensor.cuda() for name, tensor in batch.items()}
            output = model(**batch, output_pruning=True), model(**batch)
        for o, e in zip(output, expected):
            torch.testing.assert_close(o.logits.cpu(), e.logits, rtol=1e-3, atol=1e-3)
        for o, e in zip(output[0].kept_tokens, expected[0].kept_tokens):
            assert (o.cpu() != e).float().mean() < 0.01

    @pytest.mark.parametrize("implementation", ["sdpa"])
    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
    def test_gradients(self, implementation, dtype):
        model, batch = tiny_model(**self.SETTINGS), random_batch([700, 300])
        model.train().set_hard_masking(False)
        gradients = {}
        for name, device in ((None, "cpu"), (implementation, "cuda")):
            model.set_attn_implementation(name)
            model.to(device).zero_grad()
            inputs = {name: tensor.to(device) for name, tensor in batch.items()}
            with torch.autocast(device, dtype, enabled=dtype != torch.float32 and device == "cuda"):
                output = model(**inputs, labels=torch.tensor([0, 1], device=device))
            (output.loss + output.pruning_regularizer).backward()
            gradients[device] = [p.grad.cpu().clone() for p in model.parameters() if p.grad is not None]
        bound = 0.01 if dtype == torch.float32 else 0.1
        for a, e in zip(gradients["cuda"], gradients["cpu"]):
            assert (a - e).norm() <= bound * e.norm() + 1e-4

    @pytest.mark.parametrize("implementation", ["sdpa"])
    def test_importance_in_bfloat16(self, implementation):
        packed = draw_packed([900, 300], 0.8, None)
        tensors = torch.randn(3, HEADS, len(packed), 64)
        tensors[0] /= 8
        expected, importance = local_attention(*tensors, tile_plan(packed, 64), with_importance=True)
        packed = PackedSequence(
            packed.sequence_of.cuda(), packed.positions.cuda(), packed.is_global.cuda(), packed.shape
        )
        plan = local_attention_plan(implementation, packed, 64)
        context, actual = local_attention(*tensors.cuda().bfloat16(), plan, with_importance=True)
        assert actual.dtype == torch.float32
        torch.testing.assert_close(actual.cpu(), importance, rtol=0.02, atol=0.02)
        torch.testing.assert_close(context.cpu().float(), expected, rtol=0.05, atol=0.05)

    @pytest.mark.parametrize("implementation", ["sdpa"])
    def test_one_synchronisation_a_layer(self, implementation):
        model, batch = tiny_model(**self.SETTINGS).cuda(), random_batch([400, 90])
        model.set_attn_implementation(implementation)
        batch = {name: tensor.cuda() for name, tensor in batch.items()}
        with torch.no_grad():
            model(**batch)
            torch.cuda.set_sync_debug_mode("warn")
            try:
                with pytest.warns(UserWarning, match="synchroniz") as warned:
                    model(**batch)
            finally:
                torch.cuda.set_sync_debug_mode("default")
        waits = [w for w in warned if "synchroniz" in str(w.message)]
        assert len(waits) <= 2 + 2  # as in `test_one_read_a_layer`
