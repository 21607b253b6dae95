"""The two training scripts, run on a tiny Longformer as the README's commands run them."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer, RobertaConfig, RobertaForSequenceClassification

import run_code_metrics
import run_glue_code_metrics
from ltp_pipeline.base.errors import run_main
from ltp_pipeline.training import run as training
from transformer_revised import LTPForSequenceClassification

FINE_TUNE = (
    "--model_name_or_path longformer --do_train --do_eval --train_file train.csv --validation_file test.csv "
    "--max_seq_length 96 --per_device_train_batch_size 4 --learning_rate 2e-5 --num_train_epochs 3 "
    "--overwrite_output_dir --output_dir code_test"
)
STAGE = "--arch ltp-base --task CODE --train_file train.csv --validation_file test.csv --lr 2e-5 --bs 4"
# A threshold and a temperature at which a model of three layers with random weights prunes and learns in 18 steps.
SOFT = (
    f"{STAGE} --restore code_test --temperature 0.1 --lambda 0.1 --weight_decay 0 --masking_mode soft --epoch 3 "
    "--save_step 10 --no_load --final_token_threshold 0.9 --lr_threshold 0.01"
)
SOFT_DIR = "checkpoints/base/CODE/absolute_threshold/rate_0.9/temperature_0.1/lambda_0.1/lr_2e-05"
HARD = f"{STAGE} --restore {SOFT_DIR} --masking_mode hard --epoch 1 --save_step 2"
HARD_DIR = f"{SOFT_DIR}/hard/lr_2e-05"
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
}
METRICS = {"accuracy", "f1", "recall", "precision", "false_alarm_rate", "auc", "loss", "runtime"}
SPEED = {"samples_per_second", "seconds_per_sample"}
COMPUTE = {"relative_flops", "full_relative_flops", "tokens_kept_per_layer"}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Several threads wait for each other on a busy machine, and gain nothing on so small a model."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def fine_tune(flags):
    run_glue_code_metrics.main(flags.split())


def prune(flags):
    run_code_metrics.main(flags.split())


@pytest.fixture
def workplace(files, longformer_dir, tmp_path, monkeypatch):
    """An empty working directory with train.csv, test.csv and the Longformer."""
    shutil.copy(files["train"], tmp_path / "train.csv")
    shutil.copy(files["test"], tmp_path / "test.csv")
    shutil.copytree(longformer_dir, tmp_path / "longformer")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def finished(files, longformer_dir, tmp_path_factory):
    """The working directory after fine-tuning, soft and hard pruning: nothing edited or deleted in between."""
    place = tmp_path_factory.mktemp("finished")
    shutil.copy(files["train"], place / "train.csv")
    shutil.copy(files["test"], place / "test.csv")
    shutil.copytree(longformer_dir, place / "longformer")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        fine_tune(FINE_TUNE)
        prune(SOFT)
        prune(HARD)
    return place


@pytest.fixture
def after_all(finished, tmp_path, monkeypatch):
    """A copy of `finished` to change, as the working directory."""
    place = shutil.copytree(finished, tmp_path / "copy")
    monkeypatch.chdir(place)
    return place


def results(folder, name="all"):
    return json.loads((Path(folder) / f"{name}_results.json").read_text())


def digests(folder):
    """Every file below `folder` and the hash of what it holds."""
    return {p: hashlib.sha256(p.read_bytes()).hexdigest() for p in Path(folder).glob("**/*") if p.is_file()}


def thresholds(folder):
    weights = load_file(Path(folder) / "model.safetensors")
    return [weights[f"longformer.encoder.layer.{i}.attention.self.pruner.keep_threshold"].item() for i in range(3)]


@pytest.mark.parametrize("folder", ["code_test", SOFT_DIR, HARD_DIR])
def test_each_stage_leaves_a_whole_checkpoint_with_its_results(finished, folder):
    assert RESULT <= {path.name for path in (finished / folder).iterdir()}
    assert not list((finished / folder).glob("checkpoint-*"))
    assert not list(finished.glob("**/*.unfinished"))
    everything = results(finished / folder)
    assert {f"eval_{name}" for name in METRICS | SPEED | COMPUTE} <= everything.keys()
    assert everything["train_samples"] == 24
    assert everything["eval_functions"] == 10
    assert everything["eval_seconds_per_sample"] == pytest.approx(everything["eval_runtime"] / 10)
    assert {**results(finished / folder, "train"), **results(finished / folder, "eval")} == everything
    predictions = pd.read_csv(finished / folder / "predictions.csv")
    assert predictions.columns.tolist() == ["label", "prediction", "score"]
    assert predictions["label"].tolist() == [0, 1] * 5
    assert ((predictions["score"] > 0.5).astype(int) == predictions["prediction"]).all()
    assert (predictions["label"] == predictions["prediction"]).mean() == everything["eval_accuracy"]
    assert AutoTokenizer.from_pretrained(finished / folder).model_max_length == 96


def test_fine_tuning_makes_an_ltp_checkpoint_that_prunes_nothing(finished):
    config = json.loads((finished / "code_test" / "config.json").read_text())
    assert (config["model_type"], config["prune_mode"]) == ("ltp", None)
    everything = results(finished / "code_test")
    assert everything["eval_relative_flops"] == 1
    assert everything["eval_full_relative_flops"] < 1
    assert everything["eval_tokens_kept_per_layer"][:2] == [everything["eval_tokens"] / 10] * 2
    before, after = (load_file(finished / name / "model.safetensors") for name in ("longformer", "code_test"))
    assert before.keys() == after.keys()
    assert any((before[name] != after[name]).any() for name in before)


def test_soft_pruning_learns_thresholds_and_keeps_its_settings(finished):
    config = json.loads((finished / SOFT_DIR / "config.json").read_text())
    assert config["prune_mode"] == "absolute_threshold"
    assert (config["final_token_threshold"], config["temperature"]) == (0.9, 0.1)
    learned = thresholds(finished / SOFT_DIR)
    assert learned[0] == 0  # the first layer's threshold is 0, and there nothing is pruned or learned
    assert all(abs(value) > 1e-3 for value in learned[1:])
    expected = [0.9 * layer / 3 + value for layer, value in enumerate(learned)]
    assert results(finished / SOFT_DIR)["eval_thresholds_per_layer"] == pytest.approx(expected)
    history = json.loads((finished / SOFT_DIR / "trainer_state.json").read_text())["log_history"]
    assert [entry["step"] for entry in history if "loss" in entry] == [10, 18]  # and at the end


def test_hard_pruning_keeps_the_thresholds_and_removes_tokens(finished):
    assert thresholds(finished / HARD_DIR) == thresholds(finished / SOFT_DIR)
    everything = results(finished / HARD_DIR)
    kept = everything["eval_tokens_kept_per_layer"]
    assert kept[1] < kept[0] == everything["eval_tokens"] / 10
    assert everything["eval_relative_flops"] < 0.95
    model = LTPForSequenceClassification.from_pretrained(finished / HARD_DIR)
    tokenizer = AutoTokenizer.from_pretrained(finished / HARD_DIR)
    batch = tokenizer(pd.read_csv(finished / "test.csv")["functionSource"][0], return_tensors="pt")
    (rest,) = model.get_rest_token_indices(**batch)
    assert 0 < len(rest) < batch["input_ids"].shape[1]
    # Without --no_load it was evaluated at every save, to keep the best.
    history = json.loads((finished / HARD_DIR / "trainer_state.json").read_text())
    assert [entry["step"] for entry in history["log_history"] if "eval_f1" in entry] == [2, 4, 6]
    assert history["best_metric"] == max(e["eval_f1"] for e in history["log_history"] if "eval_f1" in e)


def test_eval_writes_metrics_and_changes_no_checkpoint(after_all, capsys):
    before = digests(".")
    prune(f"{HARD.replace(SOFT_DIR, HARD_DIR)} --eval")
    after = digests(".")
    assert {path: after[path] for path in before} == before
    made = {str(path.relative_to(HARD_DIR)) for path in after.keys() - before.keys()}
    assert made == {f"eval/test/{name}" for name in ("eval_results.json", "all_results.json", "predictions.csv")}
    measured, trained = results(Path(HARD_DIR, "eval/test"), "eval"), results(HARD_DIR, "eval")
    for name in ("accuracy", "f1", "relative_flops", "tokens_kept_per_layer", "thresholds_per_layer"):
        assert measured[f"eval_{name}"] == trained[f"eval_{name}"]
    shown = capsys.readouterr().out
    assert "relative FLOPs" in shown
    assert shown.rstrip().endswith(f"{HARD_DIR}/eval/test")


def test_eval_of_what_does_not_prune_yet_prunes_only_if_told_so(after_all):
    prune(f"{STAGE} --restore code_test --eval --output_dir unpruned --test_file train.csv")
    assert results("unpruned")["eval_relative_flops"] == 1
    assert results("unpruned")["test_functions"] == 24
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
    prune(SOFT)
    assert f"is now {SOFT_DIR}.previous, because it holds hard/lr_2e-05" in capsys.readouterr().out
    assert not Path(SOFT_DIR, "checkpoint-999").exists()
    assert not Path(SOFT_DIR, "hard").exists()
    for name in ("model.safetensors", "config.json", "predictions.csv"):
        assert digests(SOFT_DIR)[Path(SOFT_DIR, name)] == soft[Path(SOFT_DIR, name)]
    assert (Path(f"{SOFT_DIR}.previous") / "hard" / "lr_2e-05" / "model.safetensors").is_file()


def test_a_plain_longformer_whose_config_was_edited_as_the_original_page_says(workplace):
    config = json.loads(Path("longformer/config.json").read_text())
    config.update(model_type="ltp", architectures=["LTPForSequenceClassification"])
    config.update(prune_mode="absolute_threshold", final_token_threshold=0.03)
    Path("longformer/config.json").write_text(json.dumps(config))
    prune(f"{STAGE} --restore longformer --masking_mode soft --lambda 0.1 --max_steps 1 --no_load --save_all")
    folder = "checkpoints/base/CODE/absolute_threshold/rate_0.03/temperature_1e-05/lambda_0.1/lr_2e-05"
    assert results(folder)["eval_thresholds_per_layer"] == pytest.approx([0, 0.01, 0.02], abs=1e-4)
    assert [path.name for path in Path(folder).glob("checkpoint-*")] == ["checkpoint-1"]


def test_a_plain_longformer_is_pruned_without_fine_tuning_first(workplace):
    prune(f"{STAGE} --restore longformer --masking_mode mixed --lambda 0.1 --max_steps 2 --no_load --arch ltp-large")
    folder = "checkpoints/large/CODE/absolute_threshold/rate_0.01/temperature_1e-05/lambda_0.1/mixed/lr_2e-05"
    assert json.loads(Path(folder, "config.json").read_text())["model_type"] == "ltp"
    assert "eval_relative_flops" in results(folder)


def test_from_scratch_with_bf16_and_a_json_file_of_flags(workplace, tokenizer_dir):
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


def test_other_models_are_fine_tuned_and_evaluated_too(workplace):
    config = RobertaConfig(
        vocab_size=400,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=66,
        type_vocab_size=1,
    )
    RobertaForSequenceClassification(config).save_pretrained("roberta")
    flags = "--model_name_or_path roberta --tokenizer_name longformer --do_train --do_eval --train_file train.csv "
    flags += "--validation_file test.csv --max_steps 1 --output_dir out"
    fine_tune(flags)
    everything = results("out")
    assert {f"eval_{name}" for name in METRICS | SPEED} <= everything.keys()
    assert not {f"eval_{name}" for name in COMPUTE} & everything.keys()
    assert AutoTokenizer.from_pretrained("out").model_max_length == 64  # 66 positions less two before the first token


def test_an_ltp_checkpoint_is_evaluated_with_its_own_pruning(after_all):
    before = digests(HARD_DIR)
    fine_tune(f"--model_name_or_path {HARD_DIR} --do_eval --validation_file test.csv --output_dir evaluated")
    assert results("evaluated")["eval_relative_flops"] == results(HARD_DIR)["eval_relative_flops"]
    assert digests(HARD_DIR) == before


def test_an_interrupted_run_can_be_resumed_and_ends_the_same(workplace, finished, monkeypatch, capsys):
    def interrupt(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training, "evaluate_split", interrupt)
        with pytest.raises(KeyboardInterrupt):
            fine_tune(f"{FINE_TUNE} --save_total_limit 2")
    assert not Path("code_test").exists()
    assert "unfinished: the files made so far are in code_test.unfinished" in capsys.readouterr().out
    shutil.rmtree("code_test.unfinished/checkpoint-18")
    fine_tune(f"{FINE_TUNE} --resume_from_checkpoint code_test.unfinished/checkpoint-12")
    assert results("code_test")["epoch"] == 3
    resumed, straight = (load_file(Path(at, "code_test/model.safetensors")) for at in (".", finished))
    assert max((resumed[name] - straight[name]).abs().max().item() for name in straight) < 1e-7
    assert {path.name for path in Path(".").iterdir()} == {"code_test", "longformer", "train.csv", "test.csv"}


def fails(main, flags, capsys):
    """The message with which a command line ends; asserts status 2 and no traceback."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        run_main(lambda: main(flags.split()))
    assert end.value.code == 2
    shown = capsys.readouterr()
    assert "Traceback" not in shown.out + shown.err
    assert shown.err.splitlines()[-1].startswith("error: ")
    return shown.err.splitlines()[-1].removeprefix("error: ")


