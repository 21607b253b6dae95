"""Download a pinned source distribution, check its hash, and write its source files into OUTPUT_DIR/NAME-VERSION.

    python Data/unpack_source.py lmdb==3.0.0 sha256:HEX --output_dir trees

No code of the distribution runs. The files are UTF-8; links and paths outside the archive are left out.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from Data.sources.archives import read_archive
from Data.sources.downloads import fetch
from Data.sources.source_list import pinned_source
from ltp_pipeline.base.errors import UserError, run_main
from ltp_pipeline.base.parser import CommandParser
from ltp_pipeline.base.scratch import scratch_folder
from ltp_pipeline.code.functions import SourceFile
from ltp_pipeline.code.languages import LANGUAGES, suffixes_of


def main(arguments: Sequence[str] | None = None) -> None:
    """Unpacks what the command line names. Raises UserError if it cannot be downloaded, read or written."""
    parser = CommandParser(command="Data/unpack_source.py", description=__doc__)
    add = parser.add_argument
    add("NAME==VERSION", help="the source distribution")
    add("sha256:HEX", help="its hash, as the package index gives it")
    add("--language", nargs="+", choices=LANGUAGES, default=["c", "cpp"], help="of the files (default: c cpp)")
    add("--output_dir", type=Path, default=Path(), metavar="DIR", help="default: the current folder")
    add("--cache_dir", type=Path, default=Path(__file__).parent / "cache", metavar="DIR", help="default: Data/cache")
    options = parser.parse_args(arguments)
    source = pinned_source(f"{vars(options)['NAME==VERSION']} {vars(options)['sha256:HEX']}", "test", "NAME==VERSION")
    target = options.output_dir / f"{source.name}-{source.version}"
    if target.exists():
        print(f"{target} is already there")
        return
    suffixes = suffixes_of(options.language)
    files, _ = read_archive(fetch([source], options.cache_dir)[0], source.name, suffixes)
    if not files:
        raise UserError(f"{source.name} {source.version}: no {' '.join(sorted(suffixes))} files; see --language")
    try:
        _write(files, target)
    except OSError as error:
        raise UserError(f"--output_dir {options.output_dir}: cannot be written: {error.strerror}") from error
    print(f"{len(files)} files written to {target}")


def _write(files: Sequence[SourceFile], target: Path) -> None:
    """Writes the files below `target`, which appears whole or not at all."""
    with scratch_folder(target.parent) as scratch:
        folder = scratch / target.name
        for file in files:
            path = folder / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(file.text, encoding="utf-8", newline="")
        os.rename(folder, target)


if __name__ == "__main__":
    run_main(main)
