"""What --status says, and what the next run does, after pip or somebody else has changed the package."""

import shutil

import pytest

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.overlay import records
from ltp_pipeline.overlay.contents import new_files
from tests.ltp_pipeline.overlay.made_up import ADDED, EDITED, MAPPINGS, make_package, snapshot

INSTALLED = "LTP is installed, from the files of this project\n"
OURS = len(new_files())


def install_again(site, version: str) -> dict:
    """What pip does: it removes the files that it has recorded, unpacks the new ones, and leaves ours."""
    uninstall(site)
    fresh = make_package(site.folder.parent / "fresh", version)
    for name in MAPPINGS:
        file = fresh / f"models/auto/{name}.py"
        file.write_text(f"{file.read_text()}\n# {version}\n" if version != "5.23.0" else file.read_text())
    before = snapshot(fresh)
    shutil.copytree(fresh.parent, site.folder, dirs_exist_ok=True)
    return {**before, **snapshot(site.package)}


def uninstall(site) -> None:
    for record in site.folder.glob("*.dist-info"):
        for line in (record / "RECORD").read_text().splitlines():
            (site.folder / line.split(",")[0]).unlink(missing_ok=True)
        shutil.rmtree(record)
    shutil.rmtree(site.package / "models/auto/__pycache__", ignore_errors=True)


def without_ours(found: dict) -> dict:
    return {path: what for path, what in found.items() if "ltp" not in path}


@pytest.mark.parametrize("version", ["5.17.0", "5.23.0"])
def test_transformers_was_upgraded_or_installed_again(site, run, version):
    run(site)
    installed = without_ours(install_again(site, version))
    status = run(site, "--status")
    what = "was changed from 5.23.0 to 5.17.0" if version == "5.17.0" else "5.23.0 was installed again"
    assert (
        f"LTP is not complete. Transformers {what}" in status
        and f"{OURS} of {OURS + 3} files of LTP are left" in status
    )
    assert f"Transformers {what}" in run(site)
    assert INSTALLED in run(site, "--status")
    run(site, "--restore")
    assert snapshot(site.package) == installed


@pytest.mark.parametrize("version", ["5.17.0", "5.23.0"])
def test_what_was_left_is_removed(site, run, version):
    """The files that pip has written are not touched, nor are their times or bytecode."""
    run(site)
    installed = without_ours(install_again(site, version))
    run(site, "--restore")
    assert snapshot(site.package) == installed
    assert "LTP is not installed\n" in run(site, "--status")


def test_transformers_was_uninstalled(site, run):
    run(site)
    uninstall(site)
    status = run(site, "--status")
    assert f"5.23.0 was uninstalled. {OURS} of {OURS + 3} files of LTP are left" in status and "--restore" in status
    for flags in ((), ("--dry-run",)):
        with pytest.raises(UserError, match=r"has no transformers.*uninstalled.*--restore"):
            run(site, *flags)
    assert "what was left of LTP is removed" in run(site, "--restore")
    assert not site.package.exists()


def test_the_new_version_has_its_own_files_of_that_name(site, run):
    run(site)
    (site.package / ADDED).write_text("theirs = 1\n")
    record = site.folder / "transformers-5.23.0.dist-info/RECORD"
    record.write_text(f"{record.read_text()}transformers/{ADDED},sha256=,0\n")
    assert f"{ADDED}: replaced by a file of Transformers" in run(site, "--status")
    with pytest.raises(UserError, match=f"its own {ADDED}"):
        run(site)
    run(site, "--restore")
    assert (site.package / ADDED).read_text() == "theirs = 1\n"
    assert not (site.package / "trainer_ltp.py").exists()


@pytest.mark.parametrize("lost", ["the record", "a part of the record"])
def test_left_over_without_a_record(site, run, lost):
    """Files that are those of this project are ours all the same. Others are removed only with --force."""
    before = {path: what[0] for path, what in snapshot(site.package).items()}
    run(site)
    records = site.package / ".ltp_overlay"
    if lost == "the record":
        shutil.rmtree(records)
        assert "no record of them" in run(site, "--status")
    else:
        text = (records / "manifest.json").read_text()
        (records / "manifest.json").write_text(text[: len(text) // 2])
        assert "manifest.json is damaged" in run(site, "--status")
    (site.package / "models/ltp/modeling_ltp.py").write_text("older = 1\n")
    (site.package / "models/ltp/older.py").write_text("older = 1\n")
    for flags in ((), ("--restore",)):
        with pytest.raises(UserError, match=r"no record|is damaged.*--restore --force"):
            run(site, *flags)
    run(site, "--restore", "--force")
    after = {path: what[0] for path, what in snapshot(site.package).items()}
    assert after.keys() - before.keys() == set()
    assert {path for path in before if after.get(path) != before[path]} <= {
        "models/auto/__pycache__",
        "models/auto/__pycache__/modeling_auto.cpython-311.pyc",
    }


@pytest.mark.parametrize(
    "manifest", ["", "[]", "{}", "null", '{"version": "5.23.0", "added": {"../../x.py": ""}, "edited": {}}', "\0"]
)
def test_damaged_manifest(site, run, manifest):
    (site.package / ".ltp_overlay").mkdir()
    (site.package / ".ltp_overlay/manifest.json").write_text(manifest)
    assert "manifest.json is damaged" in run(site, "--status")
    with pytest.raises(UserError, match="manifest.json is damaged.*--force"):
        run(site)
    run(site, "--restore", "--force")
    assert not (site.package / ".ltp_overlay").exists()


def test_partly_gone(site, run):
    before = snapshot(site.package)
    run(site)
    (site.package / "trainer_ltp.py").unlink()
    (site.package / EDITED).unlink()
    status = run(site, "--status")
    assert "  trainer_ltp.py: missing\n" in status and f"  {EDITED}: missing\n" in status
    with pytest.raises(UserError, match=f"has no {EDITED}"):
        run(site)
    assert f"LTP is removed. Changes that others have made to {EDITED} are kept" in run(site, "--restore")
    bytecode = {"models/auto/__pycache__", "models/auto/__pycache__/modeling_auto.cpython-311.pyc"}
    assert snapshot(site.package).keys() == before.keys() - {EDITED} - bytecode


def test_a_record_nested_deeply_is_damaged(site):
    records.folder(site.package).mkdir()
    (records.folder(site.package) / records.INSTALLED).write_text("[" * 100_000)
    with pytest.raises(UserError, match="is damaged"):
        records.read_manifest(site.package)