BAD_FILES = [
    ("", "the file is empty"),
    ("source,label\nint a;,1\n", "no column with the code"),
    ("functionSource,label\nint a;,1\nint b;,buggy\n", "the 'label' is 'buggy'; expected 0 or 1"),
    ("functionSource,label\nint a;,1\nint b;,1\n", "all 2 functions have the label 1; training needs"),
]


@pytest.mark.parametrize("text, message", BAD_FILES)
def test_a_bad_training_file_is_named_before_any_work(workplace, capsys, text, message):
    Path("bad.csv").write_text(text)
    for main, flags in ((run_glue_code_metrics.main, FINE_TUNE), (run_code_metrics.main, SOFT)):
        flags = flags.replace("train.csv", "bad.csv").replace("--restore code_test", "--restore longformer")
        shown = fails(main, flags, capsys)
        assert shown.startswith("--train_file bad.csv: ")
        assert message in shown
    assert {path.name for path in workplace.iterdir()} == {"bad.csv", "train.csv", "test.csv", "longformer"}


@pytest.mark.parametrize(
    "change, message",
    [
        (("train.csv", "none.csv"), "--train_file none.csv: no such file"),
        (("--train_file train.csv", ""), "--train_file is missing; expected a file of labelled functions"),
        (("--validation_file test.csv", ""), "--validation_file is missing"),
        (("--do_train --do_eval", ""), "nothing to do; expected --do_train"),
        (("--model_name_or_path longformer", ""), "--model_name_or_path is missing; expected a checkpoint, or"),
        (("longformer", "./none"), "--model_name_or_path ./none: no such folder"),
        (("longformer", "train.csv"), "--model_name_or_path train.csv: this is a file"),
        (("--max_seq_length 96", "--max_seq_length 129"), "--max_seq_length 129: expected at most 128, the positions"),
        (("--max_seq_length 96", "--max_seq_length 2"), "--max_seq_length 2: expected 3 or more"),
        (("--max_seq_length 96", "--window_size 7"), "--window_size 7: expected an even number"),
        (("--max_seq_length 96", "--max_train_samples 1"), "--max_train_samples 1: the first 1 functions"),
        (("2e-5", "0"), "--learning_rate 0.0: expected a number above 0"),
        (("size 4", "size 0"), "--per_device_train_batch_size 0: expected a number above 0"),
        (("code_test", "longformer"), "--output_dir longformer: the result would replace --model_name_or_path"),
        (("code_test", "train.csv"), "--output_dir train.csv: the result would replace --train_file"),
        (("code_test", "."), "--output_dir .: the result would replace"),
        (("code_test", "train.csv/x"), "--output_dir train.csv/x: cannot be written: Not a directory"),
        (
            ("--max_seq_length 96", "--task_name rnli"),
            "--task_name rnli: no such task; expected one of CODE, VDISC, RTE, SST2",
        ),
        (("--max_seq_length 96", "--eval_strategy often"), "often is not a valid IntervalStrategy"),
        (("--max_seq_length 96", "--resume_from_checkpoint x"), "--resume_from_checkpoint x: expected a checkpoint-N"),
    ],
)
def test_bad_flags_of_fine_tuning(workplace, capsys, change, message):
    before = digests(".")
    assert message in fails(run_glue_code_metrics.main, FINE_TUNE.replace(*change), capsys)
    assert digests(".") == before


