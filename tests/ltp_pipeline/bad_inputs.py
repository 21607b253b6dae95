"""Data that no command can use. The table of docs/data.md shows the messages. bad_flags.py has flags.

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


def split(flags: list[str]) -> None:
    from ltp_pipeline.split_data import main

    main(["good.csv", "--output_dir", "out", *flags])


def convert(flags: list[str]) -> None:
    from ltp_pipeline.convert import main

    main(["--model_name_or_path", "roberta", "--output_dir", "ltp", *flags])


def import_vdisc(flags: list[str]) -> None:
    from Data.import_vdisc import main

    main(["--output_dir", "out", *flags])


def import_mpsd(flags: list[str]) -> None:
    from Data.import_mpsd import main

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
    split: "ltp_pipeline.split_data",
    import_vdisc: "Data/import_vdisc.py",
    import_mpsd: "Data/import_mpsd.py",
}


@dataclass(frozen=True)
class Case:
    """A wrong input of a command."""

    run: Callable[[list[str]], None]  # calls the command with a list of flags
    what: str  # what is wrong, for the table
    flags: str  # the flags, separated by spaces
    files: dict[str, str | bytes] = field(default_factory=dict)  # the files beside good.csv: content by path
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
    Case(train_on, "a folder without source files", "d", {"d/a.csv": GOOD, "d/b.csv": GOOD}),
    Case(train_on, "folders without clear classes", "d", {"d/ok/a.ps1": "a", "d/evil/b.ps1": "b"}),
    Case(train_on, "folders of one class", "d", {"d/bad/a.ps1": "a", "d/malware/b.ps1": "b"}),
    Case(train_on, "folders and names that differ", "d", {"d/bad/a_0.c": "a", "d/good/b_1.c": "b"}),
    Case(train_on, "a folder that the map lacks", "d --label_map bad=1", {"d/bad/a.c": "a", "d/ok/b.c": "b"}),
    Case(train_on, "a format of another program", "a.xlsx", {"a.xlsx": "x"}),
    Case(train_on, "an empty file", "a.csv", {"a.csv": ""}),
    Case(train_on, "a header and nothing else", "a.csv", {"a.csv": "functionSource,label\n"}),
    Case(train_on, "no column with code", "a.csv", {"a.csv": "source,label\nint a;,1\n"}),
    Case(train_on, "no column of labels", "a.csv", {"a.csv": "code,cwe\nint a;,1\n"}),
    Case(train_on, "two columns that may hold code", "a.csv", {"a.csv": "func,code,target\nint a;,int b;,1\n"}),
    Case(train_on, "two columns that may be labels", "a.csv", {"a.csv": "func,target,label\nint a;,1,0\n"}),
    Case(train_on, "no repaired functions", "good.csv --add_fixed_functions"),
    Case(train_on, "a column that is not there", "good.csv --text_column body"),
    Case(train_on, "a column of that name twice", "a.csv", {"a.csv": "code,label,label\nint a;,1,0\n"}),
    Case(prune, "one column for both", "good.csv --text_column label"),
    Case(prune, "an unknown label", "a.csv", {"a.csv": "code,label\nint a;,1\nint b;,maybe\n"}),
    Case(prune, "a label of a third class", "a.csv", {"a.csv": "code,label\nint a;,2\n"}),
    Case(prune, "no label", "a.csv", {"a.csv": "code,label\nint a;,\n"}),
    Case(prune, "two words for a class", "a.csv", {"a.csv": "code,label\nint a;,good\nint b;,bad\nint c;,fixed\n"}),
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
    Case(compare, "a label in some rows only", "a.csv", {"a.csv": "code,label\nint a;,1\nint b;,\n"}),
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
    Case(train_tokenizer, "no row that can be used", "a.csv", {"a.csv": 'code,label\n"",1\n'}),
    Case(train_tokenizer, "a vocabulary too small", "good.csv --vocab_size 100"),
    Case(check, "no such file", "good.csv none.csv"),
    Case(check, "an unknown kind of finding", "good.csv --allow leaks"),
    Case(check, "a similarity in percent", "good.csv --near_duplicates 85"),
    Case(check, "a column of groups that is not there", "good.csv --group_by project"),
    Case(split, "a column of groups that is not there", "--group_by project"),
    Case(split, "fewer groups than splits", "--group_by label"),
    Case(split, "shares in percent", "--shares 80 10 10"),
    Case(import_vdisc, "no HDF5", "good.csv", upto="HDF5 file: "),
    Case(import_vdisc, "a data set missing", "a.hdf5", {"a.hdf5": _hdf5(group="combine")}),
    Case(import_vdisc, "columns of two lengths", "a.hdf5", {"a.hdf5": _hdf5((2, 3))}),
    Case(import_vdisc, "two files of one name", "train/a.hdf5 test/a.hdf5"),
    Case(import_vdisc, "a limit of none", "a.hdf5 --limit 0"),
    Case(import_mpsd, "no such folder", "--source none"),
    Case(import_mpsd, "a folder that is no clone", "--source folder", {"folder/malicious_pure/1.ps1": "a"}),
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
                Path(name).parent.mkdir(parents=True, exist_ok=True)
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
