"""Cells of benchmarks.accuracy are kept, skipped and compared, with a trainer that only pretends."""

import json

import pytest
from filelock import FileLock

from benchmarks.accuracy import runs
from benchmarks.accuracy.cells import Cell, Row, plan
from benchmarks.accuracy.commands import batch_part
from benchmarks.accuracy.controls import RandomStage
from benchmarks.accuracy.data_sets import DataSet
from benchmarks.accuracy.records import difference, identity, read_record, write_record
from benchmarks.accuracy.settings import Reading, Settings
from benchmarks.accuracy.tables import read_cells, write_tables
from benchmarks.accuracy.training import Workshop, begun
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.training.run_record import present_commit
from tests.ltp_pipeline.conftest import functions

SETTINGS = {"budgets": ["0.5"], "control_budgets": ["0.5"], "teachers": ["none", "relevance"], "vocab_size": 300}
SETTINGS |= {"extracted_budgets": ["0.5"]}


@pytest.fixture
def begin(tmp_path, monkeypatch):
    """Makes a workshop and its cells; `changed`: settings."""
    monkeypatch.setattr(runs, "free_unused_memory", lambda: None)  # 0.1 s for each cell
    folder = tmp_path / "data" / "a"
    folder.mkdir(parents=True)
    for name, count, first in (("train", 24, 0), ("validation", 10, 100), ("test", 10, 200)):
        functions(count, first).to_csv(folder / f"{name}.csv", index=False)

    def begin(overwrite=False, seeds=(0, 1), only=None, **changed):
        settings = Settings(**SETTINGS, seeds=list(seeds), **changed)
        data = DataSet("a", {path.stem: path for path in sorted(folder.iterdir(), reverse=True)})
        data.draw(settings)
        cells = plan(settings, ["a"], [Reading(512, "head")], only)
        return Workshop(tmp_path / "out", settings, {"a": data}, overwrite), cells

    return begin


class Pretends:
    """Notes which cells it was asked for, and fails where `fails` says so."""

    def __init__(self, fails=lambda name: None):
        self.names, self.fails = [], fails

    def __call__(self, workshop, cell):
        self.names.append(cell.name)
        error = self.fails(cell.name)
        if error is not None:
            raise error
        labels = workshop.data["a"].frames["test"]["label"].tolist()
        own = {"labels": labels, "pairs": None, "probabilities": [0.2 + label / 2 for label in labels]}
        own |= {"relative_flops": 0.5, "gflops_per_function": 1.0, "tokens_kept_per_layer": [9.0, 1.0]}
        return {"about": {"commands": ["x"], "budget": 0.5}, "threshold": 0.5, "tests": {"test": own}}


def test_finished_cells_are_kept(begin, capsys):
    workshop, cells = begin()
    stopped = Pretends(lambda name: KeyboardInterrupt() if name.endswith("seed_0/topk_0.5") else None)
    done = [cell.name for cell in cells].index("a@512/seed_0/topk_0.5")
    with pytest.raises(KeyboardInterrupt, match="topk_0.5 is not finished; the same command goes on"):
        runs.run_cells(workshop, cells, stopped)
    assert len(list(workshop.output.glob("cells/*/*/*"))) == done  # nothing of the cell that was interrupted
    again = Pretends()
    assert runs.run_cells(workshop, cells, again) == 0
    assert again.names == [cell.name for cell in cells][done:]
    shown = capsys.readouterr().out
    assert f"{len(cells)} cells, {done} of them finished" in shown
    left = len(cells) - done
    assert f"[1/{left}] a@512/seed_0/topk_0.5 begins\n" in shown
    assert f"[{left}/{left}] a@512/seed_1/bag_of_words took" in shown
    assert "left\n" in shown
    third = Pretends()
    runs.run_cells(workshop, cells, third)
    assert not third.names


