"""Makes an HTML page that shows, layer by layer, which tokens of some functions a pruned model keeps."""

from __future__ import annotations

import numpy as np

from ltp_pipeline.code.languages import language_of
from ltp_pipeline.view.page.code_runs import code_runs
from ltp_pipeline.view.page.document import Column, Document, Function, render
from ltp_pipeline.view.trace import FunctionTrace

COLUMNS = [
    Column("Function"),
    Column("Predicted", filter="choice"),
    Column("Probability", "probability", "least"),
    Column("Label", filter="choice"),
    Column("Lines", "number", "range"),
    Column("Tokens", "number"),
    Column("Kept", "number"),
]


def html_page(traces: list[FunctionTrace], title: str, note: str | None = None) -> str:
    """The page, which needs no other file.

    Args:
        traces: the functions, all from the same model.
        title: names the model.
        note: what it means that this model keeps a token, see `ranking_note`.
    """
    functions = [_function(trace) for trace in traces]
    heading = "Tokens kept, layer by layer"
    ranked = "lines that speak most for class 1"
    return render(Document(heading, title, COLUMNS, functions, traces[0].num_layers, note, ranked=ranked))


def _function(trace: FunctionTrace) -> Function:
    places = np.argsort(trace.alive_until, kind="stable").tolist()  # a shared character: of the token kept longest
    spans = [(*trace.offsets[token].tolist(), token) for token in places]
    code, runs = code_runs(trace.source[: trace.read_to], spans, language_of(trace.origin.get("path", "")))
    scores = np.array([]) if trace.line_scores is None else trace.line_scores
    order = np.argsort(-scores, kind="stable").tolist()
    ranked = [(line + 1, float(f"{scores[line]:.3g}")) for line in order if scores[line] > 0]
    facts = [trace.describe_kept(), trace.describe_flaws(), *trace.describe_unread()]
    predicted = trace.prediction
    return Function(
        name=trace.heading(),
        verdict=trace.verdict(),
        cells=[
            trace.name,
            str(predicted),
            trace.probabilities[predicted],
            "" if trace.label is None else str(trace.label),
            code.count("\n") + 1,
            len(trace.tokens),
            trace.alive[-1],
        ],
        code=code,
        runs=runs,
        is_right=trace.is_right,
        facts=list(filter(None, facts)),
        lines=ranked,
        flaw_lines=list(trace.flaw_lines),
        alive=trace.alive,
        layers=[(f"{layer.threshold:.3g}", layer.scores) for layer in trace.layers()],
        tokens=[
            {
                "text": trace.text(token),
                "tip": trace.tooltip(token),
                "kept": int(trace.alive_until[token]),
                "scores": [float(f"{score:.3g}") if score == score else 0 for score in trace.scores_of(token)],
            }
            for token in range(len(trace.tokens))
        ],
        specials=np.flatnonzero(~trace.is_text).tolist(),
    )
