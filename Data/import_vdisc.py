"""Import the Draper VDISC data set: its HDF5 files become files that the scripts of this project read.

    python Data/import_vdisc.py VDISC_train.hdf5 VDISC_validate.hdf5 VDISC_test.hdf5 --output_dir Data/vdisc

Writes VDISC_train.csv and so on (--format) with columns functionSource, label and cwes, and import.json (counts): all
of them or none. Each HDF5 file holds `functionSource`, texts, and a column of booleans for each group of weaknesses.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import hashlib
import io
import json
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ltp_pipeline.base.errors import UserError, run_main
from ltp_pipeline.base.files import format_table, write_json

if TYPE_CHECKING:
    import h5py

GROUPS = ("CWE-119", "CWE-120", "CWE-469", "CWE-476", "CWE-other")  # as the files name their columns
TEXT = "functionSource"
CHUNK = 4096  # functions in memory at a time
FORMATS = ("csv", "csv.gz", "tsv", "tsv.gz", "jsonl", "jsonl.gz", "parquet")
Row = tuple[str, Any, str]  # text, label, names of the groups


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line; --help explains it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="HDF5 files, training first")
    parser.add_argument("--output_dir", type=Path, required=True, metavar="DIR")
    parser.add_argument("--format", choices=FORMATS, default="csv", help="default: csv")
    parser.add_argument(
        "--label",
        choices=("any", *GROUPS, "groups"),
        default="any",
        help="what makes a function 1: any group (default), or one; groups: the label is a list of five, 0 or 1 each",
    )
    parser.add_argument(
        "--deduplicate", action="store_true", help="keep the first of functions that differ in white space only"
    )
    parser.add_argument("--limit", type=int, metavar="N", help="take N functions of each file, drawn by --seed")
    parser.add_argument("--seed", type=int, default=0, help="of the draw (default: 0)")
    args = parser.parse_args(arguments)
    if args.limit is not None and args.limit < 1:
        raise UserError(f"--limit {args.limit}: expected 1 or more")
    return args


def open_vdisc(path: Path) -> h5py.File:
    """A file in VDISC's layout. Raises UserError, naming it, for another, and where h5py is not installed."""
    try:
        import h5py
    except ImportError as error:
        raise UserError("HDF5 files are read by h5py, which is not installed; expected `pip install h5py`") from error
    if not path.is_file():
        raise UserError(f"{path}: {'this is a folder' if path.is_dir() else 'no such file'}; expected an HDF5 file")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise UserError(f"{path}: not a whole HDF5 file: {error}") from error
    missing = [name for name in (TEXT, *GROUPS) if not isinstance(file.get(name), h5py.Dataset)]
    if missing:
        found = ", ".join(file) or "none"
        raise UserError(
            f"{path}: no data set {', '.join(missing)}; expected {TEXT}, {', '.join(GROUPS)}; found: {found}"
        )
    if h5py.check_string_dtype(file[TEXT].dtype) is None:
        raise UserError(f"{path}: {TEXT} holds {file[TEXT].dtype}; expected texts")
    for name in GROUPS:
        if file[name].shape != file[TEXT].shape:
            raise UserError(
                f"{path}: {name} has shape {file[name].shape} and {TEXT} {file[TEXT].shape}; expected a value for "
                "each function"
            )
        if file[name].dtype.kind not in "biu":
            raise UserError(f"{path}: {name} holds {file[name].dtype}; expected booleans")
    return file


def read_rows(file: h5py.File, chosen: np.ndarray | None, label: str, counts: Counter) -> Iterator[Row | None]:
    """The functions one by one, None for one without text or not `chosen` (ascending places; None: all).

    Args:
        counts: is added to: empty, not_utf8, and how many functions each group has.
    """
    chosen_here = np.ones(CHUNK, dtype=bool)
    for start in range(0, len(file[TEXT]), CHUNK):
        try:
            texts = file[TEXT][start : start + CHUNK]
            groups = np.stack([file[name][start : start + CHUNK] for name in GROUPS], axis=1)
        except OSError as error:
            raise UserError(f"{file.filename}: damaged after function {start}: {error}") from error
        if groups.dtype != bool and (wrong := (groups > 1).any(axis=1)).any():
            raise UserError(f"{file.filename}: function {start + wrong.argmax() + 1}: expected 0 or 1 for each group")
        if chosen is not None:
            chosen_here = np.isin(np.arange(start, start + len(texts)), chosen, assume_unique=True)
        for raw, own, wanted in zip(texts, groups.astype(int).tolist(), chosen_here):
            text = raw.decode("utf-8", errors="replace") if isinstance(raw, bytes) else str(raw)
            if not wanted or not text.strip():
                counts["empty"] += bool(wanted)
                yield None
                continue
            counts["not_utf8"] += "\ufffd" in text
            names = [name for name, positive in zip(GROUPS, own) if positive]
            counts.update(names)
            value = own if label == "groups" else int(bool(names) if label == "any" else label in names)
            yield text, value, " ".join(names)


