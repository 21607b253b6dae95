"""RoBERTa in other runtimes and compiled Longformer in the speed benchmark: what is built, timed and left out."""

import dataclasses
import json
from importlib.util import find_spec

import pytest
import torch

from benchmarks.speed import __main__ as speed
from benchmarks.speed import bench, isolated, peers
from benchmarks.speed.flags import dtypes_of_work, models_of_work, parse_flags
from benchmarks.speed.models import MODELS, PEERS, SIZES, build_models, has_dtype
from benchmarks.speed.work import WORKS, make_batch
from ltp_pipeline.base import extras
from ltp_pipeline.base.errors import UserError

TINY = SIZES["tiny"]
needs_onnx = pytest.mark.skipif(not find_spec("onnxruntime") or not find_spec("onnxscript"), reason="no onnxruntime")
needs_openvino = pytest.mark.skipif(not find_spec("openvino") or not find_spec("onnxscript"), reason="no openvino")


@pytest.fixture(scope="module")
def roberta():
    models = build_models(["roberta"], ["float32"], TINY, seed=0)
    with torch.no_grad():  # otherwise all biases are 0, and one that is lost or exchanged is not noticed
        for parameter in models["roberta", "float32"].parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(parameter.numel()))
    return models


@pytest.mark.parametrize(
    ("name", "dtype", "bound"),
    [
        pytest.param("roberta_onnx", "float32", 1e-5, marks=needs_onnx),
        pytest.param("roberta_onnx", "int8", 0.2, marks=needs_onnx),
        pytest.param("roberta_openvino", "float32", 1e-4, marks=needs_openvino),
        pytest.param("roberta_openvino", "bfloat16", 0.2, marks=needs_openvino),
    ],
)
def test_other_runtimes_compute_robertas_logits(roberta, name, dtype, bound):
    model, expected = peers.build_peer(name, dtype, roberta, TINY, threads=1), roberta["roberta", "float32"]
    assert expected.config._attn_implementation == "sdpa"  # as before the export
    for lengths in ([3], [40], [64, 30, 5], [200, 200]):
        batch = make_batch(lengths, TINY, seed=len(lengths))
        with torch.no_grad():
            logits, right = model(**batch).logits, expected(**batch).logits
        assert logits.shape == (len(lengths), 2) and logits.dtype == torch.float32
        difference = (logits - right).abs().max().item()
        assert difference <= bound and (difference > 0 or dtype == "float32")


@needs_onnx
def test_onnx_runtime_gets_fused_attention_threads_and_int8_weights(roberta, monkeypatch):
    import onnx
    import onnxruntime

    seen, session = [], onnxruntime.InferenceSession

    def watch(file, options, providers):
        operators = {node.op_type for node in onnx.load(file).graph.node}
        seen.append((options.intra_op_num_threads, operators))
        return session(file, options, providers=providers)

    monkeypatch.setattr(onnxruntime, "InferenceSession", watch)
    for dtype in ("float32", "int8"):
        peers.build_peer("roberta_onnx", dtype, roberta, TINY, threads=2)
    (threads, plain), (_, quantized) = seen
    assert threads == 2 and {"Attention", "SkipLayerNormalization", "BiasGelu"} <= plain and "Softmax" not in plain
    assert {"QAttention", "MatMulInteger"} <= quantized and "MatMul" not in quantized


