"""GLUE tasks through both training scripts, on a tiny Longformer and small files of each task's shape."""

import json
import math
import shutil
from pathlib import Path

import datasets
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score, matthews_corrcoef
from transformers import AutoTokenizer

import ltp_extract_and_save
import ltp_test
import run_code_metrics
import run_glue_code_metrics
from ltp_pipeline import comparison
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.data import glue_files
from ltp_pipeline.data.tokenization import tokenize
from ltp_pipeline.task.tasks import CODE, GLUE, TASKS

NOUNS = "buffer file string pointer array socket".split()
TYPED = {"STSB": "sts-b", "MNLI": "mnli-mm", "SST2": "sst2", "COLA": "CoLA"}
METRICS = {
    "STSB": {"pearson", "spearmanr"},
    "COLA": {"matthews_correlation"},
    "MRPC": {"f1", "accuracy"},
    "QQP": {"f1", "accuracy"},
}
STAGES = (("SST2", "sst2"), ("MNLI", "MNLI"), ("STSB", "sts-b"), ("MRPC", "mrpc"))
SOFT = (
    "--lr 2e-5 --bs 8 --masking_mode soft --epoch 2 --temperature 0.1 --lambda 0.1 --final_token_threshold 0.9 "
    "--lr_threshold 0.01"
)


def items(task, count, first=0, labels=True):
    """`count` rows of the task's shape; each label comes up in turn."""
    rows = []
    for i in range(first, first + count):
        texts = [
            f"return the {NOUNS[(i + k) % 6]} of size {i} when it is {'not ' * (i % 2)}{NOUNS[(i * k) % 6]}"
            for k in range(len(task.columns))
        ]
        label = i % 11 / 2 if task.is_regression else task.labels[i % task.num_labels]
        rows.append(dict(zip(task.columns, texts, strict=True)) | {"label": label if labels else -1})
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def place(longformer_dir, tmp_path_factory):
    """A working directory with the Longformer and files of each task: train, validation, test without labels."""
    place = tmp_path_factory.mktemp("glue")
    shutil.copytree(longformer_dir, place / "longformer")
    for task in GLUE:
        items(task, 24).to_csv(place / f"{task.name}_train.csv", index=False)
        items(task, 14, first=100).to_json(place / f"{task.name}_val.jsonl", orient="records", lines=True)
        items(task, 5, first=200, labels=False).to_csv(place / f"{task.name}_test.csv", index=False)
    items(TASKS["MNLI"], 9, first=300).to_csv(place / "MNLI_other.csv", index=False)
    return place


