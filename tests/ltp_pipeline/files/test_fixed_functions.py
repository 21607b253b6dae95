"""The repaired form of a defective function can be read as a row of its own, with the same pair."""

import pytest

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.data.flags import ReadingArguments
from ltp_pipeline.data.readers import read_functions, read_task_file
from ltp_pipeline.files.layouts import flaw_lines_of, pairs_of
from ltp_pipeline.task.tasks import CODE, TASKS, VDISC
from ltp_pipeline.view.report import choose_functions
from tests.ltp_pipeline.files.test_public_layouts import BAD, BIGVUL, CLEAN, DEVIGN, FIXED, MEGAVUL, write

ADDED = ReadingArguments(add_fixed_functions=True)


@pytest.mark.parametrize("rows", [BIGVUL, MEGAVUL], ids=["BigVul", "MegaVul"])
@pytest.mark.parametrize("form", ["lines", "csv", "parquet"])
def test_repaired_functions_are_added_as_pairs(tmp_path, rows, form):
    path = write(tmp_path, [rows[1], *rows, rows[0]], form)
    frame = read_functions(path, ADDED)
    assert frame["functionSource"].tolist() == [CLEAN, BAD, FIXED, CLEAN, BAD, FIXED]
    assert frame["label"].tolist() == [0, 1, 0, 0, 1, 0] and frame["label"].dtype == "int64"
    assert frame.index.tolist() == [0, 1, 1, 2, 3, 3]
    assert pairs_of(frame).tolist() == ["", "2", "2", "", "4", "4"]
    assert flaw_lines_of(frame) == [(), (5,), (), (), (5,), ()]
    assert pairs_of(frame.head(2)).tolist() == ["", ""]
    assert choose_functions(frame["label"], 2, [4, 2]) == [4, 1]
    assert pairs_of(read_functions(path)) is None


@pytest.mark.parametrize("fixed", ["", None, BAD, " \n", "\ud800"])
def test_a_row_without_a_repaired_form_has_no_pair(tmp_path, fixed):
    frame = read_functions(write(tmp_path, [{**BIGVUL[0], "func_after": fixed}, *BIGVUL], "lines"), ADDED)
    assert frame.index.tolist() == [0, 1, 1, 2] and pairs_of(frame).tolist() == ["", "2", "2", ""]


def test_files_and_tasks_without_repaired_forms(tmp_path):
    path = write(tmp_path, DEVIGN, "lines")
    for task in (CODE, VDISC, TASKS["COLA"]):
        with pytest.raises(UserError, match="--add_fixed_functions"):
            read_task_file(path, task, ADDED, flag="--test_file")
