"""Writes the model card (README.md) of a checkpoint that was converted to LTP and not trained yet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from huggingface_hub import ModelCard, ModelCardData

from ltp_pipeline.base.files import write_text
from ltp_pipeline.model.conversion import exact_length
from ltp_pipeline.training.how_to_load import how_to_load
from ltp_pipeline.training.model_card_origin import CARD, origin_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel

TEMPLATE = Path(__file__).with_name("conversion_card_template.md")
PIPELINES = {
    "LTPForSequenceClassification": "text-classification",
    "LTPForTokenClassification": "token-classification",
    "LTPForQuestionAnswering": "question-answering",
    "LTPForMaskedLM": "fill-mask",
}  # model class -> task of the hub; others give features


def write_conversion_card(folder: Path, model: PreTrainedModel, source: str | Path) -> None:
    """Writes `folder`/README.md from conversion_card_template.md. `source`: folder or hub name that was converted."""
    origin, name = origin_of(source), type(model).__name__
    metadata = ModelCardData(
        library_name="transformers",
        pipeline_tag=PIPELINES.get(name, "feature-extraction"),
        tags=["ltp"],
        base_model=origin.base_model,
        base_model_relation=None if origin.base_model is None else "finetune",
        **origin.license,
    )
    card = ModelCard.from_template(
        metadata,
        template_path=str(TEMPLATE),
        source=origin.name,
        how_to_load=how_to_load(name, "ltp", self_contained=False),
        exact_length=exact_length(max(model.config.attention_window)),
    )
    write_text(folder / CARD, f"{str(card).rstrip()}\n")
