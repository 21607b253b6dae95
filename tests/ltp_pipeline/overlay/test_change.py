"""What is added to a package, and that --restore removes all of that and nothing else."""

import json
import os
import stat
from pathlib import Path

import pytest

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.overlay import command
from tests.ltp_pipeline.overlay.made_up import ADDED, EDITED, snapshot

ROOT = Path(__file__).parents[3]
BYTE_FOR_BYTE = "LTP is removed: every file of the package is byte for byte as before\n"


def use(package: Path) -> None:
    """Leaves bytecode as Python does, for added files, and for one that was compiled before and one that was not."""
    for path in (EDITED, "models/auto/auto_mappings.py", ADDED, "trainer_ltp.py"):
        folder = (package / path).parent / "__pycache__"
        folder.mkdir(exist_ok=True)
        (folder / f"{Path(path).stem}.cpython-311.pyc").write_bytes(b"compiled with LTP")


def test_what_is_added(site, run):
    run(site)
    for path in (ADDED, "models/ltp/__init__.py", "trainer_ltp.py", "training_args_ltp.py"):
        assert (site.package / path).read_bytes() == (ROOT / "transformer_revised" / path).read_bytes()
    assert not (site.package / "models/auto/plug_in.py").exists()
    names: dict = {}
    for file in sorted((site.package / "models/auto").glob("*.py")):
        exec(file.read_text(), names)
    assert names["CONFIG_MAPPING_NAMES"] == {"ltp": "LTPConfig"}
    assert names["MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES"] == {"ltp": "LTPForSequenceClassification"}
    assert names["TOKENIZER_MAPPING_NAMES"] == {"ltp": "RobertaTokenizer"}


def test_restore_leaves_nothing(site, run):
    """Also no bytecode of a file that was not compiled before."""
    before = snapshot(site.package)
    run(site)
    use(site.package)
    run(site)
    use(site.package)
    assert run(site, "--restore").endswith(BYTE_FOR_BYTE)
    assert snapshot(site.package) == before


def test_permissions_and_owner(site, run):
    """Added files can be read by those who can read the library, whatever the umask of who adds them."""
    owner = (12345, 54321) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
    for path in [site.package, *site.package.rglob("*")]:
        os.chown(path, *owner)
    before, umask = snapshot(site.package), os.umask(0o077)
    try:
        run(site)
        for path, mode in (("models/ltp", 0o755), (ADDED, 0o640), ("trainer_ltp.py", 0o640), (EDITED, 0o640)):
            status = (site.package / path).stat()
            assert (stat.S_IMODE(status.st_mode), (status.st_uid, status.st_gid)) == (mode, owner), path
        run(site, "--restore")
    finally:
        os.umask(umask)
    assert snapshot(site.package) == before


@pytest.mark.parametrize("link", ["symlink", "hard link"])
def test_installed_from_a_cache_by_links(tmp_path, site, run, link):
    """uv and conda link files into the package. The file in the cache does not change, and the link is there again."""
    file, cached = site.package / EDITED, tmp_path / "cached.py"
    file.rename(cached)
    os.symlink(cached, file) if link == "symlink" else os.link(cached, file)
    before, content = snapshot(site.package), cached.read_bytes()
    run(site)
    assert cached.read_bytes() == content and b"LTPModel" in file.read_bytes()
    assert run(site, "--restore").endswith(BYTE_FOR_BYTE)
    assert snapshot(site.package) == before and file.samefile(cached)


def test_bytecode_that_python_never_compares_with_its_source(site, run):
    run(site)
    assert not (site.package / "models/auto/__pycache__/modeling_auto.cpython-311.pyc").exists()


@pytest.mark.parametrize("then", ["update", "restore"])
def test_records_of_an_earlier_version(site, run, then):
    """The manifest as it was when the files had other names, and nothing but their hashes was kept."""
    before = snapshot(site.package)
    run(site)
    records, added = site.package / ".ltp_overlay", ("models/ltp/token_wise.py", "models/ltp/compute_budget.py")
    manifest = json.loads((records / "manifest.json").read_text())
    for path in added:
        (site.package / path).write_bytes((site.package / ADDED).read_bytes())
        manifest["added"][path] = manifest["added"][ADDED]
    for record in manifest["edited"].values():
        record.pop("bytecode", None)
    (records / "manifest.json").write_text(json.dumps({**manifest, "bytecode": ["models/auto/__pycache__/x.pyc"]}))
    for file in records.glob("original/*"):
        file.unlink()
    if then == "update":
        assert "not from the files of this project" in run(site, "--status")
        run(site)
        assert not any((site.package / path).exists() for path in added)
        assert "LTP is installed, from the files of this project" in run(site, "--status")
    assert run(site, "--restore").endswith(BYTE_FOR_BYTE)
    assert snapshot(site.package) == before


def test_what_others_change_in_a_mapping_file_is_kept(site, run):
    mapping, before = site.package / EDITED, (site.package / EDITED).read_bytes()
    mine = b'MODEL_MAPPING_NAMES["other"] = "Other"\n'
    run(site)
    mapping.write_bytes(mapping.read_bytes() + mine)
    (site.package / "models/ltp/notes.txt").write_text("mine")
    assert f"{EDITED}: changed outside the block" in run(site, "--status")
    assert f"changes that others have made to {EDITED} are kept" in run(site)
    assert mapping.read_bytes().startswith(before + mine + b"\n# >>> LTP overlay")
    assert "Changes that others have made to models/ltp are kept" in run(site, "--restore")
    assert mapping.read_bytes() == before + mine
    assert [file.name for file in (site.package / "models/ltp").iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("flags", [(), ("--restore",)])
@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        (ADDED, "class ", "class My"),
        (EDITED, '"LTPModel"', '"MyModel"'),  # inside the block
        (EDITED, "# <<< LTP overlay <<<", ""),  # the block has no end
    ],
)
def test_a_change_of_our_files_is_discarded_only_with_force(site, run, path, old, new, flags):
    before = snapshot(site.package)
    run(site)
    file = site.package / path
    file.write_text(file.read_text().replace(old, new))
    changed = snapshot(site.package)
    for dry in ((), ("--dry-run",)):
        with pytest.raises(UserError, match=rf"changed {path} in .*--force"):
            run(site, *flags, *dry)
        assert snapshot(site.package) == changed
    run(site, *flags, "--force")
    if not flags:
        assert "LTP is installed, from the files of this project" in run(site, "--status")
    run(site, "--restore")
    assert snapshot(site.package) == before


@pytest.mark.parametrize("path", ["models/ltp", ADDED])
def test_a_link_to_a_checkout_is_not_followed(site, run, tmp_path, path):
    """Developers link their files into the package: a removal must not remove them where they are."""
    before = snapshot(site.package)
    run(site)
    checkout = tmp_path / "checkout"
    (site.package / path).rename(checkout)
    (site.package / path).symlink_to(checkout)
    for flags in ((), ("--restore",)):
        with pytest.raises(UserError, match=rf"{path}.*--force"):
            run(site, *flags)
    run(site, "--restore", "--force")
    assert snapshot(site.package) == before
    assert checkout.is_file() or len(list(checkout.glob("*.py"))) > 10


def test_removed_again_where_it_does_not_work(site, run, monkeypatch):
    before = snapshot(site.package)
    monkeypatch.setattr(command, "try_in_fresh_interpreter", lambda package: "AttributeError: LTPConfig")
    with pytest.raises(UserError, match="does not work in transformers 5.23.0, and was removed again: AttributeError"):
        run(site)
    assert snapshot(site.package) == before
