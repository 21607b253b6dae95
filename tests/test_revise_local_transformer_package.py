"""`revise_local_transformer_package.sh` on a copy of the real package: installed, used, restored, byte for byte."""

import hashlib
import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ltp_pipeline.overlay.change import remove
from ltp_pipeline.overlay.records import read_manifest

ROOT = Path(__file__).parents[1]

ONLY_TRANSFORMERS = """
import sys
from transformers import (AutoConfig, AutoModel, AutoModelForSequenceClassification, AutoTokenizer, LTPConfig,
                          LTPForSequenceClassification, LTPModel, LTPTrainer, LTPTrainingArguments, RobertaTokenizer)

config = LTPConfig(vocab_size=8, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=8,
                   attention_window=2, max_position_embeddings=16)
LTPForSequenceClassification(config).save_pretrained("checkpoint")
words = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "a", "b", "ab"]
RobertaTokenizer(vocab={word: i for i, word in enumerate(words)}, merges=[("a", "b")]).save_pretrained("checkpoint")

assert type(AutoConfig.from_pretrained("checkpoint")) is LTPConfig
assert type(AutoModel.from_pretrained("checkpoint")) is LTPModel
model = AutoModelForSequenceClassification.from_pretrained("checkpoint")
assert type(model) is LTPForSequenceClassification and LTPModel.__module__ == "transformers.models.ltp.modeling_ltp"
tokenizer = AutoTokenizer.from_pretrained("checkpoint")
assert tokenizer("abab").input_ids == [0, 7, 7, 2]

rows = [{**tokenizer("ab" * n), "labels": n % 2} for n in (1, 2, 3, 4)]
arguments = LTPTrainingArguments(output_dir="out", max_steps=1, report_to=[], use_cpu=True, masking_mode="soft",
                                 lambda_threshold=0.1, save_strategy="no")
trainer = LTPTrainer(model=model, args=arguments, train_dataset=rows, processing_class=tokenizer)
assert trainer.train().global_step == 1
assert not [name for name in sys.modules if name.startswith(("transformer_revised", "ltp_pipeline"))]
"""

WITH_THIS_PROJECT = """
import warnings
import transformers

with warnings.catch_warnings():
    warnings.simplefilter("error")  # the installed files are those of this project
    import transformer_revised
from transformer_revised import LTPConfig, LTPForSequenceClassification, LTPModel, LTPTrainer, LTPTrainingArguments
from transformer_revised.models.ltp.modeling_ltp import LTPModel as deep
from transformer_revised.trainer_ltp import LTPTrainer as deep_trainer

for ours in (LTPConfig, LTPForSequenceClassification, LTPModel, LTPTrainer, LTPTrainingArguments):
    assert ours is getattr(transformers, ours.__name__) and ours.__module__.startswith("transformers."), ours
assert deep is LTPModel and deep_trainer is LTPTrainer
assert type(transformers.AutoModel.from_config(LTPConfig(num_hidden_layers=1, attention_window=2))) is LTPModel
"""


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below, by its path."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def revise(*arguments: str) -> str:
    """Standard output of the script, which has to succeed."""
    command = ["bash", str(ROOT / "revise_local_transformer_package.sh"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def site(memory_folder) -> Path:
    """A folder with a copy of the installed Transformers, bytecode and times included, without any overlay."""
    folder = memory_folder / "site"
    installed = Path(importlib.util.find_spec("transformers").origin).parent
    shutil.copytree(installed, folder / "transformers")
    if manifest := read_manifest(folder / "transformers"):
        remove(folder / "transformers", manifest)
    record = f"transformers-{importlib.metadata.version('transformers')}.dist-info"
    shutil.copytree(installed.parent / record, folder / record)
    return folder


@pytest.mark.slow
def test_install_use_restore(site, tmp_path):
    python = tmp_path / "python"  # an interpreter that imports the copy
    python.write_text(f'#!/bin/sh\nPYTHONPATH="{site}${{EXTRA:+:$EXTRA}}" exec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    settings = {k: v for k, v in os.environ.items() if k not in ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH")}
    before = hashes(site)
    out = revise("--python", str(python))
    assert f"in {site / 'transformers'}\n" in out and "checked in a fresh interpreter: from transformers import" in out
    for program, extra in ((ONLY_TRANSFORMERS, ""), (WITH_THIS_PROJECT, str(ROOT))):
        subprocess.run([python, "-c", program], cwd=tmp_path, env={**settings, "EXTRA": extra}, check=True)
    assert any("trainer_ltp.cpython" in path for path in hashes(site)), "the programs compiled nothing"
    assert "LTP is installed, from the files of this project" in revise("--python", str(python), "--status")
    assert "every file of the package is byte for byte as before" in revise("--python", str(python), "--restore")
    assert hashes(site) == before


def script(*arguments: str, here: Path = ROOT, **options) -> subprocess.CompletedProcess:
    """Runs the script of the checkout `here`."""
    command = ["/bin/bash", str(here / "revise_local_transformer_package.sh"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, **options)


@pytest.fixture
def checkout(tmp_path) -> Path:
    """A checkout without an environment of its own."""
    here = tmp_path / "checkout"
    here.mkdir()
    shutil.copy(ROOT / "revise_local_transformer_package.sh", here)
    for folder in ("ltp_pipeline", "transformer_revised"):
        (here / folder).symlink_to(ROOT / folder)
    return here


def test_help_and_exit_status():
    assert "--restore" in revise("--help")
    done = script("--python", "/no/such/python")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: --python /no/such/python: cannot be run (No such file or directory)\n"


def a_command(folder: Path, name: str, text: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "no Python found: neither .*/.venv/bin/python nor python3 on PATH"),
        ("echo 'pyenv: python3: command not found' >&2; exit 127", "python3 is not a working Python 3.10 or newer"),
        ("exit 1", "python3 is not a working Python 3.10 or newer"),  # what the script's question gives in Python 3.9
    ],
)
def test_no_python_that_runs_it(checkout, tmp_path, text, says):
    a_command(tmp_path / "bin", "dirname", 'exec /usr/bin/dirname "$@"')
    if text:
        a_command(tmp_path / "bin", "python3", text)
    done = script("--status", here=checkout, env={"PATH": str(tmp_path / "bin")})
    assert (done.returncode, done.stdout) == (2, "") and done.stderr.count("\n") == 1
    assert re.match(f"error: .*{says}", done.stderr), done.stderr


def test_an_environment_whose_python_is_gone(checkout):
    """The script does not silently take another Python then."""
    (checkout / ".venv/bin").mkdir(parents=True)
    (checkout / ".venv/bin/python").symlink_to("/no/such/python3.9")
    done = script("--status", here=checkout)
    assert done.returncode == 2 and re.match(
        "error: .*/.venv/bin/python is a link to a file that does not exist", done.stderr
    )


def test_files_in_the_folder_in_which_it_is_called(tmp_path):
    """Python's modules are imported, not those with their names in the current folder. CDPATH changes nothing."""
    for name in ("json", "argparse", "transformers"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the wrong one')")
    done = script("--help", cwd=tmp_path, env={**os.environ, "CDPATH": "/"})
    assert (done.returncode, done.stderr) == (0, "")
    command = ["/bin/bash", os.path.relpath(ROOT / "revise_local_transformer_package.sh", ROOT.parent), "--help"]
    done = subprocess.run(
        command, cwd=ROOT.parent, env={**os.environ, "CDPATH": str(ROOT.parent)}, capture_output=True
    )
    assert (done.returncode, done.stderr) == (0, b"")
