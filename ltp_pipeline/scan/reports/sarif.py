"""Writes findings as SARIF 2.1.0, within the limits of code hosts: one run, at most 25,000 results, 10 MB gzipped."""

from __future__ import annotations

import gzip
import json
import re
import sys
from collections import Counter
from math import isfinite
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from ltp_pipeline.base.errors import printable
from ltp_pipeline.base.files import write_text
from ltp_pipeline.scan.finding import Finding, ScanReport, SkippedFile, Suppressed
from ltp_pipeline.scan.fingerprints import KIND
from ltp_pipeline.scan.reports.exit_status import NOT_RUN, exit_status
from ltp_pipeline.scan.sources.paths import path_bytes

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
MAX_RESULTS = 25_000
MAX_GZIPPED = 9_800_000  # bytes; hosts count 10 MB, and their gzip may be a little worse
MAX_NOTIFICATIONS = 1_000
RELATED_LINES = 10  # beside the main one; hosts take 1,000 locations and show 100
SCORED_LINES = 100  # in `properties`
HELP = (
    "A neural network read this code and predicts: {label}. It has learned from labelled code and proves nothing. "
    "Read the named lines first: they speak most for the prediction. The rank is the probability in percent, "
    "the level says how sure the network is (error: from 0.9 on, warning: from 0.5 on), not how grave a defect is. "
    "To hide a false alarm, write a comment with `ltp: ignore` into the function, or list it in the file .ltpignore."
)


def write_sarif(report: ScanReport, path: str | Path) -> None:
    """Writes the findings, the suppressed ones last. Prints a note if some had to be left out.

    Raises UserError if the file cannot be written.
    """
    text, note = sarif_text(report)
    write_text(path, text)
    if note:
        print(f"note: {path}: {note}", file=sys.stderr)


def sarif_text(report: ScanReport) -> tuple[str, str]:
    """The file, with a result in each line, and a note on what was left out of it ("": nothing)."""
    suppressed = sorted(report.suppressed, key=lambda hidden: -hidden.finding.probability)
    rules = sorted({finding.label for finding in (*report.findings, *(hidden.finding for hidden in suppressed))})
    everything = [*((finding, None) for finding in report.findings), *((hide.finding, hide) for hide in suppressed)]
    results = [
        _dump(_result(finding, rules.index(finding.label), bool(report.baseline), hidden))
        for finding, hidden in everything[:MAX_RESULTS]
    ]
    while True:
        note = ""
        if len(results) < len(everything):
            note = (
                f"the {len(results)} results with the highest probabilities of {len(everything)}; "
                "code hosts accept no more"
            )
        text = _document(_run(report, rules, note), results)
        size = _gzipped(text)
        if size <= MAX_GZIPPED or not results:
            return text, note
        del results[int(len(results) * min(0.95, MAX_GZIPPED / size)) :]


def _document(run: dict[str, Any], results: list[str]) -> str:
    head = _dump({"$schema": SCHEMA, "version": "2.1.0", "runs": [run | {"results": []}]})
    end = "]}]}"
    return head.removesuffix(end) + "\n" + ",\n".join(results) + f"\n{end}\n"


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, default=str)


def _gzipped(text: str) -> int:
    data = text.encode("utf-8", "backslashreplace")
    return len(data) if len(data) <= MAX_GZIPPED else len(gzip.compress(data, 6))


def _run(report: ScanReport, rules: list[str], note: str) -> dict[str, Any]:
    errors = [part for part in report.skipped if part.is_error]
    messages = [_notification("error", printable(part.reason), part) for part in errors[:MAX_NOTIFICATIONS]]
    if len(errors) > MAX_NOTIFICATIONS:
        messages.append(_notification("error", f"{len(errors) - MAX_NOTIFICATIONS} more files were not scanned"))
    left_out = Counter(printable(part.reason) for part in report.skipped if not part.is_error)
    messages += [_notification("note", f"left out: {count} {reason}") for reason, count in sorted(left_out.items())]
    messages += [_notification("warning", note)] if note else []
    driver = {
        "name": "LTP",
        "fullName": "Learned Token Pruning",
        "version": f"{report.version}+{report.model_hash[:12]}",  # what is found depends on the checkpoint
        "rules": list(map(_rule, rules)),
    }
    values = ("model", "model_hash", "threshold", "baseline", "settings", "files", "units")
    return {
        "tool": {"driver": driver},
        "automationDetails": {"id": "ltp/"},
        "invocations": [
            {"executionSuccessful": exit_status(report) != NOT_RUN, "toolExecutionNotifications": messages}
        ],
        "columnKind": "unicodeCodePoints",
        "properties": {name: getattr(report, name) for name in values},
    }


