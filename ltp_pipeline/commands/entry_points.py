"""The commands of an installation, such as `ltp-finetune`. Each is the same as a script or a `python -m` command.

`[project.scripts]` in pyproject.toml names them.
"""

from importlib import import_module
from typing import NoReturn

from ltp_pipeline.base.errors import run_main


def finetune() -> NoReturn:
    """`ltp-finetune`: run_glue_code_metrics.py."""
    _run("commands.finetune", parallel=True)


def prune() -> NoReturn:
    """`ltp-prune`: run_code_metrics.py."""
    _run("commands.prune", parallel=True)


def show() -> NoReturn:
    """`ltp-show`: ltp_test.py."""
    _run("commands.show")


def extract() -> NoReturn:
    """`ltp-extract`: ltp_extract_and_save.py."""
    _run("commands.extract", parallel=True)


def scan() -> NoReturn:
    """`ltp-scan`: ltp_scan.py."""
    _run("commands.scan")


def check_data() -> NoReturn:
    """`ltp-check-data`: python -m ltp_pipeline.check_data."""
    _run("check_data")


def compare() -> NoReturn:
    """`ltp-compare`: python -m ltp_pipeline.comparison."""
    _run("comparison")


def convert() -> NoReturn:
    """`ltp-convert`: python -m ltp_pipeline.convert."""
    _run("convert")


def export_onnx() -> NoReturn:
    """`ltp-export-onnx`: python -m ltp_pipeline.export_onnx."""
    _run("export_onnx")


def self_contained() -> NoReturn:
    """`ltp-self-contained`: python -m ltp_pipeline.self_contained."""
    _run("self_contained")


def split_data() -> NoReturn:
    """`ltp-split-data`: python -m ltp_pipeline.split_data."""
    _run("split_data")


def to_safetensors() -> NoReturn:
    """`ltp-to-safetensors`: python -m ltp_pipeline.to_safetensors."""
    _run("to_safetensors")


def train_tokenizer() -> NoReturn:
    """`ltp-train-tokenizer`: python -m ltp_pipeline.train_tokenizer."""
    _run("train_tokenizer")


def overlay() -> NoReturn:
    """`ltp-overlay`: revise_local_transformer_package.sh."""
    _run("overlay.command")


def _run(module: str, parallel: bool = False) -> NoReturn:
    """Runs `main` of a module of this package; see `run_main` for the exit status and `parallel`."""
    run_main(lambda: import_module(f"ltp_pipeline.{module}").main(), parallel)