def test_a_cell_says_what_it_is(begin):
    workshop, cells = begin(seeds=[7], only=["relevance"])
    runs.run_cells(workshop, cells, Pretends())
    (cell,) = read_cells(workshop.output)
    assert cell["cell"] == {
        "data": "a", "reading": "512", "row": "relevance 0.5", "kind": "learned", "budget": "0.5",
        "teacher": "relevance", "seed": 7,
    }  # fmt: skip
    assert cell["identity"]["data"] == workshop.data["a"].hashes
    assert (
        {"torch", "python"} <= set(cell["versions"]) and "instructions" in cell["machine"] and cell["dtype"] == "auto"
    )
    assert cell["command"].startswith("python -m benchmarks.accuracy") and cell["commit"] == present_commit()
    assert "relevance 0.5" in write_tables(workshop.output, 100)
    assert (workshop.output / "accuracy.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    "changed, says",
    [
        ({"hard_epochs": 2.0}, "--hard_epochs was 1.0, now 2.0"),
        ({"hidden_size": 128}, "--hidden_size was 256, now 128"),
        ({"train_rows": 20}, "the table train was sha256 ........, now sha256 "),
        ({"max_negatives": 0, "test_rows": 8}, "the table test was"),
        ({"dtype": "float32"}, "--dtype was auto, now float32"),
    ],
)
def test_other_settings_or_data_are_an_error(changed, says, begin):
    few = {"only": ["unpruned", "bag"], "seeds": [0]}
    runs.run_cells(*begin(**few), Pretends())
    for again in (Pretends(), Pretends()):
        with pytest.raises(UserError, match=says.replace("........", ".{12}")):
            runs.run_cells(*begin(**few, **changed), again)
        assert not again.names
    replaced = Pretends()
    runs.run_cells(*begin(overwrite=True, **few, **changed), replaced)
    both = any("rows" in name for name in changed)  # bag of words depends on the data alone
    assert [name.split("/")[2] for name in replaced.names] == ["unpruned", *(["bag_of_words"] if both else [])]
    runs.run_cells(*begin(**few, **changed), Pretends(lambda name: AssertionError(name)))


def test_settings_that_change_nothing():
    """A setting of other rows does not spoil a cell."""
    hashes = {"train": "1", "validation": "2", "test": "3"}
    reading = Reading(512, "head")

    def known(kind, shared=None, teacher="none", **changed):
        row = Row(kind, "0.3" if kind in ("learned", "random", "extracted") else None, teacher)
        return identity(Cell("a", reading, row, 0), Settings(**changed), hashes, shared)

    assert known("unpruned") == known("unpruned", rank_weight=0.1, budgets=["0.9"], seeds=[3], soft_budget=0.5)
    assert known("learned") == known("learned", rank_weight=0.1)
    assert known("learned", teacher="relevance") != known("learned", teacher="relevance", rank_weight=0.1)
    first = {"kind": "first_layer", "teacher": "relevance"}
    assert known(**first) == known(**first, soft_budget=0.5) != known(**first, rank_weight=0.1)
    assert known("learned", "base") == known("random", "base", hard_epochs=9, test_rows=1)
    assert known("learned", "base")["data"] == {"train": "1", "validation": "2"}
    assert known("extracted", keep_layer=2) != known("extracted") != known("extracted", rank_weight=0.1)
    assert known("extracted", "text_0.3", keep_layer=2) != known("extracted", "text_0.3")
    taught = {"teacher": "relevance", "shared": "hard_relevance_0.3"}
    assert known("extracted", "hard_relevance_0.3", keep_layer=2) == known("learned", **taught)
    assert (
        known("learned", **taught, hard_epochs=2)
        != known("learned", **taught)
        == known("learned", **taught, keep_layer=2)
    )
    assert known("learned", **taught)["data"] == {"train": "1", "validation": "2"}
    assert known("extracted", "text_0.3")["data"] == hashes
    assert known("random", model_name_or_path="m") == known("random", model_name_or_path="m", hidden_size=64)


def test_a_row_whose_first_layer_prunes_has_a_soft_stage_of_its_own(begin):
    workshop, cells = begin(seeds=[0], first_layer_budgets=["0.25"])
    own, other = (next(cell for cell in cells if name in cell.name) for name in ("first_layer", "relevance"))
    flags = workshop._soft_flags(own)
    assert "--prune_first_layer" in flags and "--prune_first_layer" not in workshop._soft_flags(other)
    assert flags[flags.index("--target_flops") + 1] == "0.25" and flags[-1] == "relevance"


