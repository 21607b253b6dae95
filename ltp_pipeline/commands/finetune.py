r"""Fine-tunes and evaluates a classifier of functions, or of the items of a GLUE task.

A Longformer becomes an LTP model without pruning, which has the same outputs and does not compute padding.
The result is a checkpoint, from which run_code_metrics.py starts.

  python run_glue_code_metrics.py --model_name_or_path allenai/longformer-base-4096 --do_train --do_eval \
      --train_file Data/train_subset.csv --validation_file Data/validation.csv --max_seq_length 1024 \
      --per_device_train_batch_size 4 --learning_rate 2e-5 --num_train_epochs 3 --output_dir code_test

  python run_glue_code_metrics.py --task_name MNLI --model_name_or_path allenai/longformer-base-4096 \
      --do_train --do_eval --max_seq_length 128 --output_dir mnli_test
"""

from ltp_pipeline.base.flags import skip_peft_for_help


def main(argv: list[str] | None = None) -> None:
    """Runs the command line `argv` (None: that of this process)."""
    skip_peft_for_help(argv)
    from ltp_pipeline.base.threads import use_threads
    from ltp_pipeline.data.flags import DataArguments
    from ltp_pipeline.model.starting_model import ModelArguments
    from ltp_pipeline.training.arguments import FineTuningArguments, parse_training_arguments

    classes = (ModelArguments, DataArguments, FineTuningArguments)
    arguments = parse_training_arguments(classes, argv, __doc__, "run_glue_code_metrics.py")

    use_threads(arguments[-1].num_threads)

    # Imported after parsing, so that --help does not wait seconds for it.
    from ltp_pipeline.training.run import run
    from ltp_pipeline.training.starts import FineTuning

    run(FineTuning(*arguments))
