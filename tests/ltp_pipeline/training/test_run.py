"""The pipeline through both scripts, on a tiny Longformer, with the README's commands."""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from huggingface_hub import ModelCard
from safetensors.torch import load_file
from transformers import AutoTokenizer, RobertaConfig, RobertaForSequenceClassification

import run_code_metrics
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.training import run as pipeline
from ltp_pipeline.training.callbacks import layers_line
from tests.ltp_pipeline.training.conftest import (
    FINE_TUNE,
    HARD,
    HARD_DIR,
    SOFT,
    SOFT_DIR,
    STAGE,
    digests,
    fine_tune,
    log_history,
    prune,
    results,
)
from transformer_revised import LTPForSequenceClassification

RESULT = {
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "training_args.bin",
    "trainer_state.json",
    "train_results.json",
    "eval_results.json",
    "all_results.json",
    "predictions.csv",
    "README.md",
}
METRICS = {"accuracy", "f1", "recall", "precision", "false_alarm_rate", "mcc", "auc", "pr_auc", "loss", "runtime"}
METRICS |= {f"{name}_{bound}" for name in ("vd_s", "recall_at_fpr") for bound in ("0.5", "1", "5")} | {"by_length"}
SPEED = {"samples_per_second", "seconds_per_sample"}
COMPUTE = {"relative_flops", "full_relative_flops", "tokens_kept_per_layer"}


def thresholds(folder):
    weights = load_file(Path(folder) / "model.safetensors")
    return [weights[f"longformer.encoder.layer.{i}.attention.self.pruner.keep_threshold"].item() for i in range(3)]


@pytest.mark.parametrize("folder", ["code_test", SOFT_DIR, HARD_DIR])
def test_each_stage_leaves_a_whole_checkpoint_with_its_results(trained, folder):
    assert RESULT <= {path.name for path in (trained / folder).iterdir()}
    assert not list((trained / folder).glob("checkpoint-*")) and not list(trained.glob("**/*.unfinished"))
    everything = results(trained / folder)
    assert {f"eval_{name}" for name in METRICS | SPEED | COMPUTE} <= everything.keys()
    assert (everything["train_samples"], everything["eval_functions"]) == (24, 10)
    assert everything["eval_seconds_per_sample"] == pytest.approx(everything["eval_runtime"] / 10)
    parts = [json.loads((trained / folder / f"{split}_results.json").read_text()) for split in ("train", "eval")]
    assert {**parts[0], **parts[1]} == everything
    predictions = pd.read_csv(trained / folder / "predictions.csv")
    assert predictions.columns.tolist() == ["label", "prediction", "score"]
    assert predictions["label"].tolist() == [0, 1] * 5
    assert ((predictions["score"] > 0.5).astype(int) == predictions["prediction"]).all()
    assert (predictions["label"] == predictions["prediction"]).mean() == everything["eval_accuracy"]
    assert AutoTokenizer.from_pretrained(trained / folder).model_max_length == 96


def test_fine_tuning_makes_an_ltp_checkpoint_that_prunes_nothing(trained):
    config = json.loads((trained / "code_test" / "config.json").read_text())
    assert (config["model_type"], config["prune_mode"]) == ("ltp", None)
    everything = results(trained / "code_test")
    assert everything["eval_relative_flops"] == 1 > everything["eval_full_relative_flops"]
    assert everything["eval_tokens_kept_per_layer"][:2] == [everything["eval_tokens"] / 10] * 2
    before, after = (load_file(trained / name / "model.safetensors") for name in ("longformer", "code_test"))
    assert before.keys() == after.keys()
    assert any((before[name] != after[name]).any() for name in before)


def test_soft_pruning_learns_thresholds_and_keeps_its_settings(trained):
    config = json.loads((trained / SOFT_DIR / "config.json").read_text())
    assert config["prune_mode"] == "absolute_threshold"
    assert (config["final_token_threshold"], config["temperature"]) == (0.9, 0.1)
    assert config["mask_global_tokens"] is False  # as in hard pruning
    learned = thresholds(trained / SOFT_DIR)
    assert learned[0] == 0  # The first layer's threshold is 0: nothing is pruned or learned there.
    assert all(abs(value) > 1e-3 for value in learned[1:])
    expected = [0.9 * layer / 3 + value for layer, value in enumerate(learned)]
    assert results(trained / SOFT_DIR)["eval_thresholds_per_layer"] == pytest.approx(expected)


