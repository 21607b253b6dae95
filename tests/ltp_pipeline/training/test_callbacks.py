"""Kept shares, their line and their TensorBoard scalars, and the epoch of a wrapped sampler."""

import ctypes
import sys
from types import SimpleNamespace

import psutil
import pytest
from accelerate import skip_first_batches
from accelerate.data_loader import BatchSamplerShard, SeedableRandomSampler
from torch.utils.data import BatchSampler, DataLoader
from transformers import TrainerState

from ltp_pipeline.training.callbacks import KeptShares, LayersOnTensorBoard, ReleaseMemory, layers_line, set_epoch
from tests.pruned_checkpoint import save_checkpoint
from tests.transformer_revised.models.ltp.tiny import random_batch
from transformer_revised import LTPForSequenceClassification

BATCH = random_batch([40, 25, 11])


@pytest.fixture
def model(tmp_path):
    folder = save_checkpoint(tmp_path / "model", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    return LTPForSequenceClassification.from_pretrained(folder).train()


@pytest.mark.parametrize("checkpointing", [False, True])
def test_hard_shares_are_those_of_the_tokens_left(model, checkpointing):
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    kept = KeptShares(model)
    lengths = [output.ffn_sentence_lengths for output in (model(**BATCH), model(**BATCH))]
    model(**BATCH).logits.sum().backward()
    model.eval()(**BATCH)  # Does not count.
    shares = kept.pop()
    assert shares[0] == pytest.approx(lengths[0][0].sum().item() / 76)
    assert shares[0] < 1
    assert sorted(shares, reverse=True) == shares
    assert shares[3] == shares[2]  # Of the last layer only the first token is computed.
    assert kept.pop() is None


def test_soft_shares_are_what_hard_masking_would_leave_by_the_same_scores(model):
    model.set_hard_masking(False)
    model.set_temperature(0.1)
    kept = KeptShares(model)
    output = model(**BATCH, output_pruning=True)
    alive, expected = BATCH["attention_mask"] > 0, []
    for mask in output.soft_masks:
        survives = mask.nan_to_num() >= 0.5
        survives[:, 0] = True
        alive = alive & survives
        expected.append(alive.sum().item() / 76)
    assert kept.pop() == pytest.approx(expected)
    assert 0 < expected[-1] < expected[0] < 1


def test_tensorboard_gets_a_scalar_a_layer(monkeypatch):
    monkeypatch.setattr("transformers.integrations.integration_utils.is_tensorboard_available", lambda: True)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", SimpleNamespace(SummaryWriter=None))
    scalars = {}
    writer = SimpleNamespace(
        add_scalar=lambda name, value, step: scalars.update({name: (value, step)}), flush=lambda: None
    )
    state = SimpleNamespace(is_world_process_zero=True, global_step=7)
    logs = {"loss": 0.5, "thresholds": [0.0, 0.25], "kept_shares": [1.0, 0.5], "eval_tokens_kept_per_layer": [3.0]}
    LayersOnTensorBoard(tb_writer=writer).on_log(None, state, None, logs=logs)
    assert scalars == {
        "train/loss": (0.5, 7),
        "train/threshold/layer_01": (0.0, 7),
        "train/threshold/layer_02": (0.25, 7),
        "train/kept_share/layer_01": (1.0, 7),
        "train/kept_share/layer_02": (0.5, 7),
    }
    assert logs["thresholds"] == [0.0, 0.25]


def test_layers_in_a_line():
    assert layers_line({"thresholds": [0.0, 0.0123], "kept_shares": [1, 0.5]}) == "thresholds 0 0.0123 | kept 1 0.5"
    assert layers_line({"loss": 1.0}) == ""


def test_the_epoch_reaches_a_sampler_behind_skipped_batches_and_a_share():
    sampler = SeedableRandomSampler(range(8), data_seed=1)
    shared = DataLoader(range(8), batch_sampler=BatchSamplerShard(BatchSampler(sampler, 2, False), 2, 0))
    set_epoch(skip_first_batches(shared, 1), 3)
    assert sampler.epoch == 3


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="no glibc 2.33 or newer")
def test_freed_memory_is_returned_every_50_steps():
    kept = [bytearray(2**16) for _ in range(2000)]  # 125 MiB in blocks below the size that gets its own mapping
    del kept[:-1]  # the last block keeps the heap from shrinking
    before = psutil.Process().memory_info().rss
    callback = ReleaseMemory()
    for step in range(1, 50):
        callback.on_step_end(None, TrainerState(global_step=step), None)
    assert before - psutil.Process().memory_info().rss < 2**23
    callback.on_step_end(None, TrainerState(global_step=50), None)
    assert before - psutil.Process().memory_info().rss > 50 * 2**20
