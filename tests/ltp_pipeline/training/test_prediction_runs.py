"""Both scripts predict functions without labels, and repeat the columns that say which function is meant."""

import json

import pandas as pd
import pytest

from ltp_pipeline.base.errors import UserError
from tests.ltp_pipeline.conftest import functions
from tests.ltp_pipeline.training.conftest import fine_tune, prune, results

FINE_TUNE = "--model_name_or_path longformer --max_seq_length 96 --output_dir out --do_predict"
PRUNE = "--restore longformer --output_dir out"


@pytest.fixture
def unlabelled(workplace):
    """new.csv: six functions without labels, with an id and a project. The working directory."""
    frame = functions(6).drop(columns="label").assign(id=range(40, 46), project="zlib")
    frame.to_csv(workplace / "new.csv", index=False)
    return workplace


@pytest.mark.parametrize(
    "run, flags",
    [
        (fine_tune, FINE_TUNE),
        (prune, f"{PRUNE} --eval"),
        (prune, f"{PRUNE} --do_predict"),
        (prune, f"{PRUNE} --eval --validation_file test.csv"),
    ],
)
def test_a_file_without_labels_gives_predictions_and_no_metrics(unlabelled, run, flags, capsys):
    run(f"{flags} --test_file new.csv")
    table = pd.read_csv("out/test_predictions.csv")
    assert list(table.columns) == ["id", "project", "prediction", "score"]
    assert table["id"].tolist() == list(range(40, 46)) and set(table["project"]) == {"zlib"}
    assert (table["prediction"] == (table["score"] > 0.5)).all()
    assert not {"test_f1", "test_accuracy", "test_loss"} & {*results("out")}
    assert "6 functions without labels" in capsys.readouterr().out
    assert ("eval_f1" in results("out")) == ("--validation_file" in flags)


def test_the_same_functions_have_the_same_predictions_with_labels(unlabelled):
    fine_tune(f"{FINE_TUNE} --test_file new.csv")
    without = pd.read_csv("out/test_predictions.csv")
    pd.read_csv("new.csv").assign(label=[0, 1] * 3).to_csv("labelled.csv", index=False)
    fine_tune(f"{FINE_TUNE} --test_file labelled.csv")
    table = pd.read_csv("out/test_predictions.csv")
    assert table["label"].tolist() == [0, 1] * 3 and "test_f1" in results("out")
    pd.testing.assert_frame_equal(table.drop(columns="label"), without)


def test_primevul_lines_are_named_by_the_column_id(unlabelled):
    fine_tune(f"{FINE_TUNE} --test_file new.csv --predictions_format primevul")
    lines = [line.split("\t") for line in open("out/test_predictions.txt").read().splitlines()]
    assert [int(idx) for idx, _, _ in lines] == list(range(40, 46))
    assert all(label == str(int(float(score) > 0.5)) for _, label, score in lines)


@pytest.mark.parametrize("flag", ["--validation_file", "--train_file"])
def test_training_and_evaluation_need_labels(unlabelled, flag):
    other = "--train_file" if flag == "--validation_file" else "--validation_file"
    with pytest.raises(UserError, match=f"{flag} new.csv: no column 'label'"):
        fine_tune(f"{FINE_TUNE} --do_train --do_eval --test_file new.csv {flag} new.csv {other} test.csv")


def test_the_default_folder_of_a_prediction_is_named_after_its_file(unlabelled):
    prune("--restore longformer --eval --test_file new.csv")
    (folder,) = (unlabelled / "longformer" / "eval").iterdir()
    assert folder.name.startswith("new-") and (folder / "test_predictions.csv").exists()


def test_several_labels_at_once(unlabelled):
    frame = functions(6).assign(label=["CWE-119", ""] * 3)
    frame.to_csv("groups.csv", index=False)
    flags = "--task_name vdisc --model_name_or_path longformer --max_seq_length 96 --output_dir groups"
    fine_tune(f"{flags} --do_train --train_file groups.csv --max_steps 1 --do_predict --test_file new.csv")
    table = pd.read_csv("groups/test_predictions.csv", keep_default_na=False)
    assert list(table.columns)[:3] == ["id", "project", "prediction"] and "label" not in table
    assert not any(name.startswith(("test_macro", "test_loss")) for name in results("groups"))


def test_comparison_without_labels_reports_agreement(unlabelled):
    from ltp_pipeline.comparison import main

    flags = "--test_file new.csv --max_length 96 --rounds 1 --output_dir compared"
    main(["--checkpoints", "a=longformer", "b=longformer", *flags.split()])
    rows = json.loads(open("compared/comparison.json").read())["checkpoints"]
    assert [row["agreement"] for row in rows] == [1, 1] and "f1" not in rows[0] and rows[1]["speedup"] > 0


def test_a_tokenizer_is_learned_from_functions_without_labels(unlabelled):
    from ltp_pipeline.train_tokenizer import main

    main("--train_file new.csv --output_dir tokenizer --vocab_size 300".split())
    assert (unlabelled / "tokenizer" / "tokenizer.json").exists()


def test_a_folder_of_two_classes_is_learned_and_another_folder_is_predicted(workplace):
    for number, (text, label) in enumerate(functions(8).itertuples(index=False, name=None)):
        file = workplace / "data" / ("vulnerable" if label else "safe") / f"f{number}.c"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        (workplace / "new").mkdir(exist_ok=True)
        (workplace / "new" / f"{number}.c").write_text(text)
    fine_tune(
        f"{FINE_TUNE} --do_train --do_eval --train_file data --validation_file data --test_file new --max_steps 2"
    )
    evaluated, predicted = (pd.read_csv(f"out/{name}predictions.csv") for name in ("", "test_"))
    assert list(evaluated.columns) == ["path", "label", "prediction", "score"] and set(evaluated["label"]) == {0, 1}
    assert list(predicted.columns) == ["path", "prediction", "score"]
    assert predicted["path"].tolist() == [f"{number}.c" for number in range(8)]
    record = json.loads(open("out/run.json").read())
    assert len(record["files"]["--train_file"]) == 64
    prune("--restore out --eval --test_file new --output_dir evaluated --predictions_format jsonl")
    rows = [json.loads(line) for line in open("evaluated/test_predictions.jsonl")]
    assert [row["path"] for row in rows] == predicted["path"].tolist()


def test_lines_pairs_intervals_and_windows_need_no_labels(unlabelled):
    frame = pd.read_csv("new.csv").assign(flaw_lines="2 3", pair=["p", "p", "q", "q", "", ""], label="")
    frame.to_csv("lines.csv", index=False)
    options = "--test_file lines.csv --truncation windows"
    fine_tune(f"{FINE_TUNE.replace('96', '40')} {options} --bootstrap 100")
    table = pd.read_csv("out/test_predictions.csv")
    assert list(table.columns) == ["id", "project", "flaw_lines", "pair", "prediction", "score"] and len(table) == 6
    known = {name.removeprefix("test_") for name in results("out") if name.startswith("test_")}
    assert not {name for name in known if name.startswith(("pair", "line", "mcc", "vds", "by_length", "f1"))}

    from ltp_pipeline.comparison import main

    main(["--checkpoints", "a=longformer", *f"{options} --max_length 40 --rounds 1 --bootstrap 100".split()])
    assert json.loads(open("comparison/comparison.json").read())["checkpoints"][0]["agreement"] == 1
