"""Puts the page together: one HTML file that needs no other file and runs no script but its own."""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ltp_pipeline.model.ranking_note import WARNING
from ltp_pipeline.view.escapes import on_one_line, printable

FOLDER = Path(__file__).parent
NO_TEXT = ("code", "alive", "lines", "flaw_lines", "specials")  # fields that hold numbers, or escapes already
SCRIPTS = ("data.js", "list.js", "code.js", "function.js", "keys.js")  # the order in which they run


@dataclass(frozen=True)
class Column:
    """A column of the list. Its cells are the values of the same place in `Function.cells`."""

    title: str
    kind: str = "text"  # "text", "number" or "probability"
    filter: str = "words"  # "words": none of its own; "choice": a menu; "range": from and to; "least"
    cut_begin: bool = False  # where the text is too long, its end is shown
    initial: str = ""  # what the menu has chosen at first


@dataclass
class Function:
    """A function of the page."""

    name: str
    verdict: str
    cells: list[str | int | float | None]  # for the columns of the list
    code: str  # as `code_runs` makes it
    runs: list[int]
    is_right: bool | None = None  # whether the prediction is the label
    facts: list[str] = field(default_factory=list)
    first_line: int = 1  # the number of the first line
    lines: list[tuple[int, float]] = field(default_factory=list)  # numbers and scores, the highest score first
    flaw_lines: list[int] = field(default_factory=list)
    alive: list[int] = field(default_factory=list)  # tokens before the first layer and after each layer
    layers: list[tuple[str, str]] = field(default_factory=list)  # of each layer, threshold and range of scores; or []
    tokens: list[dict[str, Any]] | None = None  # None: the value of a token in `runs` is how many layers kept it
    specials: list[int] = field(default_factory=list)  # places in `tokens` of those that are not in the code


@dataclass
class Table:
    """A table below the functions, folded up."""

    title: str
    columns: list[str]
    rows: list[list[Any]]
    note: str = ""
    is_open: bool = False


@dataclass
class Document:
    """All that a page shows."""

    heading: str
    title: str  # names the model
    columns: list[Column]
    functions: list[Function]
    num_layers: int  # 0: the model does not prune
    note: str | None = None  # what it means that this model keeps a token, see `ranking_note`
    figures: list[tuple[str, str]] = field(default_factory=list)  # name and value
    empty: str = ""  # what to say if there is no function
    tables: list[Table] = field(default_factory=list)
    ranked: str = "lines that speak most for the class"  # what their scores say


def render(document: Document) -> str:
    """The page. No text of `document` can become an element or a script of it."""
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(printable=printable, on_one_line=on_one_line)
    style = _read("page.css")
    script = '"use strict";\n' + "\n".join(map(_read, SCRIPTS))
    values = {"style": style, "script": script, "policy": _policy(style, script), "warning": WARNING}
    return environment.get_template("page.html.j2").render(values, document=document, data=_data(document))


def _read(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    """The Content-Security-Policy: nothing is loaded; only this style and this script are used, known by their hashes.
    Nothing that a script takes from the data can become HTML (Trusted Types)."""
    style_hash, script_hash = (b64encode(sha256(text.encode()).digest()).decode() for text in (style, script))
    return (
        f"default-src 'none'; style-src 'sha256-{style_hash}'; script-src 'sha256-{script_hash}'; base-uri 'none'; "
        "form-action 'none'; require-trusted-types-for 'script'"
    )


def _data(document: Document) -> str:
    """What the script shows, as JSON that can stand in an element `script`."""
    shown = {
        "columns": [asdict(column) for column in document.columns],
        "layers": document.num_layers,
        "ranked": document.ranked,
        "functions": [_plain(function) for function in document.functions],
    }
    text = json.dumps(shown, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _plain(function: Function) -> dict[str, Any]:
    """The fields that say something, with escapes for what a browser would obey or not show."""
    return {name: _escaped(value, name) for name, value in vars(function).items() if value not in (None, [], "")}


def _escaped(value: Any, name: str) -> Any:
    if name == "runs":
        return " ".join(
            map(str, value)
        )  # split when the function is opened: a browser reads a text sooner than numbers
    if name in NO_TEXT:
        return value
    if isinstance(value, str):
        return printable(value) if name == "tip" else on_one_line(value)
    if isinstance(value, dict):
        return {key: _escaped(one, key) for key, one in value.items()}
    return [_escaped(one, "") for one in value] if isinstance(value, list | tuple) else value
