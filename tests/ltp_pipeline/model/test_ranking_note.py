from pathlib import Path

import pytest
from transformers import BertConfig

from ltp_pipeline.model.ranking_note import WARNING, ranking_fields, ranking_note
from ltp_pipeline.task.tasks import CODE, find_task
from ltp_pipeline.training.rank_column import target_of
from transformer_revised import LTPConfig
from transformer_revised.models.ltp.configuration_ltp import PRUNE_MODES, RANK_TEACHERS


@pytest.mark.parametrize("mode", PRUNE_MODES)
@pytest.mark.parametrize("teacher", RANK_TEACHERS)
def test_each_teacher_has_a_sentence_in_each_mode(teacher, mode):
    note = ranking_note(LTPConfig(prune_mode=mode, rank_teacher=teacher), CODE)
    assert note.startswith(f"Ranking taught by {teacher}: ") and note.endswith(".")
    part = {"attention": "that the unpruned model's last layer attends to", "relevance": "that speak for class 1"}
    part["magnitude"] = "that change the unpruned model's prediction most, whichever way"
    assert part[teacher] in note and "{" not in note


@pytest.mark.parametrize(
    ("name", "target", "part"),
    [
        ("code", "class_1", "speak for class 1 in the unpruned model (integrated"),
        ("sst2", "label", "speak for the right class in the unpruned model (integrated"),
        ("mnli", "label", "speak for the right class in the unpruned model (integrated"),
        ("vdisc", "sum", "speak for any of the labels in the unpruned model (integrated"),
        ("stsb", "absolute", "change the prediction most in the unpruned model (integrated"),
    ],
)
def test_what_is_relevant_depends_on_the_task_as_for_the_teacher(name, target, part):
    task = find_task(name, "--task_name")
    assert target_of(task) == target and part in ranking_note(LTPConfig(rank_teacher="relevance"), task)
    untaught = ranking_note(LTPConfig(), task)
    assert untaught.startswith(WARNING) and untaught.endswith("--rank_distillation 1 teaches the ranking.")
    assert ("--line_scores" in untaught) == (name in ("code", "sst2"))  # lines are scored towards class 1 of two


@pytest.mark.parametrize("mode", PRUNE_MODES)
def test_a_ranking_that_was_not_taught_is_a_warning_that_names_the_flags(mode):
    note = ranking_note(LTPConfig(prune_mode=mode), CODE)
    assert note.startswith(f"{WARNING}kept does not mean relevant: ") and "--line_scores" in note and "\n" not in note
    assert "--rank_distillation 1" in note


@pytest.mark.parametrize("teacher", [None, *RANK_TEACHERS])
def test_the_documents_quote_it(teacher):
    usage = Path(__file__).parents[3].joinpath("docs", "usage.md").read_text("utf-8").replace("`", "")
    assert f" | {ranking_note(LTPConfig(rank_teacher=teacher), CODE)} |" in usage


@pytest.mark.parametrize("config", [LTPConfig(prune_mode=None), LTPConfig(prune_mode=None, rank_teacher="attention")])
def test_nothing_is_said_of_a_model_that_does_not_prune(config):
    assert ranking_note(config, CODE) is None
    assert ranking_fields(config, CODE) == {"rank_teacher": config.rank_teacher, "ranking": None}


def test_configurations_without_the_field():
    assert ranking_fields(BertConfig(), CODE) == {"rank_teacher": None, "ranking": None}
    older = {name: value for name, value in LTPConfig().to_dict().items() if name != "rank_teacher"}
    assert ranking_note(LTPConfig.from_dict(older), CODE).startswith(WARNING)
