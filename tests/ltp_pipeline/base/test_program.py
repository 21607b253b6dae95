import sys

import pytest

from ltp_pipeline.base import program


@pytest.mark.parametrize(
    ("started", "words"),
    [
        ("/env/bin/ltp-prune", ["ltp-prune"]),
        ("./run_code_metrics.py", ["python", "run_code_metrics.py"]),
        ("/a/ltp_scan.py", ["python", "ltp_scan.py"]),
    ],
)
def test_the_words_in_front_of_the_flags(monkeypatch, started, words):
    monkeypatch.setattr(sys, "argv", [started, "--lr", "1"])
    assert program.program_words() == words
    assert program.is_installed_command() == (len(words) == 1)


def test_messages_name_the_script_that_is_there(monkeypatch, tmp_path):
    assert all((program.ROOT / script).is_file() for script in program.SCRIPTS.values())
    assert program.name_of("ltp-finetune") == "run_glue_code_metrics.py"
    monkeypatch.setattr(program, "ROOT", tmp_path)
    assert program.name_of("ltp-finetune") == "ltp-finetune"
