"""Every bad input of docs/data.md gets the message that stands there, before any file is written."""

from importlib.util import find_spec

import pytest

from tests.ltp_pipeline.bad_inputs import CASES, SCRIPTS, documented, import_vdisc, message
from tests.pruned_checkpoint import save_checkpoint


@pytest.fixture(scope="module")
def checkpoints(longformer_dir, tmp_path_factory):
    return {"longformer": longformer_dir, "pruned": save_checkpoint(tmp_path_factory.mktemp("pruned"))}


@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda number: f"{number + 1} {CASES[number].what}")
def test_the_message_is_the_one_in_the_docs(number, checkpoints):
    case = CASES[number]
    if case.run is import_vdisc and find_spec("h5py") is None:
        pytest.skip("h5py is not installed")
    assert documented()[number] == (SCRIPTS[case.run], case.what, message(case, checkpoints))


def test_the_table_has_at_least_forty_lines_and_no_others():
    assert len(documented()) == len(CASES) >= 40
