"""The overlay on a made-up package: what it writes, and that no interruption and no stranger's change is lost."""

import hashlib
import os
import sys
from pathlib import Path

import pytest

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.overlay import package as overlay
from transformer_revised.models.auto.ltp_names import MODEL_CLASSES

ADDED = "models/ltp/modeling_ltp.py"
EDITED = "models/auto/modeling_auto.py"


def make_package(folder: Path) -> Path:
    """Three mapping files, one of them compiled, one without a newline at its end."""
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
    """Hash of every file, and the time of the sources that were there before."""
    return {
        file.relative_to(package).as_posix(): (
            hashlib.sha256(file.read_bytes()).hexdigest(),
            file.stat().st_mtime_ns if file.parent.name == "auto" else 0,
        )
        for file in sorted(package.rglob("*"))
        if file.is_file()
    }


def use(package: Path) -> None:
    """What Python leaves behind when the package is used: bytecode, written anew where the source is newer."""
    for source in [
        package / EDITED,
        package / ADDED,
        package / "trainer_ltp.py",
        package / "models/auto/auto_mappings.py",
    ]:
        if source.is_file():
            source.parent.joinpath("__pycache__").mkdir(exist_ok=True)
            source.parent.joinpath("__pycache__", f"{source.stem}.cpython-311.pyc").write_bytes(b"compiled with LTP")


def undo(package: Path) -> list[str]:
    """What --restore does in whatever state a killed run left the package."""
    manifest = overlay.read_manifest(package)
    if manifest is None:
        overlay.forget(package)
        return []
    return overlay.take_out(package, manifest)


@pytest.fixture
def package(tmp_path) -> Path:
    return make_package(tmp_path)


def test_blocks_and_files(package):
    overlay.put_in(package, "5.23.0")
    source = Path(__file__).parents[3] / "transformer_revised"
    for path in (ADDED, "models/ltp/__init__.py", "trainer_ltp.py", "training_args_ltp.py"):
        assert (package / path).read_bytes() == (source / path).read_bytes()
    assert not (package / "__init__.py").exists() and not (package / "models/auto/plug_in.py").exists()
    names: dict = {}
    for file in sorted((package / "models/auto").glob("*.py")):
        exec(file.read_text(), names)
    assert names["CONFIG_MAPPING_NAMES"] == {"ltp": "LTPConfig"}
    assert names["MODEL_MAPPING_NAMES"] == {"ltp": "LTPModel"}
    assert names["MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES"] == {"ltp": "LTPForSequenceClassification"}
    assert names["TOKENIZER_MAPPING_NAMES"] == {"ltp": "RobertaTokenizer"}
    assert (package / "models/auto/auto_mappings.py").read_text() == (
        "CONFIG_MAPPING_NAMES = {}\n\n"
        "# >>> LTP overlay, added by revise_local_transformer_package.sh and removed by its --restore >>>\n"
        'CONFIG_MAPPING_NAMES["ltp"] = "LTPConfig"\n'
        "# <<< LTP overlay <<<\n"
    )


def test_round_trip_with_bytecode(package):
    before = snapshot(package)
    overlay.put_in(package, "5.23.0")
    use(package)
    manifest = overlay.read_manifest(package)
    assert overlay.changed_since(package, manifest) == {} and overlay.is_current(manifest)
    assert overlay.take_out(package, manifest) == []
    assert snapshot(package) == before
    assert not (package / "models/ltp").exists() and not (package / ".ltp_overlay").exists()


def test_update_drops_what_this_checkout_no_longer_has(package, monkeypatch):
    before = snapshot(package)
    files = overlay.new_files()
    monkeypatch.setattr(overlay, "new_files", lambda: {**files, "models/ltp/old.py": b"old = 1\n"})
    overlay.put_in(package, "5.23.0")
    monkeypatch.undo()
    assert not overlay.is_current(overlay.read_manifest(package))
    assert undo(package) == []
    overlay.put_in(package, "5.23.0")
    assert not (package / "models/ltp/old.py").exists() and overlay.is_current(overlay.read_manifest(package))
    assert undo(package) == [] and snapshot(package) == before


class Killed(BaseException):
    pass


