"""A wheel in an environment of its own: its files, its metadata, and every stage through its commands."""

import ast
import configparser
import email
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from collections.abc import Iterator
from importlib.metadata import distributions
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from ltp_pipeline import __version__
from ltp_pipeline.base.extras import DISTRIBUTION
from ltp_pipeline.base.program import INSTALLED
from ltp_pipeline.commands import entry_points, scan
from ltp_pipeline.training.run_record import versions
from tests.conftest import in_memory
from tests.ltp_pipeline.conftest import UNSAFE, functions
from tests.ltp_pipeline.model.conftest import source_model
from tests.pruned_checkpoint import make_tokenizer

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("ltp_pipeline", "transformer_revised")
# What is not needed everywhere: module -> group of optional dependencies
OPTIONAL = {
    **{"pathspec": "scan", "tree_sitter": "scan", "datasketch": "data", "peft": "lora", "shtab": "completion"},
    "onnxruntime": "onnx",
}
BUILDER = {"data", "hdf5"}  # the groups for Data/, which only a checkout has


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> tuple[Path, Path]:
    """The source distribution, and the wheel that is made from it."""
    source, result = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for folder in (*PACKAGES, "tests/fuzz"):
        shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for pattern in ("*.py", "*.toml", "*.md", "*.in", "*.cff", "LICENSE", "tests/test_startup.py"):
        for file in ROOT.glob(pattern):
            shutil.copy(file, source / file.relative_to(ROOT))
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(result)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    name = f"{DISTRIBUTION.replace('-', '_')}-{__version__}"
    assert sorted(file.name for file in result.iterdir()) == [f"{name}-py3-none-any.whl", f"{name}.tar.gz"]
    return result / f"{name}.tar.gz", result / f"{name}-py3-none-any.whl"


def metadata_of(wheel: Path) -> tuple[email.message.Message, dict[str, str]]:
    """The metadata of a wheel, and its commands: name -> module:function."""
    with zipfile.ZipFile(wheel) as archive:
        (folder,) = {name.split("/")[0] for name in archive.namelist() if ".dist-info/" in name}
        commands = configparser.ConfigParser()
        commands.read_string(archive.read(f"{folder}/entry_points.txt").decode())
        return email.message_from_bytes(archive.read(f"{folder}/METADATA")), dict(commands["console_scripts"])


def requirements_of(wheel: Path) -> dict[str, dict[str, Requirement]]:
    """Group of optional dependencies ("": what is always needed) -> package -> requirement."""
    groups: dict[str, dict[str, Requirement]] = {}
    for text in metadata_of(wheel)[0].get_all("Requires-Dist"):
        requirement = Requirement(text)
        extra = re.search(r'extra == "(\w+)"', text)
        groups.setdefault(extra[1] if extra else "", {})[canonicalize_name(requirement.name)] = requirement
    return groups


def test_the_wheel_holds_the_two_packages_whole_and_nothing_else(built):
    sdist, wheel = built
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
    files = [file for package in PACKAGES for file in (ROOT / package).rglob("*") if file.is_file()]
    assert found == {str(file.relative_to(ROOT)) for file in files if "__pycache__" not in file.parts}
    with tarfile.open(sdist) as archive:
        top = {Path(*Path(name).parts[1:2]).name for name in archive.getnames()}
    assert {"CHANGELOG.md", "CITATION.cff", "LICENSE", "README.md", "pyproject.toml", *PACKAGES} <= top
    assert not {"tests", "ltp_test.py", "run_code_metrics.py"} & top


def test_the_version_and_the_licence_are_the_same_everywhere(built):
    metadata, _ = metadata_of(built[1])
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert (metadata["Name"], metadata["Version"]) == (DISTRIBUTION, __version__)
    assert citation["version"] == __version__
    assert metadata["License-Expression"] == citation["license"] == "Apache-2.0"


def imported_by(folder: str) -> dict[str, str]:
    """Modules of other projects that the files of a folder import, also late -> one of these files."""
    found = {}
    for file in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module]
            found |= {name.split(".")[0]: str(file) for name in names}
    ours = {*PACKAGES, "Data"} | sys.stdlib_module_names
    return {name: file for name, file in found.items() if name not in ours}


def installed_modules() -> dict[str, set[str]]:
    """Module -> the packages that install it. (Python 3.10's `packages_distributions` does not find all.)"""
    found: dict[str, set[str]] = {}
    for distribution in distributions():
        for module in {file.parts[0].split(".")[0] for file in distribution.files or ()}:
            found.setdefault(module, set()).add(canonicalize_name(distribution.metadata["Name"]))
    return found


