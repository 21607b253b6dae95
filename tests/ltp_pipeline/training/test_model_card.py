"""The model card of a result: metadata by the hub's rules, and nothing of the machine that made it."""

import re

import pytest
from huggingface_hub import ModelCard, metadata_load
from huggingface_hub.repocard_data import model_index_to_eval_results
from huggingface_hub.utils import validate_repo_id
from transformers import BertConfig
from transformers.pipelines import SUPPORTED_TASKS

from ltp_pipeline.model.ranking_note import ranking_note
from ltp_pipeline.model.self_contained import make_self_contained
from ltp_pipeline.task.tasks import CODE, find_task
from ltp_pipeline.training.arguments import _command
from ltp_pipeline.training.model_card import write_model_card
from ltp_pipeline.training.model_card_origin import Origin, origin_of
from tests.ltp_pipeline.training.conftest import HARD_DIR, SOFT_DIR, results
from transformer_revised import LTPConfig
from transformer_revised.models.ltp.configuration_ltp import RANK_TEACHERS

SCRATCH = Origin()
HUB = "allenai/longformer-base-4096"
# Fields of a card's metadata, by https://huggingface.co/docs/hub/model-cards, and the types of their values
FIELDS = {
    "license": str, "license_name": str, "license_link": str, "library_name": str, "pipeline_tag": str, "tags": list,
    "base_model": str, "base_model_relation": str, "datasets": list, "metrics": list, "model-index": list,
}  # fmt: skip


def check_metadata(folder):
    """Checks the metadata of a card as the hub does when a card is uploaded. Returns them."""
    values = metadata_load(folder / "README.md")
    for name, value in values.items():
        assert isinstance(value, FIELDS[name]), name
    assert re.fullmatch(r"[a-z0-9.+-]+", values["license"])
    assert values["pipeline_tag"] in SUPPORTED_TASKS
    for name in (values.get("base_model"), *values.get("datasets", [])):
        if name is not None:
            validate_repo_id(name)
    assert values.get("base_model_relation", "finetune") == "finetune"
    for name in ("tags", "metrics", "datasets"):
        assert all(isinstance(value, str) and value for value in values.get(name, []))
    if "model-index" in values:
        _, measured = model_index_to_eval_results(values["model-index"])
        for result in measured:
            assert isinstance(result.metric_value, int | float) and result.metric_type in values["metrics"]
            assert result.dataset_name and result.dataset_type and result.task_type == values["pipeline_tag"]
    card = ModelCard.load(folder / "README.md")
    assert card.data.to_dict() == {key: value for key, value in values.items() if key != "model-index"} | (
        {"model-index": values["model-index"]} if "model-index" in values else {}
    )
    return values


def card_of(folder, config, origin=SCRATCH, found=None, data=(), task=CODE) -> str:
    write_model_card(folder, config, found or {}, list(data), task, "command", origin)
    check_metadata(folder)
    return ModelCard.load(folder / "README.md").content


@pytest.mark.parametrize("teacher", [None, *RANK_TEACHERS])
def test_the_card_of_a_pruned_model_says_how_its_ranking_was_taught(teacher, tmp_path):
    config = LTPConfig(rank_teacher=teacher)
    assert f"\n\n{ranking_note(config, CODE)}\n\nStarted from random" in card_of(tmp_path, config)


@pytest.mark.parametrize("config", [LTPConfig(prune_mode=None), BertConfig()])
def test_the_card_of_another_model_says_nothing_of_it(config, tmp_path):
    card = card_of(tmp_path, config)
    assert "kept" not in card and "anking" not in card and "## Pruning" not in card


@pytest.mark.parametrize("folder", ["code_test", SOFT_DIR, HARD_DIR])
def test_metadata_of_each_stage(trained, folder):
    values, measured = check_metadata(trained / folder), results(trained / folder)
    assert (values["license"], values["library_name"]) == ("unknown", "transformers")
    assert "base_model" not in values and "datasets" not in values  # `longformer` is a folder without a card
    assert {"accuracy", "f1", "roc_auc", "matthews_correlation"} <= set(values["metrics"])
    (entry,) = values["model-index"]
    assert entry["results"][0]["dataset"] == {"name": "CODE, test.csv", "type": "test", "split": "validation"}
    by_type = {metric["type"]: metric["value"] for metric in entry["results"][0]["metrics"]}
    assert by_type["f1"] == measured["eval_f1"]
    card = (trained / folder / "README.md").read_text()
    assert "Classes: 0 `clean`, 1 `defective`." in card
    assert str(trained) not in card and "import transformer_revised" in card