@pytest.mark.parametrize(
    "change, message",
    [
        (("--task CODE", "--task CWE"), "--task CWE: no such task; expected one of CODE, VDISC, RTE, SST2"),
        (("--restore longformer", "--restore ./none"), "--restore ./none: no such folder"),
        (("--restore longformer", "--restore roberta"), "--restore roberta: model type 'roberta'; expected one of"),
        (("--restore longformer", "--restore three"), "--restore three: this model has 3 classes"),
        (("--restore longformer", "--restore bare"), "--restore bare: no config.json in this folder"),
        (("--bs 4", "--bs 0"), "--bs 0: expected a number above 0"),
        (("--lr 2e-5", "--lr 0"), "--lr 0.0: expected a number above 0"),
        (("--epoch 3", "--epoch 0"), "--epoch 0.0: expected a number above 0"),
        (("--epoch 3", "--prune_mode best"), "`prune_mode` has to be None or one of absolute_threshold"),
        (("--epoch 3", "--output_dir longformer"), "--output_dir longformer: the result would replace --restore"),
        (("--epoch 3", "--max_seq_len 500"), "--max_seq_length 500: expected at most 128"),
        (("--epoch 3", "--eval --output_dir train.csv"), "--output_dir train.csv: cannot be written"),
        (("--temperature 0.1", "--temperature -1"), "temperature has to be positive"),
    ],
)
def test_bad_flags_of_a_stage(workplace, capsys, change, message):
    config = json.loads(Path("longformer/config.json").read_text())
    for name, values in {
        "roberta": {"model_type": "roberta"},
        "three": {"id2label": {"0": "a", "1": "b", "2": "c"}, "label2id": {"a": 0, "b": 1, "c": 2}},
    }.items():
        shutil.copytree("longformer", name)
        Path(name, "config.json").write_text(json.dumps({**config, **values}))
    Path("bare").mkdir()
    before = digests(".")
    flags = SOFT.replace("--restore code_test", "--restore longformer").replace(*change)
    assert message in fails(run_code_metrics.main, flags, capsys)
    assert digests(".") == before
    assert not Path("checkpoints").exists()


