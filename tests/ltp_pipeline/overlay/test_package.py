"""The overlay on a made-up package: what it adds, and that it removes all of that and nothing else."""

import hashlib
import json
import os
from pathlib import Path

import pytest

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.overlay import package as overlay
from transformer_revised.models.auto.ltp_names import MODEL_CLASSES

ADDED = "models/ltp/modeling_ltp.py"
EDITED = "models/auto/modeling_auto.py"


def make_package(folder: Path) -> Path:
    """Three mapping files. One is compiled, and has no newline at its end."""
    auto = folder / "transformers/models/auto"
    (auto / "__pycache__").mkdir(parents=True)
    (auto / "auto_mappings.py").write_text("CONFIG_MAPPING_NAMES = {}\n")
    tables = dict.fromkeys(table for table, _ in MODEL_CLASSES.values())
    (auto / "modeling_auto.py").write_text("\n".join(f"{table} = {{}}" for table in tables))
    (auto / "tokenization_auto.py").write_text("TOKENIZER_MAPPING_NAMES = {}\n")
    (auto / "__pycache__/modeling_auto.cpython-311.pyc").write_bytes(b"compiled before")
    os.utime(auto / "modeling_auto.py", ns=(1_000_000_007, 1_000_000_007))
    return folder / "transformers"


def snapshot(package: Path) -> dict[str, tuple[str, int]]:
    """Hash of every file, and the time of those in models/auto."""
    return {
        file.relative_to(package).as_posix(): (
            hashlib.sha256(file.read_bytes()).hexdigest(),
            file.stat().st_mtime_ns if file.parent.name == "auto" else 0,
        )
        for file in sorted(package.rglob("*"))
        if file.is_file()
    }


def use(package: Path) -> None:
    """Leaves bytecode as Python does, for added files and for one that was compiled before."""
    for source in (package / EDITED, package / ADDED, package / "trainer_ltp.py"):
        if source.is_file():
            source.parent.joinpath("__pycache__").mkdir(exist_ok=True)
            source.parent.joinpath("__pycache__", f"{source.stem}.cpython-311.pyc").write_bytes(b"compiled with LTP")


def restore(package: Path) -> list[str]:
    """What --restore does in whatever state a killed run left the package."""
    manifest = overlay.read_manifest(package)
    if manifest is None:
        overlay.remove_records(package)
        return []
    return overlay.remove(package, manifest)


@pytest.fixture
def package(tmp_path) -> Path:
    return make_package(tmp_path)


def test_what_is_added(package):
    overlay.add(package, "5.23.0")
    source = Path(__file__).parents[3] / "transformer_revised"
    for path in (ADDED, "models/ltp/__init__.py", "trainer_ltp.py", "training_args_ltp.py"):
        assert (package / path).read_bytes() == (source / path).read_bytes()
    assert not (package / "__init__.py").exists() and not (package / "models/auto/plug_in.py").exists()
    names: dict = {}
    for file in sorted((package / "models/auto").glob("*.py")):
        exec(file.read_text(), names)
    assert names["CONFIG_MAPPING_NAMES"] == {"ltp": "LTPConfig"}
    assert names["MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES"] == {"ltp": "LTPForSequenceClassification"}
    assert names["TOKENIZER_MAPPING_NAMES"] == {"ltp": "RobertaTokenizer"}


@pytest.mark.parametrize("update", [False, True])
def test_files_under_earlier_names_are_removed(package, monkeypatch, update):
    """With a manifest as it was when the files of the model had other names, and bytecode was listed."""
    before = snapshot(package)
    names = ("attention_implementations", "attention_plan", "token_wise", "compute_budget", "__init__")
    monkeypatch.setattr(overlay, "new_files", lambda: {f"models/ltp/{name}.py": b"old = 1\n" for name in names})
    overlay.add(package, "5.23.0")
    monkeypatch.undo()
    record = package / ".ltp_overlay/manifest.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "bytecode": ["models/auto/__pycache__/x.pyc"]}))
    if update:
        assert not overlay.is_current(overlay.read_manifest(package))
        assert restore(package) == []
        overlay.add(package, "5.23.0")
        assert not (package / "models/ltp/token_wise.py").exists()
        assert overlay.is_current(overlay.read_manifest(package))
    assert restore(package) == []
    assert snapshot(package) == before


