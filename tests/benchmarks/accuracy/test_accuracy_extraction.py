"""The text on which benchmarks.accuracy trains a second model: what a pruned model keeps, and random tokens."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from benchmarks.accuracy.cells import Cell, Row
from benchmarks.accuracy.data_sets import DataSet
from benchmarks.accuracy.extraction import _Extractor, extract, extracted_text
from benchmarks.accuracy.settings import Reading, Settings
from benchmarks.accuracy.training import Trained
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.comparison import evaluate
from ltp_pipeline.model.flops_meter import FlopsMeter
from ltp_pipeline.view import kept_text
from ltp_pipeline.view.kept_tokens import PrunedModelArguments
from ltp_pipeline.view.pruned_files import write_pruned_files
from tests.ltp_pipeline.conftest import functions
from tests.pruned_checkpoint import save_checkpoint

LAYER = 2
CELL = Cell("a", Reading(64, "head"), Row("extracted", "0.3"), 3)
EXTRACTED, RANDOM = Row("extracted", "0.3"), Row("extracted_random", "0.3")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A checkpoint that removes more tokens in each layer, and what it extracts of a data set after `LAYER`."""
    folder = tmp_path_factory.mktemp("extraction")
    checkpoint = save_checkpoint(folder / "model")
    frames = {name: functions(8, first) for name, first in (("train", 0), ("validation", 100), ("test", 200))}
    files = {name: folder / f"{name}.csv" for name in frames}
    for name, frame in frames.items():
        frame.to_csv(files[name], index=False)
    data, settings = DataSet("a", files, frames), Settings(keep_layer=LAYER, dtype="float32")
    command = extract(checkpoint, data, CELL, settings, folder / "text", files)
    return SimpleNamespace(checkpoint=checkpoint, data=data, folder=folder, command=command, settings=settings)


def test_it_is_what_the_script_writes(made, tmp_path):
    texts, files, about = extracted_text(made.folder / "text", EXTRACTED, made.data, tmp_path)
    flags = made.command.split()
    assert flags[:2] == ["python", "ltp_extract_and_save.py"]
    given = dict(zip((flag.strip("-") for flag in flags[2::2]), flags[3::2], strict=True))
    layer, _ = int(given.pop("keep_layer")), given.pop("output_dir")
    args = PrunedModelArguments(**given | {"max_length": int(given["max_length"])})
    report = write_pruned_files(args, layer, tmp_path / "script")
    for split, table in (("train", "train"), ("dev", "validation")):
        written = tmp_path / "script" / f"{split}_pruned.csv"
        assert files[table].read_bytes() == written.read_bytes()
        assert pd.read_csv(written, keep_default_na=False)["code"].tolist() == texts[table]
    assert layer == about["keep_layer"] == LAYER
    for counts, table in zip(report["files"], ("train", "validation"), strict=True):
        assert {name: about["tables"][table][name] for name in ("tokens", "tokens_kept", "empty_functions")} == {
            name: counts[name] for name in ("tokens", "tokens_kept", "empty_functions")
        }


def test_random_tokens_are_as_many(made, monkeypatch):
    masks = []

    def noted(text, function, mask):
        masks.append(mask & function.is_text)
        assert (masks[-1] == mask).all() or len(masks) % 2  # no special token is drawn
        return text

    monkeypatch.setattr(kept_text, "kept_text", noted)
    texts = made.data.frames["test"]["functionSource"].tolist()
    _Extractor(made.checkpoint, CELL, made.settings).texts(texts, 1, np.random.default_rng(0))
    assert len(masks) == 16
    for kept, drawn in zip(masks[::2], masks[1::2], strict=True):
        assert 0 < kept.sum() == drawn.sum() and (kept != drawn).any()


def test_random_tokens_depend_on_the_seed(made, tmp_path):
    kept, _, _ = extracted_text(made.folder / "text", EXTRACTED, made.data, tmp_path)
    drawn, _, _ = extracted_text(made.folder / "text", RANDOM, made.data, tmp_path)
    assert kept["test"] != drawn["test"]
    for cell, same in ((CELL, True), (Cell("a", CELL.reading, CELL.row, 4), False)):
        folder = tmp_path / f"again_{cell.seed}"
        extract(made.checkpoint, made.data, cell, made.settings, folder, made.data.tables)
        again = json.loads((folder / "extraction.json").read_text())["texts"]
        assert (again["extracted_random"]["test"] == drawn["test"]) == same
        assert again["extracted"]["test"] == kept["test"]


def test_flops_of_extraction(made):
    """With all layers, they are those of the pruned model but for its head."""
    found = json.loads((made.folder / "text" / "extraction.json").read_text())["tables"]["test"]
    extractor = _Extractor(made.checkpoint, CELL, made.settings)
    texts, config = made.data.frames["test"]["functionSource"].tolist(), extractor.model.config
    with FlopsMeter(extractor.model) as meter:
        flops = [extractor.texts(texts, layer, np.random.default_rng(0))[1]["flops"] for layer in (1, LAYER, 3, 4)]
        whole = meter.pop()["gflops_per_function"] * 8e9
    assert 0 < flops[0] < found["flops"] == flops[1] < flops[2] < flops[3]
    assert flops[3] + 8 * 2 * config.hidden_size * (config.hidden_size + 2) == pytest.approx(whole)


def test_the_layer_nearest_to_the_budget(made):
    extractor = _Extractor(made.checkpoint, CELL, made.settings)
    texts = made.data.frames["validation"]["functionSource"].tolist()
    shares = [extractor.texts(texts, layer, np.random.default_rng(0))[1]["share_kept"] for layer in (1, 2, 3, 4)]
    assert 1 > shares[0] > shares[1] > shares[2]
    assert [extractor.nearest_layer(texts, share) for share in shares[:3]] == [1, 2, 3]


def test_a_model_that_removes_nothing(made):
    extractor = _Extractor(made.checkpoint, CELL, made.settings)
    for offset in extractor.model.learned_thresholds():
        offset.data.zero_()
    with pytest.raises(UserError, match="removes no token"):
        extractor.nearest_layer(["int f(void) { return 1; }"], 0.3)


def test_a_function_of_which_nothing_is_left_is_predicted(made):
    texts = {"test": ["", " \n", *made.data.frames["test"]["functionSource"][2:]]}
    trained = Trained(made.checkpoint, CELL.reading, "float32", texts=texts)
    frame = trained.reads(made.data, "test")
    assert frame["label"].tolist() == made.data.frames["test"]["label"].tolist()
    candidate = trained.candidate(frame)
    logits, labels, counts = evaluate(candidate)
    assert np.isfinite(logits).all() and labels.tolist() == frame["label"].tolist()
    assert counts[0, 0] == 2 and counts[2, 0] > 20  # <s> and </s> are left
