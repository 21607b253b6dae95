"""benchmarks.threads: its settings, its summary, and one run beside a busy process."""

import json

import pytest

from benchmarks.threads import environment, main, summary
from ltp_pipeline.base.errors import UserError


def test_a_setting_is_a_number_of_threads_and_variables():
    assert environment("1") == {"OMP_NUM_THREADS": "1"}
    given = environment("2,A=b,C=d=e")
    assert given == {"OMP_NUM_THREADS": "2", "A": "b", "C": "d=e"}


def test_the_worst_ratio_is_that_to_the_fastest_setting_beside_as_many_neighbours():
    seconds = {("1", 0): [0.2, 0.3, 9.0], ("1", 1): [0.3], ("2", 0): [0.1, 0.15, 0.2], ("2", 1): [0.9]}
    times = [
        {"setting": setting, "neighbours": count, "pass": "p", "seconds": one}
        for (setting, count), values in seconds.items()
        for one in values
    ]
    one, two = summary(times)
    assert one == {"pass": "p", "setting": "1", "0 neighbours": 300.0, "1 neighbours": 300.0, "worst": 2.0}
    assert two["0 neighbours"] == 150.0 and two["worst"] == pytest.approx(3)
    assert list(one) == ["pass", "setting", "0 neighbours", "1 neighbours", "worst"]


def test_a_run(tmp_path, capsys):
    flags = "--settings 1 --neighbours 0 1 --dtypes float32 --sizes 2x20 --layers 1 --hidden_size 64 --rounds 1"
    main(f"{flags} --seconds 0.01 --output_dir {tmp_path}".split())
    report = json.loads((tmp_path / "threads.json").read_text())
    assert [(one["neighbours"], one["pass"], one["round"]) for one in report["times"]] == [
        (0, "ltp float32 2x20", 1), (1, "ltp float32 2x20", 1)
    ]  # fmt: skip
    (row,) = report["medians"]
    assert row["worst"] == 1 and 0 < row["0 neighbours"] < 10_000
    assert "1 neighbours" in capsys.readouterr().out


@pytest.mark.parametrize(
    "flags",
    [
        "--settings 0",
        "--settings 2,A",
        "--sizes 200",
        "--hidden_size 100",
        "--neighbours -1",
        "--rounds 0",
        "--sizes 1x20000",
        "--seconds -1",
        "--seconds nan",
    ],
)
def test_refused(flags):
    with pytest.raises(UserError, match=f"{flags}: "):
        main(flags.split())
