"""Shows a trace in a notebook: static HTML, because the hosts of notebooks drop scripts and style sheets."""

from __future__ import annotations

from html import escape
from math import isnan

from ltp_pipeline.view.trace import FunctionTrace, source_lines

SHADE = "rgba(255, 150, 0, {:.2f})"  # behind text of the host's colour, which stays readable on light and dark pages
DARKEST = 0.5  # opacity behind tokens that all layers keep
MAX_LINES = 200  # of source that are shown


def trace_html(trace: FunctionTrace) -> str:
    """The verdict, each token shaded by the number of layers that keep it, and a table of the layers.

    Tokens that all layers keep are bold, so that they differ without colours, too. All text of the source and of the
    tokenizer is escaped. A token's tooltip has its scores.
    """
    facts = [trace.verdict(), trace.describe_kept(), trace.describe_flaws(), trace.describe_lines()]
    facts += [trace.describe_special_tokens(), *trace.describe_unread()]
    shown = "<br>".join(escape(fact) for fact in facts if fact)
    lines = source_lines(trace)
    text = "\n".join(f"{number:4d}  {_line(trace, line)}" for number, line in enumerate(lines[:MAX_LINES], start=1))
    more = f"<p>{len(lines) - MAX_LINES} more lines</p>" if len(lines) > MAX_LINES else ""
    legend = "Bold: kept by all layers. The darker, the more layers keep a token."
    return (
        f"<div><p><b>{escape(trace.heading())}</b><br>{shown}</p><p><small>{legend}</small></p>"
        f'<pre style="line-height: 1.5">{text}</pre>{more}{_layers(trace)}</div>'
    )


def _line(trace: FunctionTrace, pieces: list[tuple[str, int | None]]) -> str:
    return "".join(_piece(trace, text, token) for text, token in pieces if text != "\n")


def _piece(trace: FunctionTrace, text: str, token: int | None) -> str:
    if token is None:
        return escape(text)
    kept = int(trace.alive_until[token])
    shown = f"<b>{escape(text)}</b>" if kept == trace.num_layers else escape(text)
    shade = SHADE.format(DARKEST * kept / trace.num_layers)
    return f'<span title="{escape(trace.tooltip(token))}" style="background-color: {shade}">{shown}</span>'


def _layers(trace: FunctionTrace) -> str:
    head = "<tr><th>layer</th><th>tokens left</th><th>removed</th><th>share left</th><th>threshold</th></tr>"
    rows = [
        f"<tr><td>{number}</td><td>{layer.alive}</td><td>{layer.removed}</td><td>{layer.share:.0%}</td>"
        f"<td>{'-' if isnan(layer.threshold) else f'{layer.threshold:.3g}'}</td></tr>"
        for number, layer in enumerate(trace.layers(), start=1)
    ]
    return f"<table>{head}{''.join(rows)}</table>"
