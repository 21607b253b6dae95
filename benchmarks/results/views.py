"""What is written between the markers of a page: tables of stored measurements, as Markdown."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.accuracy.shown import by_test, compute_table, fewer_tokens_table, quality_table
from benchmarks.results.comparisons import against_table, losses, targets
from benchmarks.results.demo import demo_details, demo_table
from benchmarks.results.figures import flops_figure, tokens_figure
from benchmarks.results.lengths import LENGTHS, gflops_by_length
from benchmarks.results.stored import COSTS, Store
from benchmarks.results.trainings import trainings
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.files import format_table


def all_losses(store: Store, page: Path) -> str:
    """Where learned pruning loses, over all files."""
    return losses({name: store.costs(name) for name in store.names()})


def measured(store: Store, page: Path) -> str:
    """Everything of the files whose cells are kept: source, targets, figures and tables."""
    parts = []
    for name in store.names("measured"):
        found = store.costs(name)
        parts += [f"### {found['title']}", found["about"], source(store, page, name), targets(found["rows"])]
        for path, text in (
            (flops_figure(name), "FLOPs against F1 and VD-S"),
            (tokens_figure(name), "Tokens by layer"),
        ):
            parts.append(f"![{text}: {found['title']}]({_link(path, page)})")
        for key, rows in by_test(found["rows"]).items():
            parts += _tables(key, rows)
    return "\n\n".join(parts) or "No run with stored cells yet."


def tables(store: Store, page: Path, name: str, data: str = "", test: str = "") -> str:
    """The tables of a file, maybe of one `data@reading` and one test of it."""
    parts = []
    for key, rows in by_test(store.costs(name)["rows"]).items():
        if data in ("", f"{key[0]}@{key[1]}") and test in ("", key[2]):
            parts += _tables(key, rows)
    if not parts:
        raise UserError(f"{page}: {COSTS / name}.json has no rows of {data} {test}")
    return "\n\n".join(parts)


def source(store: Store, page: Path, name: str) -> str:
    """Where the numbers of a file come from."""
    found = store.costs(name)
    file = f"[{name}.json]({_link(COSTS / f'{name}.json', page)})"
    if "transcribed" in found:
        origin = found["transcribed"]
        return (
            f"{found['about']} Transcribed into {file} from the tables of `{origin['page']}` at commit "
            f"{origin['commit'][:7]}; the cells are not kept."
        )
    machines = dict.fromkeys(_machine(run) for run in found["runs"])
    versions = dict.fromkeys(" ".join(f"{k} {v}" for k, v in run["versions"].items()) for run in found["runs"])
    commits = ", ".join(commit[:7] for commit in found["commits"])
    seeds = " ".join(map(str, found["seeds"]))
    return (
        f"{'; '.join(machines)}; {'; '.join(versions)}; commit {commits}; seeds {seeds}; {found['bootstrap']:,} "
        f"draws. {file} has the command, settings and measures of each of the {len(found['cells'])} cells, and the "
        "SHA-256 of each table."
    )


def lengths(store: Store, page: Path) -> str:
    """GFLOPs by length."""
    found = gflops_by_length()
    rows = [{"tokens": f"{n:,}"} | {k: f"{v[i]:,.0f}" for k, v in found.items()} for i, n in enumerate(LENGTHS)]
    return format_table(rows, markdown=True)


VIEWS: dict[str, Callable[..., str]] = {
    "losses": all_losses, "measured": measured, "tables": tables, "source": source, "lengths": lengths,
    "trainings": trainings, "demo": demo_table, "demo_details": demo_details,
}  # fmt: skip


def _tables(key: tuple[str, str, str], rows: list[dict[str, Any]]) -> list[str]:
    """A heading, the tables of quality and compute, and the one of controls; without tables that are empty."""
    first = rows[0]
    text = f"**{key[0]}, {key[1]} tokens, {key[2]}**: {first['model']}"
    text += f", {first['functions']:,} functions" if "functions" in first else ""
    text += f", {first['positives']:,} of class 1" if "positives" in first else ""
    parts = [text + ".", quality_table(rows, ranges=False)]
    parts += [table for table in (compute_table(rows), fewer_tokens_table(rows)) if table]
    return parts + ([against_table(rows)] if any("against" in row for row in rows) else [])


def _machine(run: dict[str, Any]) -> str:
    machine = run["machine"]
    name = machine.get("gpu") or machine["cpu"]
    instructions = " ".join(machine.get("instructions") or [])
    return f"{name} ({machine['usable_cores']} cores, {instructions}), {run['dtype']}"


def _link(path: Path, page: Path) -> str:
    return Path(os.path.relpath(path, page.parent)).as_posix()
