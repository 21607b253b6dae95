"""How often a progress bar is drawn."""

import io
import sys

import pytest

from ltp_pipeline.base.progress import progress_bar


@pytest.mark.parametrize("is_terminal, seconds", [(True, 0.1), (False, 100)])
def test_a_bar_is_drawn_less_often_in_a_log_file(is_terminal, seconds, monkeypatch):
    stream = io.StringIO()
    stream.isatty = lambda: is_terminal
    monkeypatch.setattr(sys, "stderr", stream)
    bar = progress_bar(range(3), seconds=100, desc="name")
    assert bar.mininterval == seconds and list(bar) == [0, 1, 2] and "name: 100%" in stream.getvalue()
