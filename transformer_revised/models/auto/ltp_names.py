"""The names under which the Auto classes find "ltp". A new head is one line in `MODEL_CLASSES`.

Plain data without imports: the overlay reads it with no Transformers at hand.
"""

MODEL_TYPE = "ltp"
CONFIG_CLASS = "LTPConfig"
TOKENIZER_CLASS = "RobertaTokenizer"  # as for Longformer

# Auto class: (the table of the library's modeling_auto.py that it reads, class of this project)
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

# What the overlay copies into the installed package, relative to it
COPIED = ("models/ltp/*.py", "trainer_ltp.py", "training_args_ltp.py")
