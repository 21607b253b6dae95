"""From source text to the tokens a pruned model keeps of it, and back to text."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from tqdm.auto import tqdm

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.processes import is_main, process_count, process_index, split_by_weight
from ltp_pipeline.data.batches import EVAL_HELP, sorted_batches
from ltp_pipeline.data.flags import ReadingArguments, TruncationArguments
from ltp_pipeline.data.truncation import Truncation
from ltp_pipeline.model.checkpoints import (
    check_checkpoint,
    check_tokenizer_fits,
    load_pruning_model,
    load_tokenizer,
    position_limit,
)
from ltp_pipeline.model.precision import AUTO, BF16_HELP, DTYPES, chosen_dtype, hold_in
from ltp_pipeline.model.precision import HELP as DTYPE_HELP
from ltp_pipeline.task.tasks import GLUE_NAMES, find_task

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from transformer_revised import LTPForSequenceClassification

ENCODE_CHUNK = 512
PAIR_SEPARATOR = "\n"


@dataclass
class PrunedModelArguments(ReadingArguments, TruncationArguments):
    """Flags of every script that looks at what a pruned model keeps."""

    model_name_or_path: str = field(metadata={"help": "Folder of a pruned (LTP) checkpoint."})
    train_file: str | None = field(
        default=None,
        metadata={"help": "Functions, with columns functionSource and label: CSV, TSV, JSON, JSON lines, Parquet."},
    )
    validation_file: str | None = field(default=None, metadata={"help": "The same, of the validation split."})
    task_name: str = field(
        default="code",
        metadata={"help": f"code or vdisc: functions. Or what the checkpoint is for, of {', '.join(GLUE_NAMES)}."},
    )
    max_length: int = field(
        default=1024,
        metadata={"help": "Functions are cut after this many tokens.", "aliases": ["--max_seq_length"]},
    )
    pad_to_max_length: bool = field(
        default=False, metadata={"help": "Accepted as in the original; padding is never computed."}
    )
    per_device_eval_batch_size: int | None = field(
        default=None, metadata={"help": "Functions in a batch (default: see --max_tokens_per_batch)."}
    )
    max_tokens_per_batch: int | None = field(default=None, metadata={"help": EVAL_HELP})
    temperature: float | None = field(
        default=None, metadata={"help": "Accepted as in the original; hard pruning, shown here, does not read it."}
    )
    masking_mode: Literal["hard", "soft", "mixed"] = field(
        default="hard",
        metadata={"help": "Accepted as in the original; evaluation always prunes hard."},
    )
    device: str | None = field(
        default=None,
        metadata={"help": "Such as cpu or cuda:0; default: a GPU if there is one, for each process its own."},
    )
    use_cpu: bool = field(default=False, metadata={"help": "Run on the CPU."})
    dtype: str = field(default=AUTO, metadata={"choices": DTYPES, "help": f"What is computed in: {DTYPE_HELP}"})
    bf16: bool | None = field(default=None, metadata={"help": BF16_HELP, "nargs": "?", "const": True})


@dataclass
class Encoding:
    """
    The `n` tokens of an item: ids `[n]`, spans of characters `[n, 2]`, and which come from the text `[n]`.

    Of a pair of texts the spans are those in `joined` text; `is_second` `[n]` tells which tokens the second text gave,
    and `token_type_ids` `[n]` what the tokenizer would tell a model about that, if anything. `full_length` is the
    number of tokens before it was cut, and `after_gap` `[n]` tells before which tokens some were cut out.
    """

    input_ids: np.ndarray
    offsets: np.ndarray
    is_text: np.ndarray
    is_second: np.ndarray | None = None
    token_type_ids: np.ndarray | None = None
    full_length: int | None = None
    after_gap: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.input_ids)


@dataclass
class Pruned:
    """What a model did with a function: alive after each layer `[L, n]`, scores `[L, n]` (NaN: none), logits `[C]`."""

    kept: np.ndarray
    scores: np.ndarray
    logits: np.ndarray


def load_pruned(args: PrunedModelArguments) -> tuple[LTPForSequenceClassification, PreTrainedTokenizerBase]:
    """
    The checkpoint of `--model_name_or_path`, in eval mode on the wanted device, and its tokenizer.

    Raises:
        UserError: no such checkpoint; one that does not prune; a tokenizer without character offsets; `--max_length`
            beyond the model; a batch size below 1; a device that is not there; no such task, or a model that is not
            for it.
    """
    task = find_task(args.task_name, "--task_name")
    if args.masking_mode != "hard" and is_main():
        print(f"note: --masking_mode {args.masking_mode} is for training; here pruning is hard", file=sys.stderr)
    for flag in ("per_device_eval_batch_size", "max_tokens_per_batch"):
        value = getattr(args, flag)
        if value is not None and value < 1:
            raise UserError(f"--{flag} {value}: expected 1 or more")
    device = _device(args)
    dtype = chosen_dtype(args.dtype, args.bf16, device)
    where = f"--model_name_or_path {args.model_name_or_path}"
    check_checkpoint(args.model_name_or_path, flag="--model_name_or_path")
    model = load_pruning_model(args.model_name_or_path, flag="--model_name_or_path")
    config = model.config
    if config.prune_mode is None:
        raise UserError(
            f'{where}: this checkpoint does not prune ("prune_mode" is null in its config.json); '
            "expected one that run_code_metrics.py has pruned"
        )
    if config.num_labels != task.num_labels:
        raise UserError(
            f"{where}: has {config.num_labels} classes and --task_name {task.name} {task.num_labels}; expected the "
            "task that the checkpoint was fine-tuned for"
        )
    limit = position_limit(config)
    if not 3 <= args.max_length <= limit:
        raise UserError(f"--max_length {args.max_length}: expected 3 to {limit}, the positions {where} has")
    tokenizer = load_tokenizer(args.model_name_or_path, flag="--model_name_or_path")
    if not tokenizer.is_fast:
        raise UserError(f"{where}: its tokenizer gives no character offsets; expected a fast one (tokenizer.json)")
    check_tokenizer_fits(tokenizer, config, flag=where)
    learned = model.learned_thresholds()
    if learned and not any(parameter.any() for parameter in learned) and is_main():
        print(
            f"note: the thresholds of {args.model_name_or_path} were never learned: only "
            f"final_token_threshold {config.final_token_threshold:g} prunes",
            file=sys.stderr,
        )
    return hold_in(model.eval(), dtype).to(device), tokenizer


def _device(args: PrunedModelArguments) -> torch.device:
    if args.use_cpu:
        return torch.device("cpu")
    gpu = f"cuda:{os.environ['LOCAL_RANK']}" if process_count() > 1 else "cuda"
    name = args.device or (gpu if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=name)
        return torch.device(name)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"--device {name}: {str(error).splitlines()[0]}") from error


def joined(texts: tuple[str, ...]) -> str:
    """The one or two texts of an item, on lines of their own."""
    return PAIR_SEPARATOR.join(texts)


def encode(
    items: Sequence[str | tuple[str, ...]],
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    truncation: Truncation | None = None,
) -> list[Encoding]:
    """Tokens of each text, or pair of texts, cut to `max_length`, with the characters they stand for.

    Args:
        truncation: how texts, not pairs, are cut, without windows; None: after the first tokens.
    """
    truncation = truncation or Truncation()
    encodings = []
    items = [(item,) if isinstance(item, str) else item for item in items]
    for start in range(0, len(items), ENCODE_CHUNK):
        chunk = items[start : start + ENCODE_CHUNK]
        batch = tokenizer(
            *map(list, zip(*chunk, strict=True)),
            **({} if len(chunk[0]) == 1 else {"truncation": True, "max_length": max_length}),
            split_special_tokens=True,  # as in training: code that reads like </s> is code
            verbose=False,
            return_offsets_mapping=True,
            return_special_tokens_mask=True,
        )
        encodings += [
            Encoding(
                np.array(ids, dtype=np.int32),
                np.array(offsets, dtype=np.int32).reshape(-1, 2),
                np.array(special) == 0,
            )
            for ids, offsets, special in zip(
                batch["input_ids"], batch["offset_mapping"], batch["special_tokens_mask"], strict=True
            )
        ]
        if len(chunk[0]) == 2:
            for row, (texts, encoding) in enumerate(zip(chunk, encodings[start:], strict=True)):
                encoding.is_second = np.array([number == 1 for number in batch.sequence_ids(row)])
                encoding.offsets[encoding.is_second] += len(texts[0]) + len(PAIR_SEPARATOR)
                if "token_type_ids" in batch:
                    encoding.token_type_ids = np.array(batch["token_type_ids"][row])
        else:
            encodings[start:] = [_cut(encoding, truncation, max_length) for encoding in encodings[start:]]
    return encodings


def _cut(encoding: Encoding, truncation: Truncation, max_length: int) -> Encoding:
    (read,) = truncation.readings(~encoding.is_text, max_length)
    if len(read) == len(encoding):
        return replace(encoding, full_length=len(encoding))
    return Encoding(
        encoding.input_ids[read],
        encoding.offsets[read],
        encoding.is_text[read],
        full_length=len(encoding),
        after_gap=np.diff(read, prepend=-1) > 1,
    )


@torch.inference_mode()
def prune(
    model: LTPForSequenceClassification,
    encodings: list[Encoding],
    batch_size: int | None = None,
    *,
    max_tokens: int | None = None,
    description: str = "pruning",
) -> Iterator[tuple[int, Pruned]]:
    """Runs the model in `sorted_batches`; yields `(index in encodings, Pruned)`.

    Several processes share the batches, about the same number of tokens each: every one yields its own. A batch is the
    same for any number of them, and so are its results to the last bit.
    """
    batches = sorted_batches([len(encoding) for encoding in encodings], max_tokens=max_tokens, size=batch_size)
    tokens = [sum(len(encodings[i]) for i in batch) for batch in batches]
    own = split_by_weight(tokens, process_count())[process_index()]
    interval = 0.2 if sys.stderr.isatty() else 30
    total = sum(tokens[number] for number in own)
    with tqdm(
        total=total, desc=description, unit="tok", unit_scale=True, mininterval=interval, disable=not is_main()
    ) as bar:
        for indices in (batches[number] for number in own):
            chosen = [encodings[i] for i in indices]
            output = model(**_pad(chosen, model), output_pruning=True, return_dict=True)
            kept = torch.stack(output.kept_tokens, dim=1).cpu().numpy()  # [B, L, longest]
            blank = torch.full(kept[:, 0].shape, torch.nan, device=model.device)
            scores = [blank if layer is None else layer.float() for layer in output.pruning_scores]
            scores = torch.stack(scores, dim=1).cpu().numpy()
            logits = output.logits.float().cpu().numpy()
            for row, (index, encoding) in enumerate(zip(indices, chosen, strict=True)):
                n = len(encoding)
                yield index, Pruned(kept[row, :, :n], scores[row, :, :n], logits[row])
            bar.update(sum(map(len, chosen)))


def _pad(encodings: list[Encoding], model: LTPForSequenceClassification) -> dict[str, torch.Tensor]:
    shape = (len(encodings), max(map(len, encodings)))
    input_ids = torch.full(shape, model.config.pad_token_id)
    attention_mask, token_types = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long)
    for row, encoding in enumerate(encodings):
        input_ids[row, : len(encoding)] = torch.from_numpy(encoding.input_ids)
        attention_mask[row, : len(encoding)] = 1
        if encoding.token_type_ids is not None and model.config.type_vocab_size > 1:
            token_types[row, : len(encoding)] = torch.from_numpy(encoding.token_type_ids)
    batch = {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": token_types}
    return {name: tensor.to(model.device) for name, tensor in batch.items()}


def kept_texts(texts: tuple[str, ...], encoding: Encoding, kept: np.ndarray) -> list[str]:
    """`kept_text` of each of the one or two texts of an item."""
    if encoding.is_second is None:
        return [kept_text(texts[0], encoding, kept)]
    begins = (0, len(texts[0]) + len(PAIR_SEPARATOR))
    left = []
    for text, begin, own in zip(texts, begins, (~encoding.is_second, encoding.is_second), strict=True):
        part = Encoding(encoding.input_ids[own], encoding.offsets[own] - begin, encoding.is_text[own])
        left.append(kept_text(text, part, kept[own]))
    return left


def kept_text(source: str, encoding: Encoding, kept: np.ndarray) -> str:
    """
    What is left of `source` when only the tokens in `kept` (`[n]` bool) stay; special tokens are left out.

    The text is cut from `source` by character offsets and not decoded from token ids: decoding may change characters
    (an id for "unknown", a part of a character outside ASCII, clean-up of spaces), cutting cannot. Tokens next to each
    other come out as they stood, with what was between them; a gap, of however many dropped tokens, becomes one space.
    So `strcpy(buf, argv[1]);` without `(`, `[` and `]` is `strcpy buf, argv 1 );`, an identifier of which all parts
    stay is whole, and with nothing dropped the text is `source` itself (up to the last token read).
    """
    text_tokens = np.flatnonzero(encoding.is_text)
    alive = kept[text_tokens]
    gap = np.zeros_like(alive) if encoding.after_gap is None else encoding.after_gap[text_tokens]
    # A token also owns the white space between it and the one before, which some tokenizers leave out of its span.
    spans = encoding.offsets[text_tokens]
    begins = np.minimum(np.concatenate([[0], spans[:-1, 1]]), spans[:, 0])
    begins = np.where(gap, spans[:, 0], begins)
    goes_on = alive[1:] & alive[:-1] & ~gap[1:]  # whether a token stands in one run with the next
    firsts = np.flatnonzero(alive & ~np.concatenate([[False], goes_on]))
    runs = zip(firsts, np.flatnonzero(alive & ~np.concatenate([goes_on, [False]])) + 1)
    pieces, done = [], 0
    for first, after in runs:
        begin, end = max(done, int(begins[first])), int(spans[after - 1, 1])
        piece = source[begin:end]
        if first > 0:
            piece = piece.lstrip(" ")
        if after < len(text_tokens):
            piece = piece.rstrip(" ")
        if piece:
            pieces.append(piece)
            done = end
    return " ".join(pieces)
