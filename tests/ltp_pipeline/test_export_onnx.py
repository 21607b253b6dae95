"""The export to ONNX: the same logits in ONNX Runtime, and what is refused."""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer

from ltp_pipeline import export_onnx
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.model.checkpoints import load_pruning_model
from ltp_pipeline.model.self_contained import make_self_contained
from tests.transformer_revised.models.ltp.tiny import tiny_model


def test_a_fine_tuned_classifier_is_exported(longformer_dir, tmp_path, capsys):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    out = tmp_path / "onnx"
    export_onnx.main(["--model_name_or_path", str(longformer_dir), "--output_dir", str(out)])
    assert f"{out}: in ONNX Runtime, logits differ from those of the model by at most " in capsys.readouterr().out
    assert {"model.onnx", "config.json", "tokenizer.json"} <= {path.name for path in out.iterdir()}
    session = onnxruntime.InferenceSession(str(out / "model.onnx"))
    assert [(i.name, i.type) for i in session.get_inputs()] == [
        ("input_ids", "tensor(int64)"),
        ("attention_mask", "tensor(int64)"),
    ]
    batch = AutoTokenizer.from_pretrained(out)(["int f;", "char *g(int h)"], padding=True, return_tensors="np")
    assert session.run(None, {name: batch[name] for name in ("input_ids", "attention_mask")})[0].shape == (2, 2)
    with pytest.raises(UserError, match="new or an empty folder"):
        export_onnx.export_checkpoint(longformer_dir, out)


def test_a_pruned_checkpoint_is_refused(pruned_checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(export_onnx, "check_installed", lambda *args: None)
    with pytest.raises(UserError, match="prunes .prune_mode absolute_threshold.*expected .* prunes nothing"):
        export_onnx.export_checkpoint(pruned_checkpoint, tmp_path / "onnx")
    assert not Path(tmp_path, "onnx").exists()


def test_the_export_of_a_self_contained_checkpoint_holds_no_code(longformer_dir, tmp_path, monkeypatch):
    source, out = tmp_path / "source", tmp_path / "onnx"
    model = load_pruning_model(longformer_dir, flag="--restore", prune_mode=None)
    make_self_contained(model.config)
    model.save_pretrained(source)
    AutoTokenizer.from_pretrained(longformer_dir).save_pretrained(source)
    assert list(source.glob("*.py"))
    monkeypatch.setattr(export_onnx, "check_installed", lambda *args: None)
    monkeypatch.setattr(export_onnx, "write_onnx", lambda model, file: file.touch())
    monkeypatch.setattr(export_onnx, "compare", lambda *args: 0.0)
    export_onnx.export_checkpoint(source, out)
    assert (out / "model.onnx").exists() and not list(out.glob("*.py"))
    assert "auto_map" not in json.loads((out / "config.json").read_text())


def test_another_graph_is_refused(tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    model = tiny_model(prune_mode=None)

    class Session:
        def __init__(self, *args, **kwargs):
            pass

        def run(self, names, inputs):
            return [torch.zeros(len(inputs["input_ids"]), 2).numpy()]

    monkeypatch.setattr("onnxruntime.InferenceSession", Session)
    with pytest.raises(UserError, match="--model_name_or_path m: the exported graph computes other logits"):
        export_onnx.compare(model, tmp_path / "model.onnx", "m")
