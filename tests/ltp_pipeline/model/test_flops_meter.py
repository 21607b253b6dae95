"""The accounting against the operations that PyTorch's FLOP counter sees."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.flops import flop_formulas
from ltp_pipeline.model.flops_meter import FlopsMeter
from tests.transformer_revised.models.ltp.tiny import random_batch, tiny_model

SIZES = {"hidden_size": 64, "intermediate_size": 128, "max_position_embeddings": 402, "final_token_threshold": 0.5}


def counted(model, batch):
    with FlopCounterMode(display=False, custom_mapping=flop_formulas()) as counter, torch.no_grad():
        model(**batch)
    return counter.get_total_flops()


@pytest.mark.parametrize("settings", [{}, {"prune_mode": None}, {"attention_window": [16, 8, 64, 16]}])
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
