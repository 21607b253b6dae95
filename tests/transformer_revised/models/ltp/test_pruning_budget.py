"""Meeting a compute budget: expected FLOPs, the controller, the shift of the thresholds."""

import pytest
import torch

from ltp_pipeline.model.flops_meter import FlopsMeter
from transformer_revised.models.ltp.attention_dispatch import IMPLEMENTATIONS
from transformer_revised.models.ltp.flops_ltp import expected_relative_flops
from transformer_revised.models.ltp.packed_sequence import PackedSequence
from transformer_revised.models.ltp.pruning_budget import (
    MOMENTUM,
    ComputeBudget,
    UnreachableTargetError,
    active_offsets,
    lowest_relative_flops,
    measure_relative_flops,
    meet_target,
)

from .tiny import random_batch, tiny_config, tiny_model

LENGTHS = [280, 31, 150, 7]
WIDE = {"hidden_size": 64, "num_hidden_layers": 6, "score_normalization": "rel"}


def test_nothing_dropped_is_1_and_everything_from_layer_0_on_is_what_is_left():
    config, mask = tiny_config(attention_window=[16] * 4), random_batch(LENGTHS)["attention_mask"]
    ones = torch.ones(mask.shape)
    torch.testing.assert_close(expected_relative_flops(config, mask, [ones] * 4), torch.ones(4))
    nothing = torch.zeros(mask.shape)
    nothing[:, 0] = 1
    n, d, i, h = 280, 32, 64, 4
    half = 8 + 64  # window, and half a block of queries
    pairs = sum(min(n, q + half + 1) - max(0, q - half) for q in range(n))
    rest, head, query = 2 * d * d + 4 * d * i, 2 * d * (d + 2), 6 * d * d
    first = query + 4 * n * h * d + 6 * n * d * d + 4 * pairs * d + rest
    middle = query + 4 * h * d + 6 * d * d + 4 * d + rest
    last = query + 4 * h * d + rest
    full = 3 * (query + 4 * n * h * d + 6 * n * d * d + 4 * pairs * d + n * rest) + query + 4 * n * h * d + rest + head
    expected = (first + 2 * middle + last + head) / full
    got = expected_relative_flops(config, mask, [nothing] * 4)[0].item()
    assert got == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("threshold", [0.8, 1.0])
def test_what_is_expected_of_hard_masks_is_about_what_is_executed(threshold):
    model, batch = tiny_model(final_token_threshold=threshold, **WIDE), random_batch([200, 230, 260])
    output = model(**batch, output_pruning=True)
    kept = [layer.float() for layer in output.kept_tokens]
    lengths = batch["attention_mask"].sum(dim=1)
    expected = (expected_relative_flops(model.config, batch["attention_mask"], kept) * lengths).sum() / lengths.sum()
    executed = measure_relative_flops(model, [batch])
    assert executed < 0.9
    assert expected.item() == pytest.approx(executed, abs=0.03)


