"""benchmarks.accuracy: flags, presets, and which cells there are."""

import pytest

from benchmarks.accuracy.__main__ import main
from benchmarks.accuracy.cells import BAG, DENSE, Cell, Row, needs, plan, rows_of, training_cost
from benchmarks.accuracy.settings import LOWEST, PRESETS, Reading, Settings, parse_flags, parse_reading
from ltp_pipeline.base.errors import UserError
from tests.ltp_pipeline.conftest import functions

TOKENS = {"train": 900.0, "validation": 300.0, "tests": 600.0, "function": 3.0}


def test_a_flag_wins_over_the_preset():
    _, settings = parse_flags(["--data_dir", "D", "--preset", "quick", "--seeds", "3", "4"], "")
    assert (settings.seeds, settings.hidden_size) == ([3, 4], PRESETS["quick"]["hidden_size"])
    _, settings = parse_flags(["--data_dir", "D", "--preset", "gpu", "--readings", "512:tail"], "")
    assert (settings.readings, settings.num_layers, settings.base_epochs) == (["512:tail"], 12, Settings().base_epochs)


@pytest.mark.parametrize(
    "flags, says",
    [
        ("--readings 4", "--readings 4: expected a length"),
        ("--readings 512:middle", "--readings 512:middle"),
        ("--readings 512 512", "--readings 512 512: a value is given twice"),
        ("--budgets 0", "--budgets 0: expected"),
        ("--budgets 1", "--budgets 1: expected"),
        ("--control_budgets least", "--control_budgets least: expected"),
        ("--extracted_budgets lowest", "--extracted_budgets lowest: expected relative FLOPs above 0 and below 1$"),
        ("--extracted_budgets 0.3 0.3", "--extracted_budgets 0.3 0.3: a value is given twice"),
        ("--keep_layer -1", "--keep_layer -1"),
        ("--first_layer_budgets 0.2 0.2", "--first_layer_budgets 0.2 0.2: a value is given twice"),
        ("--soft_budget 2", "--soft_budget 2"),
        ("--seeds 1 1", "--seeds 1 1"),
        ("--seeds -1", "--seed -1"),
        ("--hidden_size 100", "--hidden_size 100"),
        ("--num_layers 3", "--num_layers 3"),
        ("--attention_window 33", "--attention_window 33"),
        ("--base_lr 0", "--base_lr 0"),
        ("--hard_epochs nan", "--hard_epochs nan"),
        ("--train_rows -1", "--train_rows -1"),
        ("--batch_size 0", "--batch_size 0"),
        ("--bootstrap 5", "--bootstrap 5"),
        ("--vocab_size 20", "--vocab_size 20"),
    ],
)
def test_wrong_flags(flags, says):
    with pytest.raises(UserError, match=says):
        parse_flags(["--data_dir", "D", *flags.split()], "")


@pytest.fixture
def data_dir(tmp_path):
    for name, count, first in (("train", 24, 0), ("validation", 10, 100), ("test", 10, 200), ("other_test", 4, 300)):
        (tmp_path / "data" / "copies").mkdir(parents=True, exist_ok=True)
        functions(count, first).to_csv(tmp_path / "data" / "copies" / f"{name}.csv", index=False)
    return tmp_path / "data"


@pytest.mark.parametrize(
    "flags, says",
    [
        ("", "--data_dir is missing"),
        ("--data_dir nowhere", "--data_dir nowhere: no such folder"),
        ("--data_dir data/copies", "--data_dir data/copies: holds no folder"),
        ("--data_dir data --only nothing", "--only nothing: no cell"),
        ("--data_dir data --budgets 0.01", "--budgets 0.01: on copies about 0"),
        ("--data_dir data --first_layer_budgets 0.05", "--first_layer_budgets 0.05: on copies about 0"),
        ("--data_dir data --first_layer_budgets 0.05 --only random_first", "--first_layer_budgets 0.05: on copies"),
        ("--data_dir data --soft_budget 0.01", "--soft_budget 0.01"),
        ("--data_dir data --only extracted --soft_budget 0.01", "--soft_budget 0.01"),
        ("--data_dir data --extracted_budgets 0.02", "--extracted_budgets 0.02: on copies about 0"),
        ("--data_dir data --keep_layer 7", "--keep_layer 7: expected 0 to 6"),
        ("--data_dir data --model_name_or_path nowhere/model", "--model_name_or_path nowhere/model: no such folder"),
        ("--data_dir data --train_rows 1", "--train_rows 1: all functions drawn of .*train.csv have one label"),
        ("--tables_only", "--output_dir .*: holds no finished cell"),
        ("--data_dir data --output_dir data/copies/test.csv", "--output_dir data/copies/test.csv: cannot be made"),
    ],
)
def test_wrong_input_before_any_work(flags, says, data_dir, monkeypatch):
    monkeypatch.chdir(data_dir.parent)
    with pytest.raises(UserError, match=says):
        main(["--preset", "quick", "--max_negatives", "0", *flags.split()])
    assert sorted(path.name for path in data_dir.parent.iterdir()) in (["data"], ["benchmark_accuracy", "data"])


