r"""Converts a BERT or RoBERTa checkpoint, such as CodeBERT, to an LTP checkpoint.

    python -m ltp_pipeline.convert --model_name_or_path microsoft/codebert-base --output_dir codebert_ltp \
        --max_positions 4096 --attention_window 512

The result prunes nothing yet: run_glue_code_metrics.py fine-tunes it, and run_code_metrics.py prunes the fine-tuned
model.
"""

from dataclasses import dataclass

from transformers.hf_argparser import HfArg

from ltp_pipeline.base.errors import run_main
from ltp_pipeline.base.flags import parse_arguments
from ltp_pipeline.base.next_commands import fine_tuning_of, show_next
from ltp_pipeline.model.conversion import ATTENTION_WINDOW, MAX_POSITIONS, convert_checkpoint, exact_length


@dataclass
class ConversionArguments:
    """Which checkpoint is converted, and the size of the result."""

    model_name_or_path: str = HfArg(help="Checkpoint to convert: a folder or a hub name.")
    output_dir: str = HfArg(help="Folder for the LTP checkpoint.")
    max_positions: int = HfArg(default=MAX_POSITIONS, help="Maximum length of a text of the result, in tokens.")
    attention_window: int = HfArg(
        default=ATTENTION_WINDOW,
        help="Attention window of every layer, an even number of tokens: half of them on each side.",
    )
    attention_probs_dropout_prob: float | None = HfArg(
        default=None,
        help="Dropout of attention weights when the result is trained (default: that of the source). 0 saves time.",
    )
    overwrite_output_dir: bool = HfArg(default=False, help="Replace an LTP checkpoint in --output_dir.")


def main(argv: list[str] | None = None) -> None:
    """Runs the command line `argv` (None: that of this process)."""
    (args,) = parse_arguments((ConversionArguments,), argv, __doc__, command="-m ltp_pipeline.convert")
    from ltp_pipeline.training.conversion_card import write_conversion_card  # late: --help does not need jinja2

    model = convert_checkpoint(
        args.model_name_or_path,
        args.output_dir,
        max_positions=args.max_positions,
        attention_window=args.attention_window,
        describe=lambda folder, model: write_conversion_card(folder, model, args.model_name_or_path),
        attention_dropout=args.attention_probs_dropout_prob,
        overwrite=args.overwrite_output_dir,
    )
    name = type(model).__name__
    print(f"{name} for texts of up to {args.max_positions} tokens: {args.output_dir}")
    print(f"Its outputs equal those of {args.model_name_or_path} up to {exact_length(args.attention_window)} tokens.")
    if name != "LTPForSequenceClassification":
        print("It has no classification head: fine-tuning starts with a random one.")
    show_next(fine_tuning_of(args.output_dir))


if __name__ == "__main__":
    run_main(main)
