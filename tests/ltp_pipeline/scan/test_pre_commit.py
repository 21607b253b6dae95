"""The hook in .pre-commit-hooks.yaml, run by pre-commit itself."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ltp_pipeline.code.languages import LANGUAGES

ROOT = Path(__file__).resolve().parents[3]
MANIFEST = ROOT / ".pre-commit-hooks.yaml"
pytest.importorskip("pre_commit")
yaml = pytest.importorskip("yaml")


@pytest.fixture
def repository(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PRE_COMMIT_HOME", str(tmp_path.parent / f"{tmp_path.name}-cache"))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    subprocess.run(["git", "init", "-q", "."], check=True)
    return tmp_path


def pre_commit(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "pre_commit", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def test_the_manifest_is_valid():
    result = pre_commit("validate-manifest", str(MANIFEST))
    assert result.returncode == 0 and not result.stdout, result.stdout


def test_the_hook_reads_the_files_that_a_scan_reads():
    (hook,) = yaml.safe_load(MANIFEST.read_text())
    pattern = re.compile(hook["files"])
    endings = {ending for language in LANGUAGES.values() for ending in language.suffixes}
    assert all(pattern.search(f"a/b{ending}") and pattern.search(f"B{ending.upper()}") for ending in endings)
    assert not any(pattern.search(name) for name in ("a.md", "a.cs", "a.pyc", "c", "a.c.txt", "a.psd1"))
    assert os.access(ROOT / hook["entry"], os.X_OK), "`language: script` needs an executable file"


@pytest.mark.slow
def test_a_commit_with_findings_is_refused(repository, pruned_checkpoint):
    (hook,) = yaml.safe_load(MANIFEST.read_text())
    hook["entry"] = str(ROOT / hook["entry"])  # as in a clone, but of the files as they are now
    hook["args"] = ["--model_name_or_path", str(pruned_checkpoint), "--threshold", "0", "--quiet"]
    config = {"repos": [{"repo": "local", "hooks": [hook]}]}
    (repository / ".pre-commit-config.yaml").write_text(yaml.safe_dump(config))
    (repository / "notes.md").write_text("int not_code(void) { return 0; }\n")
    subprocess.run(["git", "add", "-A"], check=True)
    result = pre_commit("run")
    assert result.returncode == 0 and "Skipped" in result.stdout, result.stdout

    (repository / "a b.c").write_text("int add(int a, int b)\n{\n    return a + b;\n}\n")
    subprocess.run(["git", "add", "-A"], check=True)
    result = pre_commit("run")
    assert result.returncode == 1 and "- exit code: 1" in result.stdout, result.stdout
    assert "1. a b.c:" in result.stdout and "1 finding in 1 file;" in result.stdout
