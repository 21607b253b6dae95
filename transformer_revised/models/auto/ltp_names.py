"""The names under which the Auto classes find "ltp". To add a head, add a line to `MODEL_CLASSES`.

This file imports nothing, because the overlay's command runs it without Transformers.
"""

MODEL_TYPE = "ltp"
CONFIG_CLASS = "LTPConfig"
TOKENIZER_CLASS = "RobertaTokenizer"  # as for Longformer

# Auto class: (table in the library's modeling_auto.py, class of this project)
MODEL_CLASSES = {
    "AutoModel": ("MODEL_MAPPING_NAMES", "LTPModel"),
    "AutoModelForSequenceClassification": (
        "MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES",
        "LTPForSequenceClassification",
    ),
    "AutoModelForPreTraining": ("MODEL_FOR_PRETRAINING_MAPPING_NAMES", "LTPForMaskedLM"),
    "AutoModelForMaskedLM": ("MODEL_FOR_MASKED_LM_MAPPING_NAMES", "LTPForMaskedLM"),
    "AutoModelForTokenClassification": ("MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES", "LTPForTokenClassification"),
    "AutoModelForQuestionAnswering": ("MODEL_FOR_QUESTION_ANSWERING_MAPPING_NAMES", "LTPForQuestionAnswering"),
    "AutoModelForMultipleChoice": ("MODEL_FOR_MULTIPLE_CHOICE_MAPPING_NAMES", "LTPForMultipleChoice"),
}

HEADS = tuple(dict.fromkeys(name for _, name in MODEL_CLASSES.values()))
PUBLIC_NAMES = (CONFIG_CLASS, *HEADS, "LTPTrainer", "LTPTrainingArguments")

# Files that the overlay copies into the installed package, at the same paths
COPIED = ("models/ltp/*.py", "trainer_ltp.py", "training_args_ltp.py")
