"""Inputs that no command can use. Those about data, and the message for each, are the table of docs/data.md.

python -m tests.ltp_pipeline.bad_inputs     # runs them all and writes the table again
"""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import re
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ltp_pipeline.base.errors import UserError

DOCS = Path(__file__).resolve().parents[2] / "docs" / "data.md"
BEGIN, END = "<!-- bad inputs: begin -->", "<!-- bad inputs: end -->"
GOOD = "functionSource,label\nint a;,0\nint b;,1\n"
HUB_COLUMNS = "sentence1,sentence2,label\na,b,0\nc,d,1\n"


def fine_tune(flags: list[str]) -> None:
    import run_glue_code_metrics

    run_glue_code_metrics.main(["--model_name_or_path", "longformer", "--output_dir", "out", *flags])


def start_at_random(flags: list[str]) -> None:
    import run_glue_code_metrics

    run_glue_code_metrics.main(["--output_dir", "out", "--train_file", "good.csv", *flags])


def train_on(flags: list[str]) -> None:
    fine_tune(["--do_train", "--train_file", *flags])


def prune(flags: list[str]) -> None:
    import run_code_metrics

    run_code_metrics.main(
        ["--restore", "longformer", "--masking_mode", "soft", "--validation_file", "good.csv", "--train_file", *flags]
    )


def extract(flags: list[str]) -> None:
    import ltp_extract_and_save

    _with_argv(
        ltp_extract_and_save.main, ["--model_name_or_path", "pruned", "--max_length", "96", "--use_cpu", *flags]
    )


def visualise(flags: list[str]) -> None:
    import ltp_test

    _with_argv(ltp_test.main, ["--model_name_or_path", "pruned", "--max_length", "96", "--use_cpu", *flags])


def compare(flags: list[str]) -> None:
    from ltp_pipeline.comparison import main

    main(["--checkpoints", "a=longformer", "--max_length", "96", "--output_dir", "out", "--test_file", *flags])


def train_tokenizer(flags: list[str]) -> None:
    from ltp_pipeline.train_tokenizer import main

    main(["--output_dir", "out", "--train_file", *flags])


def check(flags: list[str]) -> None:
    from ltp_pipeline.check_data import main

    main(flags)


def convert(flags: list[str]) -> None:
    from ltp_pipeline.convert import main

    main(["--model_name_or_path", "roberta", "--output_dir", "ltp", *flags])


def import_vdisc(flags: list[str]) -> None:
    from Data.import_vdisc import main

    main(["--output_dir", "out", *flags])


SCRIPTS = {
    fine_tune: "run_glue_code_metrics.py",
    train_on: "run_glue_code_metrics.py",
    prune: "run_code_metrics.py",
    extract: "ltp_extract_and_save.py",
    visualise: "ltp_test.py",
    compare: "ltp_pipeline.comparison",
    train_tokenizer: "ltp_pipeline.train_tokenizer",
    check: "ltp_pipeline.check_data",
    import_vdisc: "Data/import_vdisc.py",
}


@dataclass(frozen=True)
class Case:
    """A wrong input of a command."""

    run: Callable[[list[str]], None]  # calls the command with a list of flags
    what: str  # what is wrong, for the table
    flags: str  # the flags, separated by spaces
    files: dict[str, str | bytes] = field(default_factory=dict)  # the files beside good.csv: content by name
    upto: str | None = None  # where the words of a library begin, which change between versions. The table ends there.
    says: str | None = (
        None  # pattern of the message: its flag and key value. None: compared with the table in the docs
    )


def _hdf5(lengths: tuple[int, int] = (2, 2), group: str = "CWE-120") -> Callable[[Path], None]:
    """Writes a file in VDISC's layout, but for one of its columns of booleans."""

    def write(path: Path) -> None:
        import h5py

        with h5py.File(path, "w") as file:
            file.create_dataset("functionSource", data=["int a;"] * lengths[0], dtype=h5py.string_dtype())
            for name in ("CWE-119", "CWE-469", "CWE-476", "CWE-other"):
                file[name] = [True] * lengths[0]
            file[group] = [True] * lengths[1]

    return write


