"""The accounting against the operations that PyTorch's FLOP counter sees."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.flops import flop_formulas, without_added_rows
from ltp_pipeline.model.flops_meter import FlopsMeter
from tests.transformer_revised.models.ltp.test_attention_kernels import as_on_a_gpu
from tests.transformer_revised.models.ltp.tiny import random_batch, tiny_config, tiny_model
from transformer_revised import LTPForMaskedLM
from transformer_revised.models.ltp.attention_dispatch import IMPLEMENTATIONS

SIZES = {"hidden_size": 64, "intermediate_size": 128, "max_position_embeddings": 402, "final_token_threshold": 0.5}

FIRST = {"prune_first_layer": True}


def counted(model, batch):
    with FlopCounterMode(display=False, custom_mapping=flop_formulas()) as counter, torch.no_grad():
        with without_added_rows():  # which are not counted
            model(**batch)
    return counter.get_total_flops()


@pytest.mark.parametrize("settings", [{}, {"prune_mode": None}, {"attention_window": [16, 8, 64, 16]}, FIRST])
@pytest.mark.parametrize("lengths", [[400], [300, 17, 1, 160]])
def test_executed_flops_are_those_the_counter_sees(settings, lengths):
    model, batch = tiny_model(**SIZES, **settings), random_batch(lengths)
    with FlopsMeter(model) as meter:
        seen = counted(model, batch)
    result = meter.pop()
    # The counter does not see the products of a sequence with a single token left: they run as plain multiplications.
    assert result["gflops_per_function"] * len(lengths) * 1e9 == pytest.approx(seen, rel=1e-4)


@pytest.mark.parametrize("globals_", [[0], [4], [0, 3, 9]])
def test_relative_flops_is_the_ratio_of_two_runs(globals_):
    batch = random_batch([300, 100])
    batch["global_attention_mask"] = torch.zeros_like(batch["input_ids"])
    batch["global_attention_mask"][:, globals_] = 1
    pruned, plain = tiny_model(**SIZES), tiny_model(**SIZES, prune_mode=None)
    plain.load_state_dict(pruned.state_dict(), strict=False)
    with FlopsMeter(pruned) as meter:
        ratio = counted(pruned, batch) / counted(plain, batch)
    result = meter.pop()
    assert result["relative_flops"] == pytest.approx(ratio, rel=1e-4)
    assert ratio < 0.9


def test_unpruned_model_is_at_one_and_below_one_of_the_papers_baseline():
    model = tiny_model(**SIZES, prune_mode=None)
    with FlopsMeter(model) as meter:
        counted(model, random_batch([200, 50]))
    result = meter.pop()
    assert result["relative_flops"] == 1
    assert 0.5 < result["full_relative_flops"] < 0.75  # one layer of four is not computed, nor the global projections
    assert result["tokens_kept_per_layer"] == [125, 125, 125, 1]
    assert (result["functions"], result["tokens"]) == (2, 250)


def test_padding_costs_nothing():
    model, batch = tiny_model(**SIZES), random_batch([60, 30])
    wide = {k: torch.nn.functional.pad(v, (0, 300), value=1 if k == "input_ids" else 0) for k, v in batch.items()}
    with FlopsMeter(model) as meter, torch.no_grad():
        model(**batch)
        narrow = meter.pop()
        model(**wide)
    assert meter.pop() == narrow


def test_training_passes_are_not_counted():
    model = tiny_model(**SIZES).train()
    with FlopsMeter(model) as meter:
        model(**random_batch([20]))
    with pytest.raises(RuntimeError, match="no forward pass"):
        meter.pop()


def test_a_closed_meter_has_no_hook():
    model = tiny_model(**SIZES)
    with FlopsMeter(model):
        assert len(model._forward_hooks) == 1
    assert not model._forward_hooks


@pytest.mark.parametrize("implementation", [None, *IMPLEMENTATIONS])
@pytest.mark.parametrize("globals_given", [False, True])
def test_a_device_from_which_reading_back_stalls_counts_the_same(implementation, globals_given):
    """Each kernel, on a CPU and on a CPU that is treated as a GPU."""
    model, batch = tiny_model(**SIZES), random_batch([300, 17, 160])
    if globals_given:
        batch["global_attention_mask"] = torch.zeros_like(batch["input_ids"]).index_fill(1, torch.tensor([0, 3]), 1)
    model.set_attn_implementation(implementation)
    results = []
    for stalling in ((), ("cpu",)):
        with as_on_a_gpu(*stalling), FlopsMeter(model) as meter, torch.no_grad():
            model(**batch)
        results.append(meter.pop())
    assert results[0] == results[1]
    assert 0 < results[0]["relative_flops"] < 0.9


def test_each_way_to_call_the_model_counts_the_same():
    model, batch = tiny_model(**SIZES), random_batch([60, 60])
    ids, mask = batch["input_ids"], batch["attention_mask"]
    first = torch.zeros_like(ids).index_fill(1, torch.tensor([0]), 1)
    embeds = model.get_input_embeddings()(ids)
    calls = [
        ((), batch), ((), {"input_ids": ids}), ((ids,), {}), ((ids, mask), {}), ((ids, mask, first), {}),
        ((ids,), {"attention_mask": mask, "return_dict": False}), ((), {"inputs_embeds": embeds}),
        ((None, mask, None, None, None, embeds), {}), ((ids, None, None), {"labels": torch.tensor([0, 1])}),
    ]  # fmt: skip
    results, logits = [], []
    for args, kwargs in calls:
        with FlopsMeter(model) as meter, torch.no_grad():
            output = model(*args, **kwargs)
        assert isinstance(output, tuple) == (kwargs.get("return_dict") is False)
        logits.append(output[1] if "labels" in kwargs else output[0])
        results.append(meter.pop())
    assert results == results[:1] * len(calls)
    assert all(torch.equal(each, logits[0]) for each in logits)


def test_an_exception_in_the_block_removes_the_hooks():
    model = tiny_model(**SIZES)
    with pytest.raises(KeyboardInterrupt), FlopsMeter(model):
        raise KeyboardInterrupt
    assert not model._forward_hooks and not model._forward_pre_hooks


def test_another_head_is_refused():
    with pytest.raises(ValueError, match="sequence classifiers, not of LTPForMaskedLM"):
        FlopsMeter(LTPForMaskedLM(tiny_config()))