def test_everything_that_is_imported_is_a_dependency(built):
    groups, installed = requirements_of(built[1]), installed_modules()
    for folder in (*PACKAGES, "Data"):
        modules = imported_by(folder)
        assert folder == "transformer_revised" or len(modules) > 5
        for module, file in modules.items():
            wanted = {OPTIONAL[module]} if module in OPTIONAL else {""} | (BUILDER if folder == "Data" else set())
            allowed = {name for group in wanted for name in groups[group]}
            assert installed[module] & allowed, f"{file} imports {module}, which is no dependency in {wanted}"


def test_the_tested_versions_are_in_the_ranges(built):
    pins: dict[str, list[str]] = {}
    for name in ("requirements.txt", "requirements-dev.txt", "requirements-benchmarks.txt"):
        for line in (ROOT / name).read_text().splitlines():
            if found := re.match(r"([\w-]+)==([\w.]+)", line):
                pins.setdefault(canonicalize_name(found[1]), []).append(found[2])
    for group, requirements in requirements_of(built[1]).items():
        for name, requirement in requirements.items():
            if name not in ("pyarrow", DISTRIBUTION):  # pyarrow's version is that which datasets asks for
                assert pins[name] and all(map(requirement.specifier.contains, pins[name])), (group, name)


@pytest.fixture(scope="module")
def environment(built, tmp_path_factory) -> Iterator[Path]:
    """A virtual environment with the wheel and a Transformers of its own. Everything else is that of this process."""
    folder = tmp_path_factory.mktemp("environment")
    venv.EnvBuilder(symlinks=True, with_pip=False).create(folder)
    (site,) = folder.glob("lib/python3*/site-packages")
    transformers = Path(find_spec("transformers").origin).parent
    with in_memory(tmp_path_factory) as libraries:
        for source in (transformers, *transformers.parent.glob("transformers-*.dist-info")):
            shutil.copytree(source, Path(libraries, source.name))
        paths = dict.fromkeys((libraries, sysconfig.get_path("purelib"), sysconfig.get_path("platlib")))
        (site / "libraries.pth").write_text("".join(f"{path}\n" for path in paths))
        options = ["--no-deps", "--no-index", "--ignore-installed", "--disable-pip-version-check", "--quiet"]
        run(folder / "bin/python", "-m", "pip", "install", *options, built[1], cwd=folder)
        yield folder


def run(*command: object, cwd: Path, status: int = 0, **options) -> str:
    """Standard output of a command that sees no module of this checkout."""
    variables = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    words = list(map(str, command))
    done = subprocess.run(words, cwd=cwd, env=variables, capture_output=True, text=True, **options)
    assert done.returncode == status, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


# Runs installed commands in one process, because each would import torch anew. Prints the status of each.
RUN_ALL = """
import json, runpy, sys
for words in json.load(sys.stdin):
    sys.argv, status = words, 0
    try:
        runpy.run_path(words[0], run_name="__main__")
    except SystemExit as end:
        status = end.code or 0
    print(f"== {words[0].rsplit('/')[-1]} ended with {status}", flush=True)
import ltp_pipeline, transformer_revised
print(ltp_pipeline.__file__, transformer_revised.__file__, sep="\\n")
"""
DATA = "--train_file train.csv --validation_file test.csv"
STAGES = [
    ("ltp-train-tokenizer --train_file train.csv --output_dir tokenizer --vocab_size 400 --max_length 96", 0),
    ("ltp-check-data train.csv test.csv", 0),
    (
        f"ltp-finetune --config_name config.json --tokenizer_name tokenizer --do_train --do_eval {DATA} --use_cpu "
        "--max_seq_length 96 --per_device_train_batch_size 4 --max_steps 2 --output_dir tuned",
        0,
    ),
    (
        f"ltp-prune --restore tuned --masking_mode soft --target_flops 0.9 {DATA} --lr 1e-3 --bs 4 --epoch 1 "
        "--no_load --use_cpu --output_dir soft",
        0,
    ),
    (f"ltp-prune --restore soft --masking_mode hard {DATA} --lr 1e-3 --bs 4 --epoch 1 --use_cpu --output_dir hard", 0),
    ("ltp-show --model_name_or_path hard --validation_file test.csv --max_length 96 --use_cpu", 0),
    (f"ltp-extract --model_name_or_path hard {DATA} --max_length 96 --use_cpu --output_dir pruned_data", 0),
    ("ltp-compare --checkpoints tuned=tuned hard=hard --test_file test.csv --max_length 96 --rounds 1", 0),
    ("ltp-convert --model_name_or_path roberta --output_dir converted --attention_window 16", 0),
    ("ltp-scan src --model_name_or_path hard --threshold 0 --json scan.json --html scan.html --no_cache", 1),
    ("ltp-self-contained --model_name_or_path hard --output_dir to_share", 0),
    ("ltp-split-data --help", 0),
    ("ltp-to-safetensors --help", 0),
]
MODEL = {
    "model_type": "ltp", "vocab_size": 400, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2,
    "intermediate_size": 64, "max_position_embeddings": 130, "attention_window": 8, "type_vocab_size": 1,
    "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2,
}  # fmt: skip


