r"""Prunes a fine-tuned checkpoint, one stage per call: first soft (learns thresholds), then hard (removes tokens).

Without --output_dir, the name of the result folder says what was set (docs/usage.md). --eval only evaluates.

  python run_code_metrics.py --restore code_test --masking_mode soft --target_flops 0.5 --no_load \
      --train_file Data/train_subset.csv --validation_file Data/validation.csv --output_dir soft

  python run_code_metrics.py --restore soft --masking_mode hard --epoch 1 \
      --train_file Data/train_subset.csv --validation_file Data/validation.csv --output_dir hard

  python run_code_metrics.py --restore hard --eval --test_file Data/test.csv
"""

from ltp_pipeline.base.flags import skip_peft_for_help


def main(argv: list[str] | None = None) -> None:
    """Runs the command line `argv` (None: that of this process)."""
    skip_peft_for_help(argv)
    from ltp_pipeline.base.threads import use_threads
    from ltp_pipeline.data.flags import DataArguments
    from ltp_pipeline.training.arguments import StageArguments, StageTrainingArguments, parse_training_arguments

    classes = (StageArguments, DataArguments, StageTrainingArguments)
    arguments = parse_training_arguments(classes, argv, __doc__, "run_code_metrics.py")

    use_threads(arguments[-1].num_threads)

    # Imported after parsing, so that --help does not wait seconds for it.
    from ltp_pipeline.training.run import run
    from ltp_pipeline.training.starts import PruningStage

    run(PruningStage(*arguments))
