"""The flags of injected defects, and the flags that cannot be combined with them."""

from __future__ import annotations

import argparse
from typing import Any

from ltp_pipeline.base.errors import UserError

MUTABLE = ("c", "cpp")  # languages
DEFECT_SHARE = 0.5
_OTHER_LABELS = (
    *("analyzers", "findings_csv", "label_map", "labels_from_folders", "labels_from_names"),
    *("group_columns", "max_negative_ratio"),
)


def add_injection_flags(add: Any) -> None:
    """`add` is the method `add_argument` of a parser or a group of it."""
    add(
        "--defects",
        choices=("found", "injected"),
        default="found",
        help="found: a function is positive if an analyser or --findings_csv reports a finding in it (default). "
        "injected: each positive function gets one defect, by a mutation; the negatives stay as they are",
    )
    add(
        "--defect_share",
        type=float,
        metavar="S",
        help=f"share of positives with --defects injected, above 0 and below 1 (default: {DEFECT_SHARE})",
    )


def injected_share(options: argparse.Namespace) -> float | None:
    """The share of functions that get a defect; None if defects are not injected.

    Raises UserError for flags that contradict each other.
    """
    share = options.defect_share
    if options.defects == "found":
        if share is not None:
            raise UserError("--defect_share is for --defects injected: give both or neither")
        return None
    for name in _OTHER_LABELS:
        if getattr(options, name, None):
            raise UserError(f"--defects injected makes the labels itself: it cannot be combined with --{name}")
    for name in options.language:
        if name not in MUTABLE:
            raise UserError(f"--defects injected mutates {' and '.join(MUTABLE)} only, not --language {name}")
    if options.granularity == "file":
        raise UserError("--defects injected mutates functions: it cannot be combined with --granularity file")
    if share is not None and not 0 < share < 1:
        raise UserError(f"--defect_share {share}: expected a number above 0 and below 1")
    return share or DEFECT_SHARE


def injection_settings(options: argparse.Namespace) -> dict[str, Any]:
    """The settings of the data card."""
    return {
        "defects": options.defects,
        "defect_share": injected_share(options),
        **{name: getattr(options, name) for name in ("keep_generated", "near_duplicates", "seed")},
        "language": " ".join(options.language),
    }
