"""Tiny models of the families that can be converted, and their tokenizers."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers
from transformers import AutoTokenizer, BertTokenizer, PreTrainedModel

SIZES = {
    "vocab_size": 400,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-3,
    "hidden_act": "relu",
    "hidden_dropout_prob": 0.2,
    "attention_probs_dropout_prob": 0.3,
    "id2label": {0: "safe", 1: "unsafe", 2: "unclear"},
    "label2id": {"safe": 0, "unsafe": 1, "unclear": 2},
}
POSITIONS = 24  # maximum length of a text
PREFIXES = {"bert": "Bert", "roberta": "Roberta", "xlm-roberta": "XLMRoberta", "camembert": "Camembert"}


def source_model(family: str, head: str = "Model", **changes) -> PreTrainedModel:
    """A model in evaluation mode, with random weights so large that its outputs differ between texts."""
    torch.manual_seed(0)
    config_class = getattr(transformers, f"{PREFIXES[family]}Config")
    after_padding = 0 if family == "bert" else 2
    config = config_class(**{**SIZES, "max_position_embeddings": POSITIONS + after_padding, **changes})
    model = getattr(transformers, f"{PREFIXES[family]}{head}")(config)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.3)  # those of a LayerNorm stay about 1
    return model.eval()


@pytest.fixture(scope="session")
def bert_tokenizer_dir(tmp_path_factory) -> Path:
    """WordPiece over the letters of C code; [PAD] is 0, as in BERT."""
    letters = sorted(set('static int copy(char *dst, const char *src, size_t size){}=;0123456789_%"&!<>-+.') - {" "})
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters)]
    tokenizer = BertTokenizer(vocab={token: i for i, token in enumerate(vocabulary)}, model_max_length=POSITIONS)
    tokenizer.backend_tokenizer.enable_truncation(max_length=16)  # sentence-transformers saves such a limit
    tokenizer.save_pretrained(tmp_path_factory.getbasetemp() / "bert_tokenizer")
    return tmp_path_factory.getbasetemp() / "bert_tokenizer"


@pytest.fixture
def checkpoint(longformer_dir, tmp_path) -> Path:
    """A copy of the tiny Longformer, to change."""
    return shutil.copytree(longformer_dir, tmp_path / "checkpoint")


@pytest.fixture
def roberta(tokenizer_of, tmp_path) -> Path:
    """A tiny RoBERTa classifier of two classes, to change."""
    names = {"id2label": {0: "LABEL_0", 1: "LABEL_1"}, "label2id": {"LABEL_0": 0, "LABEL_1": 1}}
    source_model("roberta", "ForSequenceClassification", **names).save_pretrained(tmp_path / "roberta")
    tokenizer_of("roberta").save_pretrained(tmp_path / "roberta")
    return tmp_path / "roberta"


@pytest.fixture
def tokenizer_of(tokenizer_dir, bert_tokenizer_dir) -> Callable:
    return lambda family: AutoTokenizer.from_pretrained(bert_tokenizer_dir if family == "bert" else tokenizer_dir)


@pytest.fixture
def save_source(tokenizer_of, tmp_path, monkeypatch) -> Callable[..., PreTrainedModel]:
    """Saves a model in the folder `source` of a new working directory, with its tokenizer, and returns the model."""
    monkeypatch.chdir(tmp_path)

    def save(family: str, head: str = "Model", **changes) -> PreTrainedModel:
        model = source_model(family, head, **changes)
        model.save_pretrained("source")
        tokenizer_of(family).save_pretrained("source")
        return model

    return save