def open_writer(path: Path, label: str, stack: ExitStack) -> Callable[[list[Row]], None]:
    """A function that appends rows to a new file, whose name tells the format; `stack` closes it."""
    names = (TEXT, "label", "cwes")
    if path.suffix == ".parquet":
        import pyarrow
        from pyarrow import parquet

        kind = pyarrow.list_(pyarrow.int8()) if label == "groups" else pyarrow.int8()
        schema = pyarrow.schema([(TEXT, pyarrow.string()), ("label", kind), ("cwes", pyarrow.string())])
        writer = stack.enter_context(parquet.ParquetWriter(path, schema))
        return lambda rows: writer.write_table(pyarrow.table(list(map(list, zip(*rows))), schema=schema))
    raw = stack.enter_context(open(path, "wb"))
    if path.suffix == ".gz":  # no name and no time inside: the same bytes on every run
        raw = stack.enter_context(gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0, compresslevel=6))
    stream = stack.enter_context(io.TextIOWrapper(raw, encoding="utf-8", newline=""))
    if ".jsonl" in path.suffixes:
        return lambda rows: stream.writelines(
            json.dumps(dict(zip(names, row)), ensure_ascii=False) + "\n" for row in rows
        )
    separator = "\t" if ".tsv" in path.suffixes else ","
    table = csv.writer(stream, delimiter=separator, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    table.writerow(names)
    return lambda rows: table.writerows(
        (text, json.dumps(value) if label == "groups" else value, cwes) for text, value, cwes in rows
    )


def import_file(
    file: h5py.File, target: Path, args: argparse.Namespace, seen: set[bytes] | None, progress: Callable[[int], Any]
) -> dict[str, Any]:
    """Writes `target` and returns its counts.

    Args:
        seen: hashes of the functions written so far, which are not written again, and are added to; None: all are.
        progress: is told how many functions were read since the last call.
    """
    total, counts = (
        len(file[TEXT]),
        Counter(dict.fromkeys(("functions", "positive", "duplicates", "empty", "not_utf8"), 0)),
    )
    chosen = None
    if args.limit is not None and args.limit < total:
        chosen = np.sort(np.random.default_rng(args.seed).choice(total, args.limit, replace=False))
    rows: list[Row] = []
    with ExitStack() as stack:
        write = open_writer(target, args.label, stack)
        for number, row in enumerate(read_rows(file, chosen, args.label, counts), start=1):
            if row is not None and not _is_repeated(row[0], seen):
                rows.append(row)
                counts["functions"] += 1
                counts["positive"] += bool(np.any(row[1]))
            elif row is not None:
                counts["duplicates"] += 1
            if number % CHUNK == 0 or number == total:
                if rows:
                    write(rows)
                rows = []
                progress(number % CHUNK or CHUNK)
    if not counts["functions"]:
        raise UserError(f"{file.filename}: no function is left of {total}; expected functions with a text")
    return {"file": Path(file.filename).name, "written": target.name, "read": total, **counts}


def _import_all(files: list[h5py.File], names: list[str], args: argparse.Namespace) -> list[dict[str, Any]]:
    """Writes all files aside, and moves them into place together; their counts."""
    from tqdm import tqdm

    args.output_dir.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=".import-", dir=args.output_dir))
    seen: set[bytes] | None = set() if args.deduplicate else None
    total, interval = sum(len(file[TEXT]) for file in files), 0.2 if sys.stderr.isatty() else 30
    try:
        with tqdm(total=total, desc="importing", unit=" functions", unit_scale=True, mininterval=interval) as bar:
            counts = [import_file(file, aside / name, args, seen, bar.update) for file, name in zip(files, names)]
        settings = {name: getattr(args, name) for name in ("label", "deduplicate", "limit", "seed")}
        write_json(aside / "import.json", {**settings, "groups": list(GROUPS), "files": counts})
        for name in (*names, "import.json"):
            os.replace(aside / name, args.output_dir / name)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return counts


def _is_repeated(text: str, seen: set[bytes] | None) -> bool:
    """Whether a function like `text` is in `seen`; it is from here on."""
    if seen is None:
        return False
    digest = hashlib.blake2b(" ".join(text.split()).encode(), digest_size=16).digest()
    before = len(seen)
    seen.add(digest)
    return len(seen) == before


def main(arguments: Sequence[str] | None = None) -> None:
    """Checks all files first, then imports them; raises UserError for what is wrong with them or the flags."""
    args = parse_arguments(arguments)
    names = [f"{path.stem}.{args.format}" for path in args.files]
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None:
        raise UserError(f"two of the files would be written to {repeated}; expected files of different names")
    with ExitStack() as stack:
        files = [stack.enter_context(open_vdisc(path)) for path in args.files]
        try:
            counts = _import_all(files, names, args)
        except OSError as error:
            raise UserError(f"--output_dir {args.output_dir}: cannot be written: {error.strerror}") from error
    print(format_table(counts))
    print(f"written to {args.output_dir}")


if __name__ == "__main__":
    run_main(main)