@pytest.fixture(scope="module")
def fine_tuned(place):
    """`place` with a checkpoint of every task, in a folder of its name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        for task in GLUE:
            fine_tune(task, f"--do_train --do_predict --num_train_epochs 1 --output_dir {task.name}")
    return place


@pytest.fixture
def here(place, monkeypatch):
    monkeypatch.chdir(place)
    return place


def files(task):
    flags = f"--train_file {task.name}_train.csv --validation_file {task.name}_val.jsonl"
    return flags + (" --validation_mismatched_file MNLI_other.csv" if task.name == "MNLI" else "")


def fine_tune(task, flags):
    run_glue_code_metrics.main(
        f"--task_name {TYPED.get(task.name, task.name)} --model_name_or_path longformer --do_eval {files(task)} "
        f"--test_file {task.name}_test.csv --per_device_train_batch_size 8 {flags}".split()
    )


def results(folder):
    return json.loads(Path(folder, "all_results.json").read_text())


def check_metrics(everything, split, task, predictions):
    """The metrics reported are those of the predictions written."""
    label, prediction = predictions["label"], predictions["prediction"]
    expected = {"accuracy": (label == prediction).mean()}
    if task.is_regression:
        expected = {"pearson": label.corr(prediction), "spearmanr": label.corr(prediction, method="spearman")}
    elif task.num_labels == 2:
        expected |= {"f1": f1_score(label, prediction), "matthews_correlation": matthews_corrcoef(label, prediction)}
    reported = METRICS.get(task.name, {"accuracy"})
    for name in {"accuracy", "f1", "matthews_correlation", "pearson", "spearmanr", "auc", "recall"}:
        assert (f"{split}_{name}" in everything) == (name in reported), name
    for name in reported:
        assert everything[f"{split}_{name}"] == pytest.approx(expected[name], abs=1e-6)


@pytest.mark.parametrize("task", GLUE, ids=lambda task: task.name)
def test_fine_tuning_measures_what_the_task_does(fine_tuned, task):
    folder = fine_tuned / task.name
    everything = results(folder)
    config = json.loads((folder / "config.json").read_text())
    assert config["model_type"] == "ltp"
    assert config["problem_type"] == ("regression" if task.name == "STSB" else "single_label_classification")
    names = {str(i): name for i, name in enumerate(task.labels or ["LABEL_0"])}
    assert config.get("id2label", {"0": "LABEL_0", "1": "LABEL_1"}) == names

    predictions = pd.read_csv(folder / "predictions.csv")
    given = items(task, 14, first=100)["label"]
    expected = given if task.is_regression else given.map(task.labels.index)
    assert predictions["label"].tolist() == pytest.approx(expected.tolist())
    check_metrics(everything, "eval", task, predictions)
    scores = [name for name in predictions if name.startswith("score")]
    assert scores == {"MNLI": [f"score_{name}" for name in task.labels], "STSB": []}.get(task.name, ["score"])
    assert everything["eval_relative_flops"] == 1
    if task.name == "MNLI":
        check_metrics(
            everything,
            "eval_mismatched",
            task,
            pd.read_csv(folder / "mismatched_predictions.csv"),
        )
        assert everything["eval_mismatched_functions"] == 9
    else:
        assert not [name for name in everything if "mismatched" in name]


@pytest.mark.parametrize("task", GLUE, ids=lambda task: task.name)
def test_rows_without_labels_are_predicted_only(fine_tuned, task):
    everything = results(fine_tuned / task.name)
    assert {name for name in everything if name.startswith("test_")} & {
        "test_loss",
        "test_accuracy",
        "test_f1",
    } == set()
    assert everything["test_functions"] == 5
    assert everything["test_relative_flops"] == 1
    predictions = pd.read_csv(fine_tuned / task.name / "test_predictions.csv")
    assert len(predictions) == 5
    assert "label" not in predictions
    assert predictions["prediction"].between(-10, 10).all()


@pytest.fixture(scope="module")
def pruned(fine_tuned):
    """Soft and hard pruning of some tasks; the folders of the results, by task."""
    folders = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(fine_tuned)
        for name, typed in STAGES:
            task = TASKS[name]
            run_code_metrics.main(f"--task {typed} --restore {name} {files(task)} {SOFT}".split())
            soft = f"checkpoints/base/{name}/absolute_threshold/rate_0.9/temperature_0.1/lambda_0.1/lr_2e-05"
            hard = f"--masking_mode hard --lr 2e-5 --bs 8 --epoch 1 --restore {soft} {files(task)}"
            run_code_metrics.main(f"--task {typed} {hard}".split())
            folders[name] = soft, f"{soft}/hard/lr_2e-05"
    return folders


@pytest.mark.parametrize("name", [name for name, _ in STAGES])
def test_stages_of_pruning(pruned, here, name, capsys):
    task = TASKS[name]
    soft, hard = map(results, pruned[name])
    assert soft["eval_thresholds_per_layer"] == hard["eval_thresholds_per_layer"] != [0, 0.3, 0.6]
    assert hard["eval_relative_flops"] < 0.95
    for folder in pruned[name]:
        check_metrics(results(folder), "eval", task, pd.read_csv(Path(folder, "predictions.csv")))
    best = json.loads(Path(pruned[name][1], "trainer_state.json").read_text())
    logged = [entry for entry in best["log_history"] if f"eval_{task.metrics[0]}" in entry]
    assert best["best_metric"] == max(entry[f"eval_{task.metrics[0]}"] for entry in logged)

    capsys.readouterr()
    flags = f"--task {name} --restore {pruned[name][1]} --eval --test_file {name}_test.csv {files(task)}"
    run_code_metrics.main(flags.split())
    evaluated = results(f"{pruned[name][1]}/eval/{name}_val")
    for metric in (*task.metrics, "relative_flops", "tokens_kept_per_layer"):
        assert evaluated[f"eval_{metric}"] == pytest.approx(hard[f"eval_{metric}"], abs=1e-6)
    assert evaluated["test_relative_flops"] < 0.95
    assert "test_loss" not in evaluated
    shown = capsys.readouterr().out
    heading = {"MNLI": "accuracy", "SST2": "accuracy", "STSB": "Spearman", "MRPC": "F1"}[name]
    assert heading in shown and "relative FLOPs" in shown and "AUC" not in shown
    assert ("eval_mismatched" in shown) == (name == "MNLI")


@pytest.mark.parametrize(
    "flags, message",
    [
        (
            "--task STSB --restore SST2",
            "--restore SST2: this model has 2 classes; expected a model with 1, for --task STSB",
        ),
        ("--task RTE --restore MNLI", "--restore MNLI: this model has 3 classes; expected"),
        ("--task RTE --restore RTE --text_column x", "--text_column: the text of RTE is in sentence1 and sentence2"),
        (
            "--task RTE --restore RTE --validation_mismatched_file MNLI_other.csv",
            "--validation_mismatched_file: RTE has no mismatched validation split; MNLI has",
        ),
        (
            "--task CODE --restore RTE --validation_mismatched_file x",
            "--validation_mismatched_file: only MNLI has one",
        ),
        ("--task RTE --restore RTE --validation_file RTE_test.csv", "--validation_file RTE_test.csv: row 1 "),
        ("--task RTE --restore RTE --max_train_samples 1", "all 1 rows have the label 0; training needs different"),
        (
            "--task RTE --restore RTE --metric_for_best_model f1",
            "--metric_for_best_model f1: the metrics of RTE are accur",
        ),
    ],
)
def test_bad_flags(fine_tuned, here, flags, message):
    given = f"--train_file RTE_train.csv --validation_file RTE_val.jsonl {flags}"
    with pytest.raises(UserError) as error:
        run_code_metrics.main(given.split())
    assert message in str(error.value)


def test_a_split_without_a_file_comes_from_the_hub(fine_tuned, here, tmp_path, monkeypatch):
    asked = []

    def load_dataset(path, name, split):
        asked.append((path, name, split))
        frame = items(TASKS["MNLI"], 6, first=400, labels=not split.startswith("test"))
        frame["label"] = [TASKS["MNLI"].labels.index(label) if label != -1 else -1 for label in frame["label"]]
        return datasets.Dataset.from_pandas(frame)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.setattr(glue_files, "is_offline", lambda: False)
    flags = "--task_name mnli --model_name_or_path longformer --do_train --do_eval --do_predict --max_steps 1 "
    flags += "--max_tokens_per_batch 200"
    run_glue_code_metrics.main(f"{flags} --train_file MNLI_train.csv --output_dir {tmp_path / 'a'}".split())
    splits = ["validation_matched", "validation_mismatched", "test_matched", "test_mismatched"]
    assert asked == [("nyu-mll/glue", "mnli", split) for split in splits]
    everything = results(tmp_path / "a")
    assert everything["train_samples"] == 24  # --train_file wins
    assert [everything[f"{split}_functions"] for split in ("eval", "eval_mismatched", "test", "test_mismatched")] == [
        6
    ] * 4
    assert (tmp_path / "a" / "test_mismatched_predictions.csv").is_file()

    asked.clear()
    run_code_metrics.main("--task mnli --restore MNLI --eval --max_eval_samples 4".split())
    assert asked == [("nyu-mll/glue", "mnli", split) for split in splits[:2]]
    assert results("MNLI/eval/validation_matched")["eval_mismatched_functions"] == 4


def test_numbers_are_predicted_to_a_compute_budget(fine_tuned, here, tmp_path):
    flags = f"--task stsb --restore STSB {files(TASKS['STSB'])} --masking_mode soft --bs 8 --epoch 2 --no_load"
    run_code_metrics.main(f"{flags} --target_flops 0.9 --output_dir {tmp_path / 'budget'}".split())
    assert results(tmp_path / "budget")["eval_relative_flops"] == pytest.approx(0.9, abs=0.03)


def test_a_checkpoint_of_another_task_is_a_start(fine_tuned, here, tmp_path, capsys):
    flags = f"--task_name rte --model_name_or_path STSB --do_train --do_eval {files(TASKS['RTE'])} --max_steps 1"
    run_glue_code_metrics.main(f"{flags} --output_dir {tmp_path / 'rte'}".split())
    assert "a new classification head: that of STSB is for another number of classes" in capsys.readouterr().out
    config = json.loads((tmp_path / "rte" / "config.json").read_text())
    assert config["problem_type"] == "single_label_classification"
    assert config["id2label"] == {"0": "entailment", "1": "not_entailment"}
    # What another program has noted about the loss does not count.
    (tmp_path / "rte" / "config.json").write_text(json.dumps({**config, "problem_type": "multi_label_classification"}))
    flags = f"--task rte --restore {tmp_path / 'rte'} --eval {files(TASKS['RTE'])} --output_dir {tmp_path / 'eval'}"
    run_code_metrics.main(flags.split())
    assert results(tmp_path / "eval")["eval_loss"] == pytest.approx(results(tmp_path / "rte")["eval_loss"])


def visualise(monkeypatch, flags, output_dir):
    monkeypatch.setattr("sys.argv", f"ltp_test.py {flags} --use_cpu --max_length 96 --output_dir {output_dir}".split())
    ltp_test.main()
    return json.loads((output_dir / "visualisation.json").read_text())["functions"]


def test_pairs_are_shown_as_two_parts(pruned, here, tmp_path, monkeypatch, capsys):
    flags = f"--task_name mrpc --model_name_or_path {pruned['MRPC'][1]} --validation_file MRPC_val.jsonl"
    shown = visualise(monkeypatch, f"{flags} --num_functions 2", tmp_path)
    given = items(TASKS["MRPC"], 14, first=100)
    for function, row in zip(shown, (1, 0), strict=True):  # the first of label 1, the first of label 0
        parts = given.loc[row, ["sentence1", "sentence2"]].tolist()
        assert function["source"] == "\n".join(parts)
        assert function["label"] == row
        texts = [function["source"][begin:end] for begin, end in function["offsets"]]
        middle = [i for i, token in enumerate(function["tokens"]) if token == "</s>"]
        assert len(middle) == 3
        assert "".join(texts[: middle[0]]).replace(" ", "") == parts[0].replace(" ", "")
        assert "".join(texts[middle[1] :]).replace(" ", "") == parts[1].replace(" ", "")
    predictions = pd.read_csv(Path(pruned["MRPC"][1], "predictions.csv"))
    assert [function["prediction"] for function in shown] == predictions["prediction"][[1, 0]].tolist()
    scores = [function["probabilities"][1] for function in shown]
    assert scores == pytest.approx(predictions["score"][[1, 0]].tolist(), abs=1e-5)
    assert "MRPC_val.jsonl row 2" in capsys.readouterr().out


def test_three_classes_are_shown_and_numbers_refused(pruned, here, tmp_path, monkeypatch):
    flags = f"--model_name_or_path {pruned['MNLI'][1]} --validation_file MNLI_val.jsonl"
    shown = visualise(monkeypatch, f"--task_name mnli {flags} --num_functions 3", tmp_path)
    assert [(function["label"], len(function["probabilities"])) for function in shown] == [(1, 3), (2, 3), (0, 3)]
    with pytest.raises(UserError, match="--task_name STSB: predicts a number"):
        visualise(monkeypatch, f"--task_name stsb {flags}", tmp_path)
    with pytest.raises(UserError, match="has 3 classes, but --task_name SST2 has 2"):
        visualise(monkeypatch, f"--task_name sst2 {flags.replace('MNLI_val.jsonl', 'SST2_val.jsonl')}", tmp_path)


@pytest.mark.parametrize("name", ["MRPC", "STSB", "SST2"])
def test_what_is_kept_of_each_text_is_extracted(pruned, here, tmp_path, monkeypatch, name):
    task, given = TASKS[name], items(TASKS[name], 14, first=100)
    flags = f"--task_name {name} --model_name_or_path {pruned[name][1]} --validation_file {name}_val.jsonl --use_cpu"
    written = {}
    for layer in (1, 3):
        output_dir = tmp_path / str(layer)
        command = f"ltp_extract_and_save.py {flags} --max_length 96 --keep_layer {layer} --output_dir {output_dir}"
        monkeypatch.setattr("sys.argv", command.split())
        ltp_extract_and_save.main()
        written[layer] = pd.read_csv(output_dir / "dev_pruned.csv", keep_default_na=False)
        assert written[layer].columns.tolist() == ["label", *task.columns]
        labels = given["label"] if task.is_regression else given["label"].map(task.labels.index)
        assert written[layer]["label"].tolist() == labels.tolist()
    for column in task.columns:  # nothing leaves in the first layer
        assert written[1][column].tolist() == given[column].tolist()
        for left, whole in zip(written[3][column], given[column], strict=True):
            characters = iter(whole)
            assert all(character in characters for character in left.replace(" ", ""))
    assert sum(map(len, written[3][column])) < sum(map(len, given[column]))


@pytest.mark.parametrize("name", ["MRPC", "STSB"])
def test_checkpoints_of_a_task_are_compared(pruned, here, tmp_path, name, capsys):
    flags = f"--task_name {name} --test_file {name}_val.jsonl --max_length 96 --batch_size 4 --rounds 1"
    flags += f" --output_dir {tmp_path}"
    comparison.main([*flags.split(), "--checkpoints", f"full={name}", f"hard={pruned[name][1]}"])
    rows = json.loads((tmp_path / "comparison.json").read_text())["checkpoints"]
    for row, folder in zip(rows, (name, pruned[name][1]), strict=True):
        for metric in (*TASKS[name].metrics, "relative_flops"):
            assert row[metric] == pytest.approx(results(folder)[f"eval_{metric}"], abs=1e-4)
    heading = {"MRPC": "F1", "STSB": "Spearman"}[name]
    assert heading in capsys.readouterr().out
    with pytest.raises(UserError, match="--checkpoints MNLI: has 3 classes and --task_name"):
        comparison.main([*flags.split(), "--checkpoints", "full=MNLI"])


def test_pairs_are_encoded_as_pairs(tokenizer_dir):
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_dir)
    frame = pd.DataFrame({"sentence1": ["int a;"], "sentence2": ["char b[9]; </s>"], "label": [1]})
    (row,) = tokenize(frame, tokenizer, 96, TASKS["RTE"])
    assert tokenizer.decode(row["input_ids"]) == "<s>int a;</s></s>char b[9]; </s></s>"
    assert row["input_ids"].count(2) == 3  # what reads like </s> in a text is text
    assert row["labels"] == 1
    assert row["length"] == len(row["input_ids"])
    (row,) = tokenize(frame, tokenizer, 12, TASKS["RTE"])
    assert len(row["input_ids"]) == 12
    assert tokenizer.decode(row["input_ids"]).startswith("<s>int a;</s></s>")  # the longer one is cut first


def test_token_types_tell_the_texts_of_a_pair_apart_where_the_model_has_them(tokenizer_dir):
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_dir)
    frame = pd.DataFrame({"sentence1": ["a"], "sentence2": ["b"], "functionSource": ["c"], "label": [1]})
    assert "token_type_ids" not in tokenize(frame, tokenizer, 96, TASKS["RTE"], segments=True).column_names
    tokenizer.model_input_names = ["input_ids", "token_type_ids", "attention_mask"]
    (row,) = tokenize(frame, tokenizer, 96, TASKS["RTE"], segments=True)
    assert len(row["token_type_ids"]) == len(row["input_ids"])
    assert "token_type_ids" not in tokenize(frame, tokenizer, 96, TASKS["RTE"]).column_names
    assert "token_type_ids" not in tokenize(frame, tokenizer, 96, CODE, segments=True).column_names


def test_scores_are_learned_as_numbers(fine_tuned, here, tmp_path):
    fine_tune(TASKS["STSB"], f"--do_train --num_train_epochs 12 --learning_rate 3e-3 --output_dir {tmp_path / 'more'}")
    before, after = results("STSB"), results(tmp_path / "more")
    assert after["eval_loss"] < before["eval_loss"]
    mean = pd.read_csv(tmp_path / "more" / "predictions.csv")["prediction"].mean()
    assert 1.5 < mean < 3.5  # the scores' own mean is 2.5
    assert math.isfinite(after["eval_pearson"]) and np.isfinite(mean)
