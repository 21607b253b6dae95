"""Seconds of commands, and how many of them are beyond the first one's."""

import pytest

from benchmarks.startup import main, measure
from ltp_pipeline.base.errors import UserError


def test_seconds_beyond_the_first():
    work = "n = 0\nwhile n < 3_000_000: n += 1"
    first, sleeps, works = measure(
        {"nothing": ["-c", ""], "sleeps": ["-c", "import time; time.sleep(0.4)"], "works": ["-c", work]}, rounds=3
    )
    assert first["beyond torch"] == 0 and first["of it beyond torch"] == 0
    assert sleeps["beyond torch"] > 0.3 and sleeps["of it beyond torch"] < 0.1
    assert works["of it beyond torch"] > 0.05


def test_a_command_that_fails_is_told():
    with pytest.raises(UserError, match="python -c raise SystemExit.* failed: no such flag"):
        measure({"fails": ["-c", "raise SystemExit('no such flag')"]}, rounds=1)
    with pytest.raises(UserError, match="--rounds 0: expected 1 or more"):
        main(["--rounds", "0"])
