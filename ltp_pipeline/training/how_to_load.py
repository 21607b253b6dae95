"""The lines of a model card that say how to load the model."""

from __future__ import annotations

REGISTERS = 'import transformer_revised  # registers the model type "ltp"\n'
HOW_TO_LOAD = """```python
{imports}from transformers import {auto_class}, AutoTokenizer

folder = "..."  # the folder of this file, or its name on the hub
tokenizer = AutoTokenizer.from_pretrained(folder{trust})
model = {auto_class}.from_pretrained(folder{trust})
```"""
HOLDS_CODE = (
    "\n\nThe folder holds the model's code. Where `transformer_revised` is imported, its own classes are used instead."
)


def how_to_load(model_class: str, model_type: str, self_contained: bool) -> str:
    """Example code in Markdown for a model class, such as LTPForSequenceClassification, of a model type."""
    head = model_class.partition("For")[2]
    text = HOW_TO_LOAD.format(
        imports=REGISTERS if model_type == "ltp" and not self_contained else "",
        auto_class=f"AutoModelFor{head}" if head else "AutoModel",
        trust=", trust_remote_code=True" if self_contained else "",
    )
    return text + HOLDS_CODE if self_contained else text


def with_code(card: str, model_class: str) -> str:
    """The text of an LTP model's card after the model's code was added. A card without our lines stays as it is."""
    return card.replace(how_to_load(model_class, "ltp", False), how_to_load(model_class, "ltp", True))
