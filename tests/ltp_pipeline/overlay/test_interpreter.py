"""Which interpreters the command refuses, and what it says."""

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pytest

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.overlay import command
from ltp_pipeline.overlay.interpreter import FIND, find_package
from tests.ltp_pipeline.overlay.conftest import Site
from tests.ltp_pipeline.overlay.made_up import make_package, make_python, snapshot, write_record


def test_found(site):
    package = find_package(site.python)
    assert (package.folder, package.version, package.python) == (site.package, "5.23.0", site.python)


@pytest.mark.parametrize(
    ("python", "says"),
    [
        ("/no/such/python", "cannot be run"),
        ("echo", "is not a working Python"),
        ("true", "is not a working Python"),
        ("/etc/passwd", "cannot be run"),
        (".", "is a folder, not an interpreter: name bin/python"),
        ("", "cannot be run"),
    ],
)
def test_not_an_interpreter(python, says):
    with pytest.raises(UserError, match=f"--python {python}: {says}"):
        find_package(python)


def test_no_transformers(tmp_path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    python = tmp_path / "venv/bin/python"
    with pytest.raises(UserError, match=f"{python} .*has no transformers.*{python} -m pip install transformers"):
        find_package(str(python))


def test_no_torch(site, run):
    next(site.folder.parent.glob("python-start/torch.py")).unlink()
    with pytest.raises(UserError, match="has no torch.*-m pip install torch"):
        run(site, "--force")


def test_a_source_tree(site):
    shutil.rmtree(next(site.folder.glob("*.dist-info")))
    with pytest.raises(UserError, match=f"{site.package}, which is a source tree or an editable install"):
        find_package(site.python)


def test_an_archive(site, tmp_path):
    archive = tmp_path / "site.zip"
    with zipfile.ZipFile(archive, "w", strict_timestamps=False) as out:
        for file in sorted(site.folder.rglob("*")):
            out.write(file, file.relative_to(site.folder))
    python = make_python(tmp_path / "zip/python", archive)
    with pytest.raises(UserError, match=f"the archive {archive}.*-m pip install transformers"):
        find_package(python)


@pytest.mark.parametrize("trace", ["two records", "another version in the package"])
def test_a_mixture_of_versions(site, trace):
    if trace == "two records":
        write_record(site.folder, "5.17.0")
    else:
        (site.package / "__init__.py").write_text('__version__ = "5.17.0"\n')
    with pytest.raises(UserError, match="a mixture of transformers .*5.17.0.* --force-reinstall"):
        find_package(site.python)


CONCERNS = {
    "EXTERNALLY-MANAGED": "sysconfig.get_path = lambda name: {folder!r}; sys.prefix = sys.base_prefix = '/usr'",
    "conda has installed": "sys.prefix = {folder!r}",
    "conda's base environment": "sys.prefix = {folder!r}",
    "user site": "getusersitepackages = lambda: {site!r}",
}


@pytest.mark.parametrize("concern", CONCERNS)
def test_an_environment_that_others_manage(tmp_path, run, concern):
    """It is changed only with --force, but --status and --restore work as everywhere."""
    folder = tmp_path / "prefix"
    for name in ("conda-meta", "condabin") if concern == "conda's base environment" else ("conda-meta",):
        (folder / name).mkdir(parents=True)
    (folder / "EXTERNALLY-MANAGED").write_text("")
    if concern == "conda has installed":
        (folder / "conda-meta/transformers-5.23.0-pyhd8ed1ab_0.json").write_text("{}")
    before = CONCERNS[concern].format(folder=str(folder), site=str(tmp_path / "site"))
    site = Site(tmp_path, before=before)
    found = snapshot(site.package)
    for flags in ((), ("--dry-run",)):
        with pytest.raises(UserError, match=f"{concern}.*python3 -m venv ENV.*--force"):
            run(site, *flags)
        assert snapshot(site.package) == found
    assert concern in run(site, "--status")
    run(site, "--force")
    run(site, "--restore")
    assert snapshot(site.package) == found


def test_pip_in_a_conda_environment_of_its_own(tmp_path, run):
    (tmp_path / "prefix/conda-meta").mkdir(parents=True)
    run(Site(tmp_path, before=f"sys.prefix = {str(tmp_path / 'prefix')!r}"))


@pytest.mark.skipif(os.geteuid() != 0 or not Path("/proc").exists(), reason="only root can become another user")
@pytest.mark.parametrize("flags", [(), ("--restore",)])
def test_a_package_of_another_user(run, flags):
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folder is closed to other users
        os.chmod(folder, 0o755)
        refuses_the_package_of_root(Site(Path(folder)), run, flags)


def refuses_the_package_of_root(site, run, flags):
    if flags:
        run(site)
    for file in site.folder.rglob("*.py"):
        file.chmod(0o644)
    found = snapshot(site.package)
    done = as_nobody(site, *flags)
    assert done.returncode == 2 and done.stderr.startswith(f"error: {site.package}"), done.stderr
    assert "belongs to root and is read-only for you" in done.stderr and "-m venv" in done.stderr
    assert done.stderr.count("\n") == 1
    assert snapshot(site.package) == found
    assert as_nobody(site, "--status").returncode == 0


def as_nobody(site: Site, *flags: str) -> subprocess.CompletedProcess:
    """Runs the command as a user who may read, but not write."""
    program = (
        "import os, sys; sys.path.insert(0, sys.argv.pop(1)); import filelock\n"
        "from ltp_pipeline.base.errors import run_main; from ltp_pipeline.overlay.command import main\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "run_main(main)"
    )
    root = str(Path(__file__).parents[3])
    # The interpreter of the tests may be out of the other user's reach: a shell answers for it.
    answer = subprocess.run([site.python, "-c", FIND], capture_output=True, text=True, check=True).stdout
    fake = site.folder.parent / "answers"
    fake.write_text(f"#!/bin/sh\ncat <<'END'\n{answer}\nEND\n")
    fake.chmod(0o755)
    return subprocess.run(
        [sys.executable, "-B", "-c", program, root, "--python", str(fake), *flags], capture_output=True, text=True
    )


def test_two_pythons(tmp_path, run, monkeypatch):
    """The interpreter of the checkout and another environment that is active in the shell."""
    site, active = Site(tmp_path), tmp_path / "active"
    other = make_package(active / "site")
    make_python(active / "bin/python", active / "site")
    monkeypatch.setattr(sys, "argv", ["overlay"])
    monkeypatch.setattr(sys, "executable", site.python)
    monkeypatch.setenv("VIRTUAL_ENV", str(active))
    before = snapshot(tmp_path)
    with pytest.raises(UserError, match=f"two Pythons.*{site.package}.*{other}.*--python"):
        command.main()
    assert snapshot(tmp_path) == before
    shutil.rmtree(other)  # an active environment without Transformers is not meant
    command.main()


def test_the_folder_in_which_it_is_called_does_not_count(site, run, tmp_path, monkeypatch):
    here = tmp_path / "here"
    make_package(here)
    monkeypatch.chdir(here)
    assert str(site.package) in run(site, "--status")
    site.python = os.path.relpath(site.python)
    assert str(site.package) in run(site, "--status")
