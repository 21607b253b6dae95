import sys

import pytest

from ltp_pipeline.base import program


@pytest.mark.parametrize(
    ("started", "words"),
    [
        ("/env/bin/ltp-prune", "ltp-prune"),
        ("./run_code_metrics.py", "python run_code_metrics.py"),
        ("/a/ltp_scan.py", "python run_code_metrics.py"),
    ],
)
def test_the_words_in_front_of_the_flags(monkeypatch, started, words):
    monkeypatch.setattr(sys, "argv", [started, "--lr", "1"])
    assert program.program("run_code_metrics.py") == words
    assert program.program("Data/build_dataset.py") == "python Data/build_dataset.py"


def test_messages_name_the_script_that_is_there(monkeypatch, tmp_path):
    scripts = {command: name for command, name in program.INSTALLED.items() if command.endswith(".py")}
    assert len(scripts) == 5 and all((program.ROOT / script).is_file() for script in scripts)
    assert program.name_of("ltp-finetune") == "run_glue_code_metrics.py"
    monkeypatch.setattr(program, "ROOT", tmp_path)
    assert program.name_of("ltp-finetune") == "ltp-finetune"