def test_the_pruning_table(trained, tmp_path):
    measured = results(trained / HARD_DIR)["eval_relative_flops"]
    table = f"| prune mode | absolute_threshold |\n| score | max |\n| relative FLOPs, eval | {measured:.4g} |"
    assert table in (trained / HARD_DIR / "README.md").read_text()
    assert "| budget | 0.5 |" in card_of(tmp_path, LTPConfig(target_flops=0.5))


def test_origin_and_licence(tmp_path):
    card = card_of(tmp_path, LTPConfig(decision_threshold=0.75), Origin("soft", HUB, {"license": "apache-2.0"}))
    values = metadata_load(tmp_path / "README.md")
    assert (values["license"], values["base_model"], values["base_model_relation"]) == ("apache-2.0", HUB, "finetune")
    assert f"Started from `soft`, which was made from `{HUB}`." in card
    assert "Class 1 is predicted if its probability is above 0.75." in card


def test_data_of_the_hub(tmp_path):
    data, task = [{"split": "eval", "file": "from the hub", "rows": 8, "skipped_rows": 0}], find_task("MRPC", "--task")
    card_of(tmp_path, BertConfig(), found={"eval_f1": 0.5, "eval_runtime": 1.0}, data=data, task=task)
    values = metadata_load(tmp_path / "README.md")
    assert values["datasets"] == ["nyu-mll/glue"]
    expected = {"name": "MRPC, from the hub", "type": "nyu-mll/glue", "config": "mrpc", "split": "validation"}
    assert values["model-index"][0]["results"][0]["dataset"] == expected


def test_how_to_load_a_self_contained_checkpoint(tmp_path):
    config = LTPConfig()
    make_self_contained(config)
    card = card_of(tmp_path, config)
    assert card.count("from_pretrained(folder, trust_remote_code=True)") == 2
    assert "import transformer_revised" not in card


@pytest.fixture
def folder(tmp_path):
    """Makes a folder with a card of these metadata."""

    def make(metadata, name="code_test"):
        place = tmp_path / name
        place.mkdir(parents=True)
        (place / "README.md").write_text(f"---\n{metadata}\n---\ntext\n")
        return place

    return make


def test_the_origin_of_a_folder_is_in_its_card(folder):
    found = origin_of(folder(f"base_model: {HUB}\nlicense: mit"))
    assert found == Origin("code_test", HUB, {"license": "mit"})
    found = origin_of(folder(f"base_model:\n- {HUB}\nlicense: other\nlicense_name: own", "b"))
    assert found == Origin("b", HUB, {"license": "other", "license_name": "own"})


@pytest.mark.parametrize(
    "metadata",
    [
        "base_model: /home/me/model\nlicense: [a]",
        "base_model: [a, b]\nlicense: 'a b'",
        "base_model: {a: b}",
        "a: [",
        "",
    ],
)
def test_what_is_no_name_is_left_out(folder, metadata):
    assert origin_of(folder(metadata)) == Origin("code_test")


def test_the_origin_in_the_cache_of_the_hub_is_its_name(folder):
    place = folder("license: mit", "hub/models--allenai--longformer-base-4096/snapshots/0a1b")
    assert origin_of(place) == Origin(HUB, HUB, {"license": "mit"})


def test_the_origin_on_the_hub(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    name = "nobody/nothing-of-this-name"
    assert origin_of(name) == Origin(name, name)
    assert origin_of(None) == Origin()


def test_the_command_names_no_place():
    words = ["--train_file", "/home/me/train.csv", "--output_dir=/tmp/out", "--restore", "a/b", "--lr=1e-5"]
    assert (
        _command(["python", "run.py", *words])
        == "python run.py --train_file train.csv --output_dir=out --restore a/b --lr=1e-5"
    )
