"""The times of the measures."""

from benchmarks.measures import main


def test_each_part_has_a_line(capsys):
    main((40,))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "40 functions, all metrics of functions",
        "40 functions, MCC, PR-AUC and VD-S",
        "40 functions, pairs and groups",
        "40 functions, --bootstrap 1000",
    ]
    assert all(line.endswith(" ms") for line in lines)