class Killed(BaseException):
    pass


def kill_before(monkeypatch, change: int) -> None:
    """Ends the run just before it replaces or removes the file number `change`, counted from 0."""
    left = [change]

    def counted(function):
        def call(*args, **kwargs):
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            return function(*args, **kwargs)

        return call

    monkeypatch.setattr(os, "replace", counted(os.replace))
    monkeypatch.setattr(Path, "unlink", counted(Path.unlink))
    monkeypatch.setattr(Path, "rmdir", counted(Path.rmdir))
    monkeypatch.setattr(overlay.shutil, "rmtree", counted(overlay.shutil.rmtree))


@pytest.mark.parametrize("then", ["restore", "run again"])
@pytest.mark.parametrize("killed", ["install", "restore"])
def test_killed_anywhere(tmp_path, monkeypatch, killed, then):
    completed, change = False, -1
    while not completed:
        change += 1
        package = make_package(tmp_path / str(change))
        before = snapshot(package)
        if killed == "restore":
            overlay.add(package, "5.23.0")
            use(package)
        with monkeypatch.context() as patch:
            kill_before(patch, change)
            try:
                restore(package) if killed == "restore" else overlay.add(package, "5.23.0")
                completed = True
            except Killed:
                pass
        if then == "run again":
            restore(package)
            overlay.check_free(package)
            overlay.add(package, "5.23.0")
            assert overlay.changed_since(package, overlay.read_manifest(package)) == {}
        assert restore(package) == []
        assert snapshot(package) == before, f"killed before change {change}"
        assert not (package / ".ltp_overlay").exists()
    assert change > 20


def test_what_others_change_is_kept(package):
    before = (package / EDITED).read_bytes()
    overlay.add(package, "5.23.0")
    with (package / EDITED).open("ab") as file:
        file.write(b'MODEL_MAPPING_NAMES["other"] = "Other"\n')
    (package / "models/ltp/notes.txt").write_text("mine")
    assert overlay.changed_since(package, overlay.read_manifest(package)) == {EDITED: "changed"}
    assert restore(package) == [EDITED, "models/ltp"]
    assert (package / EDITED).read_bytes() == before + b'MODEL_MAPPING_NAMES["other"] = "Other"\n'
    assert [file.name for file in (package / "models/ltp").iterdir()] == ["notes.txt"]


def test_package_upgraded_in_between(package):
    overlay.add(package, "5.17.0")
    new = {
        "auto_mappings.py": "CONFIG = 1\n",
        "modeling_auto.py": "MODEL = 1\n",
        "tokenization_auto.py": "TOKEN = 1\n",
    }
    for name, text in new.items():  # pip replaces its own files and leaves ours
        (package / "models/auto" / name).write_text(text)
        (package / "models/auto/__pycache__" / name.replace(".py", ".cpython-311.pyc")).write_bytes(b"upgraded")
    assert restore(package) == [f"models/auto/{name}" for name in new]
    assert {file.name: file.read_text() for file in (package / "models/auto").glob("*.py")} == new
    assert {file.read_bytes() for file in (package / "models/auto/__pycache__").iterdir()} == {b"upgraded"}
    assert not (package / "models/ltp").exists() and not (package / "trainer_ltp.py").exists()


def test_what_cannot_be_changed(package):
    overlay.add(package, "5.23.0")
    file = package / EDITED
    file.write_text(file.read_text().replace("# <<< LTP overlay <<<", ""))
    with pytest.raises(UserError, match="modeling_auto.py is damaged"):
        restore(package)
    assert (package / ADDED).is_file()
    with pytest.raises(UserError, match="already holds models/ltp, trainer_ltp.py, .* no record"):
        overlay.check_free(package)
    file.unlink()
    with pytest.raises(UserError, match="has no models/auto/modeling_auto.py"):
        overlay.check_free(package)
