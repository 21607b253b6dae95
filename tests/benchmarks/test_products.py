"""`python -m benchmarks.products`: both libraries are run, and the summary follows from the rows."""

import json

import pytest
import torch

from benchmarks import products
from ltp_pipeline.base.errors import UserError
from transformer_revised.models.ltp.product_choice import ONEDNN_DTYPES, uses_onednn

pytestmark = pytest.mark.skipif(not ONEDNN_DTYPES, reason="PyTorch has no oneDNN here")


def test_a_run(tmp_path, capsys):
    chosen = uses_onednn(torch.float32)
    products.main(["--output_dir", str(tmp_path), "--hidden_size", "32", "--tokens", "8", "16", "--rounds", "2"])
    report = json.loads((tmp_path / "products.json").read_text())
    cases = {(row["dtype"], row["pass"], row["product"], row["tokens"]) for row in report["rows"]}
    assert len(cases) == len(report["rows"]) == len(ONEDNN_DTYPES) * 2 * 3 * 2
    assert ("float32", "with gradients", "32 x 128", 16) in cases
    assert all(row["onednn GFLOP/s"] > 0 and row["blas GFLOP/s"] > 0 for row in report["rows"])
    assert {(row["dtype"], row["pass"]) for row in report["summary"]} == {case[:2] for case in cases}
    assert "oneDNN is faster by" in capsys.readouterr().out
    assert uses_onednn(torch.float32) == chosen  # the setting is put back


def test_summary():
    rows = [{"dtype": "float32", "pass": "with gradients", "oneDNN is faster by": ratio} for ratio in (2.0, 0.5, 4.0)]
    (row,) = products.summarise(rows)
    assert row["oneDNN is faster by"] == pytest.approx(4 ** (1 / 3)) and row["faster"] == "onednn"


def test_the_output_folder_is_made_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setattr(products, "compare_libraries", lambda *_: pytest.fail("work has begun"))
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="--output_dir .*file: cannot be written"):
        products.main(["--output_dir", str(tmp_path / "file")])


def test_tokens_below_one():
    with pytest.raises(UserError, match="--tokens 0: expected 1 or more"):
        products.main(["--tokens", "8", "0"])