CASES = (
    Case(train_on, "no such file", "none.csv"),
    Case(train_on, "a folder", "longformer"),
    Case(train_on, "a format of another program", "a.xlsx", {"a.xlsx": "x"}),
    Case(train_on, "an empty file", "a.csv", {"a.csv": ""}),
    Case(train_on, "a header and nothing else", "a.csv", {"a.csv": "functionSource,label\n"}),
    Case(train_on, "no column with code", "a.csv", {"a.csv": "source,label\nint a;,1\n"}),
    Case(train_on, "no column of labels", "a.csv", {"a.csv": "code,cwe\nint a;,1\n"}),
    Case(train_on, "a column that is not there", "good.csv --text_column body"),
    Case(train_on, "a column of that name twice", "a.csv", {"a.csv": "code,label,label\nint a;,1,0\n"}),
    Case(prune, "one column for both", "good.csv --text_column label"),
    Case(prune, "an unknown label", "a.csv", {"a.csv": "code,label\nint a;,1\nint b;,maybe\n"}),
    Case(prune, "a label of a third class", "a.csv", {"a.csv": "code,label\nint a;,2\n"}),
    Case(prune, "no label", "a.csv", {"a.csv": "code,label\nint a;,\n"}),
    Case(prune, "a list of names", "a.jsonl", {"a.jsonl": '{"code": "int a;", "label": ["CWE-119"]}\n'}),
    Case(
        prune,
        "a name that the map does not have",
        "a.csv --label_map good=0,bad=1",
        {"a.csv": "code,label\nint a;,good\nint b;,ugly\n"},
    ),
    Case(prune, "a map to a third class", "good.csv --label_map good=0,bad=2"),
    Case(prune, "a map without classes", "good.csv --label_map good"),
    Case(prune, "a map with two classes for a name", "good.csv --label_map bad=0,bad=1"),
    Case(prune, "no such file of a map", "good.csv --label_map map.json"),
    Case(prune, "a map that is no JSON", "good.csv --label_map map.json", {"map.json": "{"}, "JSON: "),
    Case(prune, "a map that is a list", "good.csv --label_map map.json", {"map.json": "[0, 1]"}),
    Case(prune, "no such file", "good.csv --train_file none.csv"),
    Case(train_on, "functions of one class", "a.csv", {"a.csv": "code,label\nint a;,1\nint b;,1\n"}),
    Case(train_on, "one class among those taken", "good.csv --max_train_samples 1"),
    Case(train_on, "no row that can be used", "a.csv --on_bad_rows skip", {"a.csv": "code,label\na,2\nb,3\n"}),
    Case(fine_tune, "no training file", "--do_train"),
    Case(fine_tune, "no validation file", "--do_eval"),
    Case(extract, "a row without code", "--train_file a.csv", {"a.csv": 'code,label\nint a;,1\n" ",0\n'}),
    Case(extract, "a row with a field too many", "--train_file a.csv", {"a.csv": "code,label\nf(a, b);,1\n"}),
    Case(extract, "a row with a field too few", "--train_file a.tsv", {"a.tsv": "code\tlabel\nint a;\t1\nint b;\n"}),
    Case(extract, "no file", ""),
    Case(extract, "a layer that the model lacks", "--train_file good.csv --keep_layer 9"),
    Case(extract, "windows where one reading is written", "--train_file good.csv --truncation windows"),
    Case(visualise, "a quote never closed", "--train_file a.csv", {"a.csv": 'code,label\nint a;,1\n"int b;,0\n'}),
    Case(
        visualise, "a quote not doubled", "--train_file a.csv", {"a.csv": 'code,label\n"puts("x");",1\n'}, "line 2: "
    ),
    Case(
        visualise,
        "a byte that is not UTF-8",
        "--validation_file a.csv",
        {"a.csv": b"code,label\nint a;,1\nint \xe9;,0\n"},
    ),
    Case(visualise, "a row that is not there", "--train_file good.csv --function_index 3"),
    Case(visualise, "a batch of none", "--train_file good.csv --per_device_eval_batch_size 0"),
    Case(compare, "UTF-16 cut off", "a.csv", {"a.csv": GOOD.encode("utf-16")[:-1]}, "UTF-16-LE text: "),
    Case(
        compare, "a Git LFS pointer", "a.csv", {"a.csv": "version https://git-lfs.github.com/spec/v1\noid sha256:0\n"}
    ),
    Case(compare, "a web page", "a.csv", {"a.csv": "<!DOCTYPE html><html>404: Not Found</html>"}),
    Case(compare, "a spreadsheet by another name", "a.csv", {"a.csv": b"PK\x03\x04 and more"}),
    Case(compare, "a pickle", "a.json", {"a.json": b"\x80\x04\x95"}),
    Case(compare, "JSON by another name", "a.csv", {"a.csv": '{"code": "a", "label": 1}\n'}),
    Case(compare, "CSV by another name", "a.json", {"a.json": GOOD}),
    Case(compare, "an object without clear rows", "a.json", {"a.json": '{"x": {"code": "a", "label": 1}}'}),
    Case(compare, "gzip by another name", "a.csv", {"a.csv": gzip.compress(GOOD.encode())}),
    Case(compare, "no gzip by that name", "a.csv.gz", {"a.csv.gz": GOOD}, "gzip file ("),
    Case(compare, "gzip cut off", "a.csv.gz", {"a.csv.gz": gzip.compress(GOOD.encode())[:-12]}, "gzip file ("),
    Case(compare, "no Parquet by that name", "a.parquet", {"a.parquet": GOOD}, "Parquet file: "),
    Case(compare, "gzip around Parquet", "a.parquet.gz", {"a.parquet.gz": b"x"}),
    Case(compare, "no such checkpoint", "good.csv --checkpoints a=none", upto="hub: "),
    Case(compare, "a stride without windows", "good.csv --window_stride 50"),
    Case(compare, "windows that do not meet", "good.csv --truncation windows --window_stride 95"),
    Case(train_on, "a JSON line cut off", "a.jsonl", {"a.jsonl": '{"code": "a", "label": 1}\n{"code": \n'}, "JSON: "),
    Case(train_on, "a JSON array cut off", "a.json", {"a.json": '[{"code": "a", "label": 1},'}, "JSON: "),
    Case(train_on, "a JSON line that is no object", "a.jsonl", {"a.jsonl": '{"code": "a", "label": 1}\n[1]\n'}),
    Case(train_on, "a JSON item that is no object", "a.json", {"a.json": '[{"code": "a", "label": 1}, "b"]'}),
    Case(train_on, "code that is null", "a.json", {"a.json": '{"code": null, "label": 1}\n'}),
    Case(train_on, "half a character", "a.json", {"a.json": '{"code": "a\\ud800", "label": 1}\n'}),
    Case(train_on, "a length that the model lacks", "good.csv --max_seq_length 4096"),
    Case(
        fine_tune,
        "a cut for pairs of texts",
        "--task_name RTE --do_train --train_file rte.csv --truncation tail",
        {"rte.csv": HUB_COLUMNS},
    ),
    Case(
        fine_tune,
        "a map for GLUE",
        "--task_name RTE --do_train --train_file rte.csv --label_map a=0,b=1",
        {"rte.csv": ""},
    ),
    Case(
        fine_tune,
        "a class that the task lacks",
        "--task_name RTE --do_train --train_file rte.csv",
        {"rte.csv": HUB_COLUMNS + "e,f,maybe\n"},
    ),
    Case(train_tokenizer, "no row that can be used", "a.csv", {"a.csv": "code,label\nint a;,yes\n"}),
    Case(train_tokenizer, "a vocabulary too small", "good.csv --vocab_size 100"),
    Case(check, "no such file", "good.csv none.csv"),
    Case(check, "an unknown kind of finding", "good.csv --allow leaks"),
    Case(check, "a similarity in percent", "good.csv --near_duplicates 85"),
    Case(import_vdisc, "no HDF5", "good.csv", upto="HDF5 file: "),
    Case(import_vdisc, "a data set missing", "a.hdf5", {"a.hdf5": _hdf5(group="combine")}),
    Case(import_vdisc, "columns of two lengths", "a.hdf5", {"a.hdf5": _hdf5((2, 3))}),
    Case(import_vdisc, "two files of one name", "train/a.hdf5 test/a.hdf5"),
    Case(import_vdisc, "a limit of none", "a.hdf5 --limit 0"),
)

