"""GLUE through both scripts: a task of one text, one of two texts and three classes, and one of numbers."""

import json
import shutil
from pathlib import Path

import datasets
import pandas as pd
import pytest

import ltp_extract_and_save
import ltp_test
from ltp_pipeline import comparison
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.task.tasks import TASKS
from tests.ltp_pipeline.training.conftest import fine_tune, prune, results

NOUNS = "buffer file string pointer array socket".split()
TYPED = {"SST2": "sst2", "MNLI": "mnli-mm", "STSB": "sts-b"}
METRICS = {"SST2": ["accuracy"], "MNLI": ["accuracy"], "STSB": ["pearson", "spearmanr"]}
HEADINGS = {"SST2": "accuracy", "MNLI": "accuracy", "STSB": "Spearman"}
SOFT = "--masking_mode soft --epoch 2 --temperature 0.1 --lambda 0.1 --final_token_threshold 0.9 --lr_threshold 0.01"


def items(task, count, first=0, labels=True):
    """`count` rows of the task's shape, in which the labels take turns."""
    rows = []
    for i in range(first, first + count):
        texts = [
            f"return the {NOUNS[(i + k) % 6]} of size {i} when it is {'not ' * (i % 2)}{NOUNS[(i * k) % 6]}"
            for k in range(len(task.columns))
        ]
        label = i % 11 / 2 if task.is_regression else task.labels[i % task.num_labels]
        rows.append(dict(zip(task.columns, texts, strict=True)) | {"label": label if labels else -1})
    return pd.DataFrame(rows)


def files(name):
    flags = f"--train_file {name}_train.csv --validation_file {name}_val.jsonl --test_file {name}_test.csv"
    return flags + (" --validation_mismatched_file MNLI_other.csv" if name == "MNLI" else "")


