"""Makes an HTML page that shows, layer by layer, which tokens of some functions a pruned model keeps."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ltp_pipeline.model.ranking_note import WARNING
from ltp_pipeline.view.trace import FunctionTrace, printable, source_lines


def html_page(traces: list[FunctionTrace], title: str, note: str | None = None) -> str:
    """Renders page.html.j2, which contains the HTML, the styles and the script. The page needs no other file.

    Args:
        traces: the functions, all from the same model.
        title: names the model.
        note: what it means that this model keeps a token, see `ranking_note`.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["printable"] = printable
    values = {"title": title, "traces": traces, "note": note, "warning": WARNING, "source_lines": source_lines}
    return environment.get_template("page.html.j2").render(values)