VDISC = "--task_name vdisc --train_file a.csv"
RTE = "--task_name RTE --train_file rte.csv --validation_file rte.csv"
EVALUATE = "--validation_file good.csv --do_eval"
CONVERT = "--model_name_or_path roberta --convert_to_ltp --max_positions 200"


def _flags(run: Callable[[list[str]], None], flags: str, says: str, **files: str) -> Case:
    """A case that is not in the table of the docs. `files`: content by name, without the ending .csv."""
    return Case(run, flags, flags, {f"{name}.csv": content for name, content in files.items()}, says=says)


FLAG_CASES = (
    _flags(fine_tune, "", "nothing to do.*--do_train"),
    _flags(start_at_random, "--do_train", "--model_name_or_path is missing.*--config_name and --tokenizer_name"),
    _flags(start_at_random, "--config_name longformer --tokenizer_name longformer --do_eval", "only --do_train"),
    _flags(train_on, "good.csv --model_name_or_path ./none", "--model_name_or_path ./none: no such folder"),
    _flags(train_on, "good.csv --model_name_or_path good.csv", "--model_name_or_path good.csv: this is a file"),
    _flags(train_on, "good.csv --max_seq_length 2", "--max_seq_length 2.*3 or more"),
    _flags(train_on, "good.csv --window_size 7", "--window_size 7.*even"),
    _flags(train_on, "good.csv --output_dir longformer", "--output_dir longformer.*--model_name_or_path"),
    _flags(train_on, "good.csv --output_dir good.csv", "--output_dir good.csv.*--train_file"),
    _flags(train_on, "good.csv --output_dir .", r"--output_dir \.: .*replace"),
    _flags(train_on, "good.csv --output_dir good.csv/x", "--output_dir good.csv/x: cannot be written"),
    _flags(train_on, "good.csv --task_name rnli", "--task_name rnli.*CODE, VDISC, RTE"),
    _flags(train_on, "good.csv --eval_strategy often", "often.*IntervalStrategy"),
    _flags(train_on, "good.csv --resume_from_checkpoint x", "--resume_from_checkpoint x.*checkpoint-N"),
    _flags(train_on, "good.csv --target_flops 0.5", "--target_flops.*absolute_threshold"),
    _flags(train_on, "good.csv --target_flops 0.5 --model_name_or_path roberta", "--target_flops 0.5.*roberta.*LTP"),
    _flags(train_on, "good.csv --max_tokens_per_batch 5", "--max_tokens_per_batch 5.*--max_seq_length"),
    _flags(train_on, "good.csv --validation_mismatched_file x", "--validation_mismatched_file.*MNLI"),
    _flags(fine_tune, f"{RTE} --do_eval --text_column x", "--text_column.*sentence1 and sentence2", rte=HUB_COLUMNS),
    _flags(fine_tune, f"{RTE} --do_eval --validation_mismatched_file x", "--validation_mismatched_file.*RTE"),
    _flags(fine_tune, f"{RTE} --do_eval", "--validation_file rte.csv: row 1 .*0", rte="sentence1,sentence2\na,b\n"),
    _flags(fine_tune, f"{RTE} --do_train --max_train_samples 1", "label 0.*training", rte=HUB_COLUMNS),
    _flags(fine_tune, f"{VDISC} --do_train", "row 2 .*'CWE-20'.*CWE-119", a="code,label\na,CWE-119\nb,CWE-20\n"),
    _flags(fine_tune, f"{VDISC} --do_train", "CWE-119.*training", a='code,label\na,""\nb,[]\n'),
    _flags(fine_tune, f"{VDISC} --do_train --label_map a=0,b=1", "--label_map.*CWE-119", a="code,label\na,CWE-119\n"),
    _flags(
        fine_tune,
        f"{VDISC} --do_train --truncation windows",
        "--truncation windows.*VDISC",
        a="code,label\na,CWE-119\n",
    ),
    _flags(prune, "good.csv --task CWE", "--task CWE.*CODE, VDISC, RTE"),
    _flags(prune, "good.csv --restore ./none", "--restore ./none: no such folder"),
    _flags(prune, "good.csv --restore roberta", "--restore roberta.*'roberta'.*longformer, ltp"),
    _flags(prune, "good.csv --restore three", "--restore three.*3 classes.*--task CODE has 2"),
    _flags(prune, "good.csv --restore bare", "--restore bare: no config.json"),
    _flags(prune, "good.csv --task STSB", "--restore longformer.*2 classes.*--task STSB has 1"),
    _flags(prune, "good.csv --prune_mode best", "prune_mode.*absolute_threshold"),
    _flags(prune, "good.csv --prune_mode topk --target_flops 0.5", "--target_flops 0.5.*absolute_threshold.*topk"),
    _flags(prune, "good.csv --prune_mode topk", "--prune_mode topk.*--token_keep_rate"),
    _flags(prune, "good.csv --prune_mode threshold", "--prune_mode threshold.*--token_threshold"),
    _flags(prune, "good.csv --prune_mode threshold --token_threshold 2", r"--token_threshold 2\.0.*at most 1"),
    _flags(prune, "good.csv --token_keep_rate 0.5", r"--token_keep_rate 0\.5.*topk, not absolute_threshold"),
    _flags(prune, "good.csv --final_token_threshold nan", "--final_token_threshold nan.*0 or more"),
    _flags(prune, "good.csv --final_token_threshold -0.1", r"--final_token_threshold -0\.1.*0 or more"),
    _flags(train_on, "good.csv --seed -1", "--seed -1.*0 to 4294967295"),
    _flags(train_on, "good.csv --max_steps 0", "--max_steps 0.*1 or more"),
    _flags(prune, "good.csv --output_dir longformer", "--output_dir longformer.*--restore"),
    _flags(prune, "good.csv --max_seq_len 500", "--max_seq_length 500.*128"),
    _flags(prune, "good.csv --eval --output_dir good.csv", "--output_dir good.csv: cannot be written"),
    _flags(train_on, f"good.csv {EVALUATE} --max_false_alarm 1.0", "--max_false_alarm 1.0: .*at least 0 and below 1"),
    _flags(train_on, f"good.csv {EVALUATE} --max_false_alarm -0.1", "--max_false_alarm -0.1: "),
    _flags(train_on, "good.csv --max_false_alarm 0.1", "--max_false_alarm 0.1: .*expected training and evaluation"),
    _flags(fine_tune, f"{EVALUATE} --max_false_alarm 0.1", "--max_false_alarm 0.1: .*training and evaluation"),
    _flags(
        train_on,
        "good.csv --validation_file a.csv --do_eval --max_false_alarm 0.05",
        "--max_false_alarm 0.05: .*all 2 .*--validation_file a.csv.*both classes",
        a="code,label\nint a;,1\nint b;,1\n",
    ),
    _flags(
        train_on,
        "good.csv --validation_file a.csv --do_eval --max_false_alarm 0 --on_bad_rows skip --max_eval_samples 1",
        "--max_false_alarm 0.0: .*all 1 .*--max_eval_samples",
        a="code,label\n,0\nint b;,1\nint b;,0\n",
    ),
    _flags(
        prune,
        "good.csv --validation_file a.csv --max_false_alarm 0.05",
        "--max_false_alarm 0.05: .*all 1 .*--validation_file a.csv",
        a="code,label\nint a;,1\n",
    ),
    _flags(
        train_on,
        "good.csv --validation_file a.csv --do_eval --metric_for_best_model auc",
        "--metric_for_best_model auc: .*--validation_file a.csv",
        a="code,label\nint a;,0\n",
    ),
    _flags(
        fine_tune,
        f"{RTE} --do_train --do_eval --max_false_alarm 0.1",
        "--max_false_alarm 0.1: .*not RTE",
        rte=HUB_COLUMNS,
    ),
    _flags(train_on, "good.csv --max_positions 200", "--max_positions: .*--convert_to_ltp"),
    _flags(train_on, f"good.csv {CONVERT} --max_seq_length 201", "--max_seq_length 201: expected at most 200"),
    _flags(train_on, f"good.csv {CONVERT} --window_size 7", "--window_size 7: expected an even number of tokens"),
    _flags(start_at_random, "--do_train --convert_to_ltp", "--convert_to_ltp: expected --model_name_or_path"),
    _flags(convert, "--max_positions 2", "--max_positions 2: expected 3 or more"),
    _flags(convert, "--attention_window 7", "--attention_window 7: expected an even number"),
    _flags(convert, "--attention_window 0", "--attention_window 0: expected an even number"),
    _flags(convert, "--output_dir longformer", "--output_dir longformer: expected a new or an empty folder"),
    _flags(convert, "--output_dir good.csv", "--output_dir good.csv: expected a new or an empty folder"),
    _flags(convert, "--output_dir good.csv/x", "--output_dir good.csv/x: cannot be written"),
    _flags(compare, "good.csv --checkpoints a", "--checkpoints a: expected NAME=FOLDER"),
    _flags(compare, "good.csv --checkpoints a=x a=y", "--checkpoints a=y: the name a is given twice"),
    _flags(compare, "good.csv --rounds 0", "--rounds 0: expected 1 or more"),
    _flags(train_tokenizer, "good.csv --max_length 2", "--max_length 2: "),
    _flags(train_tokenizer, "good.csv --output_dir good.csv/t", "--output_dir good.csv/t: "),
    _flags(check, "good.csv --max_length 2", "--max_length 2: expected 3 or more"),
    _flags(check, "good.csv --tokenizer none", "--tokenizer none: "),
    _flags(extract, "--train_file good.csv --keep_layer 0", "--keep_layer 0: .* 1 to 4"),
    _flags(extract, "--train_file good.csv --output_dir good.csv", "--output_dir good.csv: "),
    _flags(extract, "--train_file good.csv --max_length 97", "--max_length 97: .* 3 to 96"),
    _flags(extract, "--train_file good.csv --max_length 2", "--max_length 2: .* 3 to"),
    _flags(extract, "--train_file good.csv --max_tokens_per_batch 0", "--max_tokens_per_batch 0: .* 1 or more"),
    _flags(extract, "--train_file good.csv --use_cpu False --device nonsense", "--device nonsense: "),
    _flags(visualise, "--train_file good.csv --function_index 0", "--function_index 0: .* 1 to 2$"),
    _flags(visualise, "--train_file good.csv --num_functions 0", "--num_functions 0: .* 1 or more"),
)


