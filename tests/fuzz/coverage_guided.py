"""Runs one target of the fuzz tests with atheris, which chooses inputs by the lines of the project that they reach.

    pip install atheris
    python -m tests.fuzz.coverage_guided test_code.test_functions_of_c -runs=10000 -max_len=4096

Atheris has wheels for Linux and a few versions of Python. It is not needed for the tests.
"""

from __future__ import annotations

import importlib
import inspect
import random
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["ltp_pipeline", "Data"], enable_loader_override=False):
    target = importlib.import_module(f"tests.fuzz.{sys.argv[1].split('.')[0]}")


def main() -> None:
    """Runs the target that the first argument names. Its `folder` is a temporary one; it may have no other fixture."""
    from hypothesis import given

    test = getattr(target, sys.argv[1].split(".")[1])
    names = set(inspect.signature(test).parameters)
    if names - {"folder"}:
        sys.exit(f"{sys.argv[1]} needs the fixtures {', '.join(sorted(names))}: run it with pytest")
    with tempfile.TemporaryDirectory() as folder:
        inner = test.hypothesis.inner_test
        strategies = test.hypothesis._given_kwargs
        fixed = (lambda **drawn: inner(Path(folder), **drawn)) if names else inner
        entry = given(**strategies)(_with_parameters(fixed, strategies))
        flags = [*sys.argv[2:], "-len_control=0", str(_first_inputs(Path(folder, "first_inputs")))]
        atheris.Setup([sys.argv[0], *flags], entry.hypothesis.fuzz_one_input)
        atheris.Fuzz()


def _first_inputs(folder: Path) -> Path:
    """A folder with inputs to start from. Most short ones would hold too few bytes for a case."""
    folder.mkdir()
    draw = random.Random(0)
    for number in range(50):
        (folder / str(number)).write_bytes(draw.randbytes(draw.choice((100, 1000, 4000))))
    return folder


def _with_parameters(call, names):
    """`call` with the parameters that `given` looks for."""

    def run(**drawn):
        call(**drawn)

    run.__signature__ = inspect.Signature([inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in names])
    return run


if __name__ == "__main__":
    main()