def _notification(level: str, text: str, part: SkippedFile | None = None) -> dict[str, Any]:
    message = {"level": level, "message": {"text": text}}
    if part is not None:
        region = {} if part.first_line is None else {"region": {"startLine": part.first_line}}
        message["locations"] = [{"physicalLocation": {"artifactLocation": {"uri": uri(part.path)}} | region}]
    return message


def rule_id(label: str) -> str:
    """The stable name of what a class means.

    >>> rule_id("CWE-119")
    'ltp/cwe-119'
    """
    return f"ltp/{re.sub('[^a-z0-9]+', '-', label.lower()).strip('-') or 'finding'}"


def _rule(label: str) -> dict[str, Any]:
    told = HELP.format(label=printable(label))
    rule = {
        "id": rule_id(label),
        "name": "Predicted" + "".join(word[0].upper() + word[1:] for word in re.findall("[A-Za-z0-9]+", label)),
        "shortDescription": {"text": f"Predicted: {printable(label)}"},
        "fullDescription": {"text": told.split(". ")[0] + "."},
        "help": {"text": told, "markdown": told},
        "defaultConfiguration": {"level": "warning"},
        "properties": {"tags": ["security", "machine-learning"]},
    }
    cwe = re.fullmatch(r"CWE-(\d+)", label)
    if cwe:
        rule["helpUri"] = f"https://cwe.mitre.org/data/definitions/{cwe[1]}.html"
        rule["properties"]["tags"].append(f"external/cwe/cwe-{cwe[1]}")
    return rule


def _result(finding: Finding, rule: int, has_baseline: bool, hidden: Suppressed | None) -> dict[str, Any]:
    unit = finding.unit
    scored = [(line, score) for line, score in finding.lines if isfinite(score)]
    for_it = [line for line, score in scored if score > 0]
    first, others = for_it[0] if for_it else unit.first_line, for_it[1 : 1 + RELATED_LINES]
    where = {"uri": uri(unit.path)}
    related = [(unit.first_line, unit.last_line), *((line, line) for line in others)]
    physical: dict[str, Any] = {"artifactLocation": where, "region": _region(first, first)}
    if unit.last_line > unit.first_line:  # the standard wants a larger region
        physical["contextRegion"] = _region(unit.first_line, unit.last_line)
    location: dict[str, Any] = {"physicalLocation": physical}
    if unit.name:
        location["logicalLocations"] = [{"name": printable(unit.name), "kind": "function"}]
    result = {
        "ruleId": rule_id(finding.label),
        "ruleIndex": rule,
        "level": finding.level,
        "rank": round(100 * finding.probability, 2),
        "message": {"text": _message(finding, for_it[:1], others)},
        "locations": [location],
        "relatedLocations": [
            {"id": number, "physicalLocation": {"artifactLocation": where, "region": _region(*lines)}}
            for number, lines in enumerate(related, start=1)
        ],
        "partialFingerprints": {KIND: finding.fingerprint, "primaryLocationLineHash": f"{finding.fingerprint}:1"},
        "properties": {
            "probability": round(finding.probability, 6),
            "lineScores": [[line, float(f"{score:.6g}")] for line, score in scored[:SCORED_LINES]],
            "tokens": finding.tokens,
        },
    }
    if has_baseline:
        result["baselineState"] = "new" if finding.is_new else "unchanged"
    if hidden is not None:
        kind = "inSource" if hidden.by.startswith("comment in line ") else "external"
        result["suppressions"] = [{"kind": kind, "status": "accepted", "justification": printable(hidden.by)}]
    return result


def _region(first: int, last: int) -> dict[str, int]:
    return {"startLine": first, "endLine": last}


def _message(finding: Finding, first: list[int], others: list[int]) -> str:
    """Text whose links, `[text](id)`, lead to related locations: 1 is the whole unit, 2 and more are lines."""
    unit = finding.unit
    name = _no_link(f"Function {printable(unit.name)}" if unit.name else "File")
    text = f"{name} ([lines {unit.first_line}-{unit.last_line}](1)): predicted {_no_link(printable(finding.label))}"
    text += f", probability {finding.probability:.4f}."
    lines = [*(f"line {line}" for line in first), *(f"[line {line}]({i})" for i, line in enumerate(others, start=2))]
    return f"{text} Read first: {', '.join(lines)}." if lines else text


def _no_link(text: str) -> str:
    return re.sub(r"([\\\[\]])", r"\\\1", text)


def uri(path: str) -> str:
    """A path as it is reported, as a relative reference; an absolute path as a file URI. Its real bytes are encoded.

    >>> uri("a b/ü:1\\\\xe9.c")
    'a%20b/%C3%BC%3A1%E9.c'
    """
    encoded = quote(path_bytes(path)) or "unnamed"
    return f"file://{encoded}" if PurePosixPath(path).is_absolute() else encoded.removeprefix("./")
