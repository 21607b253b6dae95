"""Temporary files of a build, inside the cache folder."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ltp_pipeline.base import scratch
from ltp_pipeline.base.errors import UserError

NAME = "scratch"


@contextmanager
def scratch_folder(cache_dir: Path) -> Iterator[Path]:
    """Yields a new folder, which is removed at the end. Folders of builds that were killed are removed first.

    Raises UserError if the cache folder cannot be written to.
    """
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(scratch.scratch_folder((cache_dir / NAME).resolve()))
        except OSError as error:
            raise UserError(f"--cache_dir: cannot write to {cache_dir}: {error.strerror}") from None
        yield folder


@contextmanager
def temporary_files_in(folder: Path | None) -> Iterator[None]:
    """Python's temporary files are made in `folder` (None: where they always are)."""
    before = tempfile.tempdir
    try:
        tempfile.tempdir = before if folder is None else str(folder)
        yield
    finally:
        tempfile.tempdir = before
