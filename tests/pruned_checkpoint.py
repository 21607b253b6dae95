"""A tiny random LTP checkpoint whose thresholds drop tokens layer by layer, and functions to prune with it."""

import json
import shutil
from pathlib import Path

import pandas as pd
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from transformer_revised import LTPConfig, LTPForSequenceClassification

THRESHOLDS = (0.1, 0.15, 0.2, 0.3)
MAX_LENGTH = 96

FUNCTIONS = [
    "int add(int a, int b) { return a + b; }",
    'static int copy(char *dst, const char *src)\n{\n\tchar buf[64];\n\n\tstrcpy(buf, s);\r\n\tputs("a, \\"b");\n}\n',
    "NA",
    "void log(void) { puts(\"\x1b[2J\u202e\"); /* <b>'é漢'</b> & $x^ */ }\r",
    "  int n = 0;  ",
    "int f(int x) {\n" + "  x = x * 31 + sizeof(struct node);\n" * 12 + "  return x;\n}\n",
]
LABELS = [0, 1, 0, 1, 0, 1]


def make_tokenizer(trim_offsets: bool = True) -> PreTrainedTokenizerFast:
    """Byte-level BPE with RoBERTa's special tokens; `trim_offsets`: spans leave out white space, as RoBERTa's do."""
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    tokenizer.train_from_iterator(FUNCTIONS[:2] * 2, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(
        ("</s>", 2), ("<s>", 0), trim_offsets=trim_offsets, add_prefix_space=False
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        cls_token="<s>",
        eos_token="</s>",
        sep_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        mask_token="<mask>",
    )


def save_checkpoint(folder: Path, **config) -> Path:
    """Model and tokenizer in `folder`, random but always the same."""
    tokenizer = make_tokenizer()
    torch.manual_seed(0)
    settings = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "num_hidden_layers": len(THRESHOLDS),
        "num_attention_heads": 4,
        "intermediate_size": 32,
        "max_position_embeddings": MAX_LENGTH + 2,
        "type_vocab_size": 1,
        "attention_window": 16,
        "initializer_range": 0.3,
        "pad_token_id": 1,
        "bos_token_id": 0,
        "eos_token_id": 2,
        "num_labels": 2,
        "final_token_threshold": 0.0,
    }
    model = LTPForSequenceClassification(LTPConfig(**{**settings, **config}))
    if model.config.prune_mode is not None:
        for offset, threshold in zip(model.learned_thresholds(), THRESHOLDS, strict=True):
            offset.data.fill_(threshold)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def copy_with_teacher(checkpoint: Path, folder: Path, teacher: str | None) -> Path:
    """A copy in `folder` whose ranking was taught; None: an older one, whose config.json lacks the field."""
    shutil.copytree(checkpoint, folder)
    config = json.loads((folder / "config.json").read_text())
    del config["rank_teacher"]
    config |= {"rank_teacher": teacher} if teacher else {}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def save_functions(file: Path, functions: list[str] = FUNCTIONS, labels: list[int] = LABELS, **columns) -> Path:
    pd.DataFrame({"functionSource": functions, "label": labels, **columns}).to_csv(file, index=False)
    return file
