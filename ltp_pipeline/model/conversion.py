"""Converts a BERT or RoBERTa model, such as CodeBERT, to an LTP model that prunes nothing yet.

For texts of up to `exact_length` tokens the outputs equal those of the source. The LTP model accepts texts of up to
`max_positions` tokens. run_glue_code_metrics.py fine-tunes it, and run_code_metrics.py prunes the fine-tuned model.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.result_folder import check_file_overwrite, check_replaceable, finish_replacing, new_folder
from ltp_pipeline.model.checkpoint_files import CONFIG, read_json
from ltp_pipeline.model.checkpoints import (
    PRUNABLE,
    check_checkpoint,
    check_tokenizer_fits,
    first_position,
    load_config,
    load_tokenizer,
)
from ltp_pipeline.model.weights import load_with_missing

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

    from transformer_revised import LTPConfig, LTPPreTrainedModel

MAX_POSITIONS = 4096
ATTENTION_WINDOW = 512
FAMILIES = ("bert", "roberta", "xlm-roberta", "camembert")
HEADS = ("SequenceClassification", "MaskedLM", "TokenClassification", "QuestionAnswering", "MultipleChoice")
# Settings that LTP has under the same name
COPIED_SETTINGS = (
    "vocab_size hidden_size num_hidden_layers num_attention_heads intermediate_size hidden_act hidden_dropout_prob "
    "attention_probs_dropout_prob type_vocab_size initializer_range layer_norm_eps pad_token_id tie_word_embeddings "
    "id2label label2id problem_type"
).split()
# Model type and head -> the beginning of weight names in the source and in LTP. The first match is used. All other
# names are the same in both.
RENAMED_WEIGHTS = {
    ("bert", "SequenceClassification"): {
        # Longformer's head has two layers. BERT calls the first of them its pooler.
        "bert.pooler.dense.": "classifier.dense.",
        "classifier.": "classifier.out_proj.",
    },
    ("bert", "MaskedLM"): {
        "cls.predictions.transform.LayerNorm.": "lm_head.layer_norm.",
        "cls.predictions.transform.dense.": "lm_head.dense.",
        "cls.predictions.": "lm_head.",
    },
}


def convert(
    source: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    *,
    max_positions: int = MAX_POSITIONS,
    attention_window: int = ATTENTION_WINDOW,
    head: str | None = None,
) -> tuple["LTPPreTrainedModel", list[str]]:
    """Converts a model. The result is in evaluation mode and has the dtype of `source`.

    Args:
        source: a model of one of `FAMILIES`.
        tokenizer: its tokenizer, which knows the ids of the special tokens.
        max_positions: maximum length of a text in tokens. The position embeddings of the source are repeated up to it.
        attention_window: attention window of every layer in tokens, an even number: half of it on each side.
        head: one of `HEADS`; default: the head of the source, or none if LTP does not have that head.

    Returns the LTP model, and the names of its weights that `source` does not have: they are initialised at random.
    Raises UserError if the source cannot be converted, or a number is out of range.
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
            weights |= _head_weights(source, head)
    config = _ltp_config(source.config, tokenizer, max_positions, attention_window)
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
    describe: Callable[[Path, "LTPPreTrainedModel"], None] | None = None,
    attention_dropout: float | None = None,
    overwrite: bool = False,
) -> "LTPPreTrainedModel":
    """Converts the checkpoint at `path` (folder or hub name) and saves it, with its tokenizer, in `output_dir`.

    No weight is random: a head that LTP does not have is dropped. `output_dir` appears when it is complete.
    `describe`: adds more files to the folder of the result.
    `attention_dropout`: dropout of attention weights when the result is trained; None: that of the source.
    `overwrite`: whether the result may replace an LTP checkpoint.
    Raises UserError as `convert` does, if there is no checkpoint or tokenizer at `path`, or if `output_dir` is neither
    new nor empty and not to be replaced.
    """
    flag, output_dir = "--model_name_or_path", Path(output_dir)
    check_sizes(max_positions, attention_window)
    if attention_dropout is not None and not 0 <= attention_dropout < 1:
        raise UserError(f"--attention_probs_dropout_prob {attention_dropout}: expected at least 0 and less than 1")
    check_replaceable(output_dir, {flag: path}, is_result=_holds_ltp)
    finish_replacing(output_dir)
    check_file_overwrite(output_dir / CONFIG, overwrite)
    check_checkpoint(path, flag)
    source = load_source(path, load_config(path, flag=flag), flag=flag)
    tokenizer = load_tokenizer(path, flag=flag)
    check_tokenizer_fits(tokenizer, source.config, flag=f"{flag} {path}")
    model, _ = convert(source, tokenizer, max_positions=max_positions, attention_window=attention_window)
    if attention_dropout is not None:
        model.config.attention_probs_dropout_prob = attention_dropout
    set_max_length(tokenizer, max_positions)
    with new_folder(output_dir, overwrite) as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        if describe is not None:
            describe(folder, model)
    return model


def load_source(
    path: str | Path, config: "PreTrainedConfig", *, flag: str, dtype: "torch.dtype | str" = "float32"
) -> "PreTrainedModel":
    """Loads the model to convert, with its head if LTP has that head too.

    `config`: replaces the configuration of the checkpoint.
    Raises UserError if there is no checkpoint at `path`, weights are missing, or it cannot be converted.
    """
    import transformers

    check_source(config, f"{flag} {path}")
    head = head_of((config.architectures or [""])[0], config)
    model_class = getattr(transformers, f"AutoModelFor{head}" if head else "AutoModel")
    model, missing = load_with_missing(model_class, path, config, flag=flag, dtype=dtype)
    if not head and missing and all(name.startswith("pooler.") for name in missing):
        model.pooler, missing = None, []  # Many checkpoints do not have the pooler that the class has.
    if missing:
        raise UserError(
            f"{flag} {path}: {len(missing)} weights are missing ({missing[0]}, ...); expected all weights of a "
            f"{type(model).__name__}"
        )
    return model


