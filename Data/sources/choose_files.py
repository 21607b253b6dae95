"""Chooses the files of a data set: drops generated files and files with the same content as an earlier one."""

from __future__ import annotations

from collections.abc import Sequence

from Data.sources.file_report import FileReport
from ltp_pipeline.code.functions import SourceFile
from ltp_pipeline.code.generated import why_generated
from ltp_pipeline.code.languages import language_of


def choose_files(
    files: Sequence[SourceFile], report: FileReport | None = None, keep_generated: bool = False
) -> tuple[list[SourceFile], dict[str, int]]:
    """The files to use, and how many were dropped for each reason. Of equal files in a language, the first is used.

    `report`: lists the dropped files. `keep_generated`: use generated and minified files, too.
    """
    report = FileReport() if report is None else report
    by_hand = []
    for file in files:
        reason = "" if keep_generated else why_generated(file.text, language_of(file.path))
        if reason:
            report.left_out[file.project, file.path] = reason
        else:
            by_hand.append(file)
    first: dict[tuple[str, str], SourceFile] = {}
    for file in by_hand:
        used = first.setdefault((language_of(file.path).name, file.text), file)
        if used is not file:
            report.same_as[file.project, file.path] = (used.project, used.path)
    dropped = {"files_generated": len(files) - len(by_hand), "files_of_the_same_content": len(by_hand) - len(first)}
    return list(first.values()), dropped
