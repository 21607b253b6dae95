"""Findings that the user does not want to see: `ltp: ignore` in a comment of the code, and the file .ltpignore."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path

from pathspec import GitIgnoreSpec

from ltp_pipeline.base.errors import UserError, printable
from ltp_pipeline.base.text_encoding import decode_text, plain_text
from ltp_pipeline.code.languages import Language
from ltp_pipeline.code.literals import COMMENT, masked, spans
from ltp_pipeline.scan.finding import Finding
from ltp_pipeline.scan.sources.ignore_rules import glob_patterns

DEFAULT_FILE = ".ltpignore"
FINGERPRINT_DIGITS = 32

_MARK = re.compile(r"\bltp:[ \t]*ignore(?![\w-])(?P<reason>[^\n]*)", re.IGNORECASE)
_END_OF_COMMENT = re.compile(r"\s*(?:\*/|#>).*")
_HEX = re.compile(r"[0-9a-fA-F]{16,}")
# Code that may stand between a comment and the function that it belongs to: a decorator, `template<...>`, attributes
_BETWEEN = {"python": re.compile(r"@.*"), "powershell": re.compile(r"\[.*"), "c": re.compile(r"[^#;{}][^;{}]*")}


class IgnoreComments:
    """The comments of a text with `ltp: ignore`, with a reason after it or without one."""

    def __init__(self, text: str, language: Language) -> None:
        self._text, self._language = text, language
        self._by_line: dict[int, str] = {}  # line of the text, from 1 -> the reason
        if _MARK.search(text):
            line_ends = [match.start() for match in re.finditer("\n", text)]
            for start, end, kind in spans(text, language):
                for match in _MARK.finditer(text, start, end) if kind == COMMENT else ():
                    reason = _END_OF_COMMENT.sub("", match["reason"]).strip(" \t:-\u2013\u2014")
                    self._by_line[bisect_left(line_ends, match.start()) + 1] = reason
        self._marked = list(self._by_line)  # ascending

    def of(self, first_line: int, last_line: int) -> str:
        """The comment that suppresses the unit in these lines, such as "comment in line 12: a reason"; "" for none.

        It is in one of the lines, or right above them, with no blank line and no other statement between.
        """
        if not self._marked:
            return ""
        first_line -= self._lines_above(first_line)
        place = bisect_left(self._marked, first_line)
        if place == len(self._marked) or self._marked[place] > last_line:
            return ""
        line = self._marked[place]
        reason = self._by_line[line]
        return f"comment in line {line}" + (f": {printable(reason)}" if reason else "")

    def _lines_above(self, first_line: int) -> int:
        between = _BETWEEN.get(self._language.name, _BETWEEN["c"])
        count = 0
        while first_line - count > 1:
            shown, code = self._lines[first_line - count - 2]
            if not shown.strip() or (code.strip() and not between.fullmatch(code.strip())):
                break
            count += 1
        return count

    @cached_property
    def _lines(self) -> list[tuple[str, str]]:
        """Each line, a blank one inside a comment with a mark; and its code without comments and literals."""
        marked, position = [], 0
        for start, end, kind in spans(self._text, self._language):
            marked.append(self._text[position:start])
            marked.append(self._text[start:end].replace("\n", "*\n") if kind == COMMENT else self._text[start:end])
            position = end
        whole = "".join([*marked, self._text[position:]])
        return list(zip(whole.split("\n"), masked(self._text, self._language).split("\n"), strict=True))


@dataclass(frozen=True)
class _Rule:
    """A line of the suppression file: a fingerprint, or paths and perhaps a name."""

    paths: GitIgnoreSpec | None = None
    name: str = ""
    fingerprint: str = ""

    def hides(self, finding: Finding) -> bool:
        if self.fingerprint:
            return finding.fingerprint == self.fingerprint
        if self.name and not fnmatchcase(finding.unit.name, self.name):
            return False
        return self.paths.match_file(finding.unit.path)


class Suppressions:
    """What hides findings: the lines of a suppression file, and the comment that a unit was read with."""

    def __init__(self, file: str = "", rules: dict[int, _Rule] | None = None) -> None:
        self._file, self._rules = file, rules or {}

    def hidden_by(self, finding: Finding) -> str:
        """What hides a finding, such as "comment in line 12" or ".ltpignore:3"; "" if nothing does."""
        if finding.unit.ignored_by:
            return finding.unit.ignored_by
        line = next((line for line, rule in self._rules.items() if rule.hides(finding)), None)
        return "" if line is None else f"{self._file}:{line}"


def read_suppressions(path: str | None = None) -> Suppressions:
    """The suppressions of a file; None: of .ltpignore in the current folder, if there is one.

    A line is `GLOB`, `GLOB::FUNCTION` or a fingerprint; a comment begins with `#`. GLOB is a pattern as in a
    .gitignore file, for paths as they are reported. FUNCTION may have wildcards, too.

    Raises UserError for a file that cannot be read and for a line that is none of these.
    """
    file = Path(DEFAULT_FILE if path is None else path)
    if path is None and not file.exists():
        return Suppressions()
    where = f"--suppressions {printable(str(file))}" if path is not None else str(file)
    try:
        content = file.read_bytes()
    except OSError as error:
        raise UserError(f"{where}: {error.strerror}; expected a file of suppressions") from None
    text, encoding = decode_text(content)
    if not encoding.startswith("utf-"):
        raise UserError(f"{where}: not UTF-8 text; expected a file of suppressions in UTF-8")
    return Suppressions(printable(str(file)), dict(_rules(plain_text(text).split("\n"), where)))


def _rules(lines: Iterable[str], where: str) -> Iterable[tuple[int, _Rule]]:
    for number, line in enumerate(lines, 1):
        text = re.split(r"(?:^|\s)#", line, maxsplit=1)[0].strip()
        if text:
            yield number, _rule(text, f"{where}, line {number}")


def _rule(text: str, where: str) -> _Rule:
    wrong = f"{where}: {printable(text)}"
    expected = "expected a path as in .gitignore, PATH::FUNCTION, or a fingerprint of 32 hex digits"
    if _HEX.fullmatch(text):
        if len(text) != FINGERPRINT_DIGITS:
            raise UserError(f"{wrong}: {len(text)} hex digits; {expected}")
        return _Rule(fingerprint=text.lower())
    glob, separator, name = text.partition("::")
    glob, name = glob.strip(), name.strip()
    if not glob or glob.startswith("!") or (separator and not name):
        raise UserError(f"{wrong}: {expected}")
    if "\\" in glob:
        raise UserError(f"{wrong}: a path with a backslash; write it with /")
    patterns = glob_patterns(glob)
    if not patterns:
        raise UserError(f"{wrong}: {expected}")
    return _Rule(GitIgnoreSpec(patterns), name)
