"""A BERT or RoBERTa checkpoint (CodeBERT, GraphCodeBERT, UniXcoder) as LTP.

    python -m ltp_pipeline.convert --model_name_or_path microsoft/codebert-base --output_dir codebert_ltp
        --max_positions 4096 --attention_window 512

The result computes what its source does where the window covers the text, takes texts of --max_positions tokens and
prunes nothing yet: run_glue_code_metrics.py fine-tunes it, and run_code_metrics.py prunes what comes of that.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.result_folder import new_result
from ltp_pipeline.model.checkpoints import (
    POSITIONS_AFTER_PADDING,
    PRUNABLE,
    check_checkpoint,
    check_tokenizer_fits,
    load_config,
    load_tokenizer,
    load_with_missing,
)

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

    from transformer_revised import LTPConfig, LTPPreTrainedModel

MAX_POSITIONS = 4096
ATTENTION_WINDOW = 512
FAMILIES = ("bert", "roberta", "xlm-roberta", "camembert")
HEADS = ("SequenceClassification", "MaskedLM", "TokenClassification", "QuestionAnswering", "MultipleChoice")
CARRIED = (
    "vocab_size hidden_size num_hidden_layers num_attention_heads intermediate_size hidden_act hidden_dropout_prob "
    "attention_probs_dropout_prob type_vocab_size initializer_range layer_norm_eps pad_token_id tie_word_embeddings "
    "id2label label2id problem_type"
).split()
# BERT's names for what Longformer's masked language modelling head has too
BERT_LM_HEAD = {
    "cls.predictions.transform.LayerNorm.": "lm_head.layer_norm.",
    "cls.predictions.transform.dense.": "lm_head.dense.",
    "cls.predictions.": "lm_head.",
}


def convert(
    source: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    *,
    max_positions: int = MAX_POSITIONS,
    attention_window: int = ATTENTION_WINDOW,
    head: str | None = None,
) -> tuple["LTPPreTrainedModel", list[str]]:
    """An LTP model with the weights of `source`, whose outputs it gives for texts of up to `exact_length` tokens.

    Args:
        source: a model of one of `FAMILIES`.
        tokenizer: its tokenizer, for the ids of the special tokens.
        max_positions: longest text in tokens; the position embeddings of the source are repeated up to it.
        attention_window: of every layer, even: half to each side.
        head: one of `HEADS`, to have this one (default: the head of the source, if LTP has it, else none).

    Returns:
        The model, which prunes nothing, in evaluation mode; and the names of its weights that the source does not
        have, which start at random.

    Raises:
        UserError: a source that LTP cannot stand for, or a number that no model can be made with.
    """
    import transformer_revised

    check_sizes(max_positions, attention_window)
    check_source(source.config, type(source).__name__)
    weights = _encoder_weights(source, max_positions)
    own_head = head_of(type(source).__name__, source.config)
    head = own_head if head is None else head
    if head:
        weights = {f"longformer.{name}": value for name, value in weights.items()}
        if head == own_head:
            weights |= _head_weights(source)
    config = _config(source.config, tokenizer, max_positions, attention_window)
    if head:
        model = getattr(transformer_revised, f"LTPFor{head}")(config)
    else:
        model = transformer_revised.LTPModel(config, add_pooling_layer="pooler.dense.weight" in weights)
    missing, _ = model.load_state_dict(weights, strict=False)
    return model.to(source.dtype).eval(), sorted(missing)


def convert_checkpoint(
    path: str | Path,
    output_dir: str | Path,
    *,
    max_positions: int = MAX_POSITIONS,
    attention_window: int = ATTENTION_WINDOW,
) -> "LTPPreTrainedModel":
    """Writes the checkpoint at `path` (folder or hub name) as LTP, with its tokenizer, into a new folder.

    `output_dir` appears whole, or not at all. Nothing in it is random: a head that LTP does not have is left out.

    Raises:
        UserError: see `convert`; no checkpoint or tokenizer at `path`; an `output_dir` that is not new or empty.
    """
    flag, output_dir = "--model_name_or_path", Path(output_dir)
    check_sizes(max_positions, attention_window)
    if output_dir.exists() and (not output_dir.is_dir() or any(output_dir.iterdir())):
        raise UserError(f"--output_dir {output_dir}: expected a new or an empty folder")
    source = load_source(path, flag=flag)
    tokenizer = load_tokenizer(path, flag=flag)
    check_tokenizer_fits(tokenizer, source.config, flag=f"{flag} {path}")
    model, _ = convert(source, tokenizer, max_positions=max_positions, attention_window=attention_window)
    set_longest_text(tokenizer, max_positions)
    with new_result(output_dir) as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return model


def load_source(
    path: str | Path, *, flag: str, config: "PreTrainedConfig | None" = None, dtype: str = "float32"
) -> "PreTrainedModel":
    """The model to convert, with its head if LTP has it, else without. Raises UserError if there is none or a bad one.

    Args:
        config: to use in place of the checkpoint's own.
        dtype: of the weights.
    """
    import transformers

    check_checkpoint(path, flag)
    config = load_config(path, flag=flag) if config is None else config
    check_source(config, f"{flag} {path}")
    head = head_of((config.architectures or [""])[0], config)
    model_class = getattr(transformers, f"AutoModelFor{head}" if head else "AutoModel")
    model, missing = load_with_missing(model_class, path, flag=flag, config=config, dtype=dtype)
    if not head and missing and all(name.startswith("pooler.") for name in missing):
        model.pooler, missing = None, []  # many checkpoints come without the pooler that the class has
    if missing:
        raise UserError(
            f"{flag} {path}: {len(missing)} weights are missing ({missing[0]}, ...); expected all that a "
            f"{type(model).__name__} has"
        )
    return model


def check_source(config: "PreTrainedConfig", name: str) -> None:
    """Raises UserError, beginning with `name`, unless LTP can stand for a model of this configuration."""
    if config.model_type in PRUNABLE:
        raise UserError(f"{name}: is a Longformer already; leave the conversion out")
    if config.model_type not in FAMILIES:
        raise UserError(
            f"{name}: model type {config.model_type!r} cannot be converted; expected {', '.join(FAMILIES)}"
        )
    if config.is_decoder or config.add_cross_attention:
        raise UserError(f"{name}: is a decoder, in which no token sees a later one; expected an encoder")
    if config.pad_token_id is None:
        raise UserError(f"{name}: config.json has no pad_token_id; expected the id of the tokenizer's padding token")
    positions = getattr(config, "position_embedding_type", None) or "absolute"
    if positions != "absolute":
        raise UserError(f"{name}: has {positions} position embeddings; expected absolute ones, as Longformer's are")


def check_sizes(max_positions: int, attention_window: int, *, window_flag: str = "--attention_window") -> None:
    """Raises UserError, naming the flag, for a number that no model can be made with."""
    if max_positions < 3:
        raise UserError(f"--max_positions {max_positions}: expected 3 or more: <s>, a token and </s>")
    check_window(attention_window, window_flag)


def check_window(size: int, flag: str) -> None:
    """Raises UserError, naming `flag`, unless `size` tokens can be halved into the two sides of a window."""
    if size < 2 or size % 2:
        raise UserError(f"{flag} {size}: expected an even number of tokens, half to each side")


def head_of(architecture: str, config: "PreTrainedConfig") -> str:
    """The one of `HEADS` that a model class has; "" for none.

    >>> head_of("RobertaForMaskedLM", config), head_of("BertForNextSentencePrediction", config)
    ('MaskedLM', '')
    """
    head = architecture.partition("For")[2].replace("PreTraining", "MaskedLM")
    if head not in HEADS:
        return ""
    # Longformer's language modelling head is made with gelu, BERT's with the model's own activation.
    other_activation = config.model_type == "bert" and head == "MaskedLM" and config.hidden_act != "gelu"
    return "" if other_activation else head


def exact_length(attention_window: int) -> int:
    """Longest text, in tokens, in which every token is in every other's window, half of which lies to each side."""
    return attention_window // 2 + 1


