"""Writes what a pruned model keeps of each function: train_pruned.csv and dev_pruned.csv, columns label and code.

Of a task of GLUE it is the task's columns in the place of code.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ltp_pipeline.base import processes
from ltp_pipeline.base.errors import UserError, run_main
from ltp_pipeline.base.files import format_table, write_csv, write_json
from ltp_pipeline.base.flags import parse_arguments
from ltp_pipeline.base.result_folder import open_folder
from ltp_pipeline.data.file_formats import SKIPPED, shortened
from ltp_pipeline.data.flags import reading_options
from ltp_pipeline.data.truncation import Truncation, choose_single_reading
from ltp_pipeline.model.precision import name_of
from ltp_pipeline.task.tasks import Task, find_task
from ltp_pipeline.view.extract import PrunedModelArguments, encode, kept_texts, load_pruned, prune

if TYPE_CHECKING:
    import pandas as pd

OUTPUTS = {"--train_file": "train_pruned.csv", "--validation_file": "dev_pruned.csv"}


@dataclass
class ExtractArguments(PrunedModelArguments):
    output_dir: str = field(
        default="pruned_data", metadata={"help": "Folder to write to; may also be given last, without the flag."}
    )
    keep_layer: int | None = field(
        default=None, metadata={"help": "Keep the tokens alive after this layer (the first is 1); default: the last."}
    )


def read_arguments() -> ExtractArguments:
    """The process's flags; the output folder may also be given as a word without a flag."""
    folder = {"nargs": "?", "help": "The same as --output_dir."}
    args, rest = parse_arguments([ExtractArguments], None, __doc__, positional={"OUTPUT_DIR": folder})
    args.output_dir = rest.OUTPUT_DIR or args.output_dir
    return args


def extract_file(
    path: str,
    flag: str,
    frame: pd.DataFrame,
    task: Task,
    model,
    tokenizer,
    args: ExtractArguments,
    truncation: Truncation | None = None,
):
    """The frame `label, code` in the order of `frame`, and a dict of counts (tokens of text, no special ones).

    Of a GLUE task the columns are label and the task's own. Several processes share the work: the main one gets this,
    the others None.
    """
    import pandas as pd

    texts = list(frame[list(task.columns)].itertuples(index=False, name=None))
    encodings = encode(texts, tokenizer, args.max_length, truncation)
    own = {}
    sizes = {"batch_size": args.per_device_eval_batch_size, "max_tokens": args.max_tokens_per_batch}
    pruned = prune(model, encodings, **sizes, description=f"pruning {path}")
    for index, result in pruned:
        kept = result.kept[(args.keep_layer or 0) - 1]
        left = kept_texts(texts[index], encodings[index], kept)
        own[index] = left, int((kept & encodings[index].is_text).sum())
    shares = processes.gather(own)
    if shares is None:
        return None
    everything = {index: result for share in shares for index, result in share.items()}
    left, kept_tokens = zip(*(everything[index] for index in range(len(frame))))
    tokens = int(sum(encoding.is_text.sum() for encoding in encodings))
    cut = sum(encoding.full_length is not None and encoding.full_length > len(encoding) for encoding in encodings)
    counts = {
        "file": path,
        "written": OUTPUTS[flag],
        "functions": len(frame),
        "skipped_rows": frame.attrs[SKIPPED],
        **({} if len(task.columns) > 1 else {"truncated_functions": cut, "truncated_share": cut / len(frame)}),
        "tokens": tokens,
        "tokens_kept": sum(kept_tokens),
        "share_kept": sum(kept_tokens) / tokens,
        "empty_functions": sum(not any(parts) for parts in left),
    }
    columns = ["code"] if task.reads_functions else list(task.columns)
    pruned = pd.DataFrame(left, columns=columns)
    pruned.insert(0, "label", frame["label"].to_numpy())
    return pruned, counts


def main() -> None:
    args = read_arguments()
    from ltp_pipeline.data.readers import read_labelled  # after parsing, as --help need not wait for pandas

    files = {"--train_file": args.train_file, "--validation_file": args.validation_file}
    files = {flag: path for flag, path in files.items() if path is not None}
    if not files:
        raise UserError("give --train_file, --validation_file or both: the functions to prune")
    task = find_task(args.task_name, "--task_name")
    frames = {flag: read_labelled(path, task, name=flag, **reading_options(args)) for flag, path in files.items()}
    model, tokenizer = load_pruned(args)
    num_layers = model.config.num_hidden_layers
    if args.keep_layer is not None and not 1 <= args.keep_layer <= num_layers:
        raise UserError(f"--keep_layer {args.keep_layer}: expected 1 to {num_layers}, the layers of the model")
    truncation = choose_single_reading(args, model.config, task, tokenizer)
    with open_folder(Path(args.output_dir)) as output_dir:
        results = [
            extract_file(path, flag, frames[flag], task, model, tokenizer, args, truncation)
            for flag, path in files.items()
        ]
        if processes.is_main():
            write(output_dir, results, args, args.keep_layer or num_layers, name_of(model.dtype))


def write(
    output_dir: Path, results: list[tuple[pd.DataFrame, dict]], args: ExtractArguments, layer: int, dtype: str
) -> None:
    """Writes the pruned files, and extraction.json about them, and shows what became of the tokens."""
    counts = [file_counts for _, file_counts in results]
    report = {
        "model_name_or_path": args.model_name_or_path,
        "max_length": args.max_length,
        "after_layer": layer,
        "dtype": dtype,
        "files": counts,
    }
    # All files are written aside and then moved into place together: a run cut short leaves none of them.
    with tempfile.TemporaryDirectory(prefix=".extract-", dir=output_dir) as aside:
        for pruned, file_counts in results:
            write_csv(Path(aside) / file_counts["written"], pruned)
        write_json(Path(aside) / "extraction.json", report)
        for name in [*(file_counts["written"] for file_counts in counts), "extraction.json"]:
            os.replace(Path(aside) / name, output_dir / name)
    print(format_table([{**file_counts, "skipped_rows": len(file_counts["skipped_rows"])} for file_counts in counts]))
    print(f"written to {output_dir}")
    for file_counts in counts:
        if file_counts["skipped_rows"]:
            missing = shortened(file_counts["skipped_rows"])
            print(f"{file_counts['written']} lacks these rows of {file_counts['file']} (extraction.json): {missing}")
    empty = sum(file_counts["empty_functions"] for file_counts in counts)
    if empty:
        print(f"functions that lost every token of code: {empty}; their rows are kept, with an empty code")


if __name__ == "__main__":
    run_main(main, parallel=True)