def check_source(config: "PreTrainedConfig", name: str) -> None:
    """Raises UserError, which begins with `name`, unless a model of this configuration can be converted."""
    if config.model_type in PRUNABLE:
        raise UserError(f"{name}: is a Longformer already; expected no conversion")
    if config.model_type not in FAMILIES:
        raise UserError(
            f"{name}: model type {config.model_type!r} cannot be converted; expected {', '.join(FAMILIES)}"
        )
    if config.is_decoder or config.add_cross_attention:
        raise UserError(f"{name}: is a decoder; expected an encoder, in which each token attends to all others")
    if config.pad_token_id is None:
        raise UserError(f"{name}: config.json has no pad_token_id; expected the id of the tokenizer's padding token")
    positions = getattr(config, "position_embedding_type", None) or "absolute"
    if positions != "absolute":
        raise UserError(f"{name}: has {positions} position embeddings; expected absolute ones, like Longformer's")


def check_sizes(max_positions: int, attention_window: int, *, window_flag: str = "--attention_window") -> None:
    """Raises UserError, which names the flag, if a number is out of range."""
    if max_positions < 3:
        raise UserError(f"--max_positions {max_positions}: expected 3 or more: <s>, a token and </s>")
    check_window(attention_window, window_flag)


def check_window(size: int, flag: str) -> None:
    """Raises UserError, which names `flag`, unless `size` is a positive even number."""
    if size < 2 or size % 2:
        raise UserError(f"{flag} {size}: expected an even number of tokens, half of them on each side")


def head_of(architecture: str, config: "PreTrainedConfig") -> str:
    """Returns which of `HEADS` a model class has; "" if it has none of them.

    >>> head_of("RobertaForMaskedLM", config), head_of("BertForNextSentencePrediction", config)
    ('MaskedLM', '')
    """
    head = architecture.partition("For")[2].replace("PreTraining", "MaskedLM")
    if head not in HEADS:
        return ""
    # The activation of Longformer's language modelling head is always gelu. That of BERT's is the model's own.
    other_activation = config.model_type == "bert" and head == "MaskedLM" and config.hidden_act != "gelu"
    return "" if other_activation else head


def exact_length(attention_window: int) -> int:
    """The largest length, in tokens, at which the window of each token covers the whole text."""
    return attention_window // 2 + 1


def set_max_length(tokenizer: "PreTrainedTokenizerBase", max_positions: int) -> None:
    """Makes `max_positions` tokens the maximum length of the tokenizer, and removes other limits saved with it."""
    tokenizer.model_max_length = max_positions
    tokenizer.init_kwargs.pop("max_length", None)
    if tokenizer.is_fast:  # its tokenizer.json may hold a length too
        tokenizer.backend_tokenizer.no_truncation()
        tokenizer.backend_tokenizer.no_padding()


def _holds_ltp(folder: Path) -> bool:
    return (folder / CONFIG).is_file() and read_json(folder / CONFIG, str(folder)).get("model_type") == "ltp"


def _ltp_config(
    config: "PreTrainedConfig", tokenizer: "PreTrainedTokenizerBase", max_positions: int, attention_window: int
) -> "LTPConfig":
    from transformer_revised import LTPConfig

    return LTPConfig(
        **{name: getattr(config, name) for name in COPIED_SETTINGS},
        prune_mode=None,
        attention_window=[attention_window] * config.num_hidden_layers,
        max_position_embeddings=config.pad_token_id + 1 + max_positions,
        bos_token_id=tokenizer.cls_token_id,
        eos_token_id=tokenizer.sep_token_id,
        sep_token_id=tokenizer.sep_token_id,
    )


def _encoder_weights(source: "PreTrainedModel", max_positions: int) -> dict[str, "torch.Tensor"]:
    """The encoder's weights by name, which is the same in BERT, RoBERTa and Longformer.

    The projections of global attention, which the source does not have, are copies of the local ones.
    """
    weights = {}
    for name, value in source.base_model.state_dict().items():
        if name == "embeddings.position_embeddings.weight":
            used = value[first_position(source.config) :]
            value = _tiled_positions(used, source.config.pad_token_id + 1, max_positions)
        weights[name] = value
        for projection in ("query", "key", "value"):
            if f".self.{projection}." in name:
                weights[name.replace(f".{projection}.", f".{projection}_global.")] = value
    return weights


def _tiled_positions(rows: "torch.Tensor", unused: int, max_positions: int) -> "torch.Tensor":
    """Returns `unused` rows of zeros, then `rows` `[P, D]` repeated until there are `max_positions` of them.

    >>> _tiled_positions(torch.tensor([[5.0], [6.0]]), unused=1, max_positions=3).squeeze(1).tolist()
    [0.0, 5.0, 6.0, 5.0]
    """
    import torch

    tiled = rows[torch.arange(max_positions) % len(rows)]
    return torch.cat([tiled.new_zeros(unused, tiled.shape[1]), tiled])


def _head_weights(source: "PreTrainedModel", head: str) -> dict[str, "torch.Tensor"]:
    """The weights of the source's head by their names in LTP."""
    renamed = RENAMED_WEIGHTS.get((source.config.model_type, head), {})
    weights = {}
    for name, value in source.state_dict().items():
        beginning = next((beginning for beginning in renamed if name.startswith(beginning)), None)
        if beginning is not None:
            weights[renamed[beginning] + name.removeprefix(beginning)] = value
        elif not name.startswith(f"{source.base_model_prefix}."):
            weights[name] = value
    return weights