def set_longest_text(tokenizer: "PreTrainedTokenizerBase", max_positions: int) -> None:
    """Makes `max_positions` tokens the most that the tokenizer is for, whatever it was before."""
    tokenizer.model_max_length = max_positions
    tokenizer.init_kwargs.pop("max_length", None)
    if tokenizer.is_fast:  # its tokenizer.json may hold a length too
        tokenizer.backend_tokenizer.no_truncation()
        tokenizer.backend_tokenizer.no_padding()


def _config(
    config: "PreTrainedConfig", tokenizer: "PreTrainedTokenizerBase", max_positions: int, attention_window: int
) -> "LTPConfig":
    from transformer_revised import LTPConfig

    return LTPConfig(
        **{name: getattr(config, name) for name in CARRIED},
        prune_mode=None,
        attention_window=[attention_window] * config.num_hidden_layers,
        max_position_embeddings=config.pad_token_id + 1 + max_positions,
        bos_token_id=tokenizer.cls_token_id,
        eos_token_id=tokenizer.sep_token_id,
        sep_token_id=tokenizer.sep_token_id,
    )


def _encoder_weights(source: "PreTrainedModel", max_positions: int) -> dict[str, "torch.Tensor"]:
    """The encoder's weights under Longformer's names, which are BERT's and RoBERTa's too, global projections added."""
    first = source.config.pad_token_id + 1 if source.config.model_type in POSITIONS_AFTER_PADDING else 0
    weights = {}
    for name, value in source.base_model.state_dict().items():
        if name == "embeddings.position_embeddings.weight":
            value = _tiled_positions(value[first:], source.config.pad_token_id + 1, max_positions)
        weights[name] = value
        for projection in ("query", "key", "value"):
            if f".self.{projection}." in name:
                weights[name.replace(f".{projection}.", f".{projection}_global.")] = value
    return weights