def message(case: Case, checkpoints: dict[str, Path]) -> str:
    """The error message of a case, run in an empty folder with good.csv, `checkpoints` and the case's files.

    Raises AssertionError if the command raises no error, or leaves something behind.
    """
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            for name, place in checkpoints.items():
                os.symlink(place, name)
            for name, content in {"good.csv": GOOD, **case.files}.items():
                if callable(content):
                    content(Path(name))
                else:
                    Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
            there = sorted(os.listdir())
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                try:
                    case.run(case.flags.split())
                except UserError as error:
                    text = str(error)
                else:
                    raise AssertionError(f"{case.what}: was taken")
            assert sorted(os.listdir()) == there, f"{case.what}: left something behind"
        finally:
            os.chdir(before)
    if case.upto is None:
        return text
    assert case.upto in text, text
    return text[: text.index(case.upto) + len(case.upto)] + "..."


def keys(text: str) -> list[str]:
    """What a message must say whatever its wording: its flags, files, numbers and quoted texts."""
    return sorted(set(re.findall(r"--\w+|\w+\.\w+|\d+|'[^']*'", text)))


def documented() -> list[tuple[str, str, str]]:
    """Script, what is wrong, and message of each line of the table in the docs."""
    table = re.search(f"{BEGIN}\n(.*?){END}", DOCS.read_text(encoding="utf-8"), re.DOTALL)[1]
    lines = [line.removeprefix("| ").removesuffix(" |").split(" | ") for line in table.splitlines()[2:]]
    return [(script, what, text.strip("`").replace("\\|", "|")) for _, script, what, text in lines]


