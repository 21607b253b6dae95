"""The working directory of the trainings in runs.py."""

import multiprocessing

import pytest

from tests.ltp_pipeline.conftest import functions, save_longformer
from tests.pruned_checkpoint import make_tokenizer


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """A folder with train.csv, test.csv and the checkpoint `start`."""
    place = tmp_path_factory.mktemp("kills")
    for name, first, count in (("train", 0, 24), ("test", 100, 8)):
        functions(count, first).to_csv(place / f"{name}.csv", index=False)
    make_tokenizer().save_pretrained(place / "tokenizer")
    save_longformer(place / "tokenizer", place / "start")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOKENIZERS_PARALLELISM", "false")
        patch.setenv("PYTHONWARNINGS", "ignore:resource_tracker")  # it counts what killed processes did not return
        multiprocessing.set_forkserver_preload(["run_code_metrics", "ltp_pipeline.training.run"])
        first = multiprocessing.get_context("forkserver").Process(target=int)  # The server imports now.
        first.start()
        first.join()
        yield place
