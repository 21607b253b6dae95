"""The hook in .pre-commit-hooks.yaml, run by pre-commit itself."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ltp_pipeline.code.languages import LANGUAGES
from ltp_pipeline.scan.sources.paths import VENDORED_FOLDERS

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
    assert hook["exclude"] == f"(?i)(^|/)({VENDORED_FOLDERS.pattern})/", "the vendored folders of a scan"
    vendored = re.compile(hook["exclude"])
    assert all(map(vendored.search, ("third_party/a.c", "src/Vendor/x/a.c", "vendored-z/a.c")))
    assert not any(map(vendored.search, ("src/a.c", "vendor.c", "src/deps.c", "vendors2/a.c", "vendored-z.c")))


def use(hook, checkpoint, *args):
    """Writes the configuration of pre-commit. `hook`: its own fields beside those of the manifest."""
    (manifest,) = yaml.safe_load(MANIFEST.read_text())
    entry = str(ROOT / manifest["entry"])  # as in a clone, but of the files as they are now
    args = ["--model_name_or_path", str(checkpoint), "--threshold", "0", "--quiet", *args]
    config = {"repos": [{"repo": "local", "hooks": [manifest | hook | {"entry": entry, "args": args}]}]}
    Path(".pre-commit-config.yaml").write_text(yaml.safe_dump(config))


@pytest.mark.slow
def test_a_commit_with_findings_is_refused(repository, pruned_checkpoint):
    use({}, pruned_checkpoint)
    (repository / "notes.md").write_text("int not_code(void) { return 0; }\n")
    subprocess.run(["git", "add", "-A"], check=True)
    result = pre_commit("run")
    assert result.returncode == 0 and "Skipped" in result.stdout, result.stdout

    (repository / "a b.c").write_text("int add(int a, int b)\n{\n    return a + b;\n}\n")
    subprocess.run(["git", "add", "-A"], check=True)
    result = pre_commit("run")
    assert result.returncode == 1 and "- exit code: 1" in result.stdout, result.stdout
    assert "1. a b.c:" in result.stdout and "1 finding in 1 function of 1 file;" in result.stdout


@pytest.mark.slow
def test_the_hook_of_the_docs_reads_what_is_pushed(repository, pruned_checkpoint):
    text = (ROOT / "docs/scan.md").read_text()
    (hook,) = yaml.safe_load(re.search("```yaml\n(.*?)```", text, re.DOTALL)[1])["repos"][0]["hooks"]
    flag = hook["args"].index("--changed_since")
    use(hook, pruned_checkpoint, *hook["args"][flag : flag + 2])
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    code = "int add(int a, int b)\n{\n    return a + b;\n}\n"
    Path("a.c").write_text(code)
    for command in (
        ["add", "-A"],
        ["commit", "-qm", "x"],
        ["branch", "-qM", "main"],
        ["update-ref", "refs/remotes/origin/main", "HEAD"],
    ):
        subprocess.run([*git, *command], check=True)
    Path("a.c").write_text(code + code.replace("add", "more"))
    subprocess.run([*git, "commit", "-qam", "y"], check=True)
    stage = ["--hook-stage", "pre-push", "--from-ref", "origin/main", "--to-ref", "HEAD"]
    result = pre_commit("run", *stage)
    assert result.returncode == 1 and "more" in result.stdout and "1 finding in 1 function of 1 file;" in result.stdout
