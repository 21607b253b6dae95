"""Writes one HTML page that shows the tokens that a pruned model keeps of some functions, layer by layer."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ltp_pipeline.view.trace import FunctionTrace, printable, source_lines


def html_page(traces: list[FunctionTrace], title: str) -> str:
    """
    Fills in page.html.j2, which holds the HTML, the styles and the script. The page needs no other file.

    Args:
        traces: the functions, all of them from one model.
        title: of the page, such as the path of the checkpoint.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["printable"] = printable
    return environment.get_template("page.html.j2").render(title=title, traces=traces, source_lines=source_lines)