@pytest.fixture(scope="module")
def place(longformer_dir, tmp_path_factory):
    """The working directory: of each task its files, a fine-tuned checkpoint, `<task>_soft` and `<task>_hard`."""
    place = tmp_path_factory.mktemp("glue")
    shutil.copytree(longformer_dir, place / "longformer")
    for name in TYPED:
        items(TASKS[name], 24).to_csv(place / f"{name}_train.csv", index=False)
        items(TASKS[name], 14, first=100).to_json(place / f"{name}_val.jsonl", orient="records", lines=True)
        items(TASKS[name], 5, first=200, labels=False).to_csv(place / f"{name}_test.csv", index=False)
    items(TASKS["MNLI"], 9, first=300).to_csv(place / "MNLI_other.csv", index=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        for name, typed in TYPED.items():
            fine_tune(
                f"--task_name {typed} --model_name_or_path longformer --do_train --do_eval --do_predict {files(name)} "
                f"--per_device_train_batch_size 8 --num_train_epochs 1 --dtype float32 --output_dir {name}"
            )
            stage = f"--task {typed} {files(name)} --lr 2e-5 --bs 8 --dtype float32"
            prune(f"{stage} --restore {name} {SOFT} --output_dir {name}_soft")
            prune(f"{stage} --restore {name}_soft --masking_mode hard --epoch 1 --output_dir {name}_hard")
        yield place


def check_metrics(everything, split, name, predictions):
    """The reported metrics are those of the task, computed from the written predictions."""
    label, prediction = predictions["label"], predictions["prediction"]
    if name == "STSB":
        expected = {"pearson": label.corr(prediction), "spearmanr": label.corr(prediction, method="spearman")}
    else:
        expected = {"accuracy": (label == prediction).mean()}
    for metric in ("accuracy", "f1", "matthews_correlation", "pearson", "spearmanr", "auc", "recall"):
        assert (f"{split}_{metric}" in everything) == (metric in METRICS[name]), metric
    for metric, value in expected.items():
        assert everything[f"{split}_{metric}"] == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize("name", TYPED)
def test_fine_tuning_measures_what_the_task_does_and_predicts_rows_without_labels(place, name):
    task, everything = TASKS[name], results(name)
    config = json.loads(Path(name, "config.json").read_text())
    assert (config["model_type"], config["problem_type"]) == ("ltp", task.problem_type)
    if task.labels:
        assert config["id2label"] == {str(i): label for i, label in enumerate(task.labels)}
    predictions = pd.read_csv(f"{name}/predictions.csv")
    given = items(task, 14, first=100)["label"]
    expected = given if task.is_regression else given.map(task.labels.index)
    assert predictions["label"].tolist() == pytest.approx(expected.tolist())
    check_metrics(everything, "eval", name, predictions)
    scores = {"SST2": ["score"], "MNLI": [f"score_{label}" for label in task.labels], "STSB": []}[name]
    assert [column for column in predictions if column.startswith("score")] == scores
    assert [key for key in everything if "mismatched_functions" in key] == ["eval_mismatched_functions"] * (
        name == "MNLI"
    )
    if name == "MNLI":
        check_metrics(everything, "eval_mismatched", name, pd.read_csv("MNLI/mismatched_predictions.csv"))
        assert everything["eval_mismatched_functions"] == 9
    assert not {"test_loss", "test_accuracy", "test_pearson"} & everything.keys()
    assert (everything["test_functions"], everything["test_relative_flops"]) == (5, 1)
    unlabelled = pd.read_csv(f"{name}/test_predictions.csv")
    assert len(unlabelled) == 5 and "label" not in unlabelled


@pytest.mark.parametrize("name", TYPED)
def test_stages_of_pruning(place, name, capsys, tmp_path):
    soft, hard = results(f"{name}_soft"), results(f"{name}_hard")
    assert soft["eval_thresholds_per_layer"] == hard["eval_thresholds_per_layer"] != [0, 0.3, 0.6]
    assert hard["eval_relative_flops"] < 0.95
    check_metrics(hard, "eval", name, pd.read_csv(f"{name}_hard/predictions.csv"))
    state = json.loads(Path(f"{name}_hard", "trainer_state.json").read_text())
    metric = f"eval_{METRICS[name][0]}"
    assert state["best_metric"] == max(entry[metric] for entry in state["log_history"] if metric in entry)

    capsys.readouterr()
    prune(f"--task {name} --restore {name}_hard --eval {files(name)} --dtype float32 --output_dir {tmp_path}")
    evaluated = results(tmp_path)
    for metric in (*METRICS[name], "relative_flops", "tokens_kept_per_layer"):
        assert evaluated[f"eval_{metric}"] == pytest.approx(hard[f"eval_{metric}"], abs=1e-6)
    assert evaluated["test_relative_flops"] < 0.95 and "test_loss" not in evaluated
    shown = capsys.readouterr().out
    assert HEADINGS[name] in shown and "relative FLOPs" in shown and "AUC" not in shown
    assert ("eval_mismatched" in shown) == (name == "MNLI")


def test_a_split_without_a_file_comes_from_the_hub(place, tmp_path, monkeypatch):
    wanted = []

    def load_dataset(path, name, split):
        wanted.append((path, name, split))
        frame = items(TASKS["MNLI"], 6, first=400, labels=not split.startswith("test"))
        frame["label"] = [TASKS["MNLI"].labels.index(label) if label != -1 else -1 for label in frame["label"]]
        return datasets.Dataset.from_pandas(frame)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    flags = "--task_name mnli --model_name_or_path longformer --do_train --do_eval --do_predict --max_steps 1"
    fine_tune(f"{flags} --max_tokens_per_batch 200 --train_file MNLI_train.csv --output_dir {tmp_path / 'a'}")
    splits = ["validation_matched", "validation_mismatched", "test_matched", "test_mismatched"]
    assert wanted == [("nyu-mll/glue", "mnli", split) for split in splits]
    everything = results(tmp_path / "a")
    assert everything["train_samples"] == 24  # --train_file is used in place of the hub's split.
    for split in ("eval", "eval_mismatched", "test", "test_mismatched"):
        assert everything[f"{split}_functions"] == 6
    assert (tmp_path / "a" / "test_mismatched_predictions.csv").is_file()

    prune("--task mnli --restore MNLI --eval --max_eval_samples 4 --dtype float32")
    assert wanted[4:] == [("nyu-mll/glue", "mnli", split) for split in splits[:2]]
    assert results("MNLI/eval/validation_matched-max_eval_samples_4")["eval_mismatched_functions"] == 4


def test_numbers_are_predicted_to_a_compute_budget(place, tmp_path):
    flags = f"--task stsb --restore STSB {files('STSB')} --masking_mode soft --bs 8 --epoch 2 --no_load"
    prune(f"{flags} --dtype float32 --target_flops 0.9 --output_dir {tmp_path / 'budget'}")
    assert results(tmp_path / "budget")["eval_relative_flops"] == pytest.approx(0.9, abs=0.03)


def test_a_checkpoint_of_another_task_is_a_start(place, tmp_path, capsys):
    flags = f"--task_name sst2 --model_name_or_path STSB --do_train --do_eval {files('SST2')} --max_steps 1"
    fine_tune(f"{flags} --dtype float32 --output_dir {tmp_path / 'sst2'}")
    assert "a new classification head" in capsys.readouterr().out
    config = json.loads((tmp_path / "sst2" / "config.json").read_text())
    assert config["problem_type"] == "single_label_classification"
    assert config["id2label"] == {"0": "negative", "1": "positive"}
    # A problem type that another program has stored is ignored.
    (tmp_path / "sst2" / "config.json").write_text(
        json.dumps({**config, "problem_type": "multi_label_classification"})
    )
    flags = f"--task sst2 --restore {tmp_path / 'sst2'} --eval {files('SST2')} --output_dir {tmp_path / 'eval'}"
    prune(f"{flags} --dtype float32")
    assert results(tmp_path / "eval")["eval_loss"] == pytest.approx(results(tmp_path / "sst2")["eval_loss"])


def test_pairs_of_three_classes_are_shown_and_numbers_refused(place, tmp_path, monkeypatch):
    def visualise(task, name):
        flags = f"--task_name {task} --model_name_or_path MNLI_hard --validation_file {name}_val.jsonl --use_cpu"
        command = f"x {flags} --max_length 96 --num_functions 3 --dtype float32 --output_dir {tmp_path}"
        monkeypatch.setattr("sys.argv", command.split())
        ltp_test.main()
        return json.loads((tmp_path / "visualisation.json").read_text())["functions"]

    shown, given = visualise("mnli", "MNLI"), items(TASKS["MNLI"], 14, first=100)
    predictions = pd.read_csv("MNLI_hard/predictions.csv")
    rows = [0, 1, 2]  # One of each class: the rows' labels are 1, 2 and 0.
    assert [function["label"] for function in shown] == predictions["label"][rows].tolist()
    assert [function["prediction"] for function in shown] == predictions["prediction"][rows].tolist()
    scores = predictions.filter(like="score_").to_numpy()[rows]
    assert [function["probabilities"] for function in shown] == [pytest.approx(row, abs=1e-5) for row in scores]
    for function, row in zip(shown, rows, strict=True):
        parts = given.loc[row, ["premise", "hypothesis"]].tolist()
        assert function["source"] == "\n".join(parts)
        texts = [function["source"][begin:end] for begin, end in function["offsets"]]
        middle = [i for i, token in enumerate(function["tokens"]) if token == "</s>"]
        assert len(middle) == 3
        assert "".join(texts[: middle[0]]).replace(" ", "") == parts[0].replace(" ", "")
        assert "".join(texts[middle[1] :]).replace(" ", "") == parts[1].replace(" ", "")
    with pytest.raises(UserError, match="--task_name STSB"):
        visualise("stsb", "MNLI")
    with pytest.raises(UserError, match="3 classes.*--task_name SST2 has 2"):
        visualise("sst2", "SST2")


@pytest.mark.parametrize("name", ["MNLI", "STSB", "SST2"])
def test_what_is_kept_of_each_text_is_extracted(place, tmp_path, monkeypatch, name):
    task, given, written = TASKS[name], items(TASKS[name], 14, first=100), {}
    flags = f"--task_name {name} --model_name_or_path {name}_hard --validation_file {name}_val.jsonl --use_cpu"
    for layer in (1, 3):
        output_dir = tmp_path / str(layer)
        command = f"ltp_extract_and_save.py {flags} --max_length 96 --keep_layer {layer} --output_dir {output_dir}"
        monkeypatch.setattr("sys.argv", command.split())
        ltp_extract_and_save.main()
        written[layer] = pd.read_csv(output_dir / "dev_pruned.csv", keep_default_na=False)
        assert written[layer].columns.tolist() == ["label", *task.columns]
        labels = given["label"] if task.is_regression else given["label"].map(task.labels.index)
        assert written[layer]["label"].tolist() == labels.tolist()
    for column in task.columns:  # The first layer removes nothing.
        assert written[1][column].tolist() == given[column].tolist()
        for left, whole in zip(written[3][column], given[column], strict=True):
            characters = iter(whole)
            assert all(character in characters for character in left.replace(" ", ""))
    assert sum(map(len, written[3][column])) < sum(map(len, given[column]))


@pytest.mark.parametrize("name, other", [("MNLI", "SST2"), ("STSB", "MNLI")])
def test_checkpoints_of_a_task_are_compared(place, tmp_path, name, other, capsys):
    flags = f"--task_name {name} --test_file {name}_val.jsonl --max_length 96 --batch_size 4 --rounds 1"
    flags += f" --dtype float32 --output_dir {tmp_path}"
    comparison.main([*flags.split(), "--checkpoints", f"full={name}", f"hard={name}_hard"])
    rows = json.loads((tmp_path / "comparison.json").read_text())["checkpoints"]
    for row, folder in zip(rows, (name, f"{name}_hard"), strict=True):
        for metric in (*METRICS[name], "relative_flops"):
            assert row[metric] == pytest.approx(results(folder)[f"eval_{metric}"], abs=1e-4)
    assert HEADINGS[name] in capsys.readouterr().out
    with pytest.raises(UserError, match=f"--checkpoints {other}: has . classes"):
        comparison.main([*flags.split(), "--checkpoints", f"full={other}"])
