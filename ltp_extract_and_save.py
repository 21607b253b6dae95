"""Writes what a pruned model keeps of each function: train_pruned.csv and dev_pruned.csv, columns label and code."""

import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from transformers import HfArgumentParser

from ltp_pipeline.data import read_functions
from ltp_pipeline.errors import UserError, run_main
from ltp_pipeline.extract import PrunedModelArguments, encode, kept_text, load_pruned, prune
from ltp_pipeline.reports import format_table, write_csv, write_json

OUTPUTS = {"--train_file": "train_pruned.csv", "--validation_file": "dev_pruned.csv"}


@dataclass
class ExtractArguments(PrunedModelArguments):
    output_dir: str = field(
        default="pruned_data", metadata={"help": "Folder to write to; may also be given last, without the flag."}
    )
    keep_layer: int | None = field(
        default=None, metadata={"help": "Keep the tokens alive after this layer (the first is 1); default: the last."}
    )


def parse_arguments() -> ExtractArguments:
    parser = HfArgumentParser(ExtractArguments, description=__doc__)
    parser.add_argument("OUTPUT_DIR", nargs="?", help="The same as --output_dir.")
    args, rest = parser.parse_args_into_dataclasses()
    args.output_dir = rest.OUTPUT_DIR or args.output_dir
    return args


def extract_file(path: str, flag: str, frame: pd.DataFrame, model, tokenizer, args: ExtractArguments):
    """The frame `label, code` in the order of `frame`, and a dict of counts (code tokens, without special tokens)."""
    encodings = encode(frame["functionSource"].tolist(), tokenizer, args.max_length)
    codes = [""] * len(frame)
    kept_tokens = 0
    pruned = prune(model, encodings, args.per_device_eval_batch_size, bf16=args.bf16, description=f"pruning {path}")
    for index, result in pruned:
        kept = result.kept[(args.keep_layer or 0) - 1]
        codes[index] = kept_text(frame["functionSource"].iat[index], encodings[index], kept)
        kept_tokens += int((kept & encodings[index].is_text).sum())
    tokens = int(sum(encoding.is_text.sum() for encoding in encodings))
    counts = {
        "file": path,
        "written": OUTPUTS[flag],
        "functions": len(frame),
        "tokens": tokens,
        "tokens_kept": kept_tokens,
        "share_kept": kept_tokens / tokens,
        "empty_functions": codes.count(""),
    }
    return pd.DataFrame({"label": frame["label"], "code": codes}), counts


def main() -> None:
    args = parse_arguments()
    files = {"--train_file": args.train_file, "--validation_file": args.validation_file}
    files = {flag: path for flag, path in files.items() if path is not None}
    if not files:
        raise UserError("give --train_file, --validation_file or both: the functions to prune")
    frames = {flag: read_functions(path, name=flag) for flag, path in files.items()}
    model, tokenizer = load_pruned(args)
    num_layers = model.config.num_hidden_layers
    if args.keep_layer is not None and not 1 <= args.keep_layer <= num_layers:
        raise UserError(f"--keep_layer {args.keep_layer}: expected 1 to {num_layers}, the layers of the model")
    output_dir = Path(args.output_dir)
    try:
        output_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--output_dir {output_dir}: {error.strerror}") from error

    counts = []
    # All files are written aside and then moved into place together: a run cut short leaves none of them.
    with tempfile.TemporaryDirectory(prefix=".extract-", dir=output_dir) as aside:
        for flag, path in files.items():
            pruned, file_counts = extract_file(path, flag, frames[flag], model, tokenizer, args)
            write_csv(Path(aside) / OUTPUTS[flag], pruned)
            counts.append(file_counts)
        report = {
            "model_name_or_path": args.model_name_or_path,
            "max_length": args.max_length,
            "after_layer": args.keep_layer or num_layers,
            "files": counts,
        }
        write_json(Path(aside) / "extraction.json", report)
        for name in [*(OUTPUTS[flag] for flag in files), "extraction.json"]:
            os.replace(Path(aside) / name, output_dir / name)
    print(format_table(counts))
    print(f"written to {output_dir}")
    empty = sum(file_counts["empty_functions"] for file_counts in counts)
    if empty:
        print(f"functions that lost every token of code: {empty}; their rows are kept, with an empty code")


if __name__ == "__main__":
    run_main(main)