def test_hard_pruning_keeps_the_thresholds_and_removes_tokens(trained):
    assert thresholds(trained / HARD_DIR) == thresholds(trained / SOFT_DIR)
    everything = results(trained / HARD_DIR)
    kept = everything["eval_tokens_kept_per_layer"]
    assert kept[1] < kept[0] == everything["eval_tokens"] / 10
    assert everything["eval_relative_flops"] < 0.95
    model = LTPForSequenceClassification.from_pretrained(trained / HARD_DIR)
    tokenizer = AutoTokenizer.from_pretrained(trained / HARD_DIR)
    batch = tokenizer(pd.read_csv(trained / "test.csv")["functionSource"][0], return_tensors="pt")
    (rest,) = model.get_rest_token_indices(**batch)
    assert 0 < len(rest) < batch["input_ids"].shape[1]
    # Without --no_load it was evaluated at every save, to keep the best step.
    state = json.loads((trained / HARD_DIR / "trainer_state.json").read_text())
    evaluated = [entry for entry in state["log_history"] if "eval_f1" in entry]
    assert [entry["step"] for entry in evaluated] == [2, 4, 6]
    assert state["best_metric"] == max(entry["eval_f1"] for entry in evaluated)


@pytest.mark.parametrize("folder, steps", [(SOFT_DIR, [10, 18]), (HARD_DIR, [2, 4, 6])])
def test_each_log_has_the_layers_and_the_checkpoint_a_card(trained, folder, steps):
    entries = [entry for entry in log_history(trained / folder) if "loss" in entry]
    assert [entry["step"] for entry in entries] == steps  # Also at the end.
    assert all(len(entry["thresholds"]) == len(entry["kept_shares"]) == 3 for entry in entries)
    everything = results(trained / folder)
    assert entries[-1]["thresholds"] == everything["eval_thresholds_per_layer"]
    log = pd.read_csv(trained / folder / "pruning_log.csv")
    assert log["step"].tolist() == [step for step in steps for _ in range(3)]
    assert log["layer"].tolist() == [1, 2, 3] * len(steps)
    for column, name in (("threshold", "thresholds"), ("kept_share", "kept_shares")):
        assert log[column].tolist() == pytest.approx([value for entry in entries for value in entry[name]])
    assert f"  {layers_line(entries[0])}\n" in (trained / "shown.txt").read_text()

    card = ModelCard.load(trained / folder / "README.md")
    assert (card.data.library_name, card.data.pipeline_tag) == ("transformers", "text-classification")
    assert card.data.tags == ["ltp", "code", "token-pruning"]
    values = {result.metric_type: result.metric_value for result in card.data.eval_results}
    assert values["f1"] == everything["eval_f1"] and values["roc_auc"] == everything["eval_auc"]
    assert "| train | train.csv | 24 | 0 | 0: 12, 1: 12 |" in card.content
    assert f"| relative_flops | {everything['eval_relative_flops']:.4g} |" in card.content
    for layer in range(3):
        row = f"| {layer + 1} | {everything['eval_thresholds_per_layer'][layer]:.4g} | "
        assert row + f"{everything['eval_tokens_kept_per_layer'][layer]:.4g} |" in card.content
    assert "(`absolute_threshold`)" in card.content and "--train_file train.csv" in card.content