def test_an_earlier_result_is_replaced_only_when_told_so(after_all, capsys):
    before = digests(".")
    message = fails(run_glue_code_metrics.main, FINE_TUNE.replace("--overwrite_output_dir", ""), capsys)
    assert message.startswith("--output_dir code_test: this folder holds an earlier result")
    assert digests(".") == before
    fine_tune(f"{FINE_TUNE} --max_steps 1")
    assert results("code_test")["epoch"] == pytest.approx(1 / 6)
    assert not Path("code_test.previous").exists()


def test_a_budget_for_a_model_that_does_not_prune_is_refused_before_training(workplace, capsys):
    from transformers import AutoTokenizer, RobertaConfig, RobertaForSequenceClassification

    flags = f"{FINE_TUNE} --target_flops 0.5"
    message = fails(run_glue_code_metrics.main, flags, capsys)
    assert message == "--target_flops: the model has no learned thresholds; expected prune mode absolute_threshold"
    config = RobertaConfig(
        vocab_size=400, hidden_size=16, num_hidden_layers=1, num_attention_heads=1, max_position_embeddings=130
    )
    RobertaForSequenceClassification(config).save_pretrained("roberta")
    AutoTokenizer.from_pretrained("longformer").save_pretrained("roberta")
    message = fails(run_glue_code_metrics.main, flags.replace("longformer", "roberta"), capsys)
    assert message.startswith("--target_flops 0.5: a model of type roberta does not prune")


def test_a_model_that_computes_no_numbers_is_no_result(workplace, capsys):
    flags = FINE_TUNE.replace("2e-5", "1e30") + " --max_steps 3"
    assert "the model computes no finite numbers" in fails(run_glue_code_metrics.main, flags, capsys)
    assert not Path("code_test").exists()


@pytest.mark.parametrize("script", ["run_glue_code_metrics.py", "run_code_metrics.py"])
def test_as_a_program_a_mistake_is_one_line_and_status_2(workplace, script):
    program = Path(run_code_metrics.__file__).with_name(script)
    flags = FINE_TUNE if "glue" in script else SOFT.replace("--restore code_test", "--restore longformer")
    command = [sys.executable, str(program), *flags.replace("train.csv", "none.csv").split()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert done.stderr == "error: --train_file none.csv: no such file\n"
    assert done.stdout == ""