@pytest.fixture(scope="module")
def stages(environment, tmp_path_factory) -> tuple[Path, str]:
    """The folder in which STAGES have run, and what they printed."""
    place = tmp_path_factory.mktemp("elsewhere")
    for name, first, count in (("train", 0, 24), ("test", 100, 10)):
        functions(count, first).to_csv(place / f"{name}.csv", index=False)
    (place / "config.json").write_text(json.dumps(MODEL))
    (place / "src").mkdir()
    (place / "src/copies.c").write_text("\n".join(UNSAFE.format(i=i) for i in range(3)))
    (place / "src/copy.py").write_text("def copy(to, it):\n    to[:] = it\n")
    source_model("roberta", "ForSequenceClassification").save_pretrained(place / "roberta")
    make_tokenizer().save_pretrained(place / "roberta")
    commands = [f"{environment}/bin/{words}".split() for words, _ in STAGES]
    return place, run(environment / "bin/python", "-c", RUN_ALL, cwd=place, input=json.dumps(commands))


@pytest.mark.slow
def test_every_stage_runs_in_another_folder(stages, environment, monkeypatch):
    place, printed = stages
    ended = re.findall(r"^== (\S+) ended with (\d+)$", printed, re.MULTILINE)
    assert ended == [(words.split()[0], str(status)) for words, status in STAGES], printed
    assert "usage: ltp-split-data --output_dir" in printed and "usage: ltp-to-safetensors --model" in printed
    assert all(Path(file).is_relative_to(environment) for file in printed.splitlines()[-2:])

    record = json.loads((place / "hard/run.json").read_text())
    assert record["versions"]["code"] == versions()["code"] and record["versions"]["commit"] is None
    assert record["command"].startswith("ltp-prune --restore soft --masking_mode hard")
    assert "ltp-prune --restore soft" in (place / "hard/README.md").read_text()
    assert len((place / "pruned_data/dev_pruned.csv").read_text().splitlines()) > 10
    assert [row["checkpoint"] for row in json.loads((place / "comparison/comparison.json").read_text())["checkpoints"]]
    assert json.loads((place / "converted/config.json").read_text())["model_type"] == "ltp"
    for page in ("visualisation/visualisation.html", "scan.html"):
        text = (place / page).read_text()
        assert (ROOT / "ltp_pipeline/view/page/page.css").read_text().strip() in text, page

    monkeypatch.chdir(place)  # the checkout's scan finds the same
    with pytest.raises(SystemExit):
        scan.main("src --model_name_or_path hard --threshold 0 --json ours.json --no_cache --quiet".split())
    ours, theirs = (json.loads(Path(name).read_text())["findings"] for name in ("ours.json", "scan.json"))
    assert len(ours) == 4 and ours == theirs


@pytest.mark.slow
def test_the_overlay_and_its_restoration(environment):
    overlay, elsewhere = environment / "bin/ltp-overlay", environment
    where = "from importlib.util import find_spec; print(find_spec('transformers').origin)"
    package = Path(run(environment / "bin/python", "-c", where, cwd=environment).strip()).parent
    assert package != Path(find_spec("transformers").origin).parent
    before = {file: file.stat().st_mtime_ns for file in package.rglob("*.py")}
    assert run(overlay, "--status", cwd=elsewhere).endswith("LTP is not installed\n")
    added = run(overlay, "--force", cwd=elsewhere)
    assert f"in {package}\n" in added and added.endswith("to undo this: ltp-overlay --restore\n")
    assert (package / "models/ltp/modeling_ltp.py").read_bytes() == (
        ROOT / "transformer_revised/models/ltp/modeling_ltp.py"
    ).read_bytes()
    assert run(overlay, "--status", cwd=elsewhere).endswith("LTP is installed, from the files of this project\n")
    assert run(overlay, "--restore", cwd=elsewhere).endswith("every file of the package is byte for byte as before\n")
    assert {file: file.stat().st_mtime_ns for file in package.rglob("*.py")} == before


def test_every_command_names_itself(built, environment):
    _, commands = metadata_of(built[1])
    module = entry_points.__name__
    assert {place.split(":")[0] for place in commands.values()} == {module}
    ours = {name for name, value in vars(entry_points).items() if getattr(value, "__module__", "") == module}
    assert ours - {"_run"} == {place.split(":")[1] for place in commands.values()}
    assert set(commands) == {*INSTALLED.values(), "ltp-overlay"}
    for name in ("ltp-scan", "ltp-overlay"):  # those that do not import transformers
        assert run(environment / "bin" / name, "--help", cwd=environment).startswith(f"usage: {name} ")
    assert set(commands) <= {file.name for file in (environment / "bin").iterdir()}
