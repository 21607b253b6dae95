"""Import the test split of Devign (CodeXGLUE, defect detection), which another repository holds as plain files.

    python Data/import_devign.py --source attack-pretrain-models-of-code --output_dir Data/devign

--source is your clone of github.com/soarsmu/attack-pretrain-models-of-code. Label 1: a commit that fixes a security
issue changes the function. The split has both labels about equally often. It is a test set: training on it would make
figures that others report on it meaningless. docs/importers.md describes the table and the counts.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from Data.ground_truth.importer import Repository, argument_parser, run_import
from Data.ground_truth.rows import Row
from Data.ground_truth.source_tables import read_columns
from ltp_pipeline.base.errors import UserError, printable, run_main
from ltp_pipeline.base.progress import progress_bar
from ltp_pipeline.files.file_formats import row_place

FOLDER = "CodeXGLUE/Defect-detection/preprocess/dataset"
FILES = 7  # of the test split
REPOSITORY = Repository(
    name="soarsmu/attack-pretrain-models-of-code",
    holds=(FOLDER,),
    about="The test split of Devign as CodeXGLUE defines it. Label 1: a commit that fixes a security issue changes "
    "the function. `id` is Devign's `idx`. The attack's substitutes for names are not imported.",
    splits=("test",),
)


def read_devign(source: Path, counts: dict[str, int]) -> Iterator[Row]:
    """The rows of the files. Raises UserError if there is none, or one cannot be read."""
    paths = sorted((source / FOLDER).glob("test_subs_*.jsonl"))
    if not paths:
        raise UserError(f"--source {source}: holds no {FOLDER}/test_subs_*.jsonl; expected {FILES} of them")
    if len(paths) < FILES:
        print(f"note: {len(paths)} of {FILES} files of the test split are in {FOLDER}: the table is not complete")
    counts.update(files=len(paths), rows=0, rows_without_text=0)
    for path in progress_bar(paths, desc="read", unit="file"):
        where = f"--source: {printable(str(path), 300)}"
        columns = read_columns(path, where, ("func", "target", "idx"), ("project",))
        for number, (text, target, idx, project) in enumerate(columns):
            counts["rows"] += 1
            if str(target) not in ("0", "1"):
                raise UserError(
                    f"{row_place(where, number)}: the 'target' is {printable(repr(target))}; expected 0 or 1"
                )
            if not text.strip():
                counts["rows_without_text"] += 1
                continue
            yield Row(text, int(target), (project or "Devign",), id=str(idx), project=project)


def main(arguments: Sequence[str] | None = None) -> None:
    """Import the test split. Raises UserError for a clone that cannot be used."""
    parser = argument_parser("Data/import_devign.py", __doc__, REPOSITORY)
    run_import(REPOSITORY, parser.parse_args(arguments), read_devign)


if __name__ == "__main__":
    run_main(main)
