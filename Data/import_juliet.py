"""Import the Juliet test suite for C and C++: functions with a planted defect, and functions without it.

    git clone https://github.com/arichardson/juliet-test-suite-c
    python Data/import_juliet.py --source juliet-test-suite-c --output_dir Data/juliet

Writes train_subset, validation, test, README.md and import.json. docs/importers.md describes the recipe.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path, PurePosixPath

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from Data.functions.labelling import worker_pool
from Data.ground_truth.importer import Repository, argument_parser, files_below, read_files, run_import
from Data.ground_truth.neutral_text import without_comments, without_telling_names
from Data.ground_truth.rows import Row
from ltp_pipeline.base.errors import run_main
from ltp_pipeline.code.functions import extract_functions
from ltp_pipeline.code.languages import LANGUAGES
from ltp_pipeline.code.literals import COMMENT, masked, spans
from ltp_pipeline.code.parts import Function, SourceFile
from ltp_pipeline.code.telling_names import telling_words
from ltp_pipeline.files.source_text import decode_source

REPOSITORY = Repository(
    name="arichardson/juliet-test-suite-c",
    holds=("testcases", "testcasesupport"),
    about="Functions of the Juliet test suite. Label 1: a function that its name calls bad; label 0: one that its "
    "name calls good. Comments are removed, and names that tell the label are replaced. `project` is the template of "
    "the file: its name without the number of the flow variant. No template is in two tables.",
)
FILES_AT_ONCE = 4000  # that are held in memory
FILES_IN_TASK = 100
# CWE121_..._memcpy_51a, CWE121_..._memcpy_81_goodG2B: the number of the flow variant, the part, the class
_VARIANT = re.compile(r"_\d\d[a-e]?(?:_bad|_good\w*)?$")
_FILE = re.compile(r"CWE(\d+)_.*\.(?:c|cpp)")
_NAME = re.compile(r"((?:\w+\s*::\s*)*~?\w+)\s*\(")
_FLAW = re.compile(r"(?<!INCIDENTAL )\bFLAW\b")  # an incidental flaw is not the one that the test case is about
_STATIC = re.compile(r"\Astatic\s+")  # at the start of good functions only
_STRING = re.compile(r"""'(?:[^'\\\n]|\\.)+'|"(?:[^"\\\n]|\\.)*\"""")
_GLUED = re.compile("removeme(?:bad|good)|new(?:bad|good)filename|fixedstringtest")  # words joined without a sign
C = LANGUAGES["c"]  # comments and literals of C++ follow the same rules


def main(arguments: Sequence[str] | None = None) -> None:
    """Import the clone that the flags name. Raises UserError for wrong flags and folders."""
    parser = argument_parser("Data/import_juliet.py", __doc__, REPOSITORY)
    run_import(REPOSITORY, parser.parse_args(arguments), read_juliet)


def read_juliet(folder: Path, counts: dict[str, int]) -> Iterator[Row]:
    """The rows of a clone, in order of file and line. Files are read by several processes.

    Raises UserError if the system ends one of them.
    """
    paths = [path for path in files_below(folder / "testcases") if _FILE.fullmatch(path.name)]
    counts.update(files=len(paths), functions=0, neither_good_nor_bad=0, bad=0, bad_with_flaw_line=0)
    files = read_files(folder, paths)
    with worker_pool() as pool:
        while some := list(islice(files, FILES_AT_ONCE)):
            for functions, rows in pool.map(read_file, some, chunksize=FILES_IN_TASK):
                counts["functions"] += functions
                counts["neither_good_nor_bad"] += functions - len(rows)
                counts["bad"] += sum(row.label for row in rows)
                counts["bad_with_flaw_line"] += sum(bool(row.flaw_lines) for row in rows)
                yield from rows


def read_file(file: tuple[str, bytes]) -> tuple[int, list[Row]]:
    """The number of functions in a file, given its path and content, and the rows of those that are good or bad."""
    path, content = file
    functions = extract_functions(SourceFile("", path, decode_source(content)))
    return len(functions), [row for row in map(_row, functions) if row is not None]


def _row(function: Function) -> Row | None:
    """The row of a function; None if its name does not say whether it is good or bad."""
    name = _NAME.search(function.source)
    said = telling_words(name[1]) & {"good", "bad"} if name else set()
    if len(said) != 1:
        return None
    label, file = int(said == {"bad"}), PurePosixPath(function.path)
    template = _VARIANT.sub("", file.stem)
    plain, new_lines = without_comments(function.source, C)
    text = _STATIC.sub("", plain)
    above = plain.count("\n") - text.count("\n")  # lines that are removed with `static`
    text = without_telling_names(_STRING.sub(_neutral_string, text), C)
    flaws = [new_lines[line - 1] - above for line in flaw_lines(function.source)] if label else []
    return Row(
        text=text,
        label=label,
        groups=(template,),
        cwes=(f"CWE-{_FILE.match(file.name)[1]}",) if label else (),
        project=template,
        path=function.path,
        first_line=function.first_line,
        flaw_lines=tuple(flaws),
    )


def _neutral_string(match: re.Match[str]) -> str:
    """An empty string for one that tells the label, as `"Benign, fixed string"` does: it is in good functions."""
    tells = match[0][0] == '"' and (telling_words(match[0]) or _GLUED.search(match[0]))
    return '""' if tells else match[0]


def flaw_lines(text: str) -> list[int]:
    """The lines, from 1, of the statements to which the FLAW comments of a function point, in order.

    That is the line of the comment if code is before it, else the next line with code other than an opening brace.
    """
    code = [line.strip() for line in masked(text, C).split("\n")]
    found = []
    for start, end, kind in spans(text, C):
        if kind == COMMENT and _FLAW.search(text, start, end):
            first = text.count("\n", 0, start)
            before = first if code[first].strip("{}") else first + 1
            found += [n + 1 for n in range(before, len(code)) if code[n] not in ("", "{") and code[n][0] != "#"][:1]
    return list(dict.fromkeys(found))


if __name__ == "__main__":
    run_main(main)
