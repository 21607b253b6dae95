"""Writes one HTML page that shows the tokens that a pruned model keeps of some functions, layer by layer.

This file collects what the page shows; the template page.html.j2 holds its HTML, styles and script.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ltp_pipeline.view.trace import FunctionTrace, printable, source_lines

TEMPLATE = Path(__file__).with_name("page.html.j2")


def html_page(traces: list[FunctionTrace], title: str) -> str:
    """
    A page that needs no other file.

    Args:
        traces: the functions, all of them from one model.
        title: of the page, such as the path of the checkpoint.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATE.parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["printable"] = printable
    template = environment.get_template(TEMPLATE.name)
    return template.render(
        title=title, num_layers=traces[0].num_layers, functions=[_function_of(trace) for trace in traces]
    )


def _function_of(trace: FunctionTrace) -> dict[str, Any]:
    """What the template shows of one function. A layer is counted from 1."""
    alive = trace.alive
    return {
        "trace": trace,
        "notes": [note for note in (trace.kept_line(), trace.finding_line(), *trace.unread_lines()) if note],
        "layers": [
            {
                "share": after / alive[0],
                "alive": after,
                "removed": before - after,
                "threshold": trace.thresholds[layer],
                "scores": trace.score_range(layer),
            }
            for layer, (before, after) in enumerate(zip(alive, alive[1:], strict=False))
        ],
        "special_tokens": [_token_of(trace, trace.text(i), i) for i in np.flatnonzero(~trace.is_text)],
        "lines": [
            [text if token is None else _token_of(trace, text, token) for text, token in line]
            for line in source_lines(trace)
        ],
    }


def _token_of(trace: FunctionTrace, text: str, token: int) -> dict[str, Any]:
    """What the template shows of one token, or of the part of it on one line."""
    layers = int(trace.alive_until[token])
    if text == "\n":
        kind = "nl"
    elif not trace.is_text[token]:
        kind = "special"
    else:
        kind = "space" if text.isspace() else ""
    return {
        "text": "↵" if text == "\n" else text,
        "kind": kind,
        "layers": layers,
        "removed_in": trace.removed_in(token),
        "scores": " ".join(f"{score:.3g}" for score in trace.scores[: layers + 1, token]),
        "tooltip": _tooltip(trace, token),
    }


def _tooltip(trace: FunctionTrace, token: int) -> str:
    """The text and the fate of a token, then its score in each layer that it entered."""
    lines = [f"{trace.text(token)}  (token {token}): {trace.fate(token)}"]
    for layer in range(min(int(trace.alive_until[token]) + 1, trace.num_layers)):
        score, threshold = trace.scores[layer, token], trace.thresholds[layer]
        if not np.isnan(score):
            lines.append(f"layer {layer + 1}: score {score:.3g}, threshold {threshold:.3g}")
    return "\n".join(lines)
