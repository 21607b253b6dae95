"""`--help` of every script, and `import transformer_revised`, import nothing that takes seconds.

`python -m benchmarks.startup` measures how long they take.
"""

import subprocess
import sys

import pytest

from benchmarks.startup import ROOT, commands
from ltp_pipeline.base.flags import skip_peft_for_help

# Runs the scripts named in one process, and fails at the first after which a heavy module has been imported.
HELP = """
import contextlib, io, runpy, sys
heavy, scripts = sys.argv[1].split(","), sys.argv[2:]
for script in scripts:
    sys.argv = [script, "--help"]
    try:
        with contextlib.redirect_stdout(io.StringIO()) as shown:
            if script.endswith(".py"):
                runpy.run_path(script, run_name="__main__")
            else:
                runpy.run_module(script, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        assert not end.code, (script, end.code)
    assert "--help" in shown.getvalue(), script
    found = [name for name in heavy if sys.modules.get(name)]
    assert not found, f"{script} --help imports {', '.join(found)}"
"""

# Modules that take long to import, and that --help does not need
HEAVY = (
    "transformers.models.longformer.modeling_longformer",
    "transformers.modeling_utils",
    "transformers.trainer",
    "datasets",
    "matplotlib",
    "pandas",
    "peft",
    "scipy",
    "sklearn",
)


def test_help_of_every_script():
    scripts = commands()
    assert {"ltp_test.py", "Data/build_dataset.py", "ltp_pipeline.comparison", "benchmarks.flops"} <= set(scripts)
    assert "benchmarks.speed" in scripts and not [name for name in scripts if "__main__" in name]
    of_data = [script for script in scripts if script.startswith("Data/")]
    others = [script for script in scripts if script not in of_data]  # the first of them import transformer_revised
    for heavy, names in (("torch", of_data), (",".join(HEAVY), others)):  # Data/ may import pandas, but not torch
        done = subprocess.run([sys.executable, "-c", HELP, heavy, *names], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize(
    "words, argv, skips", [([], None, False), (["--help"], None, True), ([], ["--help"], False)], ids=str
)
def test_peft_is_skipped_only_where_a_process_shows_its_help(monkeypatch, words, argv, skips):
    monkeypatch.delitem(sys.modules, "peft", raising=False)
    monkeypatch.setattr(sys, "argv", ["script.py", *words])
    skip_peft_for_help(argv)
    assert ("peft" in sys.modules) == skips
    if skips:
        del sys.modules["peft"]  # not through monkeypatch, which would put it back
