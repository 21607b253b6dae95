"""Fine-tuning and evaluating a classifier: what run_glue_code_metrics.py does."""

from pathlib import Path

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.processes import is_main
from ltp_pipeline.base.result_folder import check_replaceable, holds_result, open_folder
from ltp_pipeline.data.flags import DataArguments
from ltp_pipeline.data.readers import describe_splits, read_splits
from ltp_pipeline.data.tokenization import tokenize_splits
from ltp_pipeline.data.truncation import sequence_length
from ltp_pipeline.model.checkpoints import check_checkpoint, check_tokenizer_fits, load_tokenizer
from ltp_pipeline.model.starting_model import check_conversion, load_classifier
from ltp_pipeline.task.decision import check_max_false_alarm
from ltp_pipeline.task.tasks import find_task
from ltp_pipeline.training.arguments import FineTuningArguments, ModelArguments, check_numbers
from ltp_pipeline.training.resume import checkpoint_to_resume, resumed_result
from ltp_pipeline.training.run import (
    follow_task,
    hold_for_evaluation,
    make_trainer,
    metrics_table,
    prepare_process,
    run,
)


def fine_tune(model_args: ModelArguments, data_args: DataArguments, args: FineTuningArguments) -> None:
    """Checks all that can be checked first, then trains (`--do_train`), evaluates (`--do_eval`) and reports."""
    task = find_task(model_args.task_name, "--task_name")
    check_numbers(args, data_args)
    follow_task(args, task)
    check_max_false_alarm(args.max_false_alarm, task, trains=args.do_train, evaluates=args.do_eval)
    _check_model(model_args, args)
    output_dir = Path(args.output_dir)
    checkpoint = checkpoint_to_resume(args, output_dir) if args.do_train else None
    _check_output(output_dir, model_args, data_args, args)
    asked = {"train": args.do_train, "eval": args.do_eval, "test": args.do_predict}
    frames = read_splits(data_args, [split for split in asked if asked[split]], task)

    prepare_process(args)
    flag = "--tokenizer_name" if model_args.tokenizer_name else "--model_name_or_path"
    tokenizer = load_tokenizer(model_args.tokenizer_name or model_args.model_name_or_path, flag=flag)
    model = load_classifier(model_args, tokenizer, new_head=args.do_train, task=task)
    check_tokenizer_fits(tokenizer, model.config, flag=flag)
    # Recorded, so that later stages cut functions at the same length.
    tokenizer.model_max_length = sequence_length(data_args.max_seq_length, model.config, tokenizer)
    datasets = tokenize_splits(frames, tokenizer, model.config, task, data_args)
    if not args.do_train:
        hold_for_evaluation(model, args)
    with resumed_result(output_dir, checkpoint) if args.do_train else open_folder(output_dir) as folder:
        args.output_dir = str(folder)
        trainer = make_trainer(model, tokenizer, args, datasets, task)
        results = run(trainer, datasets, folder, output_dir, task, describe_splits(data_args, frames, task))
    if is_main():
        print(f"\n{metrics_table(results)}\n\n{output_dir}" if len(datasets) > args.do_train else output_dir)


def _check_model(model_args: ModelArguments, args: FineTuningArguments) -> None:
    check_conversion(model_args)
    if not (args.do_train or args.do_eval or args.do_predict):
        raise UserError("nothing to do; expected --do_train, --do_eval or --do_predict")
    if model_args.model_name_or_path is not None:
        check_checkpoint(model_args.model_name_or_path, "--model_name_or_path")
        return
    if model_args.config_name is None or model_args.tokenizer_name is None:
        raise UserError(
            "--model_name_or_path is missing; expected a checkpoint, or --config_name and --tokenizer_name to start "
            "from scratch"
        )
    if not args.do_train:
        raise UserError("--model_name_or_path is missing; only --do_train can start from scratch")


def _check_output(
    output_dir: Path, model_args: ModelArguments, data_args: DataArguments, args: FineTuningArguments
) -> None:
    if not args.do_train:
        return
    if holds_result(output_dir) and not args.overwrite_output_dir:
        raise UserError(
            f"--output_dir {output_dir}: holds an earlier result; expected a new folder, or "
            "--overwrite_output_dir to replace it once the new result is complete"
        )
    needed = {
        "--model_name_or_path": model_args.model_name_or_path,
        "--config_name": model_args.config_name,
        "--tokenizer_name": model_args.tokenizer_name,
        "--resume_from_checkpoint": args.resume_from_checkpoint,
        "--train_file": data_args.train_file,
        "--validation_file": data_args.validation_file,
        "--validation_mismatched_file": data_args.validation_mismatched_file,
        "--test_file": data_args.test_file,
    }
    check_replaceable(output_dir, needed)