@needs_onnx
def test_a_run_with_onnx_runtime(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(bench, "INPUTS", 2)
    flags = ["--preset", "quick", "--work", "3x40", "latency", "--models", "roberta", "roberta_onnx", "ltp"]
    flags += ["--dtype", "float32", "int8", "--repeats", "2", "--memory", "--output_dir", str(tmp_path)]
    speed.main(flags)
    report = json.loads((tmp_path / "speed.json").read_text())
    runs = {(run["item"], run["model"], run["dtype"]): run for run in report["runs"]}
    models = [("roberta", "float32"), ("roberta_onnx", "float32"), ("ltp", "float32")]
    models += [("roberta_onnx", "int8"), ("ltp", "int8")]
    assert set(runs) == {(work, *model) for work in ("3x40", "latency") for model in models}
    assert runs["3x40", "ltp", "float32"]["tokens"] == 120 and runs["latency", "ltp", "float32"]["functions"] == 64
    differences = report["agreement"]["peers"]
    assert differences["roberta_onnx float32"] < 1e-3 and 0 < differences["roberta_onnx int8"] < 1
    assert set(report["versions"]) == {"python", "torch", "transformers", "onnxruntime"} and report["left_out"] == {}
    for (work, _, _), run in runs.items():
        assert ("milliseconds" in run) == (work == "latency")
    timed = runs["latency", "roberta", "float32"]
    assert 0 < timed["milliseconds"]["median"] <= timed["milliseconds"]["p95"] < max(timed["seconds"]) * 1e3
    text, printed = (tmp_path / "speed.md").read_text(), capsys.readouterr().out
    for part in ("x RoBERTa in ONNX Runtime", "ms: median, 95 %", "roberta_onnx int8 "):
        assert part in text and part in printed
    assert "x RoBERTa in OpenVINO" not in text
    assert "; PyTorch uses " in text and "; PyTorch uses " in printed
    assert not [target for target in report["targets"] if target["work"] == "8x200"]  # it was not asked for


@pytest.mark.slow
def test_each_model_in_a_process_of_its_own(tmp_path, monkeypatch):
    started, start = [], isolated.ModelProcess.__init__

    def watch(self, args, lengths, name):
        start(self, args, lengths, name)
        started.append((name, self._process))

    monkeypatch.setattr(isolated.ModelProcess, "__init__", watch)
    flags = ["--preset", "quick", "--work", "3x40", "latency", "--models", "roberta", "ltp", "--isolate", "--memory"]
    speed.main([*flags, "--dtype", "float32", "--repeats", "2", "--output_dir", str(tmp_path)])
    report = json.loads((tmp_path / "speed.json").read_text())
    runs = {(run["item"], run["model"]): run for run in report["runs"]}
    assert set(runs) == {(work, name) for work in ("3x40", "latency") for name in ("roberta", "ltp")}
    assert all(len(run["seconds"]) == 2 and min(run["seconds"]) > 0 for run in runs.values())
    assert runs["3x40", "ltp"]["share_of_matrix_rate"]["median"] > 0 < runs["latency", "ltp"]["milliseconds"]["median"]
    assert [(name, process.exitcode) for name, process in started] == [("roberta", 0), ("ltp", 0)]


def test_longformer_that_cannot_be_compiled_is_left_out(tmp_path, capsys, monkeypatch):
    def compile(*args, **kwargs):
        raise RuntimeError("no compiler\nand more")

    monkeypatch.setattr(peers.torch, "compile", compile)
    monkeypatch.setattr(bench, "INPUTS", 1)
    flags = ["--preset", "quick", "--work", "2x20", "--models", "longformer", "longformer_compiled", "--memory"]
    speed.main([*flags, "--dtype", "float32", "--repeats", "1", "--output_dir", str(tmp_path)])
    why = "RuntimeError: no compiler"
    captured = capsys.readouterr()
    assert captured.err.count(f"warning: longformer_compiled in float32 is left out: {why}\n") == 1
    assert f"Left out: longformer_compiled float32: {why}" in captured.out
    report = json.loads((tmp_path / "speed.json").read_text())
    assert report["left_out"] == {"longformer_compiled float32": why} and report["failures"] == {}
    assert [run["model"] for run in report["runs"]] == ["longformer"]


@pytest.mark.slow
def test_compiled_longformer_computes_longformers_logits():
    size = dataclasses.replace(TINY, layers=1)
    models = build_models(["longformer"], ["float32"], size, seed=0)
    try:
        model = peers.build_peer("longformer_compiled", "float32", models, size, threads=1)
    except Exception as error:
        assert "C++ compiler" in str(error)
        pytest.skip("no C++ compiler")
    batch = make_batch([30, 20], size, seed=0, width=64)
    with torch.no_grad():
        difference = model(**batch).logits - models["longformer", "float32"](**batch).logits
    assert difference.abs().max() <= 1e-5


def test_logits_that_differ_are_not_compared(tmp_path, monkeypatch):
    wrong = peers.ExportedClassifier(lambda ids, mask: torch.full((len(ids), 2), 9.0).numpy())
    monkeypatch.setattr(bench, "build_peer", lambda *args: wrong)
    monkeypatch.setattr(peers, "check_installed", lambda *args: None)
    flags = ["--preset", "quick", "--work", "2x20", "--models", "roberta_onnx", "--dtype", "float32"]
    with pytest.raises(RuntimeError, match="logits of roberta_onnx differ from those of the PyTorch model by .*0.001"):
        speed.main([*flags, "--output_dir", str(tmp_path)])
    assert not list(tmp_path.iterdir())


def test_what_peers_adds(monkeypatch):
    monkeypatch.setattr(peers, "check_installed", lambda *args: None)
    args = parse_flags(["--preset", "quick", "--peers", "--models", "ltp"], "")
    assert args.models == ["ltp", *PEERS]
    assert dtypes_of_work(args, "W1") == ["float32", "bfloat16", "int8"] and dtypes_of_work(args, "W5") == ["bfloat16"]
    assert models_of_work(args, "W1", "int8") == ["ltp", "roberta_onnx"]
    assert models_of_work(args, "train", "bfloat16") == ["ltp"]
    assert models_of_work(args, "W1", "bfloat16") == ["ltp", "longformer_compiled", "roberta_openvino"]
    assert parse_flags(["--preset", "quick"], "").models == list(MODELS)
    assert not has_dtype("roberta_onnx", "bfloat16")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--models", "roberta_openvino", "--work", "W1"], r"--models roberta_openvino needs .*\.\[benchmarks\]"),
        (["--models", "roberta", "--work", "W1", "--dtype", "int8"], "--work W1: none of .* roberta runs it in int8"),
        (["--models", "roberta", "--dtype", "int8"], "--models roberta: none runs in --dtype int8"),
        (["--models", "ltp", "--work", "2x1025"], "--work 2x1025: models of size tiny have 1024 positions"),
    ],
)  # fmt: skip
def test_peer_flags_that_cannot_be_used(flags, message, monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda module: None)
    with pytest.raises(UserError, match=message):
        parse_flags(["--preset", "quick", *flags], "")


def test_no_package_is_needed_where_no_such_model_is_asked_for(monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda module: None)
    assert parse_flags(["--preset", "quick", "--work", "W1"], "").work == ["W1"]
    args = parse_flags(["--preset", "quick", "--models", "longformer_compiled"], "")
    assert args.models == ["longformer_compiled"] and args.work == [work for work in WORKS if work != "train"]
