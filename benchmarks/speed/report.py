"""Tables and figure of the speed benchmark, from what it wrote to speed.json."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ltp_pipeline.base.files import format_table

COLOURS = {
    "longformer": "tab:blue", "roberta": "tab:orange", "modernbert": "tab:green", "ltp": "tab:red",
    "ltp_pruned": "tab:purple",
}  # fmt: skip
REFERENCES = {"longformer": "Longformer", "roberta": "RoBERTa", "ltp": "LTP unpruned"}


def run_table(report: dict) -> list[dict[str, Any]]:
    """A row a run: time, throughput and how many times as fast as others in the same dtype."""
    rows = []
    for run in report["runs"]:
        speedup = run["speedup"]
        row = {
            "work": run["item"],
            "model": run["model"],
            "dtype": run["dtype"],
            "seconds": f"{run['median_seconds']:.4g}",
            "tokens/s": f"{run['tokens'] / run['median_seconds']:,.0f}",
        }
        for reference, name in REFERENCES.items():
            row[f"x {name}"] = _times(speedup.get(f"{reference} {run['dtype']}"))
        row["x Longformer float32"] = _times(speedup.get("longformer float32"))
        share, peak = run.get("share_of_matrix_rate"), run.get("peak_memory_bytes")
        row["relative FLOPs"] = f"{run['relative_flops']:.3f}" if "relative_flops" in run else "-"
        row["of matrix rate"] = f"{share['median']:.2f}" if share else "-"
        row["peak MiB"] = f"{peak / 2**20:,.0f}" if peak is not None else "-"
        rows.append(row)
    return rows


def _times(ratio: dict | None) -> str:
    return f"{ratio['median']:.2f}" if ratio else "-"


def target_table(report: dict) -> list[dict[str, Any]]:
    """A row a target of the benchmark."""
    words = {True: "reached", False: "missed", None: "not measured"}
    return [
        {
            **{name: target[name] for name in ("work", "dtype", "LTP")},
            "measured": "-" if target["measured"] is None else f"{target['measured']:.2f}",
            "lowest-highest round": "-" if target["min"] is None else f"{target['min']:.2f}-{target['max']:.2f}",
            "target": target["target"],
            "": words[target["reached"]],
        }
        for target in report["targets"]
    ]


def cost_table(report: dict) -> list[dict[str, Any]]:
    """
    What a million functions of W4 take: seconds of the run / its functions * 10^6, in hours of the machine, and times
    its threads in core hours; on a GPU in hours of that.
    """
    rows, price = [], report["settings"]["price_per_hour"]
    on_gpu = report["settings"]["device"].startswith("cuda")
    for run in report["runs"]:
        if run["item"] != "W4":
            continue
        hours = run["median_seconds"] / run["functions"] * 1e6 / 3600
        row = {"model": run["model"], "dtype": run["dtype"], "functions/s": _number(run["functions"], run)}
        row["GPU hours" if on_gpu else "machine hours"] = f"{hours:.3g}"
        if not on_gpu:
            row["core hours"] = f"{hours * report['settings']['threads']:.3g}"
        if price is not None:
            row[f"cost at {price:g} an hour"] = f"{hours * price:.3g}"
        rows.append(row)
    return rows


def _number(count: int, run: dict) -> str:
    return f"{count / run['median_seconds']:.3g}"


def markdown(report: dict) -> str:
    """The whole report as Markdown, for docs/performance.md."""
    machine, versions, settings = (report[name] for name in ("machine", "versions", "settings"))
    gpu = f"; {machine['gpu']}" if machine["gpu"] else ""
    lines = [
        f"Preset `{settings['preset']}`, size `{settings['size']}`, seed {settings['seed']}, {report['date']}. "
        f"{machine['cpu']}, {machine['usable_cores']} cores, {settings['threads']} threads{gpu}; "
        f"{', '.join(f'{name} {version}' for name, version in versions.items())}. "
        f"Load of the machine before the run: {machine['load_before']}.",
        "",
        *(f"- {name}: {_described(work)}" for name, work in report["works"].items()),
        "",
        "Targets",
        "",
        *_markdown_table(target_table(report)),
        "",
        "Runs: medians over the rounds. `x NAME`: how many times as fast as NAME in the same dtype, the median of the "
        "ratios within each round.",
        "",
        *_markdown_table(run_table(report)),
    ]
    if cost := cost_table(report):
        lines += ["", "A million functions of W4", "", *_markdown_table(cost)]
    if report["failures"]:
        lines += ["", "Did not run", "", *(f"- {name}: {why}" for name, why in report["failures"].items())]
    return "\n".join(lines) + "\n"


def _described(work: dict) -> str:
    text = f"{work['what']}. {work['functions']} functions, {work['tokens']} tokens; {work['rounds']} rounds"
    if work.get("data_mean") is not None:
        text += f"; mean length {work['mean']:.1f}, of all functions {work['data_mean']:.1f}"
    return text


def _markdown_table(rows: Sequence[dict[str, Any]]) -> list[str]:
    columns = list(rows[0])
    cells = [[str(row[column]) for column in columns] for row in rows]
    return [f"| {' | '.join(line)} |" for line in [columns, ["---"] * len(columns), *cells]]


def printed(report: dict) -> str:
    """The tables for the terminal."""
    tables = {"Runs": run_table(report), "A million functions of W4": cost_table(report)}
    tables["Targets"] = target_table(report)
    return "\n\n".join(f"{title}\n{format_table(rows)}" for title, rows in tables.items() if rows)


def draw(path: Path, report: dict) -> None:
    """Speed over Longformer's for each work, and time a token over length; written whole or not at all."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    works = [work for work in report["works"] if work != "W5" and _reference(report, work)]
    sweep = [run for run in report["runs"] if run["item"].startswith("W5 ")]
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(12, 4.5), layout="constrained")
    _draw_works(left, report, works)
    for model, dtype in dict.fromkeys((run["model"], run["dtype"]) for run in sweep):
        rows = [run for run in sweep if (run["model"], run["dtype"]) == (model, dtype)]
        times = [run["median_seconds"] / run["tokens"] * 1e6 for run in rows]
        style = "o-" if dtype == "bfloat16" else "s:"
        right.plot([run["tokens"] for run in rows], times, style, color=COLOURS[model], label=f"{model} {dtype}")
    right.set(xscale="log", yscale="log", xlabel="tokens", ylabel="microseconds a token", title="One sequence (W5)")
    if sweep:
        right.legend(fontsize="small")
        ticks = sorted({run["tokens"] for run in sweep})
        right.set_xticks(ticks, [str(tick) for tick in ticks], minor=False)
        right.minorticks_off()
    temporary = path.with_name(f".{path.name}.tmp.png")
    figure.savefig(temporary, dpi=120)
    os.replace(temporary, path)
    pyplot.close(figure)