def test_the_expectation_has_the_gradient_of_finite_differences():
    config, mask = tiny_config(attention_window=[16] * 4), random_batch([40, 9])["attention_mask"]
    torch.manual_seed(0)
    shares = [torch.rand(mask.shape) for _ in range(4)]

    def cost(scale: torch.Tensor) -> torch.Tensor:
        return expected_relative_flops(config, mask, [scale * share for share in shares]).sum()

    scale = torch.tensor(0.5, requires_grad=True)
    cost(scale).backward()
    step = 1e-2
    difference = (cost(torch.tensor(0.5 + step)) - cost(torch.tensor(0.5 - step))) / (2 * step)
    torch.testing.assert_close(scale.grad, difference, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("target", [0.9, 0.7, 0.5])
def test_thresholds_are_shifted_alike_to_meet_the_target(target):
    model, batches = tiny_model(final_token_threshold=0.6, **WIDE), [random_batch([250, 200]), random_batch([90, 130])]
    before = [p.item() for p in active_offsets(model)]
    reached = meet_target(model, batches, target)
    assert reached == pytest.approx(target, abs=0.01)
    assert measure_relative_flops(model, batches) == reached
    shifts = [p.item() - b for p, b in zip(active_offsets(model), before)]
    assert len(shifts) == 5 and shifts == pytest.approx([shifts[0]] * 5) and shifts[0] != 0
    assert model.thresholds()[0] == 0


def test_a_target_below_what_the_first_layer_costs_is_refused_and_changes_nothing():
    model, batch = tiny_model(final_token_threshold=0.6, **WIDE), random_batch([250, 200])
    with pytest.raises(UnreachableTargetError, match=r"0\.1 cannot be reached: .* expected at least 0\.\d\d"):
        meet_target(model, [batch], 0.1)
    assert [p.item() for p in active_offsets(model)] == [0.0] * 5


@pytest.mark.parametrize("layers, first", [(6, False), (6, True), (2, True), (1, True)])
@pytest.mark.parametrize("global_tokens", [[0], [0, 3, 100]])
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_the_lowest_flops_are_those_with_infinite_thresholds(layers, first, global_tokens, implementation):
    settings = {**WIDE, "num_hidden_layers": layers, "attention_window": [16, 16, 32, 16, 2, 16][:layers]}
    model, batch = tiny_model(prune_first_layer=first, **settings), random_batch(LENGTHS)
    is_global = torch.zeros_like(batch["input_ids"]).index_fill(1, torch.tensor(global_tokens), 1)
    batch["global_attention_mask"] = is_global
    model.set_attn_implementation(implementation)
    for offset in active_offsets(model):
        torch.nn.init.constant_(offset, torch.inf)
    packed = PackedSequence.from_masks(batch["attention_mask"], is_global)
    lowest = lowest_relative_flops(model.config, [packed], 0 if first else 1)
    assert measure_relative_flops(model, [batch]) == lowest


def test_a_first_layer_that_prunes_makes_lower_budgets_possible():
    batches = [random_batch([250, 200]), random_batch([90, 130])]
    with pytest.raises(UnreachableTargetError, match=r"0\.2 cannot be reached: 0\.3"):
        meet_target(tiny_model(final_token_threshold=0.6, **WIDE), batches, 0.2)
    model = tiny_model(final_token_threshold=0.6, prune_first_layer=True, **WIDE)
    before = model.thresholds()
    assert meet_target(model, batches, 0.2) == pytest.approx(0.2, abs=0.005)
    shifts = model.thresholds() - before
    assert len(shifts) == 6 and shifts.tolist() == pytest.approx([shifts[0].item()] * 6) and shifts[0] != 0
    with FlopsMeter(model) as meter, torch.no_grad():
        for batch in batches:
            model(**batch)
    assert meter.pop()["relative_flops"] == pytest.approx(0.2, abs=0.005)
    entered = model(**batches[0], output_pruning=True).attention_sentence_lengths
    assert entered[0].tolist() == [250, 200] and (entered[1] < entered[0] / 2).all()  # all attend in the first layer


def test_the_target_is_approached_in_a_line_and_then_kept():
    budget = ComputeBudget(0.5, start=0.9)
    assert [budget.wanted(p) for p in (0, 0.3, 0.6, 1)] == pytest.approx([0.9, 0.7, 0.5, 0.5])


def test_the_penalty_is_the_excess_times_what_is_to_be_expected_and_measures_what_is_above_the_thresholds():
    model, batch = tiny_model(final_token_threshold=0.9, temperature=0.1, **WIDE).train(), random_batch([250, 120])
    model.set_hard_masking(False)
    output = model(**batch, output_pruning=True)
    thresholds = [pruner.threshold for pruner in model.pruners()]
    budget = ComputeBudget(0.5, start=0.9)
    budget.measured = 0.8
    mask = batch["attention_mask"]
    penalty = budget.penalty(model.config, mask, output, thresholds, progress=0.3)
    real, alive, survival, above = mask > 0, torch.ones(mask.shape), [], []
    hard = torch.ones(mask.shape)
    for soft, scores, threshold in zip(output.soft_masks, output.pruning_scores, thresholds):
        if soft is not None:
            alive = torch.where(real, alive * soft, 0.0)
            hard = torch.where(real, hard * (scores >= threshold), 0.0)
            alive[:, 0] = hard[:, 0] = 1
        survival.append(alive)
        above.append(hard)
    lengths = mask.sum(dim=1)

    def mean(layers):
        return (expected_relative_flops(model.config, mask, layers) * lengths).sum() / lengths.sum()

    torch.testing.assert_close(penalty, 10 * (0.8 - 0.7) * mean(survival))
    penalty.backward()
    *earlier, last = [p.grad for p in active_offsets(model)]
    assert all(gradient < 0 for gradient in earlier)  # raising a threshold lowers the cost
    assert last is None  # what leaves after the last layer costs nothing any more

    class Args:
        world_size = 1

    budget.on_step_end(Args, None, None)
    assert budget.measured == pytest.approx(0.5 * 0.8 + 0.5 * mean(above).item())
    assert budget.measured < 0.85


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("lengths", [[280, 270, 250], [200, 120], [290] * 3])
@pytest.mark.parametrize("rate", [0.05, 0.3, 0.6])
def test_the_penalty_reckons_with_the_kernel_that_computes(implementation, lengths, rate):
    """Tiles compute all pairs of a short sequence, bands a fixed number of keys for each query."""
    sizes = {"num_hidden_layers": 8, "hidden_size": 16, "intermediate_size": 16}
    model, batch = tiny_model(prune_mode="topk", token_keep_rate=rate, **sizes), random_batch(lengths)
    model.set_attn_implementation(implementation)
    with torch.no_grad():
        kept = tuple(layer.float() for layer in model(**batch, output_pruning=True).kept_tokens)
    budget = ComputeBudget(0.5, start=0.0)
    output = {"soft_masks": kept, "pruning_scores": kept}
    budget.penalty(model.config, batch["attention_mask"], output, [0.5] * 8, progress=0.0)
    budget.on_step_end(type("Args", (), {"world_size": 1}), None, None)
    expected = budget.measured / (1 - MOMENTUM)
    assert expected == pytest.approx(measure_relative_flops(model, [batch]), abs=0.03)


def test_given_global_tokens_count_in_measure_and_penalty():
    model, batch = tiny_model(final_token_threshold=0.6, **WIDE), random_batch([200, 150])
    batch["global_attention_mask"] = torch.zeros_like(batch["input_ids"]).index_fill(1, torch.arange(0, 100, 4), 1)
    measured = measure_relative_flops(model, [batch])
    with FlopsMeter(model) as meter, torch.no_grad():
        model(**batch)
    assert measured == pytest.approx(meter.pop()["relative_flops"])
    plain = {**batch, "global_attention_mask": None}
    assert abs(measure_relative_flops(model, [plain]) - measured) > 0.02


def test_measuring_accepts_every_kind_of_batch():
    """A batch may lack the mask, have embeddings, or ask for a tuple."""
    model, batch = tiny_model(final_token_threshold=0.6, **WIDE), random_batch([60, 60])
    ids = batch["input_ids"]
    batches = [batch, {"input_ids": ids}, {"inputs_embeds": model.get_input_embeddings()(ids)}]
    batches += [{**batch, "return_dict": False}, {**batch, "attention_mask": None, "global_attention_mask": None}]
    assert len({measure_relative_flops(model, [each]) for each in batches}) == 1


@pytest.mark.parametrize("stop_at", range(4))
def test_an_interrupted_shift_gives_thresholds_and_modes_back(monkeypatch, stop_at):
    model, batch, calls = tiny_model(final_token_threshold=0.6, **WIDE).train(), random_batch([90, 60]), []
    with torch.no_grad():
        for i, offset in enumerate(active_offsets(model)):
            offset.fill_(0.1 * i - 0.05)
    before, encode = [offset.clone() for offset in active_offsets(model)], model.longformer.encode

    def interrupted(*args, **kwargs):
        calls.append([offset.item() for offset in active_offsets(model)])
        if len(calls) > stop_at:
            raise KeyboardInterrupt
        return encode(*args, **kwargs)

    monkeypatch.setattr(model.longformer, "encode", interrupted)
    with pytest.raises(KeyboardInterrupt):
        meet_target(model, [batch], 0.7, tolerance=0.0)
    assert len(calls) == stop_at + 1 and (not stop_at or calls[0] != calls[1])
    assert all(map(torch.equal, active_offsets(model), before)) and model.training