def _with_argv(main: Callable[[], None], flags: list[str]) -> None:
    before, sys.argv = sys.argv, ["script", *flags]
    try:
        main()
    finally:
        sys.argv = before


def _write_table(checkpoints: dict[str, Path]) -> None:
    lines = ["| | script | input | message |", "| --- | --- | --- | --- |"]
    for number, case in enumerate(CASES, start=1):
        text = message(case, checkpoints).replace("|", "\\|")
        lines.append(f"| {number} | {SCRIPTS[case.run]} | {case.what} | `{text}` |")
    table = "\n".join(lines) + "\n"
    text = DOCS.read_text(encoding="utf-8")
    DOCS.write_text(
        re.sub(f"{BEGIN}\n.*?{END}", lambda _: f"{BEGIN}\n{table}{END}", text, flags=re.DOTALL), encoding="utf-8"
    )
    print(f"{len(CASES)} inputs: {DOCS}")


if __name__ == "__main__":
    from tests.ltp_pipeline.conftest import save_longformer
    from tests.pruned_checkpoint import make_tokenizer, save_checkpoint

    with tempfile.TemporaryDirectory() as place:
        make_tokenizer().save_pretrained(Path(place, "tokenizer"))
        save_longformer(Path(place, "tokenizer"), Path(place, "longformer"))
        save_checkpoint(Path(place, "pruned"))
        _write_table({name: Path(place, name) for name in ("longformer", "pruned")})