def test_eval_writes_metrics_and_changes_no_checkpoint(after_all, capsys):
    before = digests(".")
    prune(f"{HARD.replace(SOFT_DIR, HARD_DIR)} --eval")
    after = digests(".")
    assert {path: after[path] for path in before} == before
    made = {str(path.relative_to(HARD_DIR)) for path in after.keys() - before.keys()}
    assert made == {f"eval/test/{name}" for name in ("eval_results.json", "all_results.json", "predictions.csv")}
    measured, made_by_training = results(Path(HARD_DIR, "eval/test")), results(HARD_DIR)
    for name in ("accuracy", "f1", "relative_flops", "tokens_kept_per_layer", "thresholds_per_layer"):
        assert measured[f"eval_{name}"] == made_by_training[f"eval_{name}"]
    shown = capsys.readouterr().out
    assert "relative FLOPs" in shown and f"\n{HARD_DIR}/eval/test\nNext:\n" in shown
    fine_tune(f"--model_name_or_path {HARD_DIR} --do_eval --validation_file test.csv --output_dir own --dtype float32")
    assert results("own")["eval_relative_flops"] == made_by_training["eval_relative_flops"]


def test_eval_of_what_does_not_prune_yet_prunes_only_if_a_flag_says_so(after_all):
    prune(f"{STAGE} --restore code_test --eval --output_dir unpruned --test_file train.csv")
    assert (results("unpruned")["eval_relative_flops"], results("unpruned")["test_functions"]) == (1, 24)
    assert len(pd.read_csv("unpruned/test_predictions.csv")) == 24
    rate = "--prune_mode absolute_threshold --final_token_threshold 0.9"
    prune(f"{STAGE} --restore code_test --eval --output_dir pruned {rate}")
    assert results("pruned")["eval_relative_flops"] < 0.95
    assert results("pruned")["eval_thresholds_per_layer"] == pytest.approx([0, 0.3, 0.6])


def test_a_rerun_starts_afresh_and_gives_the_same(after_all, capsys):
    soft = digests(SOFT_DIR)
    Path(SOFT_DIR, "checkpoint-999").mkdir()
    Path(SOFT_DIR, "checkpoint-999", "trainer_state.json").write_text("stale")
    Path("code_test", "trainer_state.json").write_text("stale")
    prune(f"{SOFT} --overwrite_output_dir")
    assert f"{SOFT_DIR}.previous" in capsys.readouterr().out
    assert not Path(SOFT_DIR, "checkpoint-999").exists() and not Path(SOFT_DIR, "hard").exists()
    for name in ("model.safetensors", "config.json", "predictions.csv"):
        assert digests(SOFT_DIR)[Path(SOFT_DIR, name)] == soft[Path(SOFT_DIR, name)]
    assert (Path(f"{SOFT_DIR}.previous") / "hard" / "lr_2e-05" / "model.safetensors").is_file()


def test_an_earlier_result_is_replaced_only_if_a_flag_says_so(after_all):
    before = digests(".")
    with pytest.raises(UserError, match="--output_dir code_test.*--overwrite_output_dir"):
        fine_tune(FINE_TUNE.replace("--overwrite_output_dir", ""))
    assert digests(".") == before
    fine_tune(f"{FINE_TUNE} --max_steps 1")
    assert results("code_test")["epoch"] == pytest.approx(1 / 6)
    assert not Path("code_test.previous").exists()


def test_a_plain_longformer_whose_config_was_edited_as_the_original_page_says(workplace):
    config = json.loads(Path("longformer/config.json").read_text())
    config.update(model_type="ltp", architectures=["LTPForSequenceClassification"])
    config.update(prune_mode="absolute_threshold", final_token_threshold=0.03)
    Path("longformer/config.json").write_text(json.dumps(config))
    prune(f"{STAGE} --restore longformer --masking_mode soft --lambda 0.1 --max_steps 1 --no_load --save_all")
    (folder,) = Path("checkpoints/base/CODE/absolute_threshold/rate_0.03/temperature_1e-05/lambda_0.1").iterdir()
    assert results(folder)["eval_thresholds_per_layer"] == pytest.approx([0, 0.01, 0.02], abs=1e-4)
    assert [path.name for path in Path(folder).glob("checkpoint-*")] == ["checkpoint-1"]


