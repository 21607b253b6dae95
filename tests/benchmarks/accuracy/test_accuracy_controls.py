"""The controls of benchmarks.accuracy: random scores, and numbers that meet a budget."""

import numpy as np
import pytest
import torch

from benchmarks.accuracy.controls import (
    RandomPruner,
    bisected,
    equal_length,
    flops_of_lengths,
    lowest_budget,
    number_for_budget,
    with_random_scores,
)
from benchmarks.accuracy.settings import Reading
from benchmarks.accuracy.training import load
from ltp_pipeline.comparison import evaluate
from tests.ltp_pipeline.conftest import functions
from tests.pruned_checkpoint import save_checkpoint
from tests.transformer_revised.models.ltp.test_attention_kernels import as_on_a_gpu
from tests.transformer_revised.models.ltp.tiny import random_batch, tiny_model
from transformer_revised.models.ltp.pruning_budget import UnreachableTargetError, measure_relative_flops, meet_target


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """Two checkpoints of five layers that start alike: one does not prune, one learns thresholds."""
    settings = {"num_hidden_layers": 5, "max_position_embeddings": 130}
    unpruned = save_checkpoint(tmp_path_factory.mktemp("unpruned"), prune_mode=None, **settings)
    settings |= {"num_hidden_layers": 4, "score_normalization": "rel", "final_token_threshold": 0.6}
    return unpruned, save_checkpoint(tmp_path_factory.mktemp("learned"), **settings)


@pytest.fixture
def candidates(checkpoints):
    """The models of `checkpoints`, with 8 functions of 90 tokens or so."""
    return [load(folder, functions(8), Reading(128, "head"), "float32") for folder in checkpoints]


def test_random_scores_are_drawn_anew(candidates):
    model = candidates[1].model
    for offset in model.learned_thresholds():
        offset.data.fill_(0.3)
    before = {name: id(parameter) for name, parameter in model.named_parameters()}
    assert with_random_scores(model) is model
    assert {name: id(parameter) for name, parameter in model.named_parameters()} == before
    assert all(type(pruner) is RandomPruner for pruner in model.pruners())
    torch.manual_seed(0)
    one, other = (evaluate(candidates[1])[2][:, 4:] for _ in range(2))
    assert (one != other).any()  # tokens of each function in each layer
    torch.manual_seed(0)
    assert (evaluate(candidates[1])[2][:, 4:] == one).all()
    shares = one.sum(0)[1:3] / one.sum(0)[:2]
    assert shares == pytest.approx(1 - np.array([0.3 + 0.15, 0.3 + 0.3]), abs=0.05)  # 0.6 l / 4 and the offset


def test_random_scores_are_drawn_on_a_gpu_too():
    model, batch = tiny_model(), random_batch([60, 33])
    with_random_scores(model)
    with torch.no_grad(), as_on_a_gpu("cpu"):
        one, other = ([each.tolist() for each in model(**batch).ffn_sentence_lengths] for _ in range(2))
    assert one != other


def test_random_scores_meet_a_budget(candidates):
    model = with_random_scores(candidates[1].model)
    torch.manual_seed(0)
    meet_target(model, candidates[1].batches, 0.7, tolerance=0.02)
    assert measure_relative_flops(model, candidates[1].batches) == pytest.approx(0.7, abs=0.04)


@pytest.mark.parametrize("mode, budget", [("threshold", 0.6), ("topk", 0.95)])
def test_a_number_meets_a_budget(mode, budget, candidates):
    number = number_for_budget(candidates[0], mode, budget)
    assert 0 < number < 1
    assert measure_relative_flops(candidates[0].model, candidates[0].batches) == pytest.approx(budget, abs=0.05)


def test_topk_that_cannot_meet_a_budget_comes_near(candidates):
    assert number_for_budget(candidates[0], "topk", 0.1) == 0.01


@pytest.mark.parametrize("wanted, number", [(0.9, 0.1), (0.25, 0.75), (0.0, 1.0), (-1.0, 1.0)])
def test_bisection(wanted, number):
    tried = []
    assert bisected(lambda x: tried.append(x) or 1 - x, wanted, 0.0, 1.0) == pytest.approx(number, abs=0.006)
    assert len(tried) <= 13


@pytest.mark.parametrize("first_layer", [False, True])
def test_the_lowest_budget_is_the_lowest_that_can_be_met(candidates, first_layer):
    model, batches = candidates[1].model, candidates[1].batches
    if not first_layer:
        model.learned_thresholds()[0].data.zero_()  # the first layer removes nothing, as in the soft stage
    floor = lowest_budget(model.config, np.asarray(candidates[1].tokens["length"]), model.device, first_layer)
    assert meet_target(model, batches, floor) == pytest.approx(floor, abs=0.012)
    with pytest.raises(UnreachableTargetError):
        meet_target(model, batches, floor - 0.02)


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_flops_are_those_of_an_evaluation(implementation, checkpoints):
    """On a GPU ("sdpa") the FLOPs of a sequence depend on the others of its batch."""
    frame = functions(200)
    frame["functionSource"] = [text[: 20 + 3 * i] for i, text in enumerate(frame["functionSource"])]
    unpruned = load(checkpoints[0], frame, Reading(128, "head"), "float32")
    unpruned.model.set_attn_implementation(implementation)
    assert len(unpruned.batches) > 1
    counted = flops_of_lengths(unpruned, np.asarray(unpruned.tokens["length"]))
    assert counted.tolist() == evaluate(unpruned)[2][:, 1].tolist()


@pytest.mark.parametrize("budget", [0.2, 0.9])
def test_the_length_of_equal_flops(budget, candidates):
    unpruned, lengths = candidates[0], np.asarray(candidates[0].tokens["length"])
    length = equal_length(unpruned, budget)
    spent = [flops_of_lengths(unpruned, np.minimum(lengths, cut)).sum() for cut in (length, length + 1, lengths.max())]
    assert spent[0] <= budget * spent[2] < spent[1]
    cut = load(unpruned.model.config._name_or_path, functions(8), Reading(length, "head"), "float32")
    assert evaluate(cut)[2][:, 1].sum() == spent[0]  # as the meter counts it
