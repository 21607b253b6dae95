"""benchmarks.startup: the seconds of programs beyond those of the first."""

import pytest

from benchmarks.startup import main, time_programs
from ltp_pipeline.base.errors import UserError


def test_seconds_beyond_the_first():
    work = "n = 0\nwhile n < 3_000_000: n += 1"
    first, sleeps, works = time_programs(
        {"nothing": ["-c", ""], "sleeps": ["-c", "import time; time.sleep(0.4)"], "works": ["-c", work]}, rounds=3
    )
    assert first["beyond torch"] == 0 and first["of it beyond torch"] == 0
    assert sleeps["beyond torch"] > 0.3 and sleeps["of it beyond torch"] < 0.1
    assert works["of it beyond torch"] > 0.05


def test_errors():
    with pytest.raises(UserError, match="python -c raise SystemExit.* failed: no such flag"):
        time_programs({"fails": ["-c", "raise SystemExit('no such flag')"]}, rounds=1)
    with pytest.raises(UserError, match="--rounds 0: .*1 or more"):
        main(["--rounds", "0"])