def test_a_plain_longformer_is_pruned_without_fine_tuning_first(workplace):
    prune(f"{STAGE} --restore longformer --masking_mode mixed --lambda 0.1 --max_steps 2 --no_load --arch ltp-large")
    (folder,) = Path(
        "checkpoints/large/CODE/absolute_threshold/rate_0.01/temperature_1e-05/lambda_0.1/mixed"
    ).iterdir()
    assert json.loads(Path(folder, "config.json").read_text())["model_type"] == "ltp"
    assert "eval_relative_flops" in results(folder)


def test_from_random_weights_with_bf16_and_a_json_file_of_flags(workplace, tokenizer_dir):
    config = json.loads(Path("longformer/config.json").read_text())
    Path("small.json").write_text(json.dumps({**config, "architectures": None}))
    flags = {
        "config_name": "small.json",
        "tokenizer_name": str(tokenizer_dir),
        "do_train": True,
        "do_eval": True,
        "do_predict": True,
        "train_file": "train.csv",
        "validation_file": "test.csv",
        "test_file": "test.csv",
        "max_train_samples": 8,
        "max_val_samples": 6,
        "window_size": 16,
        "bf16": True,
        "max_steps": 2,
        "evaluation_strategy": "epoch",
        "load_best_model_at_end": True,
        "pad_to_max_length": True,
        "output_dir": "scratch",
    }
    Path("run.json").write_text(json.dumps(flags))
    fine_tune("run.json")
    everything = results("scratch")
    assert (everything["train_samples"], everything["eval_functions"], everything["test_functions"]) == (8, 6, 10)
    saved = json.loads(Path("scratch/config.json").read_text())
    assert (saved["attention_window"], saved["dtype"], saved["prune_mode"]) == ([16] * 3, "float32", None)
    assert str(tokenizer_dir.parent) not in Path("scratch/README.md").read_text()
    fine_tune("--config scratch/run.json --output_dir again")
    first, second = (json.loads(Path(folder, "run.json").read_text()) for folder in ("scratch", "again"))
    assert first["settings"] == second["settings"] and first["flags"]["train_file"] == "train.csv"
    assert results("again")["eval_loss"] == everything["eval_loss"]


def test_other_models_are_fine_tuned_and_evaluated_too(workplace):
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = RobertaConfig(vocab_size=400, max_position_embeddings=66, type_vocab_size=1, **sizes)
    RobertaForSequenceClassification(config).save_pretrained("roberta")
    flags = "--model_name_or_path roberta --tokenizer_name longformer --do_train --do_eval --train_file train.csv "
    fine_tune(f"{flags} --validation_file test.csv --max_steps 1 --output_dir out")
    everything = results("out")
    assert {f"eval_{name}" for name in METRICS | SPEED} <= everything.keys()
    assert not {f"eval_{name}" for name in COMPUTE} & everything.keys()
    assert AutoTokenizer.from_pretrained("out").model_max_length == 64  # 66 positions, two before the first token


def test_an_interrupted_run_can_be_resumed_and_ends_the_same(workplace, trained, monkeypatch, capsys):
    def interrupt(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "evaluate_split", interrupt)
        with pytest.raises(KeyboardInterrupt):
            fine_tune(f"{FINE_TUNE} --save_total_limit 2")
    assert not Path("code_test").exists()
    assert "code_test.unfinished" in capsys.readouterr().out
    fine_tune(f"{FINE_TUNE} --resume_from_checkpoint code_test.unfinished/checkpoint-12")
    assert results("code_test")["epoch"] == 3
    resumed, straight = (Path(at, "code_test/model.safetensors").read_bytes() for at in (".", trained))
    assert resumed == straight
    assert {path.name for path in Path(".").iterdir()} == {"code_test", "longformer", "train.csv", "test.csv"}


def test_a_model_that_computes_no_numbers_is_no_result(workplace):
    with pytest.raises(UserError, match="no finite numbers.*learning rate"):
        fine_tune(FINE_TUNE.replace("2e-5", "1e30") + " --max_steps 3")
    assert not Path("code_test").exists()


def test_as_a_program_a_mistake_is_one_line_and_status_2(workplace):
    flags = SOFT.replace("code_test", "longformer").replace("train.csv", "none.csv")
    command = [sys.executable, run_code_metrics.__file__, *flags.split()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: --train_file none.csv: no such file\n"
