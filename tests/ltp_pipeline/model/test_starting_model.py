"""The model that fine-tuning starts from, above all a converted one."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import AutoTokenizer

import run_glue_code_metrics
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.model.checkpoints import load_pruning_model, load_tokenizer
from ltp_pipeline.model.starting_model import ModelArguments, load_classifier
from ltp_pipeline.task.tasks import CODE
from tests.ltp_pipeline.model.conftest import POSITIONS

FINE_TUNE = (
    "--model_name_or_path source --convert_to_ltp --max_positions 200 --window_size 16 --do_train --do_eval "
    "--train_file train.csv --validation_file test.csv --max_steps 2 --per_device_train_batch_size 4 --output_dir out"
)


def load(new_head: bool, **flags):
    tokenizer = load_tokenizer("source", flag="--model_name_or_path")
    return load_classifier(ModelArguments("source", **flags), tokenizer, new_head=new_head, task=CODE)


def test_fine_tuning_a_converted_model(files, save_source, capsys):
    for name, file in files.items():
        shutil.copy(file, f"{name}.csv")
    save_source("roberta", "ForMaskedLM")
    run_glue_code_metrics.main(FINE_TUNE.split())
    assert "a new classification head" in capsys.readouterr().out
    config = json.loads(Path("out/config.json").read_text())
    assert (config["architectures"], config["prune_mode"]) == (["LTPForSequenceClassification"], None)
    assert (config["attention_window"], config["max_position_embeddings"]) == ([16] * 3, 202)
    results = json.loads(Path("out/all_results.json").read_text())
    assert results["eval_relative_flops"] == 1
    assert results["eval_tokens"] / results["eval_functions"] > POSITIONS
    assert AutoTokenizer.from_pretrained("out").model_max_length == 200
    assert load_pruning_model("out", flag="--restore").config.num_labels == 2


def test_predictions_for_pairs_are_those_of_the_source(save_source):
    save_source("bert", "ForSequenceClassification")
    pairs = [("copy src", "dst"), ("int size", "size t"), ("s", "static dst"), ("char dst", "char src")]
    rows = [{"premise": a, "hypothesis": b, "label": i % 3} for i, (a, b) in enumerate(pairs)]
    Path("mnli.jsonl").write_text("\n".join(map(json.dumps, rows)))
    flags = "--task_name mnli --model_name_or_path source --do_eval --validation_file mnli.jsonl --max_seq_length 24"
    flags += " --dtype float32"
    run_glue_code_metrics.main(f"{flags} --output_dir theirs".split())
    run_glue_code_metrics.main(f"{flags} --output_dir ours --convert_to_ltp".split())
    theirs, ours = (pd.read_csv(f"{name}/predictions.csv").filter(like="score") for name in ("theirs", "ours"))
    assert theirs.std().min() > 0.001
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert "eval_gflops_per_function" in json.loads(Path("ours/all_results.json").read_text())


def test_a_head_for_another_number_of_classes(save_source, capsys):
    source = save_source("roberta", "ForSequenceClassification")
    for flags in ({}, {"convert_to_ltp": True}):
        model = load(new_head=True, **flags)
        assert "a new classification head" in capsys.readouterr().out
        assert model.classifier.out_proj.weight.shape == (2, 32)
        words = source.base_model.embeddings.word_embeddings.weight
        assert torch.equal(model.base_model.embeddings.word_embeddings.weight, words)
    with pytest.raises(UserError, match=r"source: the weights cannot be loaded: classifier.* is \[3.*expected \[2"):
        load(new_head=False)
    save_source("roberta")
    with pytest.raises(UserError, match="--model_name_or_path source: .*no classification head"):
        load(new_head=False, convert_to_ltp=True)
