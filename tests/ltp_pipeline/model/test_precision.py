"""Which dtype is computed in, and what a model loaded in bfloat16 is."""

import pytest
import torch

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.model import precision
from ltp_pipeline.model.checkpoints import load_pruning_model
from ltp_pipeline.model.precision import chosen_dtype, default_device, is_bfloat16_fast
from transformer_revised.models.ltp import cpu_products
from transformer_revised.models.ltp.int8_products import is_int8_supported


@pytest.mark.parametrize(
    ("capabilities", "fast"),
    [
        ({"avx512_f": True, "avx512_bw": True}, False),  # multiplies bfloat16 only by converting it to float32
        ({"avx512_f": True, "avx512_bf16": True}, True),
        ({"amx_tile": True, "amx_bf16": True}, True),
        ({"bf16": True}, True),
        ({}, False),
    ],
)
def test_bfloat16_is_fast_on_processors_with_instructions_for_it(monkeypatch, capabilities, fast):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert is_bfloat16_fast("cpu") is fast


def test_emulation_on_a_gpu_is_not_fast(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    assert is_bfloat16_fast("cuda:1") is False and is_bfloat16_fast("mps") is False


@pytest.mark.parametrize("kind", ["xpu", "cuda", "mps"])
def test_every_accelerator_is_used(monkeypatch, kind):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    assert default_device() == torch.device("cpu")
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device(kind))
    assert default_device() == torch.device(kind)
    monkeypatch.setattr(precision, "process_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert default_device() == torch.device(f"{kind}:1")


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize(
    ("asked", "bf16", "expected"),
    [("float32", None, "float32"), ("bfloat16", None, "bfloat16"), ("auto", True, "bfloat16"), ("auto", None, None)]
    + [("auto", False, "float32"), ("bfloat16", True, "bfloat16"), ("float32", False, "float32")],
)
def test_chosen_dtype(monkeypatch, fast, asked, bf16, expected):
    monkeypatch.setattr(precision, "is_bfloat16_fast", lambda device: fast)
    expected = expected or ("bfloat16" if fast else "float32")
    assert chosen_dtype(asked, bf16, "cpu") is getattr(torch, expected)


@pytest.mark.parametrize(
    ("asked", "bf16", "message"),
    [
        ("float32", True, "--dtype float32 and --bf16 contradict"),
        ("bfloat16", False, "--dtype bfloat16 and --bf16 false contradict"),
        ("half", None, "--dtype half: expected auto, float32, bfloat16, int8"),
    ],
)
def test_flags_that_choose_no_dtype(asked, bf16, message):
    with pytest.raises(UserError, match=message):
        chosen_dtype(asked, bf16, "cpu")


@pytest.mark.skipif(not is_int8_supported(), reason="this machine has no int8 products")
def test_int8_is_for_evaluation_on_a_cpu(pruned_checkpoint, capsys):
    with pytest.raises(UserError, match="--dtype int8 and --bf16 contradict"):
        chosen_dtype("int8", True, "cpu")
    with pytest.raises(UserError, match="--dtype int8: .* x86 CPUs only, not on cuda:0; expected the CPU"):
        chosen_dtype("int8", None, "cuda:0")
    assert chosen_dtype("int8", None, "cpu") is torch.int8
    model = load_pruning_model(pruned_checkpoint, flag="--restore", dtype="int8")
    assert model.is_int8 and precision.name_of_computation(model) == "int8"
    assert model.dtype == (torch.bfloat16 if is_bfloat16_fast("cpu") else torch.float32)


@pytest.fixture(scope="module")
def loaded(pruned_checkpoint):
    """The same checkpoint in float32 and in bfloat16."""
    return [load_pruning_model(pruned_checkpoint, flag="--restore", dtype=dtype) for dtype in ("float32", "bfloat16")]


def test_a_model_in_bfloat16_has_the_rounded_weights(loaded):
    float32, bfloat16 = (model.state_dict() for model in loaded)
    offsets = [f"longformer.encoder.layer.{i}.attention.self.pruner.keep_threshold" for i in range(4)]
    assert [name for name, value in bfloat16.items() if value.dtype == torch.float32] == offsets
    assert all(torch.equal(value, float32[name].to(value.dtype)) for name, value in bfloat16.items())
    model = loaded[1]
    assert model.dtype == torch.bfloat16 and model.config.dtype == torch.bfloat16 and not model.training
    for layer in model.longformer.encoder.layer:
        assert layer.output.dense in cpu_products._PACKED_WEIGHTS
        assert layer.attention.self.query in cpu_products._PACKED_TOGETHER  # with key and value


def test_importance_and_loss_of_a_model_in_bfloat16_are_float32(loaded):
    ids = torch.randint(5, 50, (3, 20))
    with torch.no_grad():
        output = loaded[1](input_ids=ids, labels=torch.tensor([0, 1, 1]), output_pruning=True)
    assert output.logits.dtype == torch.bfloat16 and output.loss.dtype == torch.float32
    assert all(scores.dtype == torch.float32 for scores in output.pruning_scores if scores is not None)


def test_a_wrong_library_of_products_is_an_error_of_the_user(monkeypatch):
    monkeypatch.setattr("transformer_revised.models.ltp.product_choice._choices", {})
    monkeypatch.setattr("transformer_revised.models.ltp.product_choice._setting", None)
    monkeypatch.setenv("LTP_CPU_PRODUCTS", "mkl")
    with pytest.raises(UserError, match="LTP_CPU_PRODUCTS=mkl: expected auto, onednn, blas"):
        chosen_dtype("auto", None, "cpu")
