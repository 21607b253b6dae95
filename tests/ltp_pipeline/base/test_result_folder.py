import json
import platform

import pytest

from ltp_pipeline.base import folder_lock
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.result_folder import RESULT_MARK, check_new_tables, check_replaceable, new_folder, new_result


def _result(folder, text):
    folder.mkdir(parents=True)
    (folder / RESULT_MARK).write_text(text)
    return folder


def _make(target, text="new"):
    with new_result(target) as work:
        assert list(work.iterdir()) == []
        (work / RESULT_MARK).write_text(text)


def _tree(folder):
    return {str(path.relative_to(folder)): path.read_text() for path in folder.glob("**/*") if path.is_file()}


def test_a_new_result_takes_the_place_of_the_old(tmp_path):
    target = _result(tmp_path / "a" / "lr_1", "old")
    (target / "checkpoint-7").mkdir()
    (target / "checkpoint-7" / RESULT_MARK).write_text("stale")
    _make(target)
    assert _tree(tmp_path) == {f"a/lr_1/{RESULT_MARK}": "new"}


def test_a_command_that_is_no_training_leaves_the_checkpoints_of_one(tmp_path):
    target, work = tmp_path / "hard", tmp_path / "hard.unfinished"
    (work / "checkpoint-3").mkdir(parents=True)
    (work / "checkpoint-3" / RESULT_MARK).write_text("precious")
    with pytest.raises(UserError, match="hard.unfinished holds the checkpoints of an interrupted run"):
        with new_folder(target):
            pass
    with folder_lock.locked(target, "a training", replaces=True):
        with pytest.raises(UserError, match=r"hard: another run is writing this folder: .*\(a training\)"):
            with new_folder(target, overwrite=True):
                pass
    assert _tree(tmp_path) == {f"hard.unfinished/checkpoint-3/{RESULT_MARK}": "precious"}
    with new_folder(target, overwrite=True) as folder:
        (folder / "config.json").write_text("new")
    assert _tree(tmp_path) == {"hard/config.json": "new"}


def test_a_run_that_fails_changes_nothing_but_keeps_its_work(tmp_path, capsys):
    target = _result(tmp_path / "lr_1", "old")
    with pytest.raises(ZeroDivisionError), new_result(target) as work:
        (work / "checkpoint-3").write_text("half")
        raise ZeroDivisionError
    assert _tree(tmp_path) == {f"lr_1/{RESULT_MARK}": "old", "lr_1.unfinished/checkpoint-3": "half"}
    assert capsys.readouterr().out == f"unfinished: the files made so far are in {tmp_path / 'lr_1.unfinished'}\n"
    with new_result(target, resume=True) as work:
        assert (work / "checkpoint-3").read_text() == "half"
        (work / RESULT_MARK).write_text("new")
    assert _tree(tmp_path) == {f"lr_1/{RESULT_MARK}": "new", "lr_1/checkpoint-3": "half"}


def test_a_run_that_fails_before_it_made_anything_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError), new_result(tmp_path / "lr_1"):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_results_of_later_stages_are_kept_and_named(tmp_path, capsys):
    target = _result(tmp_path / "lr_1", "soft")
    _result(target / "hard" / "lr_2", "hard")
    _make(target, "soft again")
    assert _tree(tmp_path) == {
        f"lr_1/{RESULT_MARK}": "soft again",
        f"lr_1.previous/{RESULT_MARK}": "soft",
        f"lr_1.previous/hard/lr_2/{RESULT_MARK}": "hard",
    }
    assert "lr_1.previous, because it holds hard/lr_2" in capsys.readouterr().out
    _result(target / "hard" / "lr_2", "hard again")
    _make(target)
    assert _tree(tmp_path)[f"lr_1.previous-2/hard/lr_2/{RESULT_MARK}"] == "hard again"
    assert _tree(tmp_path)[f"lr_1.previous/hard/lr_2/{RESULT_MARK}"] == "hard"


def test_what_must_not_be_replaced(tmp_path, monkeypatch):
    soft = _result(tmp_path / "soft", "")
    hard = _result(soft / "hard", "")
    check_replaceable(soft, {"--restore": tmp_path / "code_test", "--train_file": None})
    with pytest.raises(UserError, match=r"--output_dir .*soft: the result would replace --restore \(.*soft\)"):
        check_replaceable(soft, {"--restore": soft})
    with pytest.raises(UserError, match="would replace --restore"):
        check_replaceable(soft, {"--restore": hard})
    monkeypatch.chdir(hard)
    with pytest.raises(UserError, match="would replace the working directory"):
        check_replaceable(soft, {})
    other = tmp_path / "home"
    other.mkdir()
    check_replaceable(other, {})
    (other / "thesis.tex").write_text("")
    with pytest.raises(UserError, match="home: contains files that are not a result"):
        check_replaceable(other, {})
    with pytest.raises(UserError, match="thesis.tex: contains files"):
        check_replaceable(other / "thesis.tex", {})


@pytest.mark.parametrize("content", ["[" * 100_000, '{"pid": Infinity, "host": HOST}', '{"pid": 1e300, "host": HOST}'])
def test_a_damaged_file_about_the_lock_is_no_traceback(tmp_path, content):
    holder = tmp_path / "out.unfinished.lock.json"
    holder.write_text(content.replace("HOST", json.dumps(platform.node())))
    read = folder_lock._read(holder)
    assert read is None or folder_lock._is_alive(read)


def test_tables_of_another_format_would_stay_beside_the_new_ones(tmp_path):
    check_new_tables(tmp_path / "new", ["train_subset", "test"], "csv")
    (tmp_path / "test.csv").write_text("old")
    (tmp_path / "other.parquet").write_text("of somebody")
    check_new_tables(tmp_path, ["train_subset", "test"], "csv")
    with pytest.raises(UserError, match="test.csv.*--format parquet.*test.parquet"):
        check_new_tables(tmp_path, ["train_subset", "test"], "parquet")
