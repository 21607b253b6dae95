"""Prunes a fine-tuned checkpoint, one stage per call: first soft (learns thresholds), then hard (removes tokens).

Soft pruning writes its result to checkpoints/base/CODE/absolute_threshold/rate_R/temperature_T/lambda_L/lr_LR (for a
GLUE task, its name replaces CODE). Hard pruning writes to hard/lr_LR inside the checkpoint that it starts from.
Settings that differ from those of the published commands are added to the name, as in lr_LR-seed_1. --eval only
evaluates a checkpoint.

    python ./run_code_metrics.py --arch ltp-base --task CODE --restore code_test --train_file ./Data/train_subset.csv
        --validation_file ./Data/validation.csv --lr 2e-5 --temperature 1e-5 --lambda 0.1 --weight_decay 0 --bs 4
        --masking_mode soft --epoch 3 --save_step 100 --no_load
"""

from ltp_pipeline.base.flags import skip_peft_for_help


def main(argv: list[str] | None = None) -> None:
    """Runs the command line `argv` (None: that of this process)."""
    skip_peft_for_help(argv)
    from ltp_pipeline.data.flags import DataArguments
    from ltp_pipeline.training.arguments import StageArguments, StageTrainingArguments, parse_training_arguments

    arguments = parse_training_arguments((StageArguments, DataArguments, StageTrainingArguments), argv, __doc__)

    # Imported after parsing, so that --help does not wait seconds for it.
    from ltp_pipeline.training.run import run
    from ltp_pipeline.training.starts import PruningStage

    run(PruningStage(*arguments))
