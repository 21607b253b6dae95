"""What every command does at the shell: help on two screens with examples, errors in two lines, completion."""

import importlib
import shutil
import subprocess
import sys
from importlib.util import find_spec

import pytest

from benchmarks.startup import commands
from ltp_pipeline.base import completion

LINES = {100: 100, 80: 112}  # columns -> lines of help at most
COMMANDS = commands()
OURS = [name for name in COMMANDS if not name.startswith("benchmarks.")]
STAGES = ("run_glue_code_metrics.py", "run_code_metrics.py")


def _ended(name, words, capsys):
    """Status, standard output and standard error of a command that ends while it parses its flags."""
    module = name.removesuffix(".py").replace("/", ".")
    module = importlib.import_module(f"{module}.__main__" if find_spec(module).submodule_search_locations else module)
    with pytest.raises(SystemExit) as end:
        module.main(list(words))
    return end.value.code, *capsys.readouterr()


def _typed(name):
    return f"python {name}" if name.endswith(".py") else f"python -m {name}"


@pytest.mark.parametrize("name", COMMANDS)
def test_help_fits_on_two_screens_and_ends_with_examples(name, capsys, monkeypatch):
    for columns, lines in LINES.items():
        monkeypatch.setenv("COLUMNS", str(columns))
        status, shown, _ = _ended(name, ["--help"], capsys)
        assert status == 0 and len(shown.splitlines()) <= lines
        assert shown.startswith(f"usage: {_typed(name)} ")
        assert "\nexamples:\n" in shown and _typed(name) in shown.partition("\nexamples:\n")[2]


@pytest.mark.parametrize("name", COMMANDS)
def test_an_unknown_flag_is_answered_in_two_lines(name, capsys):
    status, shown, error = _ended(name, ["--print_complétion", "x"], capsys)
    assert (status, shown) == (2, "")
    assert error.splitlines() == [
        "error: unrecognized argument --print_complétion; did you mean --print_completion?",
        f"{_typed(name)} --help lists the flags",
    ]


@pytest.mark.parametrize("name", STAGES)
def test_help_all_adds_the_flags_of_the_library(name, capsys):
    short, full = (_ended(name, [flag], capsys)[1] for flag in ("--help", "--help_all"))
    assert "--ddp_timeout" not in short and "--ddp_timeout" in full
    for flag in ("--learning_rate", "--num_train_epochs", "--per_device_train_batch_size", "--seed", "--output_dir"):
        assert flag in short
    for flag in ("--resume_from_checkpoint", "--bf16", "--dtype", "--eval_steps", "--save_steps", "--logging_steps"):
        assert flag in short
    assert len(full.splitlines()) > 4 * len(short.splitlines())


def _completed(script, words, function):
    """What bash offers for the last of `words`."""
    line = f"{script}\nCOMP_WORDS=({' '.join(words)}) COMP_CWORD={len(words) - 1}\n{function}\n"
    line += 'printf "%s\\n" "${COMPREPLY[@]}"'
    return subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_completes_flags_choices_and_what_follows_python(capsys):
    _, script, _ = _ended("run_code_metrics.py", ["--print_completion", "bash"], capsys)
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    own = "_shtab_run_code_metrics_py"
    assert _completed(script, ["./run_code_metrics.py", "--mask"], own) == ["--masking_mode"]
    assert _completed(script, ["./run_code_metrics.py", "--masking_mode", "so"], own) == ["soft"]
    assert _completed(script, ["python", "../x/run_code_metrics.py", "--mask"], "_ltp_python") == ["--masking_mode"]
    assert _completed(script, ["python", "another.py", "--mask"], "_ltp_python") == []
    assert "pad_to_max_length" not in script  # it has no effect
    _, script, _ = _ended("ltp_pipeline.comparison", ["--print_completion", "bash"], capsys)
    words = ["python", "-m", "ltp_pipeline.comparison", "--checkp"]
    assert _completed(script, words, "_ltp_python") == ["--checkpoints"]


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_an_installed_command_is_completed_by_its_name(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/env/bin/ltp-prune"])
    _, script, _ = _ended("run_code_metrics.py", ["--print_completion", "bash"], capsys)
    assert "\ncomplete -o bashdefault -F _shtab_ltp_prune ltp-prune\n" in script
    assert _completed(script, ["ltp-prune", "--mask"], "_shtab_ltp_prune") == ["--masking_mode"]


@pytest.mark.parametrize("name", OURS)
def test_every_command_prints_completions_for_every_shell(name, capsys):
    for shell in completion.SHELLS:
        status, shown, _ = _ended(name, ["--print_completion", shell], capsys)
        assert status == 0 and "print_completion" in shown
        if shutil.which(shell):
            checked = subprocess.run([shell, "-n"], input=shown, text=True, capture_output=True)
            assert (checked.returncode, checked.stderr) == (0, "")


def test_without_shtab_the_error_says_how_to_install_it(monkeypatch):
    from ltp_pipeline.base.errors import UserError
    from ltp_pipeline.commands.prune import main

    monkeypatch.setitem(sys.modules, "shtab", None)
    with pytest.raises(UserError, match="--print_completion zsh: needs shtab: python -m pip install shtab"):
        main(["--print_completion", "zsh"])
