"""`ltp_env.sh` with an interpreter that only notes what it is asked: when it installs, and what it refuses."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Notes `-m` calls; "makes" a .venv by copying itself; fails where a file of that name says so.
PYTHON = """#!/bin/sh
case "$*" in
    "-m pip --version") [ -e .venv/has-pip ] ;;
    "-m venv"*) echo "venv" >>calls; mkdir -p .venv/bin; cp "$0" .venv/bin/python; touch .venv/has-pip ;;
    "-m pip install"*) echo "install" >>calls; [ ! -e no-network ] ;;
    "-V") echo "Python 3.9.18" ;;
    *version_info*) [ ! -e too-old ] ;;
    *ensurepip*) [ ! -e no-venv ] ;;
esac
"""


class Checkout:
    def __init__(self, folder: Path):
        self.folder = folder
        (folder / "ltp_env.sh").write_text((ROOT / "ltp_env.sh").read_text())
        (folder / "requirements.txt").write_text("one==1\n")
        (folder / "requirements-dev.txt").write_text("-r requirements.txt\n")
        (folder / "some-python").write_text(PYTHON)
        (folder / "some-python").chmod(0o755)

    def source(self, python: str = "./some-python") -> tuple[int, str, str]:
        """Exit status, standard output and standard error of a script that sources ltp_env.sh and names LTP_PYTHON."""
        script = f'set -euo pipefail; PYTHON={python}; source ./ltp_env.sh; echo "uses $LTP_PYTHON"'
        done = subprocess.run(["bash", "-c", script], cwd=self.folder, capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr

    def calls(self) -> list[str]:
        """What was asked of the interpreter since the last look."""
        calls = self.folder / "calls"
        asked = calls.read_text().split() if calls.exists() else []
        calls.unlink(missing_ok=True)
        return asked


@pytest.fixture
def checkout(tmp_path) -> Checkout:
    return Checkout(tmp_path)


def test_installs_only_what_changed(checkout):
    status, out, _ = checkout.source()
    assert (status, checkout.calls()) == (0, ["venv", "install"])
    assert out.endswith(f"uses {checkout.folder}/.venv/bin/python\n")
    assert checkout.source() == (0, f"uses {checkout.folder}/.venv/bin/python\n", "")
    assert checkout.calls() == []
    (checkout.folder / "requirements-dev.txt").write_text("-r requirements.txt\ntwo==2\n")
    assert checkout.source()[0] == 0 and checkout.calls() == ["install"]
    assert checkout.source()[0] == 0 and checkout.calls() == []


def test_failed_install_is_taken_up_again(checkout):
    (checkout.folder / "no-network").touch()
    status, out, error = checkout.source()
    assert status == 2 and "uses" not in out
    assert error.startswith("error: the packages could not be installed (see above): fix that")
    (checkout.folder / "no-network").unlink()
    checkout.calls()
    assert checkout.source()[0] == 0 and checkout.calls() == ["install"]


def test_half_made_environment_is_made_again(checkout):
    (checkout.folder / ".venv/bin").mkdir(parents=True)
    (checkout.folder / ".venv/bin/python").write_text(PYTHON)
    (checkout.folder / ".venv/bin/python").chmod(0o755)
    assert checkout.source()[0] == 0 and checkout.calls() == ["venv", "install"]


@pytest.mark.parametrize(
    "flaw, python, message",
    [
        (None, "no-such-python", "error: there is no no-such-python: install Python 3.10 to 3.13, or name one"),
        ("too-old", "./some-python", "error: Python 3.10 to 3.13 is needed, and ./some-python is Python 3.9.18: name"),
        (
            "no-venv",
            "./some-python",
            "error: ./some-python has no venv module: install it (Debian, Ubuntu: apt install",
        ),
    ],
)
def test_interpreters_that_will_not_do(checkout, flaw, python, message):
    if flaw:
        (checkout.folder / flaw).touch()
    status, _, error = checkout.source(python)
    assert status == 2 and error.startswith(message)
    assert checkout.calls() == [] and not (checkout.folder / ".venv").exists()


@pytest.mark.skipif(shutil.which("flock") is None, reason="without flock there is no lock")
def test_two_setups_at_once_install_once(checkout):
    slow = PYTHON.replace('echo "install" >>calls', 'sleep 0.5; echo "install" >>calls')
    (checkout.folder / "some-python").write_text(slow)
    command = ["bash", "-c", "set -euo pipefail; PYTHON=./some-python; source ./ltp_env.sh"]
    both = [subprocess.Popen(command, cwd=checkout.folder, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    out = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert checkout.calls() == ["venv", "install"]
    assert sum("waiting for another setup" in text for text in out) == 1
