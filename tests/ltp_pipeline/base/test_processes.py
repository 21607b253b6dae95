"""How the processes of a run wait for each other, share work and end."""

import re
from dataclasses import make_dataclass

import pytest

from ltp_pipeline.base import processes
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.flags import parse_arguments
from ltp_pipeline.base.result_folder import new_result


@pytest.mark.parametrize("failing", [[0], [1], [0, 1]])
def test_a_mistake_that_any_process_finds_ends_all_with_one_message(two, failing):
    def main():
        if processes.process_index() in failing:
            raise UserError("--train_file none.csv: no such file")
        processes.barrier()
        print("work begins")

    ended = two(main)
    assert [status for status, _, _ in ended] == [2, 2]
    assert "".join(error for _, _, error in ended) == "error: --train_file none.csv: no such file\n"
    assert "".join(shown for _, shown, _ in ended) == ""


def test_a_misspelt_flag_is_told_once(two):
    flags = make_dataclass("Flags", [("learning_rate", float, 1e-4)])
    ended = two(lambda: parse_arguments([flags], ["--lerning_rate", "1"], "", "x.py"))
    assert [status for status, _, _ in ended] == [2, 2]
    assert (
        "".join(error for _, _, error in ended).count(
            "error: unrecognized argument --lerning_rate; did you mean --learning_rate?"
        )
        == 1
    )


def test_a_result_folder_is_made_and_moved_once(two, tmp_path):
    def main():
        with new_result(tmp_path / "result") as work:
            (work / f"file_{processes.process_index()}").touch()
            processes.barrier()
        assert {path.name for path in (tmp_path / "result").iterdir()} == {"file_0", "file_1"}

    assert two(main) == [(0, "", "")] * 2
    assert not (tmp_path / "result.unfinished").exists()


def test_a_result_folder_that_another_machine_does_not_see(two, tmp_path, monkeypatch):
    def main():
        place = tmp_path / "here" if processes.is_main() else tmp_path / "there"
        with new_result(place):
            print("work begins")

    (status, shown, _), (other, _, error) = two(main)
    assert (status, shown, other) == (2, "", 2)
    assert re.match("error: --output_dir .*there: process 1, on .*, does not see the folder", error)
    assert not (tmp_path / "here.unfinished").exists()


def test_work_for_one_process_is_done_by_one(two):
    def main():
        processes.barrier()
        print(processes.process_count(), "at work")

    assert two(main, parallel=False) == [(0, "1 at work\n", ""), (0, "", "")]


def test_only_the_first_of_several_speaks_and_gets_what_all_have_found(two):
    def main():
        print(processes.gather(processes.process_index() + 10))

    assert two(main) == [(0, "[10, 11]\n", ""), (0, "", "")]


def test_shares_are_of_about_the_same_weight():
    weights = [1000, 700, 400, 300, 200, 100, 100, 50, 20, 10]
    shares = processes.split_by_weight(weights, 3)
    assert sorted(item for share in shares for item in share) == list(range(10))
    totals = [sum(weights[item] for item in share) for share in shares]
    assert totals == [1000, 950, 930]
    assert processes.split_by_weight([3], 2) == [[0], []]


def test_without_a_launcher_there_is_one_process(monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "4")  # as some clusters set it for their own ends
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    assert (processes.process_count(), processes.process_index(), processes.is_main()) == (1, 0, True)
    processes.barrier()
    assert processes.gather("mine") == ["mine"]
    processes.fail("error: something")
    assert capsys.readouterr() == ("", "error: something\n")
