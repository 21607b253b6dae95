"""benchmarks.flops: which operators count, and how it reports that the accounting is off or an operator is unknown."""

import json

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import flops
from ltp_pipeline.base.errors import UserError
from transformer_revised.models.ltp import flops_ltp


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(flops, "WINDOWS", {"16-128": [16, 32, 64, 128]})
    monkeypatch.setattr(flops, "GLOBALS", {"first": [0], "question": list(range(40))})
    monkeypatch.setattr(flops, "LENGTHS", {"mixed": [300, 101, 17]})


def test_the_accounting_agrees_and_pruning_shows(few, tmp_path, capsys):
    flops.main(["--output_dir", str(tmp_path)])
    report = json.loads((tmp_path / "flops.json").read_text())
    assert (report["cases"], report["failed"], len(report["rows"])) == (12, 0, 12)
    assert all(abs(row["ratio"] - 1) < 0.001 for row in report["rows"])
    counted = {(row["dtype"], row["pruning"], row["global"]): row["counter"] for row in report["rows"]}
    for dtype in ("float32", "bfloat16"):
        assert counted[dtype, "most", "first"] < 0.8 * counted[dtype, "some", "first"]
        assert counted[dtype, "some", "first"] < 0.9 * counted[dtype, "none", "first"]
    assert "12 of 12 cases agree within 1%" in capsys.readouterr().out


def test_an_accounting_that_is_off_fails(few, tmp_path, capsys, monkeypatch):
    right = flops_ltp.executed_flops
    monkeypatch.setattr(flops_ltp, "executed_flops", lambda *args: right(*args) * 102 // 100)
    monkeypatch.setattr(flops, "PRUNING", {"none": None})
    with pytest.raises(SystemExit) as ended:
        flops.main(["--output_dir", str(tmp_path), "--dtype", "float32"])
    assert ended.value.code == 1
    assert "error: differ by +2.0" in capsys.readouterr().err
    assert json.loads((tmp_path / "flops.json").read_text())["failed"] == 2


def test_a_product_without_a_formula_is_named(monkeypatch):
    model = flops.random_classifier([16] * 4, None, "float32", None)
    monkeypatch.setattr(flops, "flop_formulas", dict)
    monkeypatch.setattr(flops, "flop_registry", {})
    with pytest.raises(RuntimeError, match=r"no formula for aten\.addmm, aten\.baddbmm, aten\.bmm.*flop_formulas"):
        flops.counted_flops(model, flops.random_batch([30], [0]))


def test_names_of_matrix_products():
    products = "addmm _linear_pointwise mkldnn_linear bmm addmv dot convolution _mkl_linear _int_mm".split()
    products.append("_scaled_dot_product_flash_attention_for_cpu")
    others = "mul add _softmax sum layer_norm index_select gelu _to_copy".split()
    assert [name for name in products + others if flops.PRODUCT.search(name)] == products


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this PyTorch has no oneDNN")
def test_formulas_of_prepacked_products_and_attention():
    x, weight, bias = torch.randn(5, 7), torch.randn(3, 7), torch.randn(3)
    query = torch.randn(2, 4, 6, 8)
    with torch.no_grad(), FlopCounterMode(display=False, custom_mapping=flops.flop_formulas()) as counter:
        torch.ops.mkldnn._linear_pointwise(x, weight.to_mkldnn(), bias, "none", [], "")
        torch.ops.mkldnn._linear_pointwise.binary(x, torch.ones(5, 3), weight.to_mkldnn(), bias, "add")
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(query, query, query)
    counts = {packet.__name__: count for packet, count in counter.get_flop_counts()["Global"].items()}
    assert counts["_linear_pointwise"] == 2 * (2 * 5 * 7 * 3)
    assert counts["_scaled_dot_product_flash_attention_for_cpu"] == 2 * 2 * (2 * 4 * 6 * 6 * 8)


def test_unknown_attention_is_refused(tmp_path):
    with pytest.raises(UserError, match="--ltp_attn nonsense: "):
        flops.main(["--output_dir", str(tmp_path), "--ltp_attn", "nonsense"])
    assert not list(tmp_path.iterdir())
