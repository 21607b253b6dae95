"""Import LineVul's table of vulnerable functions of BigVul with their flaw lines, for line-level measures.

    python Data/import_linevul.py --source LineVul --output_dir Data/linevul

--source is your clone of github.com/awsm-research/LineVul. All functions have label 1, so this is a test set for
measures of lines, and for recall. docs/importers.md describes the table and the counts.
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
from ltp_pipeline.files.file_formats import row_place
from ltp_pipeline.files.flaw_lines import lines_of_linevul, numbers_in

FILE = "cppcheck/data/static_analysis_data.csv"
REPOSITORY = Repository(
    name="awsm-research/LineVul",
    holds=(FILE,),
    about="Functions of BigVul that the fix of a CVE changes, with their flaw lines. All have label 1. `id` is the "
    "row in LineVul's file, from 0.",
    splits=("test",),
)


def read_linevul(source: Path, counts: dict[str, int]) -> Iterator[Row]:
    """The rows of the file. Raises UserError if it cannot be read."""
    where = f"--source: {printable(str(source / FILE), 300)}"
    counts.update(functions=0, functions_without_flaw_lines=0, flaw_lines=0)
    columns = read_columns(source / FILE, where, ("source", "flaw_line_indices", "flaw_lines"))
    for number, (text, indices, texts) in enumerate(columns):
        if numbers_in(indices) is None:
            raise UserError(
                f"{row_place(where, number)}: the 'flaw_line_indices' are {printable(indices)!r}; "
                "expected a list of numbers from 0, such as [4, 5]"
            )
        lines = tuple(dict.fromkeys(lines_of_linevul(indices, texts, text)))
        counts["functions"] += 1
        counts["functions_without_flaw_lines"] += not lines
        counts["flaw_lines"] += len(lines)
        yield Row(text, 1, (str(number),), id=str(number), flaw_lines=lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Import the functions. Raises UserError for a clone that cannot be used."""
    parser = argument_parser("Data/import_linevul.py", __doc__, REPOSITORY)
    run_import(REPOSITORY, parser.parse_args(arguments), read_linevul)


if __name__ == "__main__":
    run_main(main)
