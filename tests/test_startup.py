"""What `import transformer_revised` and the scripts' --help leave unimported: what would take seconds.

What they take is measured by `python -m benchmarks.startup`.
"""

import subprocess
import sys

import pytest

from benchmarks.startup import HEAVY, ROOT, commands

# Runs the scripts named, one after the other, and says after which one which module was there.
IMPORTED = """
import contextlib, io, runpy, sys
heavy, scripts = sys.argv[1].split(","), sys.argv[2:]
for script in scripts:
    sys.argv = [script, "--help"]
    shown = io.StringIO()
    try:
        with contextlib.redirect_stdout(shown):
            if script.endswith(".py"):
                runpy.run_path(script, run_name="__main__")
            else:
                runpy.run_module(script, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        assert not end.code, (script, end.code)
    assert "--help" in shown.getvalue(), script
    found = [name for name in heavy if sys.modules.get(name)]
    assert not found, f"{script} --help imports {', '.join(found)}"
print("nothing")
"""


def run(program: str, *args: str) -> str:
    done = subprocess.run([sys.executable, "-c", program, *args], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_import_of_the_package():
    program = "import sys, transformer_revised; print([name for name in sys.argv[1:] if name in sys.modules])"
    assert run(program, *HEAVY) == "[]\n"


def test_help_of_every_script():
    scripts = commands()
    assert {"run_code_metrics.py", "ltp_test.py", "ltp_pipeline.comparison", "benchmarks.startup"} <= set(scripts)
    of_data = [script for script in scripts if script.startswith("Data/")]
    assert run(IMPORTED, "torch", *of_data) == "nothing\n"  # those may import pandas instead
    assert run(IMPORTED, ",".join(HEAVY), *(s for s in scripts if s not in of_data)) == "nothing\n"


def test_nothing_is_left_out_of_a_run(monkeypatch):
    from ltp_pipeline.base.flags import skip_peft_for_help

    monkeypatch.delitem(sys.modules, "peft", raising=False)
    for argv, given in (([], None), (["--do_train"], None), ([], ["--help"])):
        monkeypatch.setattr(sys, "argv", ["script.py", *argv])
        skip_peft_for_help(given)
        assert "peft" not in sys.modules
    monkeypatch.setattr(sys, "argv", ["script.py", "--help"])
    skip_peft_for_help(None)
    with pytest.raises(ModuleNotFoundError):
        import peft  # noqa: F401
