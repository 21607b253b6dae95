"""Class weights and label smoothing of the training scripts."""

import json
from pathlib import Path

import pandas as pd
import pytest

import run_glue_code_metrics
from ltp_pipeline.task.class_counts import balanced_weights
from ltp_pipeline.task.tasks import CODE, TASKS
from ltp_pipeline.training.trainer import ClassifierTrainer


def test_balanced_weights_give_classes_the_same_share():
    weights = balanced_weights([0, 0, 0, 1], CODE)
    assert weights == pytest.approx([4 / 6, 2.0])
    assert 3 * weights[0] == pytest.approx(weights[1])
    assert balanced_weights([0, 0, 2], TASKS["MNLI"]) == pytest.approx([0.75, 0, 1.5])  # class 1 does not occur


def test_class_weights_and_label_smoothing_reach_the_loss(workplace, monkeypatch):
    frame = pd.read_csv("train.csv")
    pd.concat([frame[frame["label"] == 0], frame[frame["label"] == 1].head(3)]).to_csv("train.csv", index=False)
    seen = []

    def recorded(self, *args, **kwargs):
        seen.append((self.class_weights, self.args.label_smoothing_factor))
        return train(self, *args, **kwargs)

    train = ClassifierTrainer.train
    monkeypatch.setattr(ClassifierTrainer, "train", recorded)
    flags = "--model_name_or_path longformer --do_train --train_file train.csv --max_seq_length 96"
    losses = []
    for weights in ("balanced", "none"):
        given = f"{flags} --max_steps 2 --label_smoothing 0.1 --class_weights {weights} --output_dir {weights}"
        run_glue_code_metrics.main(given.split())
        losses.append(json.loads(Path(weights, "all_results.json").read_text())["train_loss"])
    assert seen == [(pytest.approx([15 / 24, 15 / 6]), 0.1), (None, 0.1)]
    assert losses[0] != losses[1]
