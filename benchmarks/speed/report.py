"""Makes the tables and the figure of the speed benchmark from the content of speed.json."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.common import save_figure
from benchmarks.speed.models import PEERS
from benchmarks.speed.targets import NAMES
from ltp_pipeline.base.files import format_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = {
    "longformer": "tab:blue",
    "longformer_compiled": "tab:cyan",
    "roberta": "tab:orange",
    "roberta_onnx": "tab:brown",
    "roberta_openvino": "tab:olive",
    "modernbert": "tab:green",
    "ltp": "tab:red",
    "ltp_pruned": "tab:purple",
}


def text_report(report: dict) -> str:
    """Returns the tables for the terminal."""
    tables = {
        f"Runs ({instructions(report['machine'])})": run_table(report),
        "A million functions of W4": cost_table(report),
        "Targets": target_table(report),
    }
    texts = [f"{title}\n{format_table(rows)}" for title, rows in tables.items() if rows]
    return "\n\n".join([*texts, *_peer_notes(report)])


def instructions(machine: dict) -> str:
    """Returns the processor's instruction sets, and which of them this process was restricted to."""
    found = " ".join(machine["instructions"] or ["instruction sets unknown"])
    used = f"PyTorch uses {machine['cpu_capability']}"
    limit = machine["onednn_max_cpu_isa"]
    return f"{found}; {used}" + (f", oneDNN restricted to {limit}" if limit else "")


def _peer_notes(report: dict) -> list[str]:
    """How far the logits of other runtimes are from PyTorch's, and which models were left out."""
    agreement = "; ".join(f"{name} {value:.1e}" for name, value in report["agreement"]["peers"].items())
    notes = [f"Largest difference of a logit to the model in PyTorch in float32: {agreement}."] if agreement else []
    return notes + [f"Left out: {name}: {why}" for name, why in report["left_out"].items()]


def markdown_report(report: dict) -> str:
    """Returns the whole report as Markdown, for docs/performance.md."""
    machine, settings = report["machine"], report["settings"]
    gpu = f"; {machine['gpu']}" if machine["gpu"] else ""
    parts = [
        f"Preset `{settings['preset']}`, size `{settings['size']}`, seed {settings['seed']}, {report['date']}. "
        f"{machine['cpu']} ({instructions(machine)}), {machine['usable_cores']} cores, {settings['threads']} threads"
        f"{gpu}; "
        f"{', '.join(f'{name} {version}' for name, version in report['versions'].items())}. "
        f"Load of the machine before the run: {machine['load_before']}.",
        "\n".join(f"- {name}: {_describe_work(work)}" for name, work in report["works"].items()),
        "Targets",
        format_table(target_table(report), markdown=True),
        "Runs: medians over the rounds. `x NAME`: speed relative to NAME in the same dtype, the median of the ratios "
        "within each round.",
        format_table(run_table(report), markdown=True),
    ]
    parts += _peer_notes(report)
    if cost := cost_table(report):
        parts += ["A million functions of W4", format_table(cost, markdown=True)]
    if report["failures"]:
        parts += ["Did not run", "\n".join(f"- {name}: {why}" for name, why in report["failures"].items())]
    return "\n\n".join(parts) + "\n"


def _describe_work(work: dict) -> str:
    text = f"{work['what']}. {work['functions']} functions, {work['tokens']} tokens; {work['rounds']} rounds"
    if work.get("data_mean") is not None:
        text += f"; mean length {work['mean']:.1f}, of all functions {work['data_mean']:.1f}"
    return text


def run_table(report: dict) -> list[dict[str, Any]]:
    """Returns a row for each run: time, tokens a second, speed relative to other models, FLOPs and memory."""
    rows, models = [], {run["model"] for run in report["runs"]}
    references = {model: name for model, name in NAMES.items() if model in models or model not in PEERS}
    clocked = any("milliseconds" in run for run in report["runs"])
    for run in report["runs"]:
        speedup, peak = run["speedup"], run.get("peak_memory_bytes")
        row = {
            "work": run["item"],
            "model": run["model"],
            "dtype": run["dtype"],
            "seconds": f"{run['median_seconds']:.4g}",
            "tokens/s": f"{run['tokens'] / run['median_seconds']:,.0f}",
        }
        if clocked:
            latency = run.get("milliseconds")
            row["ms: median, 95 %"] = f"{latency['median']:.1f}, {latency['p95']:.1f}" if latency else "-"
        for other, name in references.items():
            row[f"x {name}"] = _median_text(speedup.get(f"{other} {run['dtype']}"))
        row["x Longformer float32"] = _median_text(speedup.get("longformer float32"))
        row["relative FLOPs"] = f"{run['relative_flops']:.3f}" if "relative_flops" in run else "-"
        row["of matrix rate"] = _median_text(run.get("share_of_matrix_rate"))
        row["peak MiB"] = f"{peak / 2**20:,.0f}" if peak is not None else "-"
        rows.append(row)
    return rows