@pytest.mark.parametrize(
    "teacher, name", [("magnitude", "magnitude"), ("attention", "attention"), ("none", "untaught")]
)
def test_a_first_layer_that_prunes_has_the_teacher_of_its_row(begin, teacher, name):
    workshop, cells = begin(seeds=[0], first_layer_budgets=["0.25"], first_layer_teachers=[teacher])
    [own] = (cell for cell in cells if f"/first_layer_{name}_0.25" in cell.name)
    taught = ["--rank_distillation", "0"] if teacher == "none" else ["--rank_teacher", teacher]
    for flags in (workshop._soft_flags(own), workshop._hard_flags(own, 0.25)):
        assert flags[-2:] == taught
    assert "--prune_first_layer" in workshop._soft_flags(own)


@pytest.mark.parametrize("row, budget, first", [("random", "0.5", False), ("random_first_layer", "0.25", True)])
def test_the_control_of_a_first_layer_that_prunes_prunes_there_too(begin, row, budget, first):
    workshop, cells = begin(seeds=[0], first_layer_budgets=["0.25"])
    cell = next(cell for cell in cells if cell.row == Row(row, budget))
    asked = []

    class Noted:
        def prune(self, folder, start, flags, epochs, how):
            asked.append((flags, how))

    workshop._own(cell, workshop.output, workshop.output, Noted())
    [(flags, how)] = asked
    assert ("--prune_first_layer" in flags) == first and how is RandomStage
    assert flags[flags.index("--target_flops") + 1] == budget


def test_a_failed_cell_does_not_end_the_run(begin, capsys):
    workshop, cells = begin(seeds=[0])
    pretends = Pretends(lambda name: UserError(f"{name}: too bad") if "/random_0.5" in name else None)
    with pytest.raises(UserError, match="1 cells failed, see above: a@512/seed_0/random_0.5;"):
        runs.run_cells(workshop, cells, pretends)
    assert pretends.names == [cell.name for cell in cells] and "random_0.5: too bad" in capsys.readouterr().err
    again = Pretends()
    runs.run_cells(workshop, cells, again)
    assert again.names == ["a@512/seed_0/random_0.5"]


def test_a_group_of_another_process_is_left_to_it(begin, capsys):
    workshop, cells = begin()
    lock = workshop.output / "locks" / "a@512" / "seed_0.lock"
    lock.parent.mkdir(parents=True)
    pretends = Pretends()
    with FileLock(lock):
        assert runs.run_cells(workshop, cells, pretends) == len(cells) // 2
    assert all("seed_1" in name for name in pretends.names) and len(pretends.names) == len(cells) // 2
    assert f"a@512/seed_0: {len(cells) // 2} cells are left to another process" in capsys.readouterr().out


@pytest.mark.parametrize("content", ["", "[]", "{}", "nothing"])
def test_a_file_that_is_no_record(content, tmp_path):
    path = tmp_path / "cell.json"
    path.write_text(content)
    with pytest.raises(UserError, match="cell.json: is no record"):
        read_record(path, None, overwrite=False)
    assert read_record(path, None, overwrite=True) is None


def test_records_are_read_as_written(tmp_path):
    record = {"identity": {"format": 1, "settings": {}, "data": {}}, "numbers": [0.1, 1 / 3]}
    write_record(tmp_path / "cell.json", record)
    assert read_record(tmp_path / "cell.json", record["identity"], False) == record
    assert len((tmp_path / "cell.json").read_text().splitlines()) == 4
    assert "format 0, now 1" in difference({"format": 0}, record["identity"])


def test_a_half_trained_model_of_other_settings_is_removed(tmp_path):
    one, other = ({"format": 1, "settings": {"base_lr": rate}, "data": {}} for rate in (1.0, 2.0))
    work = begun(tmp_path / "base", one)
    (work / "model").mkdir()
    assert (begun(work, one) / "model").is_dir()
    assert not (begun(work, other) / "model").exists()
    assert json.loads((work / "record.json").read_text()) == {"identity": other, "complete": False}


@pytest.mark.parametrize(
    "size, length, part", [(16, 512, 16), (16, 4096, 4), (12, 4096, 4), (16, 99999, 1), (1, 8, 1)]
)
def test_long_readings_are_accumulated(size, length, part):
    assert batch_part(size, length) == part
