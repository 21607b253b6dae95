"""Import LineVul's table of vulnerable functions of BigVul with their flaw lines, for line-level measures.

    python Data/import_linevul.py --source LineVul --output_dir Data/linevul

--source is your clone of github.com/awsm-research/LineVul. All functions have label 1, so this is a test set for
measures of lines, and for recall. docs/importers.md describes the table and the counts.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from Data.ground_truth.importer import Repository, argument_parser, run_import
from Data.ground_truth.rows import Row
from Data.ground_truth.test_sets import read_columns
from ltp_pipeline.base.errors import UserError, printable, run_main
from ltp_pipeline.data.file_formats import row_place

FILE = "cppcheck/data/static_analysis_data.csv"
SEPARATOR = "/~/"  # between the texts of the flaw lines
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
    counts.update(functions=0, flaw_lines=0, flaw_lines_moved_to_their_text=0, flaw_lines_left_out=0)
    columns = read_columns(source / FILE, where, ("source", "flaw_line_indices", "flaw_lines"))
    for number, (text, indices, texts) in enumerate(columns):
        try:
            listed = json.loads(indices)
            if type(listed) is not list or not all(type(index) is int and index >= 0 for index in listed):
                raise ValueError
        except (TypeError, ValueError):
            raise UserError(
                f"{row_place(where, number)}: the 'flaw_line_indices' are {printable(indices)!r}; "
                "expected a list of numbers from 0, such as [4, 5]"
            ) from None
        lines = flaw_lines(text, listed, texts.split(SEPARATOR), counts)
        counts["functions"] += 1
        counts["flaw_lines"] += len(lines)
        yield Row(text, 1, (str(number),), id=str(number), flaw_lines=lines)


def flaw_lines(text: str, indices: Sequence[int], texts: Sequence[str], counts: dict[str, int]) -> tuple[int, ...]:
    """The flaw lines, from 1, in the order of the indices, each once.

    LineVul counts from 0 and skips empty lines. In some rows an index points at a line that has none of the listed
    texts of flaw lines. Then the nearest line that has one of them counts, or none if there is none. White space does
    not count.
    """
    lines = text.split("\n")
    filled = [number for number, line in enumerate(lines) if line]
    wanted = {_key(one) for one in texts} - {""}
    with_text = [place for place, number in enumerate(filled) if _key(lines[number]) in wanted]
    found: dict[int, None] = {}
    for index in indices:
        nearest = min(with_text, key=lambda place: abs(place - index), default=None)
        counts["flaw_lines_left_out"] += nearest is None
        counts["flaw_lines_moved_to_their_text"] += nearest is not None and nearest != index
        if nearest is not None:
            found[filled[nearest] + 1] = None
    return tuple(found)


def _key(line: str) -> str:
    return "".join(line.split())


def main(arguments: Sequence[str] | None = None) -> None:
    """Import the functions. Raises UserError for a clone that cannot be used."""
    run_import(REPOSITORY, argument_parser(__doc__, REPOSITORY).parse_args(arguments), read_linevul)


if __name__ == "__main__":
    run_main(main)
