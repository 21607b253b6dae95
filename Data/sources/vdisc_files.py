"""Reads the HDF5 files in which the Draper VDISC data set is published (Russell et al. 2018).

Each file has a column `functionSource` with the texts, and a column of booleans for each group of weaknesses.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.extras import check_installed
from ltp_pipeline.task.tasks import VDISC

if TYPE_CHECKING:
    import h5py

GROUPS = VDISC.labels
TEXT = "functionSource"
CHUNK = 4096  # functions in memory at a time


def open_vdisc(path: Path) -> h5py.File:
    """Open a file. Raises UserError if its layout is not VDISC's, or if h5py is not installed."""
    check_installed("an HDF5 file", "hdf5", "h5py")
    import h5py

    if not path.is_file():
        raise UserError(f"{path}: {'this is a folder' if path.is_dir() else 'no such file'}; expected an HDF5 file")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise UserError(f"{path}: not a whole HDF5 file: {error}") from error
    try:
        _check_layout(file, path)
    except UserError:
        file.close()
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:  # h5py's errors for damaged files
        file.close()
        raise UserError(f"{path}: a damaged HDF5 file: {error}") from error
    return file


def _check_layout(file: h5py.File, path: Path) -> None:
    import h5py

    missing = [name for name in (TEXT, *GROUPS) if not isinstance(file.get(name), h5py.Dataset)]
    if missing:
        found = ", ".join(file) or "none"
        raise UserError(
            f"{path}: no data set {', '.join(missing)}; expected {TEXT}, {', '.join(GROUPS)}; found: {found}"
        )
    if h5py.check_string_dtype(file[TEXT].dtype) is None or file[TEXT].ndim != 1:
        shape = f"{file[TEXT].dtype} and the shape {file[TEXT].shape}"
        raise UserError(f"{path}: {TEXT} has the type {shape}; expected a list of texts")
    for name in GROUPS:
        if file[name].shape != file[TEXT].shape:
            raise UserError(
                f"{path}: {name} has shape {file[name].shape} and {TEXT} {file[TEXT].shape}; expected a value for "
                "each function"
            )
        if file[name].dtype.kind not in "biu":
            raise UserError(f"{path}: {name} has the type {file[name].dtype}; expected booleans")


def read_vdisc(
    file: h5py.File, chosen: np.ndarray | None, counts: Counter[str]
) -> Iterator[tuple[str, list[int]] | None]:
    """Yields the text of each function, and 0 or 1 for each group; None if it is not chosen or has no text.

    Args:
        chosen: the numbers of the chosen functions, from 0, ascending; None: all.
        counts: counter that is increased by the number of texts that are `empty` and `not_utf8`, and of positives in
            each group.

    Raises UserError if the file is damaged or the value of a group is neither 0 nor 1.
    """
    for start in range(0, len(file[TEXT]), CHUNK):
        try:
            texts = file[TEXT][start : start + CHUNK]
            groups = np.stack([file[name][start : start + CHUNK] for name in GROUPS], axis=1)  # [N, 5]
        except (OSError, RuntimeError, KeyError, ValueError) as error:
            raise UserError(f"{file.filename}: damaged after function {start}: {error}") from error
        if groups.dtype != bool and (wrong := ((groups < 0) | (groups > 1)).any(axis=1)).any():
            raise UserError(f"{file.filename}: function {start + wrong.argmax() + 1}: expected 0 or 1 for each group")
        numbers = np.arange(start, start + len(texts))
        wanted = np.ones(len(texts), bool) if chosen is None else np.isin(numbers, chosen, assume_unique=True)
        for raw, own, is_wanted in zip(texts, groups.astype(int).tolist(), wanted, strict=True):
            text = raw.decode("utf-8", errors="replace") if isinstance(raw, bytes) else str(raw)
            if not is_wanted or not text.strip():
                counts["empty"] += bool(is_wanted)
                yield None
                continue
            counts["not_utf8"] += "\ufffd" in text
            counts.update(name for name, positive in zip(GROUPS, own, strict=True) if positive)
            yield text, own