class Killer:
    """Ends the process, as far as the code can tell, just before its n-th change on disk."""

    EVENTS = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.utime", "os.chmod", "shutil.copyfile")

    def __init__(self) -> None:
        self.left: int | None = None
        sys.addaudithook(self)  # hooks cannot be removed: one for all tests

    def __call__(self, event: str, args: tuple) -> None:
        if self.left is None or not (event in self.EVENTS or event == "open" and args[1] in ("w", "wb")):
            return
        self.left -= 1
        if self.left < 0:
            self.left = None
            raise Killed

    def ends(self, after: int, action) -> bool:
        """Whether `action` came to its end within `after` changes."""
        self.left = after
        try:
            action()
        except Killed:
            return False
        self.left = None
        return True


@pytest.fixture(scope="module")
def killer() -> Killer:
    return Killer()


@pytest.mark.parametrize("then", ["restore", "run again"])
@pytest.mark.parametrize("killed", ["install", "restore"])
def test_killed_anywhere(tmp_path, killer, killed, then):
    ended, count = False, 0
    while not ended:
        package = make_package(tmp_path / str(count))
        before = snapshot(package)
        if killed == "restore":
            overlay.put_in(package, "5.23.0")
            use(package)
        action = {"install": lambda p=package: overlay.put_in(p, "5.23.0"), "restore": lambda p=package: undo(p)}[
            killed
        ]
        ended = killer.ends(count, action)
        count += 1
        if then == "run again":
            if overlay.read_manifest(package):
                undo(package)
            overlay.check_free(package)
            overlay.put_in(package, "5.23.0")
            use(package)
            manifest = overlay.read_manifest(package)
            assert overlay.changed_since(package, manifest) == {} and overlay.is_current(manifest)
        assert undo(package) == []
        assert snapshot(package) == before, f"killed before change {count}"
        assert not (package / ".ltp_overlay").exists()
    assert count > 20


def test_a_strangers_change_of_a_mapping_file_is_kept(package):
    before = (package / EDITED).read_bytes()
    overlay.put_in(package, "5.23.0")
    with (package / EDITED).open("ab") as file:
        file.write(b'MODEL_MAPPING_NAMES["other"] = "Other"\n')
    assert overlay.changed_since(package, overlay.read_manifest(package)) == {EDITED: "changed"}
    assert undo(package) == [EDITED]
    assert (package / EDITED).read_bytes() == before + b'MODEL_MAPPING_NAMES["other"] = "Other"\n'


def test_a_strangers_file_is_kept(package):
    overlay.put_in(package, "5.23.0")
    (package / "models/ltp/notes.txt").write_text("mine")
    assert undo(package) == ["models/ltp"]
    assert [file.name for file in (package / "models/ltp").iterdir()] == ["notes.txt"]


def test_package_upgraded_in_between(package):
    overlay.put_in(package, "5.17.0")
    new = {
        "auto_mappings.py": "CONFIG = 1\n",
        "modeling_auto.py": "MODEL = 1\n",
        "tokenization_auto.py": "TOKEN = 1\n",
    }
    for name, text in new.items():  # as pip does: its own files replaced, ours left
        (package / "models/auto" / name).write_text(text)
        (package / "models/auto/__pycache__" / name.replace(".py", ".cpython-311.pyc")).write_bytes(b"upgraded")
    assert undo(package) == [f"models/auto/{name}" for name in new]
    assert {file.name: file.read_text() for file in (package / "models/auto").glob("*.py")} == new
    assert {file.read_bytes() for file in (package / "models/auto/__pycache__").iterdir()} == {b"upgraded"}
    assert not (package / "models/ltp").exists() and not (package / "trainer_ltp.py").exists()


def test_damaged_block(package):
    overlay.put_in(package, "5.23.0")
    file = package / EDITED
    file.write_text(file.read_text().replace("# <<< LTP overlay <<<", ""))
    with pytest.raises(UserError, match="modeling_auto.py is damaged: take it out by hand"):
        undo(package)
    assert (package / ADDED).is_file()


def test_what_stands_in_the_way(package):
    (package / "models/ltp").mkdir()
    (package / "trainer_ltp.py").write_text("")
    with pytest.raises(UserError, match="already holds models/ltp, trainer_ltp.py, and no record"):
        overlay.check_free(package)
    (package / EDITED).unlink()
    with pytest.raises(UserError, match="has no models/auto/modeling_auto.py: this version"):
        overlay.check_free(package)
