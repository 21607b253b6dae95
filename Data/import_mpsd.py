"""Import the PowerShell scripts of mpsd (Fang et al. 2021): plain scripts, and benign ones with a malicious part.

    python Data/import_mpsd.py --source mpsd --output_dir Data/mpsd

The malicious scripts of that repository are live malware. They are read as text, and are never run.

Writes train_subset, validation and test (label 1: malicious, 0: benign), mixed_train_subset, mixed_validation and
mixed_test (label 1: a benign script with a malicious one behind it; 0: a benign script), origins.csv, import.json and
README.md. If anything fails, none of these files is written.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from Data.ground_truth.importer import Repository, argument_parser, read_files, run_import
from Data.ground_truth.rows import Row
from Data.sources.source_files import is_source
from ltp_pipeline.base.errors import run_main
from ltp_pipeline.base.text_encoding import decode_text
from ltp_pipeline.code.code_tokens import code_tokens, token_hash
from ltp_pipeline.code.languages import LANGUAGES
from ltp_pipeline.files.source_text import decode_source
from ltp_pipeline.quality.near_duplicates import near_duplicate_groups

MALICIOUS, BENIGN, MIXED = "malicious_pure", "powershell_benign_dataset", "mixed_malicious"
MPSD = Repository(
    "das-lab/mpsd",
    (MALICIOUS, BENIGN, MIXED),
    "PowerShell scripts. **The malicious ones are live malware: never run them.** Label 1: malicious. In the tables "
    "mixed_*, a script of label 1 is a benign script with a malicious one behind it. `flaw_lines` are the malicious "
    "lines, and `pair` joins it with the benign script alone.",
    classes=("benign", "malicious"),
    prefixes=("", "mixed_"),
    check_leaks=True,
)
PATH = "script.ps1"  # of all rows: names of files tell the class
CONTROL = re.compile("[\x00-\x08\x0b-\x0c\x0e-\x1f\x7f\ufeff]")
# What tells the class of a file as published, and is not part of the code.
MARKS = {
    "byte order mark": lambda text, encoding: encoding.endswith("with a mark"),
    "UTF-16": lambda text, encoding: encoding.startswith("utf-16"),
    "line ends \\r\\n or \\r": lambda text, encoding: "\r" in text,
    "white space at the start": lambda text, encoding: text[:1].isspace(),
    "white space at the end": lambda text, encoding: text[-1:].isspace(),
    "white space at the end of a line": lambda text, encoding: bool(re.search(r"[ \t]\r?\n", text)),
    "control characters": lambda text, encoding: bool(CONTROL.search(text)),
    "two empty lines in a row": lambda text, encoding: bool(re.search(r"\n[^\S\n]*\n[^\S\n]*\n", text.strip())),
}


@dataclass(frozen=True)
class Script:
    """A plain script."""

    origin: str  # its file
    label: int
    published: str  # the decoded text
    text: str  # without what tells the class
    tokens: list[str]

    @property
    def id(self) -> str:
        """Tells nothing of the class, and is the same for copies of a script."""
        return token_hash(self.tokens).hex()[:12]


def main(arguments: Sequence[str] | None = None) -> None:
    """Import the clone that the flags name. Raises UserError for wrong flags and unusable files."""
    run_import(MPSD, argument_parser("Data/import_mpsd.py", __doc__, MPSD).parse_args(arguments), read_rows)


def read_rows(folder: Path, counts: dict[str, int]) -> Iterator[Row]:
    """The rows of all tables. Scripts that are near duplicates are one group, and a mixed script joins two groups.

    So a plain script, its copies, and all mixed scripts with it are in the same split.
    """
    malicious = _read_plain(folder, MALICIOUS, counts)
    benign = _read_plain(folder, BENIGN, counts)
    scripts = [*malicious.values(), *benign.values()]
    groups = dict(zip((one.id for one in scripts), near_duplicate_groups([one.tokens for one in scripts])))
    counts["groups_of_near_duplicates"] = len(set(groups.values()))
    for one in scripts:
        yield _row(one, one.text, (groups[one.id],))
    both = {one.id for one in malicious.values()} & {one.id for one in benign.values()}
    paired = set()
    for origin, first, last in _read_mixed(folder, malicious, benign, counts):
        if {first.id, last.id} & both:
            counts["mixed_with_a_part_of_both_labels"] += 1
            continue
        lines = first.text.count("\n") + 2 + np.flatnonzero([bool(line) for line in last.text.split("\n")])
        pair = "" if first.id in paired else first.id
        paired.add(first.id)
        yield Row(
            text=f"{first.text}\n{last.text}",
            label=1,
            groups=(groups[first.id], groups[last.id]),
            id=hashlib.blake2b(f"{first.id} {last.id}".encode(), digest_size=6).hexdigest(),
            path=PATH,
            flaw_lines=tuple(lines.tolist()),
            pair=pair,
            table="mixed_",
            origin=origin,
            published=first.published + last.published,
        )
    for one in {one.id: one for one in benign.values() if one.id not in both}.values():
        pair = one.id if one.id in paired else ""
        yield replace(_row(one, one.text, (groups[one.id],)), table="mixed_", pair=pair)


def _row(script: Script, text: str, groups: tuple[str, ...]) -> Row:
    return Row(text, script.label, groups, script.id, path=PATH, origin=script.origin, published=script.published)


def _scripts(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if is_source(path.name, LANGUAGES["powershell"].suffixes))


def _read_plain(folder: Path, name: str, counts: dict[str, int]) -> dict[str, Script]:
    """Stem of a file's name -> its script. Counts what tells the class in the files as published."""
    counts |= {name: 0} | {f"{name}_{left_out}": 0 for left_out in ("empty", "damaged")}
    marks = Counter(dict.fromkeys(MARKS, 0))
    scripts = {}
    for path, content in read_files(folder, _scripts(folder / name), name):
        counts[name] += 1
        published, encoding = decode_text(content)
        marks.update(mark for mark, found in MARKS.items() if found(published, encoding))
        text = without_marks(decode_source(content))
        tokens = code_tokens(text, LANGUAGES["powershell"])
        if is_damaged(content, published, encoding):
            counts[f"{name}_damaged"] += 1
        elif not tokens:
            counts[f"{name}_empty"] += 1
        else:
            scripts[Path(path).stem] = Script(path, int(name == MALICIOUS), published, text, tokens)
    counts |= {f"{name}_with_{mark}": number for mark, number in marks.items()}
    return scripts


