"""The column `rank_importance`: computed once, cached, padded, and the same as a teacher that computes each batch."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from ltp_pipeline.data.tokenization import tokenize
from ltp_pipeline.data.truncation import Truncation
from ltp_pipeline.task.tasks import CODE, TASKS, VDISC
from ltp_pipeline.training import rank_column
from ltp_pipeline.training.arguments import StageTrainingArguments
from ltp_pipeline.training.non_finite import NotFiniteError
from ltp_pipeline.training.trainer import make_trainer
from tests.ltp_pipeline.conftest import functions
from tests.ltp_pipeline.training.conftest import prune
from transformer_revised import LTPForSequenceClassification
from transformer_revised.models.ltp.pruning_ranks import RANK_IMPORTANCE, Teacher

RUN = (
    "--restore longformer --train_file train.csv --validation_file test.csv --max_seq_len 64 --lr 1e-3 --bs 4 "
    "--masking_mode soft --final_token_threshold 0.9 --temperature 0.1 --lr_threshold 0.01 --max_steps 2 --no_load "
    "--use_cpu --dtype float32 --rank_distillation 0.5"
)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LTP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def tokenizer(tokenizer_dir):
    return AutoTokenizer.from_pretrained(tokenizer_dir)


@pytest.fixture(scope="module")
def model(longformer_dir):
    """Prunes; its weights are large, so that tokens differ."""
    config = {"final_token_threshold": 0.3, "temperature": 0.1, "initializer_range": 0.2, "mask_global_tokens": False}
    dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    torch.manual_seed(0)
    made = LTPForSequenceClassification.from_pretrained(longformer_dir, **config, **dropout)
    return LTPForSequenceClassification(made.config)


def trainer_of(model, tokenizer, folder, truncation="head", task=CODE, count=9, overwrite=False, **flags):
    """A trainer of a copy of `model`, which teaches the ranking to it on functions of different lengths."""
    frame = functions(count)
    frame["functionSource"] = [text[: 60 + 25 * (i * 7 % 10)] for i, text in enumerate(frame["functionSource"])]
    tokens = tokenize(frame, tokenizer, 40, CODE, False, Truncation(truncation))
    settings = {
        "masking_mode": "soft", "rank_distillation": 1.0, "use_cpu": True, "dtype": "float32", "max_steps": 1,
        "lr_threshold": 1.0, "learning_rate": 1.0, "optim": "sgd", "lr_scheduler_type": "constant", "max_grad_norm": 0,
        "save_strategy": "no", "eval_strategy": "no", "no_load": True, "seed": 3, **flags,
    }  # fmt: skip
    args = StageTrainingArguments(output_dir=str(folder), **settings)
    args.report_to, args.load_best_model_at_end = [], False
    return make_trainer(copy.deepcopy(model), tokenizer, args, {"train": tokens}, task, overwrite)


def column_of(trainer, teacher="relevance", target="class_1", overwrite=False):
    return rank_column.with_importance(trainer, teacher, target, overwrite)[RANK_IMPORTANCE]


def test_a_second_run_with_another_seed_weight_and_budget_reads_it(workplace, capsys):
    prune(f"{RUN} --output_dir one")
    text = capsys.readouterr().out
    assert text.count("by relevance: computed in") == text.count("ranks of 24 of 24 rows") == 1
    prune(f"{RUN} --output_dir two --seed 7 --rank_distillation 0.1 --target_flops 0.9")
    text = capsys.readouterr().out
    assert text.count("ranks of 24 rows are read from") == 1 and "computed in" not in text
    assert json.loads(Path("two", "config.json").read_text())["rank_teacher"] == "relevance"
    assert json.loads(Path("two", "run.json").read_text())["settings"]["--rank_teacher"] == "relevance"


@pytest.mark.parametrize(
    "teacher, side, truncation, limits",
    [
        ("relevance", "right", "head", {}),
        ("relevance", "left", "windows", {"max_tokens_per_batch": 150}),
        ("magnitude", "left", "tail", {"max_tokens_per_batch": 150}),
        ("attention", "left", "tail", {"per_device_eval_batch_size": 8}),
        ("attention", "right", "head_tail", {}),
    ],
)
def test_it_is_what_the_teacher_computes_for_each_row(model, tokenizer, tmp_path, teacher, side, truncation, limits):
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.padding_side = side
    trainer = trainer_of(model, tokenizer, tmp_path, truncation, **limits)
    rows, found = trainer.train_dataset, column_of(trainer, teacher)
    assert len(rows) > 9 if truncation == "windows" else len(rows) == 9
    assert len(set(rows["length"])) > 1
    expected = Teacher(model, teacher)
    for row, values in zip(rows, found, strict=True):
        alone = expected.importance({"input_ids": torch.tensor([row["input_ids"]])})[0]
        assert values == pytest.approx(alone.tolist(), rel=1e-4, abs=1e-6)
    batch = trainer.data_collator([{"input_ids": r["input_ids"], "attention_mask": r["attention_mask"],
                                    RANK_IMPORTANCE: v} for r, v in zip(rows, found)])  # fmt: skip
    for ids, mask, padded, values in zip(*(batch[n] for n in ("input_ids", "attention_mask", RANK_IMPORTANCE)), found):
        edge = slice(len(ids) - len(values), None) if side == "left" else slice(len(values))
        assert padded[edge].tolist() == pytest.approx(values) and not padded[mask == 0].any()


@pytest.mark.parametrize(
    "flags",
    [
        {"masking_mode": "hard", "gradient_checkpointing": True, "class_weights": "balanced"},
        {"max_tokens_per_batch": 150, "gradient_accumulation_steps": 2, "rank_teacher": "attention"},
        {"per_device_train_batch_size": 4, "target_flops": 0.9, "calibration_samples": 3},
        {"per_device_train_batch_size": 4, "dtype": "bfloat16"},
    ],
    ids=str,
)
def test_a_step_with_the_column_is_the_step_with_a_teacher_for_each_batch(model, tokenizer, tmp_path, flags):
    updated = []
    for has_column in (True, False):
        trainer = trainer_of(model, tokenizer, tmp_path, **flags)
        assert trainer._teacher is None  # no copy of the model
        if not has_column:
            trainer._make_ranks, trainer._teacher = None, Teacher(trainer.model, trainer._rank_teacher)
        trainer.train()
        assert (RANK_IMPORTANCE in trainer.train_dataset.column_names) is has_column
        updated.append({name: p.detach() for name, p in trainer.model.named_parameters()})
    start, tolerance = dict(model.named_parameters()), 2e-2 if flags.get("dtype") == "bfloat16" else 1e-5
    name = "longformer.encoder.layer.0.attention.self.query.weight"
    assert (updated[0][name] - start[name]).abs().max() > 1e-3
    for name, weight in updated[0].items():
        torch.testing.assert_close(updated[1][name], weight, rtol=tolerance, atol=tolerance, msg=name)


def test_the_key_is_that_of_all_that_changes_it(model, tokenizer, tmp_path):
    trainer = trainer_of(model, tokenizer, tmp_path)

    def key(teacher="relevance", target="class_1", **flags):
        made = trainer_of(model, tokenizer, tmp_path, **flags) if flags else trainer
        return rank_column._key(made, teacher, target)

    other, head = copy.deepcopy(model), copy.deepcopy(model)
    with torch.no_grad():
        other.longformer.embeddings.word_embeddings.weight[7] += 1
        for offset in head.learned_thresholds():
            offset.add_(1.0)
    head.config.final_token_threshold, head.config.target_flops, head.config.rank_teacher = 0.7, 0.5, "attention"
    same = [key(), key(seed=4, learning_rate=0.5, rank_distillation=0.1, per_device_train_batch_size=2)]
    same.append(rank_column._key(trainer_of(head, tokenizer, tmp_path), "relevance", "class_1"))
    assert len(set(same)) == 1
    labels = trainer.train_dataset["labels"]
    flipped = trainer_of(model, tokenizer, tmp_path)
    flipped.train_dataset = flipped.train_dataset.remove_columns("labels").add_column(
        "labels", [1 - y for y in labels]
    )
    assert rank_column._key(flipped, "relevance", "class_1") == same[0]
    keys = [
        *(same[0], key("attention"), key(target="label"), key(dtype="bfloat16"), key(count=8), key(truncation="tail")),
        rank_column._key(flipped, "relevance", "label"),
        rank_column._key(trainer_of(other, tokenizer, tmp_path), "relevance", "class_1"),
    ]
    assert len(set(keys)) == len(keys)


def test_it_is_computed_again_on_demand_and_once_without_a_cache(model, tokenizer, tmp_path, monkeypatch, capsys):
    calls = []
    monkeypatch.setattr(rank_column, "compute_importance", lambda *args: calls.append(args) or [np.ones(40)] * 9)
    trainer = trainer_of(model, tokenizer, tmp_path)
    for overwrite, expected in ((False, 1), (False, 1), (True, 2)):
        column_of(trainer, overwrite=overwrite)
        assert len(calls) == expected
    (tmp_path / "file").touch()
    monkeypatch.setenv("LTP_CACHE", str(tmp_path / "file"))
    column_of(trainer)
    assert len(calls) == 3 and "ranks are not cached" in capsys.readouterr().out
    monkeypatch.setenv("LTP_CACHE", str(tmp_path / "full"))

    def fails(importance, options):
        if options:
            raise OSError("no space left")
        return made(importance, options)

    made = rank_column._as_dataset
    monkeypatch.setattr(rank_column, "_as_dataset", fails)
    column_of(trainer)
    assert len(calls) == 4 and "no space left" in capsys.readouterr().out


def test_numbers_that_are_not_finite_name_their_rows_and_are_not_cached(model, tokenizer, tmp_path, cache):
    trainer = trainer_of(model, tokenizer, tmp_path)
    rows = trainer.train_dataset["input_ids"]
    token = next(t for t in set(rows[4]) if sum(t in row for row in rows) == 1)
    with torch.no_grad():
        trainer.model.get_input_embeddings().weight[token] = torch.nan
    with pytest.raises(NotFiniteError, match=r"--rank_distillation.* rows? 5 of the training data.*float32"):
        column_of(trainer)
    assert not list(cache.glob("ranks/*/*"))


def test_what_a_token_is_relevant_for():
    names = ("MNLI", "RTE", "STSB")
    found = [rank_column.target_of(task) for task in (CODE, VDISC, *(TASKS[name] for name in names))]
    assert found == ["class_1", "sum", "label", "label", "absolute"]
