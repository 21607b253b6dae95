import pytest
from huggingface_hub import ModelCard
from transformers import BertConfig

from ltp_pipeline.model.ranking_note import ranking_note
from ltp_pipeline.task.tasks import CODE
from ltp_pipeline.training.model_card import write_model_card
from transformer_revised import LTPConfig


def card_of(folder, config) -> str:
    write_model_card(folder, config, {}, [], CODE, "command")
    return ModelCard.load(folder / "README.md").content


@pytest.mark.parametrize("teacher", [None, "attention", "relevance"])
def test_the_card_of_a_pruned_model_says_how_its_ranking_was_taught(teacher, tmp_path):
    config = LTPConfig(rank_teacher=teacher)
    assert f"\n\n{ranking_note(config, CODE)}\n\n## Data" in card_of(tmp_path, config)


@pytest.mark.parametrize("config", [LTPConfig(prune_mode=None), BertConfig()])
def test_the_card_of_another_model_says_nothing_of_it(config, tmp_path):
    card = card_of(tmp_path, config)
    assert "kept" not in card and "anking" not in card