def without_marks(text: str) -> str:
    """The text without control characters and white space at its start, its end and the ends of its lines; one empty
    line for several.

    `text` has `\\n` line ends.
    """
    lines = "\n".join(line.rstrip() for line in CONTROL.sub("", text).split("\n"))
    return re.sub(r"\n{3,}", "\n\n", lines).strip()


def is_damaged(content: bytes, text: str, encoding: str) -> bool:
    """Whether a file is UTF-16 in which a program has converted line ends as if it were 8-bit text.

    `text` and `encoding` are what `decode_text` returns for it.
    """
    return 4 * text.count("\0") > len(text) or (encoding.startswith("utf-16") and b"\r\n" in content)


def _read_mixed(
    folder: Path, malicious: Mapping[str, Script], benign: Mapping[str, Script], counts: dict[str, int]
) -> Iterator[tuple[str, Script, Script]]:
    """The file, the benign and the malicious script of each mixed script, which is the one behind the other.

    The others are counted and left out.
    """
    counts |= {MIXED: 0, "mixed_parts_missing": 0, "mixed_not_its_two_parts": 0, "mixed_with_a_part_of_both_labels": 0}
    for path, content in read_files(folder, _scripts(folder / MIXED), MIXED):
        counts[MIXED] += 1
        stem = Path(path).stem
        cuts = [match.start() for match in re.finditer("_", stem)]
        parts = [
            (benign[stem[cut + 1 :]], malicious[stem[:cut]])
            for cut in cuts
            if stem[cut + 1 :] in benign and stem[:cut] in malicious
        ]
        if not parts:
            counts["mixed_parts_missing"] += 1
            continue
        text = _comparable(decode_text(content)[0])
        found = next((pair for pair in parts if text == "".join(_comparable(one.published) for one in pair)), None)
        if found is None:
            counts["mixed_not_its_two_parts"] += 1
        else:
            yield path, *found


def _comparable(text: str) -> str:
    """The text with `\\n` line ends, without NUL characters and marks of byte order."""
    return text.replace("\0", "").replace("\ufeff", "").replace("\r\n", "\n").replace("\r", "\n")


if __name__ == "__main__":
    run_main(main)
