"""The overlay is killed in a copy of the real package: Transformers and this project work at every step.

`KILLS=1000 python -m pytest tests/slow/test_overlay_in_transformers.py` kills at every step instead of at six of each
operation.
"""

import importlib.metadata
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ltp_pipeline.overlay import contents
from tests.ltp_pipeline.overlay import kills
from tests.ltp_pipeline.overlay.made_up import snapshot

ROOT = Path(__file__).parents[2]
KILLS = int(os.environ.get("KILLS", 6))


@pytest.mark.slow
@pytest.mark.parametrize("operation", ["install", "update", "restore"])
def test_transformers_works_after_every_kill(tmp_path, operation):
    command = [sys.executable, "-m", "tests.slow.test_overlay_in_transformers", str(tmp_path), operation, str(KILLS)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(results) >= min(KILLS, 50)
    for result in results:
        assert result == {"step": result["step"], "transformers": 0, "project": 0, "as_before": True}, done.stderr
    shutil.rmtree(tmp_path)


def use_transformers() -> None:
    """A program that knows nothing of LTP."""
    import transformers

    config = transformers.AutoConfig.for_model(
        "bert", vocab_size=8, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8
    )
    assert type(transformers.AutoModel.from_config(config)) is transformers.BertModel


def use_project() -> None:
    """This project, which takes the installed files only if they are complete."""
    import transformers

    import transformer_revised

    config = transformers.AutoConfig.for_model(
        "ltp", vocab_size=8, hidden_size=8, num_hidden_layers=1, num_attention_heads=1
    )
    assert type(transformers.AutoModel.from_config(config)) is transformer_revised.LTPModel


def succeeds(work) -> int:
    def checked() -> None:
        try:
            work()
        except BaseException:
            import traceback

            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)

    return kills.in_fork(checked)


def main(folder: Path, operation: str, count: int) -> None:
    installed, package = Path(importlib.util.find_spec("transformers").origin).parent, folder / "site/transformers"
    shutil.copytree(installed, package)
    record = f"transformers-{importlib.metadata.version('transformers')}.dist-info"
    shutil.copytree(installed.parent / record, package.parent / record)
    sys.path.insert(0, str(package.parent))
    kills.in_fork(lambda: kills.run(package, "--restore"))
    before, source = snapshot(package), contents.SOURCE
    older = folder / "older"
    shutil.copytree(source, older, ignore=shutil.ignore_patterns("__pycache__"))
    (older / "models/ltp/earlier_name.py").write_text("earlier = 1\n")
    (older / "models/ltp/modeling_ltp.py").write_text(
        (source / "models/ltp/modeling_ltp.py").read_text() + "# earlier\n"
    )

    def start() -> None:
        contents.SOURCE = older if operation == "update" else source
        kills.run(package)

    flags = ["--restore"] if operation == "restore" else []
    steps = count_steps(package, start if operation != "install" else None, flags)
    for step in sorted({steps * kill // count for kill in range(count)}):
        if operation != "install":
            kills.in_fork(start)
        assert kills.in_fork(lambda: kills.run(package, *flags, at=step)), step  # noqa: B023
        works = {"transformers": succeeds(use_transformers), "project": succeeds(use_project)}
        kills.in_fork(lambda: kills.run(package, "--restore"))
        print(json.dumps({"step": step, **works, "as_before": snapshot(package) == before}), flush=True)


def count_steps(package: Path, start, flags: list[str]) -> int:
    """The number of steps of the operation, found by bisection. The package is as before afterwards."""
    low, high = 0, 1000
    while high - low > 1:
        middle = (low + high) // 2
        if start:
            kills.in_fork(start)
        killed = kills.in_fork(lambda: kills.run(package, *flags, at=middle))  # noqa: B023
        kills.in_fork(lambda: kills.run(package, "--restore"))
        low, high = (middle, high) if killed else (low, middle)
    return high


if __name__ == "__main__":
    os.umask(0o022)
    sys.dont_write_bytecode = True
    import huggingface_hub  # noqa: F401
    import tokenizers  # noqa: F401
    import torch  # noqa: F401

    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