@pytest.mark.parametrize("missing", ["train", "validation", "test"])
def test_a_missing_table_is_named(missing, data_dir):
    (data_dir / "copies" / f"{missing}.csv").unlink()
    with pytest.raises(UserError, match=f"copies has no table of the split {missing}; expected .*{missing}"):
        main(["--data_dir", str(data_dir), "--list"])


def test_a_list_writes_nothing(data_dir, capsys):
    before = sorted(data_dir.parent.rglob("*"))
    main(["--data_dir", str(data_dir), "--output_dir", str(data_dir.parent / "out"), "--preset", "quick", "--list"])
    shown = capsys.readouterr().out
    assert "copies@192/seed_0/relevance_0.5 " in shown and "14 cells" in shown
    assert sorted(data_dir.parent.rglob("*")) == before


def test_the_first_seed_comes_first():
    settings = Settings(seeds=[5, 1], budgets=["0.5"], teachers=["none", "relevance"])
    cells = plan(settings, ["a", "b"], [Reading(512, "head"), Reading(64, "tail")], None)
    assert [cell.seed for cell in cells] == [5] * (len(cells) // 2) + [1] * (len(cells) // 2)
    assert cells[0].name == "a@512/seed_5/unpruned"
    names = [row.name for row in rows_of(settings)]
    assert names == [
        "unpruned", "learned 0.5", "relevance 0.5", "first_layer 0.2", "extracted 0.3", "extracted_random 0.3",
        "fixed 0.3", "topk 0.3", "random 0.3", "truncation 0.3", "random_first_layer 0.2",
        "dense 512", "bag of words",
    ]  # fmt: skip
    chosen = plan(settings, ["a", "b"], [Reading(64, "tail")], ["b@*relevance", "bag"])
    assert [cell.name for cell in chosen][:2] == ["a@64tail/seed_5/bag_of_words", "b@64tail/seed_5/relevance_0.5"]
    windows = plan(settings, ["a"], [parse_reading("64:windows")], None)
    assert not any(cell.row.kind == "truncation" or cell.row.is_extracted for cell in windows)


def test_what_a_cell_shares():
    settings = Settings(soft_budget=0.3)
    assert needs(_cell(Row("learned", "0.7", "attention")), settings) == ["base", "soft_attention_0.3"]
    assert needs(_cell(Row("learned", LOWEST)), Settings(soft_budget=0)) == ["base", f"soft_none_{LOWEST}"]
    assert needs(_cell(Row("first_layer", "0.2", "relevance")), settings) == ["base", "soft_first_layer_0.2"]
    other = Row("first_layer", "0.2", "attention")
    assert other.name == "first_layer_attention 0.2"
    assert needs(_cell(other), settings) == ["base", "soft_first_layer_attention_0.2"]
    assert Row("first_layer", "0.2", "none").name == "first_layer_untaught 0.2"
    assert needs(_cell(Row("random", "0.3")), settings) == needs(_cell(Row(DENSE)), settings) == ["base"]
    assert needs(_cell(Row(BAG)), settings) == []
    shared = ["base", "soft_relevance_0.3", "hard_relevance_0.3"]
    assert needs(_cell(Row("learned", "0.3", "relevance")), settings) == shared
    for kind in ("extracted", "extracted_random"):
        assert needs(_cell(Row(kind, "0.3")), settings) == [*shared, "text_0.3"]
    assert needs(_cell(Row("learned", "0.3", "relevance")), Settings(extracted_budgets=["0.5"])) == shared[:2]
    assert needs(_cell(Row("learned", "0.3", "attention")), settings) == ["base", "soft_attention_0.3"]


def test_costs_count_shared_models_once():
    epochs = {"base_epochs": 3, "soft_epochs": 1, "hard_epochs": 1}
    settings, done = Settings(**epochs, soft_budget=0.3, speed_functions=0, line_functions=0), set()
    read, cost = training_cost(_cell(Row("learned", "0.5", "relevance")), settings, TOKENS, done)
    assert read == 900 * (3 + 1 + 1)
    calibrated = 25 * 128 * 3
    taught = 2 / 3  # two passes of the teacher, of a third each
    assert cost == pytest.approx(900 * (3 + 1 + taught + 0.5) + (1200 + calibrated) / 3 * 0.5)
    assert training_cost(_cell(Row("learned", "0.7", "relevance")), settings, TOKENS, done)[0] == 900
    assert training_cost(_cell(Row("unpruned")), settings, TOKENS, done) == (1800, 1800 + 400)
    read, cost = training_cost(_cell(Row("extracted", "0.3")), settings, TOKENS, done)
    assert read == pytest.approx(900 + 0.3 * 5 * 900)  # the hard stage, and all epochs of the second model
    text = 1800 / 3  # every table is read once
    assert cost == pytest.approx(0.3 * (900 + text + 5 * 900 + 1200 / 3))
    taught = _cell(Row("learned", "0.3", "relevance"))
    assert training_cost(taught, settings, TOKENS, done)[0] == 0
    assert training_cost(_cell(Row("extracted_random", "0.3")), settings, TOKENS, done)[0] == pytest.approx(1350)
    assert training_cost(_cell(Row(BAG)), settings, TOKENS, done)[1] == 0


def _cell(row):
    return Cell("a", Reading(512, "head"), row, 0)
