import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from ltp_pipeline.base import next_commands
from ltp_pipeline.data.flags import DataArguments
from ltp_pipeline.task.tasks import find_task
from ltp_pipeline.training.next_stage import next_stage

DATA = {"train_file": "a.csv", "validation_file": "b.csv"}


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(next_commands, "runnable", lambda name: name)


def _next(task="code", trains=True, data=DATA, restore="start", **config):
    Path("out").mkdir()
    Path("out/config.json").write_text(json.dumps({"model_type": "ltp", "num_hidden_layers": 12, **config}))
    Path("out/tokenizer_config.json").write_text(json.dumps({"model_max_length": 512}))
    args = SimpleNamespace(per_device_train_batch_size=4, max_tokens_per_batch=None, seed=7, use_cpu=False)
    start = SimpleNamespace(
        data=DataArguments(**data), args=args, task=find_task(task, "--task"), trains=trains,
        origin={"--model_name_or_path": "out" if not trains else restore},
    )  # fmt: skip
    return next_stage(start, Path("out"))


def test_a_fine_tuned_model_is_pruned_with_the_same_data():
    given = {**DATA, "label_map": "ok=0,wrong=1", "max_train_samples": 50, "overwrite_cache": True}
    assert _next(data=given) == [
        "run_code_metrics.py --restore out --masking_mode soft --target_flops 0.5 --label_map ok=0,wrong=1 "
        "--train_file a.csv --validation_file b.csv --max_train_samples 50 --per_device_train_batch_size 4 --seed 7 "
        "--no_load --output_dir soft"
    ]


def test_a_small_model_gets_a_budget_that_it_can_meet_and_a_task_its_name():
    (line,) = _next("mrpc", data={}, num_hidden_layers=3)
    assert line.startswith("run_code_metrics.py --restore out --task MRPC --masking_mode soft --target_flops 0.9 ")
    assert "_file" not in line  # from the hub


def test_data_without_a_validation_file_is_split_first():
    assert _next(data={"train_file": "a.csv"}) == ["-m ltp_pipeline.split_data a.csv --output_dir splits"]


def test_a_model_that_cannot_be_pruned_is_converted_if_that_is_possible():
    line = "-m ltp_pipeline.convert --model_name_or_path out --output_dir out_ltp"
    assert _next(model_type="roberta") == [line]


def test_another_model_has_no_next_stage():
    assert _next(model_type="t5") == []


def test_an_evaluation_of_a_pruned_model_shows_and_scans_it():
    assert _next(trains=False, data={"validation_file": "b.csv"}, prune_mode="absolute_threshold") == [
        "ltp_test.py --model_name_or_path out --validation_file b.csv --max_length 512",
        "ltp_scan.py . --model_name_or_path out --html scan.html",
    ]


def test_an_evaluation_of_a_model_on_the_hub_has_no_next_stage():
    assert (
        _next(trains=False) == []
        and next_stage(SimpleNamespace(trains=False, origin={"--restore": "no/folder"}), Path("x")) == []
    )
