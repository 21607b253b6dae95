"""benchmarks.memory: what it compares, and one run."""

import json

import pytest

from benchmarks.memory import growth, main
from ltp_pipeline.base.errors import UserError


def test_growth_compares_the_last_tenth_with_the_second():
    sizes = [5.0] * 10 + [100.0] * 10 + [300.0] * 70 + [110.0] * 10
    report = growth([{"step": i, "seconds": 60.0 * i, "mib": size} for i, size in enumerate(sizes, start=1)])
    assert report["early_mib"] == 100 and report["late_mib"] == 110 and report["growth"] == pytest.approx(0.1)
    assert report["peak_mib"] == 300 and report["steps"] == 100 and report["minutes"] == 100


def test_a_run(tmp_path):
    main(f"--runs soft --steps 20 --layers 2 --hidden_size 64 --batch_size 2 --output_dir {tmp_path}".split())
    report = json.loads((tmp_path / "memory.json").read_text())
    (row,) = report["runs"]
    assert row["run"] == "soft" and row["steps"] == 20 and 100 < row["early_mib"] < 10_000
    assert len((tmp_path / "memory.csv").read_text().splitlines()) == 21
    assert (tmp_path / "memory.png").stat().st_size > 1000


@pytest.mark.parametrize("flags", ["--steps 19", "--hidden_size 100", "--batch_size 0"])
def test_refused(flags):
    with pytest.raises(UserError, match=f"{flags}: "):
        main(flags.split())
