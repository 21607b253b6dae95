"""Trains a byte-level BPE tokenizer on the functions of a training file.

    python -m ltp_pipeline.train_tokenizer --train_file Data/train_subset.csv --output_dir DIR --vocab_size 8000

The special tokens are RoBERTa's, with the ids that a Longformer expects: `<s>` 0, `<pad>` 1, `</s>` 2, `<unk>` 3 and
`<mask>` 4. `AutoTokenizer.from_pretrained(DIR)` loads the result.
"""

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from transformers.hf_argparser import HfArg

from ltp_pipeline.base.errors import UserError, run_main
from ltp_pipeline.base.files import replaced_together
from ltp_pipeline.base.flags import parse_arguments
from ltp_pipeline.base.next_commands import FINE_TUNE, command, free_folder, show_next
from ltp_pipeline.base.program import ROOT, shortest
from ltp_pipeline.base.result_folder import check_file_overwrite
from ltp_pipeline.data.flags import ReadingArguments

if TYPE_CHECKING:
    from transformers import RobertaTokenizer

SPECIAL_TOKENS = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
SMALLEST_VOCABULARY = 256 + len(SPECIAL_TOKENS)
# Bytes of a word of the training text. Learning takes time that is quadratic in the length of a word (a run of
# letters, digits, signs or white space without a break); base64 and minified code have runs of a million letters.
LONGEST_WORD = 256


@dataclass
class TokenizerArguments(ReadingArguments):
    """The functions, and the size of the tokenizer."""

    train_file: str = HfArg(help="Functions, with a column functionSource; labels are not read.")
    output_dir: Path = HfArg(help="Folder in which the tokenizer is saved.")
    vocab_size: int = HfArg(default=8000, help=f"Maximum number of tokens, at least {SMALLEST_VOCABULARY}.")
    max_length: int = HfArg(default=1024, help="Longest input of the model, in tokens.")
    overwrite_output_dir: bool = HfArg(default=False, help="Replace an earlier tokenizer in --output_dir.")


def train_tokenizer(texts: Iterable[str], vocab_size: int, max_length: int) -> "RobertaTokenizer":
    """Trains a byte-level BPE with at most `vocab_size` tokens: fewer if few pairs occur twice. It is deterministic.

    `vocab_size` includes the special tokens and the 256 bytes. `max_length` is recorded as `model_max_length`. Words
    of more than LONGEST_WORD bytes are learned in pieces of that length, so that the time is linear in the text. The
    tokenizer itself does not cut words.
    """
    import json

    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers
    from transformers import RobertaTokenizer

    tokenizer = Tokenizer(models.BPE())
    # ByteLevel writes every byte, also a line break, as one visible character, which "." matches.
    pieces = pre_tokenizers.Split(Regex(f".{{1,{LONGEST_WORD}}}"), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.ByteLevel(add_prefix_space=False), pieces])
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=2,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=sys.stderr.isatty(),
    )
    tokenizer.train_from_iterator(texts, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    merges = [tuple(merge) for merge in model["merges"]]
    return RobertaTokenizer(vocab=model["vocab"], merges=merges, model_max_length=max_length)


def main(argv: list[str] | None = None) -> None:
    """Runs the command line `argv` (None: that of this process)."""
    (args,) = parse_arguments((TokenizerArguments,), argv, __doc__, command="-m ltp_pipeline.train_tokenizer")
    if args.vocab_size < SMALLEST_VOCABULARY:
        raise UserError(
            f"--vocab_size {args.vocab_size}: expected {SMALLEST_VOCABULARY} or more: "
            f"256 bytes and {len(SPECIAL_TOKENS)} special tokens"
        )
    if args.max_length < 3:
        raise UserError(f"--max_length {args.max_length}: expected 3 or more: <s>, a token and </s>")
    check_file_overwrite(args.output_dir / "tokenizer.json", args.overwrite_output_dir)

    from ltp_pipeline.data.readers import read_functions

    functions = read_functions(args.train_file, args, labels="ignored")
    letters = sum(map(len, functions["functionSource"]))
    print(f"learning from {len(functions)} functions, {letters / 1e6:.1f} million characters", file=sys.stderr)
    tokenizer = train_tokenizer(functions["functionSource"], args.vocab_size, args.max_length)
    try:
        with replaced_together(args.output_dir) as staging:
            tokenizer.save_pretrained(staging)
    except OSError as error:
        raise UserError(f"--output_dir {args.output_dir}: cannot be written: {error.strerror}") from error
    print(f"{len(tokenizer)} tokens learned from {len(functions)} functions: {args.output_dir}")
    sizes = ROOT / "configs/ltp_small.json"
    if sizes.is_file():  # not in an installation
        start = {"config_name": shortest(sizes), "tokenizer_name": args.output_dir, "do_train": True}
        show_next([command(FINE_TUNE, **start, train_file=args.train_file, output_dir=free_folder("code_test"))])


if __name__ == "__main__":
    run_main(main)