def _tiled_positions(rows: "torch.Tensor", unused: int, max_positions: int) -> "torch.Tensor":
    """
    `rows` `[P, D]` again and again up to `max_positions`, after `unused` rows of zeros.

    >>> _tiled_positions(torch.tensor([[5.0], [6.0]]), unused=1, max_positions=3).squeeze(1).tolist()
    [0.0, 5.0, 6.0, 5.0]
    """
    import torch

    tiled = rows[torch.arange(max_positions) % len(rows)]
    return torch.cat([tiled.new_zeros(unused, tiled.shape[1]), tiled])


def _head_weights(source: "PreTrainedModel") -> dict[str, "torch.Tensor"]:
    """The weights of the head, which computes what Longformer's does, under Longformer's names."""
    encoder = f"{source.base_model_prefix}."
    weights = {name: value for name, value in source.state_dict().items() if not name.startswith(encoder)}
    if source.config.model_type != "bert":
        return weights
    if head_of(type(source).__name__, source.config) == "SequenceClassification":
        # The first of the two layers of Longformer's head is what BERT calls its pooler.
        pooler = source.base_model.pooler.state_dict()
        return {f"classifier.{name}": value for name, value in pooler.items()} | {
            name.replace("classifier.", "classifier.out_proj."): value for name, value in weights.items()
        }
    for theirs, ours in BERT_LM_HEAD.items():
        weights = {name.replace(theirs, ours): value for name, value in weights.items()}
    return weights


def main(argv: list[str] | None = None) -> None:
    """The command line of this module."""
    import argparse

    parser = argparse.ArgumentParser(
        prog="python -m ltp_pipeline.convert",
        description="Turns a BERT or RoBERTa checkpoint, such as CodeBERT, into LTP.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--model_name_or_path", required=True, help="checkpoint to convert: a folder or a hub name")
    parser.add_argument("--output_dir", required=True, type=Path, help="new folder for the LTP checkpoint")
    parser.add_argument(
        "--max_positions", type=int, default=MAX_POSITIONS, help="longest text of the result, in tokens"
    )
    parser.add_argument(
        "--attention_window", type=int, default=ATTENTION_WINDOW, help="window of every layer, even: half to each side"
    )
    args = parser.parse_args(argv)
    model = convert_checkpoint(
        args.model_name_or_path,
        args.output_dir,
        max_positions=args.max_positions,
        attention_window=args.attention_window,
    )
    name = type(model).__name__
    print(f"{name} for up to {args.max_positions} tokens: {args.output_dir}")
    print(f"the same outputs as {args.model_name_or_path} up to {exact_length(args.attention_window)} tokens")
    if name != "LTPForSequenceClassification":
        print("no classification head is carried over: fine-tuning starts one at random")