def _reference(report: dict, work: str) -> str | None:
    """Longformer in float32, or in the first dtype it was run in."""
    dtypes = [run["dtype"] for run in report["runs"] if (run["item"], run["model"]) == (work, "longformer")]
    return "float32" if "float32" in dtypes else next(iter(dtypes), None)


def _draw_works(axes, report: dict, works: list[str]) -> None:
    names = list(dict.fromkeys((r["model"], r["dtype"]) for r in report["runs"] if r["item"] in works))
    width = 0.8 / max(len(names), 1)
    for index, (model, dtype) in enumerate(names):
        places, heights = [], []
        for place, work in enumerate(works):
            key = f"longformer {_reference(report, work)}"
            found = [
                run["speedup"][key]["median"]
                for run in report["runs"]
                if (run["item"], run["model"], run["dtype"]) == (work, model, dtype)
            ]
            places += [place + (index - (len(names) - 1) / 2) * width] * len(found)
            heights += found
        hatch = "//" if dtype == "bfloat16" else None
        axes.bar(places, heights, width, color=COLOURS[model], hatch=hatch, label=f"{model} {dtype}")
    axes.set(yscale="log", ylabel="times as fast as Longformer", title="Works; Longformer in float32 where it was run")
    axes.set_xticks(range(len(works)), works)
    axes.axhline(1, color="grey", linewidth=0.8)
    if names:
        axes.legend(fontsize="x-small", ncols=2)