def _median_text(values: dict | None) -> str:
    return f"{values['median']:.2f}" if values else "-"


def target_table(report: dict) -> list[dict[str, Any]]:
    """Returns a row for each target."""
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
    """Returns what a million functions of W4 cost.

    Machine hours are the seconds of W4 / its functions * 10^6 / 3600. Core hours are machine hours times threads.
    """
    rows, settings = [], report["settings"]
    price, on_gpu = settings["price_per_hour"], settings["device"].startswith("cuda")
    for run in report["runs"]:
        if run["item"] != "W4":
            continue
        seconds = run["median_seconds"]
        hours = seconds / run["functions"] * 1e6 / 3600
        row = {"model": run["model"], "dtype": run["dtype"], "functions/s": f"{run['functions'] / seconds:.3g}"}
        row["GPU hours" if on_gpu else "machine hours"] = f"{hours:.3g}"
        if not on_gpu:
            row["core hours"] = f"{hours * settings['threads']:.3g}"
        if price is not None:
            row[f"cost at {price:g} an hour"] = f"{hours * price:.3g}"
        rows.append(row)
    return rows


def draw(path: Path, report: dict) -> None:
    """Draws speed relative to Longformer for each work on the left, and time per token over length on the right."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    _draw_works(left, report)
    _draw_sweep(right, [run for run in report["runs"] if run["item"].startswith("W5 ")])
    save_figure(path, figure)


def _draw_works(axes: Axes, report: dict) -> None:
    """Bars: one group for each work, one bar for each model and dtype."""
    references = {work: _reference_dtype(report, work) for work in report["works"] if work != "W5"}
    works = [work for work, dtype in references.items() if dtype]
    runs = {(run["item"], run["model"], run["dtype"]): run for run in report["runs"] if run["item"] in works}
    names = list(dict.fromkeys((model, dtype) for _, model, dtype in runs))
    width = 0.8 / max(len(names), 1)
    for index, (model, dtype) in enumerate(names):
        heights = {
            place: runs[work, model, dtype]["speedup"][f"longformer {references[work]}"]["median"]
            for place, work in enumerate(works)
            if f"longformer {references[work]}" in runs.get((work, model, dtype), {}).get("speedup", {})
        }
        places = [place + (index - (len(names) - 1) / 2) * width for place in heights]
        hatch = {"bfloat16": "//", "int8": "xx"}.get(dtype)
        axes.bar(places, list(heights.values()), width, color=COLOURS[model], hatch=hatch, label=f"{model} {dtype}")
    axes.set(yscale="log", ylabel="times as fast as Longformer", title="Works; Longformer in float32 where it was run")
    axes.set_xticks(range(len(works)), works)
    axes.axhline(1, color="grey", linewidth=0.8)
    if names:
        axes.legend(fontsize="x-small", ncols=2)


def _reference_dtype(report: dict, work: str) -> str | None:
    """float32, or else the first dtype in which Longformer was run; None if it was not."""
    dtypes = [run["dtype"] for run in report["runs"] if (run["item"], run["model"]) == (work, "longformer")]
    return "float32" if "float32" in dtypes else next(iter(dtypes), None)


def _draw_sweep(axes: Axes, runs: list[dict]) -> None:
    """Lines: one for each model and dtype of W5."""
    for model, dtype in dict.fromkeys((run["model"], run["dtype"]) for run in runs):
        rows = [run for run in runs if (run["model"], run["dtype"]) == (model, dtype)]
        times = [run["median_seconds"] / run["tokens"] * 1e6 for run in rows]
        style = "o-" if dtype == "bfloat16" else "s:"
        axes.plot([run["tokens"] for run in rows], times, style, color=COLOURS[model], label=f"{model} {dtype}")
    axes.set(xscale="log", yscale="log", xlabel="tokens", ylabel="microseconds a token", title="One sequence (W5)")
    if runs:
        axes.legend(fontsize="small")
        ticks = sorted({run["tokens"] for run in runs})
        axes.set_xticks(ticks, [str(tick) for tick in ticks], minor=False)
        axes.minorticks_off()
