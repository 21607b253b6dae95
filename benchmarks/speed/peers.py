"""Models as they are often run in practice: RoBERTa in ONNX Runtime and in OpenVINO, Longformer with `torch.compile`.

All take a batch of tensors and return an object with `logits`, as the library's classifiers do.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import torch
from torch import nn

from benchmarks.speed.models import INT8, Size
from ltp_pipeline.base.extras import check_installed

PACKAGES = {
    "roberta_onnx": ("onnx", "onnxruntime", "onnxscript"),
    "roberta_openvino": ("onnx", "onnxscript", "openvino"),
}
INPUTS = ("input_ids", "attention_mask")


def check_packages(names: Collection[str]) -> None:
    """Raises UserError if a package is missing that one of these models needs."""
    for name in names:
        if name in PACKAGES:
            check_installed(f"--models {name}", "benchmarks", *PACKAGES[name])


def peer_versions(names: Collection[str]) -> dict[str, str]:
    """Returns the versions of the libraries that run these models beside PyTorch."""
    engines = {"roberta_onnx": "onnxruntime", "roberta_openvino": "openvino"}
    return {engines[name]: version(engines[name]) for name in names if name in engines}


def build_peer(name: str, dtype: str, models: dict[tuple[str, str], nn.Module], size: Size, threads: int) -> nn.Module:
    """Returns one model of `PEERS` with the weights of the model in `models` whose name its own begins with."""
    if name == "roberta_onnx":
        return onnx_roberta(models["roberta", "float32"], dtype, size, threads)
    if name == "roberta_openvino":
        return openvino_roberta(models["roberta", "float32"], dtype, threads)
    return compiled_longformer(models["longformer", dtype])


class ExportedClassifier(nn.Module):
    """A graph outside PyTorch. `run`: token ids and mask, `[B, L]` int64 -> logits, `[B, classes]`, all in NumPy."""

    def __init__(self, run: Callable):
        super().__init__()
        self.run = run

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> SimpleNamespace:
        return SimpleNamespace(logits=torch.from_numpy(self.run(input_ids.numpy(), attention_mask.numpy())))


def onnx_roberta(model: nn.Module, dtype: str, size: Size, threads: int) -> ExportedClassifier:
    """Returns RoBERTa in ONNX Runtime, with attention and layer norms fused by its optimizer for transformers.

    `dtype`: float32, or int8 for weights in int8 by output channel and activations quantised while it runs.
    """
    import onnxruntime

    with _exported(model, "eager") as file, _quiet():
        graph = _fuse(file, size)
        if dtype == INT8:
            graph = _quantize(graph)
        options = onnxruntime.SessionOptions()  # by default, all optimisations of graphs
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    return ExportedClassifier(lambda *arrays: session.run(["logits"], dict(zip(INPUTS, arrays)))[0])


def _fuse(file: Path, size: Size) -> Path:
    from onnxruntime.transformers import optimizer

    fused = file.with_name("fused.onnx")
    optimizer.optimize_model(
        str(file), model_type="bert", num_heads=size.heads, hidden_size=size.hidden, opt_level=0
    ).save_model_to_file(str(fused))
    return fused


def _quantize(file: Path) -> Path:
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantized = file.with_name("int8.onnx")
    # ONNX's inference of shapes does not know the outputs of fused operators.
    types = {"DefaultTensorType": onnx.TensorProto.FLOAT}
    quantize_dynamic(file, quantized, weight_type=QuantType.QInt8, per_channel=True, extra_options=types)
    return quantized


def openvino_roberta(model: nn.Module, dtype: str, threads: int) -> ExportedClassifier:
    """Returns RoBERTa in OpenVINO. `dtype`: in which it computes, float32 or bfloat16. The graph is in float32."""
    import openvino

    core = openvino.Core()
    core.set_property({"ENABLE_MMAP": False})  # so that the file can be removed
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[dtype],
        "PERFORMANCE_HINT": "LATENCY",  # all threads compute one batch
    }
    with _exported(model, "sdpa") as file:
        compiled = core.compile_model(core.read_model(file), "CPU", settings)
    return ExportedClassifier(lambda *arrays: compiled(dict(zip(INPUTS, arrays)))["logits"])


def compiled_longformer(model: nn.Module) -> nn.Module:
    """Returns Longformer with `torch.compile`, which compiles it in the first calls with each shape.

    Raises an exception of torch.compile if there is no C++ compiler.
    """
    # Hundreds of lines on why Longformer's global attention is not compiled
    logging.getLogger("torch._dynamo").setLevel(logging.CRITICAL)
    torch.compile(torch.sin, fullgraph=True)(torch.ones(8))
    return torch.compile(model)


@contextmanager
def _exported(model: nn.Module, attention: str) -> Iterator[Path]:
    """A file in a temporary folder with the ONNX graph of a classifier with float32 weights, for any batch and length.

    The tracing exporter is used, because ONNX Runtime's optimizer does not find attention in the graphs of the other.
    `attention`: `attn_implementation`. The optimizer knows the graph of "eager".
    """
    before = model.config._attn_implementation
    axes = dict.fromkeys(INPUTS, {0: "batch", 1: "tokens"}) | {"logits": {0: "batch"}}
    ids = torch.full((2, 16), model.config.pad_token_id + 1)
    mask = torch.ones_like(ids)
    mask[1, 12:] = 0
    model.set_attn_implementation(attention)
    try:
        with tempfile.TemporaryDirectory() as folder, _quiet():
            file = Path(folder, "model.onnx")
            torch.onnx.export(
                _Logits(model).eval(), (ids, mask), str(file), input_names=list(INPUTS), output_names=["logits"],
                dynamic_axes=axes, opset_version=17, dynamo=False,
            )  # fmt: skip
            yield file
    finally:
        model.set_attn_implementation(before)


class _Logits(nn.Module):
    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return self.model(input_ids=input_ids, attention_mask=attention_mask).logits


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the warnings of exporters and quantisers about themselves."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
