"""Finds what makes metrics too good: groups and pairs that are in two files, and text that tells the label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ltp_pipeline.base.files import as_text
from ltp_pipeline.code.telling_names import telling_words
from ltp_pipeline.files.file_formats import shortened
from ltp_pipeline.files.layouts import LAYOUT, unmatched_pairs
from ltp_pipeline.quality.data_findings import RARE, Finding, FunctionFile, new_finding
from ltp_pipeline.quality.row_groups import group_names

# A word tells the label if the odds of one label, among the functions with it or among those without it, are more than
# ODDS times those among all functions, with this confidence. The highest value in the demo's data is 3.5 (`fix`).
ODDS = 4.0
CONFIDENCE = 0.99
LENGTH_AUC = 0.9  # the number of tokens alone tells the label


def leak_findings(files: Sequence[FunctionFile], group_by: Sequence[str]) -> list[Finding]:
    """All problems of these kinds.

    Args:
        files: the training split first; a file is compared with those before it.
        group_by: columns of all files whose values should not be in two files; that of projects is always compared.
    """
    files = [file for file in files if len(file)]
    findings = crossing_findings(files, "project_leak", _projects, "are from projects that")
    for column in group_by:
        findings += crossing_findings(
            files,
            "groups_across",
            lambda file, column=column: group_names(file.frame[column]),
            f"have a {column} that",
        )
    findings += crossing_findings(files, "pairs_across", _missing_partners, "are half of a pair whose other half")
    return findings + name_findings(files) + size_findings(files)


def crossing_findings(
    files: Sequence[FunctionFile],
    kind: str,
    names_of: Callable[[FunctionFile], Sequence[Sequence[str]]],
    what: str,
) -> list[Finding]:
    """For each two files with rows of the same name: the rows of the later file.

    Args:
        kind: a key of RIGHT.
        names_of: gives the names of each row of a file.
        what: the message says that functions `what` is also in another file.
    """
    findings, earlier = [], []
    for file in files:
        names = names_of(file)
        own = {name for of_row in names for name in of_row}
        for other, of_other in earlier:
            shared = own & of_other
            if shared:
                rows = [file.at(row) for row, of_row in zip(file.rows, names) if not shared.isdisjoint(of_row)]
                listed = shortened(sorted(shared))
                message = f"{file.name}: {len(rows)} functions {what} is also in {other.name}: {listed}"
                findings.append(new_finding(kind, True, message, rows))
        earlier.append((file, own))
    return findings


def _column(file: FunctionFile, role: str, name: str) -> Sequence[Any] | None:
    """The cells of the column with a role in the file's layout, or else of the column `name`; None: there is none."""
    column = getattr(file.frame.attrs.get(LAYOUT), role, None) or name
    return file.frame[column] if column in file.frame.columns else None


def _projects(file: FunctionFile) -> list[list[str]]:
    cells = _column(file, "project", "project")
    return [] if cells is None else group_names(cells)


def _missing_partners(file: FunctionFile) -> list[list[str]]:
    names = unmatched_pairs(file.frame)
    return [] if names is None else [[name] if name else [] for name in names]


def name_findings(files: Sequence[FunctionFile]) -> list[Finding]:
    """Words such as `bad` or `CWE` that tell the label, over all files: in code with its comments, and in paths.

    A model does not read paths, so those are warnings.
    """
    findings = []
    for kind, is_error in (("label_in_names", True), ("label_in_paths", False)):
        functions = [each for file in files for each in _texts(file, kind)]
        told = _telling_words(functions)
        if told:
            words = ", ".join(row["word"] for row in told)
            message = f"words predict the label of the {len(functions)} functions of all files: {words}"
            findings.append(new_finding(kind, is_error, message, told))
    return findings


def _texts(file: FunctionFile, kind: str) -> Iterable[tuple[dict[str, Any], int, str]]:
    """The place, the label, and the code or the path of each function."""
    texts = file.frame["functionSource"] if kind == "label_in_names" else _column(file, "path", "path")
    places = map(file.at, file.rows)
    return [] if texts is None else zip(places, file.labels, map(as_text, texts))


def _telling_words(functions: Sequence[tuple[dict[str, Any], int, str]]) -> list[dict[str, Any]]:
    """A row of a finding for each word that tells the label: the first function with it, and its shares."""
    of_label = Counter(label for _, label, _ in functions)
    counts, first = Counter(), {}
    for place, label, text in functions:
        for word in telling_words(text):
            counts[word, label] += 1
            first.setdefault(word, place)
    rows = []
    for word in sorted(first):
        found = [counts[word, label] for label in (0, 1)]
        without = [of_label[label] - found[label] for label in (0, 1)]
        if sum(found) > RARE * len(functions) and any(_tells(some, of_label) for some in (found, without)):
            shares = {f"share_{label}": found[label] / of_label[label] for label in (0, 1)}
            why = f"{word!r} is in {shares['share_0']:.1%} of label 0 and {shares['share_1']:.1%} of label 1"
            rows.append({**first[word], "word": word, **shares, "why": why})
    return rows


def _tells(found: Sequence[int], all_functions: Mapping[int, int]) -> bool:
    """Whether one label is much more frequent among some functions than among all.

    `found` and `all_functions`: number of functions of label 0 and 1.
    """
    from scipy.stats import binom

    for label in (0, 1):
        odds = ODDS * all_functions[label] / max(1, all_functions[1 - label])
        if binom.sf(found[label] - 1, sum(found), odds / (1 + odds)) < 1 - CONFIDENCE:
            return True
    return False


def size_findings(files: Sequence[FunctionFile]) -> list[Finding]:
    """Files in which the number of tokens alone tells the label."""
    from sklearn.metrics import roc_auc_score

    findings = []
    for file in files:
        auc = roc_auc_score(file.labels, file.lengths) if len(set(file.labels)) == 2 else 0.5
        if max(auc, 1 - auc) >= LENGTH_AUC and len(file) >= 1 / RARE:
            message = f"{file.name}: the number of tokens alone predicts the label with a ROC-AUC of {auc:.3f}"
            findings.append(new_finding("label_in_length", False, message, []))
    return findings
