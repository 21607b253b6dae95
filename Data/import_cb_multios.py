"""Import cb-multios: functions of DARPA's challenge programs before and after their vulnerabilities are patched.

    python Data/import_cb_multios.py --source cb-multios --output_dir Data/cb_multios

Writes train_subset, validation and test, import.json and README.md. If anything fails, none of these files is
written.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from functools import cache
from itertools import zip_longest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from Data.ground_truth.conditionals import resolve
from Data.ground_truth.importer import Repository, argument_parser, files_below, read_files, run_import
from Data.ground_truth.neutral_text import without_comments
from Data.ground_truth.rows import Row
from Data.sources.source_files import is_source
from ltp_pipeline.base.errors import UserError, run_main
from ltp_pipeline.code.code_tokens import code_tokens
from ltp_pipeline.code.functions import extract_functions
from ltp_pipeline.code.languages import language_of, suffixes_of
from ltp_pipeline.code.parts import Function, SourceFile
from ltp_pipeline.files.source_text import decode_source

CHALLENGES = "challenges"
CB_MULTIOS = Repository(
    "trailofbits/cb-multios",
    (CHALLENGES,),
    "C and C++ functions of DARPA's challenge programs. Label 1: a function that its program patches, without the "
    "patch; label 0: the same function with the patch (`pair`), and all other functions of the programs. `flaw_lines` "
    "are the lines that the patch removes or changes; where it only adds lines, the line before them. `cwes` are "
    "those that the README of the program names. `project` is the program.",
    near_duplicates=0.85,
)
MACRO = re.compile(r"PATCHED(_\d+)?")
GENERATED = re.compile(
    r"challenges/(CableGrind(Llama)?/src/cablegrindprotos|EternalPass/src/(adjectives|adverbs|nouns|verbs))\.c"
)
_NAME = re.compile(r"((?:\w+\s*::\s*)*(?:~\s*)?(?:operator\s*[^\s\w(]+|\w+))\s*\(")
_NO_NAME = {"__attribute__", "__declspec", "__asm__", "asm"}
_TELLS = re.compile(r"\b(UN)?PATCHED(_\d+)?\b")
_CWE = re.compile(r"\bCWE[- ]?(\d+)")


def main(arguments: Sequence[str] | None = None) -> None:
    """Import the clone that the flags name. Raises UserError for wrong flags and unusable files."""
    parser = argument_parser("Data/import_cb_multios.py", __doc__, CB_MULTIOS)
    run_import(CB_MULTIOS, parser.parse_args(arguments), read_rows)


def read_rows(folder: Path, counts: dict[str, int]) -> Iterator[Row]:
    """The rows of all programs. Those of one program are a group."""
    cwes = cache(lambda challenge: _cwes(folder / CHALLENGES / challenge))
    counts.update(files=0, files_generated=0, files_with_conditionals_not_understood=0, files_with_patches=0)
    counts.update(functions_without_patch=0, pairs=0, pairs_with_removed_lines=0)
    counts.update(functions_only_unpatched=0, functions_only_patched=0)
    for path, content in read_files(folder, sorted(_sources(folder))):
        challenge = path.split("/")[1]
        counts["files"] += 1
        if GENERATED.fullmatch(path):  # thousands of functions that differ in a few constants
            counts["files_generated"] += 1
            continue
        for before, after in _functions(path, content, counts):
            yield from _rows(before, after, challenge, cwes(challenge), counts)


def _sources(folder: Path) -> Iterator[Path]:
    """The source files of the programs, without those that attack or test them."""
    suffixes = suffixes_of(["c", "cpp"])
    for path in files_below(folder / CHALLENGES):
        inner = path.relative_to(folder).parts
        is_tool = any(part == "poller" or part.startswith("pov_") for part in inner[2:-1])
        if len(inner) > 2 and not is_tool and is_source(path.name, suffixes) and path.is_file():
            yield path


def _functions(path: str, content: bytes, counts: dict[str, int]) -> Iterator[tuple[Function | None, Function | None]]:
    """Each function without and with the patches. A function of a file without patches is both.

    A file whose conditionals do not match each other, or cannot be evaluated, has none: its versions are not known.
    """
    text = decode_source(content)
    if not MACRO.search(text):
        yield from ((function, function) for function in extract_functions(SourceFile("", path, text)))
        return
    versions = []
    for defined in (False, True):
        try:
            lines, numbers = resolve(text, MACRO, defined)
        except UserError:
            counts["files_with_conditionals_not_understood"] += 1
            return
        found = extract_functions(SourceFile("", path, "\n".join(lines)))
        versions.append([_moved(function, numbers) for function in found])
    counts["files_with_patches"] += versions[0] != versions[1]
    yield from matched(*versions)


def _moved(function: Function, numbers: Sequence[int]) -> Function:
    """The function with the number of its first line in the whole file."""
    return Function(function.project, function.path, numbers[function.first_line - 1], function.source)


def matched(
    before: Sequence[Function], after: Sequence[Function]
) -> Iterator[tuple[Function | None, Function | None]]:
    """The functions of both lists that have the same name, in order; None where a list has none left of that name."""
    by_name: dict[str, tuple[list[Function], list[Function]]] = defaultdict(lambda: ([], []))
    for number, functions in enumerate((before, after)):
        for function in functions:
            by_name[name_of(function.source)][number].append(function)
    for both in by_name.values():
        yield from zip_longest(*both)


def name_of(source: str) -> str:
    """The name of a function: the first word before a parenthesis that is no attribute."""
    found = (re.sub(r"\s", "", match[1]) for match in _NAME.finditer(source))
    return next((name for name in found if name not in _NO_NAME), "")


def _rows(
    before: Function | None, after: Function | None, challenge: str, cwes: tuple[str, ...], counts: dict[str, int]
) -> Iterator[Row]:
    """The row of a function that is the same in both versions, or those of a pair."""
    if before is None or after is None:
        counts["functions_only_patched" if before is None else "functions_only_unpatched"] += 1
        return
    language = language_of(before.path)
    texts = [plain(function.source, function.path) for function in (before, after)]
    place = {"groups": (challenge,), "project": challenge, "path": before.path}
    if code_tokens(texts[0], language) == code_tokens(texts[1], language):
        counts["functions_without_patch"] += 1
        yield Row(texts[0], 0, first_line=before.first_line, **place)
        return
    removed = removed_lines(*texts)
    counts["pairs"] += 1
    counts["pairs_with_removed_lines"] += bool(removed)
    pair = f"{before.path}:{before.first_line}"
    lines = removed or lines_before_insertions(*texts)
    yield Row(texts[0], 1, first_line=before.first_line, cwes=cwes, flaw_lines=lines, pair=pair, **place)
    yield Row(texts[1], 0, first_line=after.first_line, pair=pair, **place)


def plain(source: str, path: str) -> str:
    """The text of a function without comments, empty lines and names that tell which version it is."""
    text, _ = without_comments(source, language_of(path))
    return "\n".join(line.rstrip() for line in _TELLS.sub("BUILD", text).split("\n") if line.strip())


def removed_lines(before: str, after: str) -> tuple[int, ...]:
    """The lines of `before`, from 1, that `after` lacks or has in another form. White space does not count."""
    changes = _changes(before, after)
    return tuple(line + 1 for start, end, _ in changes for line in range(start, end))


def lines_before_insertions(before: str, after: str) -> tuple[int, ...]:
    """The lines of `before`, from 1, behind which `after` has further lines."""
    return tuple(dict.fromkeys(max(start, 1) for start, _, added in _changes(before, after) if added))


def _changes(before: str, after: str) -> list[tuple[int, int, int]]:
    """Start and end (from 0, end excluded) of each change in the lines of `before`, and the number of added lines."""
    old, new = (["".join(line.split()) for line in text.split("\n")] for text in (before, after))
    steps = SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    return [(start, end, last - first) for kind, start, end, first, last in steps if kind != "equal"]


def _cwes(challenge: Path) -> tuple[str, ...]:
    """The CWEs that the README of a program names, such as CWE-121, by number."""
    text = "".join(decode_source(path.read_bytes()) for path in sorted(challenge.glob("README*")))
    return tuple(f"CWE-{number}" for number in sorted(set(map(int, _CWE.findall(text)))))


if __name__ == "__main__":
    run_main(main)
