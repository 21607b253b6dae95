"""Import the CVE folders of VulDeePecker: functions of C and C++ projects before and after the fix of a CVE.

    python Data/import_vuldeepecker.py --source VulDeePecker --output_dir Data/vuldeepecker

--source is your clone of github.com/CGCL-codes/VulDeePecker. Label 1: a function that the fix of a CVE changes, with
the lines that it deletes, or the lines before those that it adds. Label 0: the same function after the fix, and the
other functions of its file. A project is in one split only. docs/importers.md describes the tables and the counts.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from Data.ground_truth.fixes.cve_folders import read_cve_files
from Data.ground_truth.fixes.cve_rows import cve_rows
from Data.ground_truth.importer import Repository, argument_parser, run_import
from ltp_pipeline.base.errors import run_main

REPOSITORY = Repository(
    name="CGCL-codes/VulDeePecker",
    holds=("CWE-119/source_files", "CWE-399/source_files"),
    about="Functions of the CVE folders. Label 1: a function that the fix of a CVE changes. Its flaw lines are the "
    "lines of code that the fix deletes, or, if it deletes none, the lines after which it adds some. Label 0: such a "
    "function after the fix (its `pair`), and the functions of the same files that no fix changes. `id` is the CVE, "
    "`path` the file in the clone. All functions of a project are in the same split.",
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Import the CVE folders. Raises UserError for a clone that cannot be used."""
    args = argument_parser("Data/import_vuldeepecker.py", __doc__, REPOSITORY).parse_args(arguments)
    run_import(REPOSITORY, args, lambda source, counts: cve_rows(read_cve_files(source, counts), counts))


if __name__ == "__main__":
    run_main(main)
