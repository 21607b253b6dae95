"""Which library multiplies on a CPU: the table, the environment variable, and the setting."""

from unittest import mock

import pytest
import torch
from torch import nn

from transformer_revised.models.ltp import cpu_products, product_choice
from transformer_revised.models.ltp.product_choice import set_cpu_products, uses_onednn


@pytest.fixture(autouse=True)
def chosen_anew(monkeypatch):
    monkeypatch.delenv(product_choice.ENVIRONMENT, raising=False)
    monkeypatch.setattr(product_choice, "_setting", None)
    monkeypatch.setattr(product_choice, "_choices", {})
    monkeypatch.setattr(product_choice, "ONEDNN_DTYPES", (torch.float32, torch.bfloat16))


@pytest.mark.parametrize("capability, expected", [
    ("AVX512", [True, True, False]),
    ("AVX2", [False, False, False]),
    ("DEFAULT", [False, False, False]),
    ("SVE256", [False, False, False]),
])  # fmt: skip
def test_table(capability, expected):
    with mock.patch("torch.backends.cpu.get_cpu_capability", return_value=capability):
        found = [uses_onednn(dtype) for dtype in (torch.float32, torch.bfloat16, torch.float64)]
    assert found == expected


@pytest.mark.parametrize("library, expected", [("onednn", True), ("blas", False)])
def test_environment_and_setting_override_the_table(library, expected, monkeypatch):
    other = "blas" if expected else "onednn"
    for capability in ("AVX512", "AVX2"):
        monkeypatch.setattr(product_choice, "_choices", {})
        monkeypatch.setenv(product_choice.ENVIRONMENT, library)
        with mock.patch("torch.backends.cpu.get_cpu_capability", return_value=capability):
            assert uses_onednn(torch.float32) is expected
            set_cpu_products(other)
            assert uses_onednn(torch.float32) is not expected
            set_cpu_products(library)
            assert uses_onednn(torch.float32) is expected
        monkeypatch.setattr(product_choice, "_setting", None)


def test_a_processor_without_oneDNN_is_not_asked_for_it(monkeypatch):
    monkeypatch.setattr(product_choice, "ONEDNN_DTYPES", ())
    set_cpu_products("onednn")
    assert not uses_onednn(torch.float32)


def test_wrong_names():
    with pytest.raises(ValueError, match="'mkl' is none of auto, onednn, blas"):
        set_cpu_products("mkl")
    with mock.patch.dict("os.environ", {product_choice.ENVIRONMENT: "mkl"}):
        with pytest.raises(ValueError, match="LTP_CPU_PRODUCTS=mkl: expected auto, onednn, blas"):
            uses_onednn(torch.float32)


def test_both_libraries_compute_the_same():
    layer, x = nn.Linear(96, 64), torch.randn(48, 96)
    results = {}
    with torch.no_grad():
        for library in ("onednn", "blas"):
            set_cpu_products(library)
            results[library] = cpu_products.linear(layer, x, gelu=True)
        assert not cpu_products.takes_onednn(layer, x)
    torch.testing.assert_close(results["onednn"], results["blas"], rtol=1e-5, atol=1e-6)
