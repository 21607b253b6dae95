"""Which dtype is computed in, and what a model held in bfloat16 is."""

import pytest
import torch

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.model import precision
from ltp_pipeline.model.precision import chosen_dtype, hold_in, is_bfloat16_fast
from ltp_pipeline.training.arguments import FineTuningArguments
from transformer_revised import LTPConfig, LTPForSequenceClassification
from transformer_revised.models.ltp import cpu_products as token_wise

SMALL = {
    "vocab_size": 50,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "attention_window": 8,
    "max_position_embeddings": 40,
}


@pytest.mark.parametrize(
    ("capabilities", "fast"),
    [
        ({"avx512_f": True, "avx512_bw": True}, False),  # multiplies bfloat16 only by way of float32
        ({"avx512_f": True, "avx512_bf16": True}, True),
        ({"amx_tile": True, "amx_bf16": True}, True),
        ({"bf16": True}, True),
        ({}, False),
    ],
)
def test_the_processor_is_asked(monkeypatch, capabilities, fast):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert is_bfloat16_fast("cpu") is fast


def test_the_gpu_is_asked_without_emulation(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    assert is_bfloat16_fast("cuda:1") is False and is_bfloat16_fast("mps") is False


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize(
    ("asked", "bf16", "expected"),
    [("float32", None, "float32"), ("bfloat16", None, "bfloat16"), ("auto", True, "bfloat16"), ("auto", None, None)]
    + [("auto", False, "float32"), ("bfloat16", True, "bfloat16"), ("float32", False, "float32")],
)
def test_choice(monkeypatch, fast, asked, bf16, expected):
    monkeypatch.setattr(precision, "is_bfloat16_fast", lambda device: fast)
    expected = expected or ("bfloat16" if fast else "float32")
    assert chosen_dtype(asked, bf16, "cpu") is getattr(torch, expected)


@pytest.mark.parametrize(
    ("asked", "bf16", "message"),
    [
        ("float32", True, "--dtype float32 and --bf16 contradict each other; expected one"),
        ("bfloat16", False, "--dtype bfloat16 and --bf16 false contradict each other; expected one"),
        ("half", None, "--dtype half: expected auto, float32, bfloat16"),
    ],
)
def test_flags_that_no_dtype_follows_from(asked, bf16, message):
    with pytest.raises(UserError) as error:
        chosen_dtype(asked, bf16, "cpu")
    assert str(error.value) == message


@pytest.mark.parametrize("fast, dtype, mixed", [(True, "bfloat16", "bf16"), (False, "float32", "no")])
def test_training_arguments(tmp_path, monkeypatch, fast, dtype, mixed):
    monkeypatch.setattr("ltp_pipeline.model.precision.is_bfloat16_fast", lambda device: fast)
    args = FineTuningArguments(output_dir=str(tmp_path), dtype="bfloat16", use_cpu=True)
    assert (args.bf16, args.dtype, args.mixed_precision) == (True, "bfloat16", "bf16")
    args = FineTuningArguments(output_dir=str(tmp_path), use_cpu=True)
    assert (args.bf16, args.dtype, args.mixed_precision) == (fast, dtype, mixed)
    with pytest.raises(UserError, match="--fp16.*--dtype or --bf16"):
        FineTuningArguments(output_dir=str(tmp_path), fp16=True, dtype="float32", use_cpu=True)


def test_held_as_the_library_loads_it(tmp_path):
    model = LTPForSequenceClassification(LTPConfig(**SMALL))
    with torch.no_grad():
        model.longformer.encoder.layer[0].attention.self.pruner.keep_threshold.fill_(0.123456789)
    model.save_pretrained(tmp_path)
    loaded = LTPForSequenceClassification.from_pretrained(tmp_path, dtype=torch.bfloat16).state_dict()
    held = hold_in(model, torch.bfloat16).state_dict()
    assert {name: value.dtype for name, value in held.items()} == {name: v.dtype for name, v in loaded.items()}
    assert all(torch.equal(value, loaded[name]) for name, value in held.items())
    in_float32 = [name for name, value in held.items() if value.dtype == torch.float32]
    assert in_float32 == [f"longformer.encoder.layer.{i}.attention.self.pruner.keep_threshold" for i in range(2)]
    assert model.dtype == torch.bfloat16 and model.config.dtype == torch.bfloat16
    for layer in model.longformer.encoder.layer:
        assert layer.output.dense in token_wise._PREPACKED and layer.attention.self.value in token_wise._PREPACKED


def test_importance_and_loss_are_float32_in_a_model_held_in_bfloat16():
    torch.manual_seed(0)
    model = hold_in(LTPForSequenceClassification(LTPConfig(**SMALL)).eval(), torch.bfloat16)
    ids = torch.randint(5, 50, (3, 20))
    with torch.no_grad():
        output = model(input_ids=ids, labels=torch.tensor([0, 1, 1]), output_pruning=True)
    assert output.logits.dtype == torch.bfloat16 and output.loss.dtype == torch.float32
    assert all(scores.dtype == torch.float32 for scores in output.pruning_scores if scores is not None)
