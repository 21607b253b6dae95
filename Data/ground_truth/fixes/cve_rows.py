"""Rows of the functions of CVE folders: each text once, with the label that all folders together give it.

A function that one CVE's fix leaves alone may be, in the same or nearly the same text, one that another CVE's fix
changes. Then it is defective: that a fix does not change a function is no sign that the function has no defect.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from Data.ground_truth.fixes.cve_folders import CveFile
from Data.ground_truth.rows import Row
from ltp_pipeline.base.progress import progress_bar
from ltp_pipeline.code.code_tokens import token_hash
from ltp_pipeline.code.functions import Function
from ltp_pipeline.quality.near_duplicates import NearDuplicates


def cve_rows(files: Iterable[CveFile], counts: dict[str, int]) -> list[Row]:
    """A row for each changed function (label 1), for its fixed form and for the other functions (label 0).

    The text of a row with label 1 occurs once. Adds to `counts` what was found and what was left out, and why.
    """
    changed: list[Row] = []
    fixed: list[Row] = []
    others: list[Row] = []
    unsure = with_deleted = 0
    for found in files:
        unsure += found.functions.unsure
        others += [_row(found, function, 0) for function in found.functions.others]
        for one in found.functions.changed:
            row = replace(_row(found, one.function, 1), flaw_lines=one.flaw_lines)
            with_deleted += one.has_deleted
            if one.fixed:
                row = replace(row, pair=f"{row.id}:{row.path}:{row.first_line}")
                fixed.append(replace(row, text=one.fixed, label=0, cwes=(), flaw_lines=(), first_line=None))
            changed.append(row)
    same: dict[bytes, list[Row]] = defaultdict(list)
    for row in changed:
        same[token_hash(row.tokens)].append(row)
    vulnerable = [_merged(rows) for rows in same.values()]
    counts["functions_left_out_because_a_hunk_not_found_may_be_theirs"] = unsure
    counts["changed_functions"] = len(changed)
    counts["changed_functions_with_deleted_lines"] = with_deleted
    counts["changed_functions_that_repeat_another"] = len(changed) - len(vulnerable)
    counts["changed_functions_with_a_fixed_form"] = len(fixed)
    repaired = [row for row in fixed if token_hash(row.tokens) not in same]
    counts["fixed_forms_left_out_because_another_fix_changes_them"] = len(fixed) - len(repaired)
    counts["other_functions"] = len(others)
    return [*vulnerable, *repaired, *_without_vulnerable(others, vulnerable, set(same), counts)]


def _row(found: CveFile, function: Function, label: int) -> Row:
    return Row(
        text=function.source,
        label=label,
        groups=(found.file.project or found.cve,),
        id=found.cve,
        cwes=(found.cwe,) if label else (),
        project=found.file.project,
        path=found.file.path,
        first_line=function.first_line,
    )


def _merged(rows: Sequence[Row]) -> Row:
    """One row for rows of the same tokens: a row that has a fixed form, with the CVEs and CWEs of all.

    Rows of the same text give it their flaw lines, too.
    """
    first = next((row for row in rows if row.pair), rows[0])
    lines = {line for row in rows if row.text == first.text for line in row.flaw_lines}
    return replace(
        first,
        id=" ".join(dict.fromkeys(row.id for row in rows)),
        cwes=tuple(sorted({cwe for row in rows for cwe in row.cwes})),
        flaw_lines=tuple(sorted(lines)),
    )


def _without_vulnerable(
    others: Sequence[Row], vulnerable: Sequence[Row], hashes: set[bytes], counts: dict[str, int]
) -> list[Row]:
    """The other functions that are not the same or nearly the same as a vulnerable one, each text once."""
    near = NearDuplicates()
    for number, row in enumerate(vulnerable):
        near.add_and_list(number, row.tokens)
    same = nearly = 0
    is_near: dict[bytes, bool] = {}
    kept = []
    for row in progress_bar(others, desc="near duplicates", unit="function"):
        digest = token_hash(tokens := row.tokens)
        if digest in hashes:
            same += 1
            continue
        if digest not in is_near:
            similar = near.add_and_list(len(vulnerable) + len(is_near), tokens)
            is_near[digest] = any(number < len(vulnerable) for number, _ in similar)
        nearly += is_near[digest]
        if not is_near[digest]:
            kept.append(row)
    counts["other_functions_left_out_because_another_fix_changes_them"] = same
    counts["other_functions_left_out_because_another_fix_changes_nearly_the_same"] = nearly
    return kept
