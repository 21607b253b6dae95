"""Splits a source file into what the model classifies: its functions, or the whole file."""

from __future__ import annotations

import os
import stat

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.extras import how_to_install
from ltp_pipeline.base.text_encoding import decode_text, plain_text
from ltp_pipeline.code.c.heads import LIST, MEMBERS
from ltp_pipeline.code.function_names import function_name
from ltp_pipeline.code.functions import SourceFile, find_functions, whole_file
from ltp_pipeline.code.generated import GENERATED, GENERATED_WITHIN, why_generated
from ltp_pipeline.code.languages import language_of
from ltp_pipeline.code.tree_functions import grammar
from ltp_pipeline.files.source_text import BINARY, MAX_FILE_BYTES, TOO_LARGE, why_no_text
from ltp_pipeline.scan.finding import CodeUnit, SkippedFile
from ltp_pipeline.scan.sources.paths import NOT_REGULAR, FoundFile
from ltp_pipeline.scan.sources.suppressions import IgnoreComments

AUTO, FUNCTION, FILE = "auto", "function", "file"
NO_FUNCTION = "no function in it"
NOT_PARSED = "a syntax error, and no function found"


def units_of(file: FoundFile, granularity: str = AUTO) -> tuple[list[CodeUnit], list[SkippedFile]]:
    """What the model classifies of a file, in order, and what is left out.

    Args:
        granularity: FUNCTION, FILE, or AUTO: whole files of PowerShell, where most code is outside functions, and
            functions of the other languages.

    Nothing is raised for a file that cannot be read: it is a `SkippedFile` with `is_error`.
    """
    try:
        content, reason = _read(file)
    except OSError as error:
        return [], [SkippedFile(file.shown, f"unreadable: {error.strerror}", is_error=True)]
    language = language_of(file.path.name)
    text = ""
    if not reason:
        decoded = decode_text(content)[0]
        text = plain_text(decoded)
        reason = why_no_text(decoded) or ("" if file.is_named else why_generated(text, language, in_front=True))
    if reason:
        return [], [SkippedFile(file.shown, reason, is_error=reason in (BINARY, TOO_LARGE, NOT_REGULAR))]
    source, comments = SourceFile("", file.path.name, text), IgnoreComments(text, language)
    if granularity == FILE or (granularity == AUTO and language.name == "powershell"):
        ignored_by = comments.of(1, text.count("\n") + 1)
        return [CodeUnit(file.shown, 1, "", language.name, one.source, ignored_by) for one in whole_file(source)], []
    try:
        functions, lost = find_functions(source)
    except UserError:  # the grammar is not installed
        reason = f"needs a parser of {language.name}: {how_to_install('scan')}"  # short: the terminal cuts lines
        return [], [SkippedFile(file.shown, reason, is_error=True)]
    units = []
    for one in functions:
        name, ignored_by = function_name(one.source, language), comments.of(one.first_line, one.last_line)
        units.append(CodeUnit(file.shown, one.first_line, name, language.name, one.source, ignored_by))
    skipped = [SkippedFile(file.shown, one.reason, one.reason not in (LIST, MEMBERS), one.first_line) for one in lost]
    if not units and not skipped:
        is_error = language.name == "python" and grammar(language).parse(text.encode()).root_node.has_error
        skipped = [SkippedFile(file.shown, NOT_PARSED if is_error else NO_FUNCTION, is_error)]
    return units, skipped


def _read(file: FoundFile) -> tuple[bytes, str]:
    """The content of a file, and why it is left out ("": it is not)."""
    if not stat.S_ISREG(os.stat(file.path).st_mode):
        return b"", NOT_REGULAR
    with open(file.path, "rb") as opened:
        content = opened.read(MAX_FILE_BYTES + 1)
    if len(content) <= MAX_FILE_BYTES:
        return content, ""
    begin = plain_text(decode_text(content[: 4 * GENERATED_WITHIN])[0])
    reason = "" if file.is_named else why_generated(begin, language_of(file.path.name), in_front=True)
    return b"", GENERATED if reason == GENERATED else TOO_LARGE
