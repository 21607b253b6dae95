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
    multiprocessing.set_forkserver_preload(["run_code_metrics", "ltp_pipeline.training.run"])
    return place


@pytest.fixture(autouse=True)
def quiet_processes(monkeypatch):
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")
    monkeypatch.setenv("PYTHONWARNINGS", "ignore:resource_tracker")  # it counts what killed processes did not return
