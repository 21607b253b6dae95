"""Fills the marked parts of the documents, and compares what is there with what would be written.

A marked part begins with a line `<!-- results: VIEW ARGUMENTS -->` and ends with `<!-- end of results -->`. What is
around it is written by hand and stays.
"""

from __future__ import annotations

import difflib
import inspect
import re
from pathlib import Path

from benchmarks.results.stored import COSTS, Store
from benchmarks.results.views import VIEWS
from ltp_pipeline.base.errors import UserError

PAGES = (Path("README.md"), Path("docs/results.md"), Path("docs/accuracy.md"), COSTS / "README.md")
BEGIN, END = "<!-- results:", "<!-- end of results -->"
PART = re.compile(rf"^{BEGIN} *([^\n]*?) *-->\n(.*?)^{END}$", re.MULTILINE | re.DOTALL)
# A difference in points with its interval, as tables have it
INTERVAL = re.compile(r"[+-]?\d+\.\d \[[+-]?\d+\.\d, [+-]?\d+\.\d\]")


def filled(store: Store, page: Path) -> str:
    """The text of a page with its marked parts filled. Raises UserError if a mark is wrong."""
    try:
        text = (store.root / page).read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{page}: cannot be read: {error.strerror}; expected a page of the documents") from error
    if len(re.findall(f"^{BEGIN}", text, re.MULTILINE)) != len(PART.findall(text)):
        raise UserError(f"{page}: expected each line {BEGIN} ... --> to be followed by a line {END}")

    def fill(found: re.Match[str]) -> str:
        name, *arguments = found.group(1).split() or [""]
        if name not in VIEWS:
            raise UserError(f"{page}: {BEGIN} {found.group(1)} -->: expected one of {', '.join(VIEWS)}")
        try:
            inspect.signature(VIEWS[name]).bind(store, page, *arguments)
        except TypeError:
            raise UserError(f"{page}: {BEGIN} {found.group(1)} -->: other arguments than {name} takes") from None
        return f"{BEGIN} {found.group(1)} -->\n{VIEWS[name](store, page, *arguments)}\n{END}"

    return PART.sub(fill, text)


def problems_of(store: Store, page: Path) -> list[str]:
    """Where a page disagrees with the stored measurements, in words."""
    expected = filled(store, page)  # first: it says if there is no such page
    present = (store.root / page).read_text(encoding="utf-8")
    if present == expected:
        return []
    changes = list(difflib.unified_diff(present.splitlines(), expected.splitlines(), lineterm="", n=0))[3:]
    first = next(line for line in changes if line[:1] in "+-")
    return [f"{page}: its tables are not those of the stored measurements; first difference: {first[:160]}"]


def unknown_intervals(store: Store, page: Path) -> list[str]:
    """Differences with intervals that stand in hand-written text of a page and in no stored file."""
    from benchmarks.accuracy.shown import difference

    def of(value: object) -> set[str]:
        if isinstance(value, dict):
            own = {difference(value)} if {"mean", "low", "high"} <= set(value) else set()
            return own.union(*map(of, value.values()))
        return set().union(*map(of, value)) if isinstance(value, list) else set()

    known = of([store.costs(name)["rows"] for name in store.names()])
    text = PART.sub("", (store.root / page).read_text(encoding="utf-8"))
    return [f"{page}: no stored file has {found}" for found in INTERVAL.findall(text) if found not in known]
