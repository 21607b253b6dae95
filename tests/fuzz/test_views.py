"""What is shown of a function: terminal text, the HTML page, JSON, the figure, the kept code, and error messages."""

from __future__ import annotations

import contextlib
import io
import json
import re
import unicodedata

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume
from hypothesis import strategies as st

from ltp_pipeline.base.errors import UserError, run_main
from ltp_pipeline.base.files import format_table, write_json
from ltp_pipeline.files.flaw_lines import lines_from_one
from ltp_pipeline.files.layouts import own_layout
from ltp_pipeline.view.encode import FunctionTokens
from ltp_pipeline.view.figures import save_figure
from ltp_pipeline.view.kept_text import kept_text
from ltp_pipeline.view.notebook import MAX_LINES
from ltp_pipeline.view.report import name_of_function
from ltp_pipeline.view.terminal import TerminalView
from ltp_pipeline.view.trace import FunctionTrace, source_lines
from ltp_pipeline.view.trace_page import html_page
from tests.fuzz.limits import fuzz
from tests.fuzz.strategies import SCALARS, VALUES, code
from tests.ltp_pipeline.view.page_reader import Page, pieces
from tests.ltp_pipeline.view.test_notebook import Seen
from tests.ltp_pipeline.view.traces import make_trace

OBEYED = ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")  # categories of characters that a screen obeys, or does not show
COLOUR = re.compile(r"\x1b\[[\d;]*m")
LAYERS = 3
HARMLESS = Page(html_page([make_trace(), make_trace()], "t"))


@st.composite
def traces(draw) -> FunctionTrace:
    """A function cut into tokens at random places. Tokens may share a character or leave characters out."""
    source = draw(code(max_size=10))
    ends = sorted(draw(st.lists(st.integers(0, len(source)), max_size=12)))
    spans = [(begin, end) for begin, end in zip([0, *ends], ends) if end > begin]
    spans = [(begin, end) for begin, end in spans if draw(st.integers(0, 5))]
    spans = [span for span in spans for _ in range(2 if span[1] == span[0] + 1 and draw(st.booleans()) else 1)]
    names = draw(st.lists(code(surrogates=True, max_size=2), min_size=2, max_size=2))
    n = len(spans) + 2
    alive = np.array(draw(st.lists(st.integers(0, LAYERS), min_size=n, max_size=n)))
    kept = np.arange(LAYERS)[:, None] < alive
    score = st.sampled_from([0.5, 1e-30, 1.0, 3e8])
    return FunctionTrace(
        name=draw(code(surrogates=True, max_size=4)),
        source=source,
        tokens=[names[0], *(source[slice(*span)] for span in spans), names[1]],
        offsets=np.array([(0, 0), *spans, (0, 0)]),
        is_text=np.array([False, *[True] * len(spans), False]),
        kept=kept,
        scores=np.where(np.arange(LAYERS)[:, None] <= alive, draw(score), np.nan),
        thresholds=np.array([0.1, np.nan, draw(score)]),
        label=draw(st.integers(0, 1)),
        probabilities=[0.25, 0.75],
        flaw_lines=tuple(sorted(draw(st.sets(st.integers(1, 5), max_size=2)))),
    )


def check_screen(text: str) -> None:
    """No character of the text makes a terminal or a browser do something, or is invisible."""
    bad = {char for char in text if char not in "\n\t" and unicodedata.category(char) in OBEYED}
    assert not bad, bad


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("views")


@fuzz(trace=traces(), color=st.booleans(), max_lines=st.sampled_from([0, 3]))
def test_terminal(trace, color, max_lines):
    text = TerminalView(color=color, max_lines=max_lines).function(trace)
    text.encode()
    check_screen(COLOUR.sub("", text) if color else text)
    assert "predicted 1" in text.split("\n")[0]


@fuzz(trace=traces(), title=code(surrogates=True, max_size=4))
def test_page(trace, title):
    text = html_page([trace, trace], title)
    text.encode()
    check_screen(text)
    page = Page(text)
    assert page.open == []
    tags = {tag for tag, _ in page.elements}
    assert tags <= {tag for tag, _ in HARMLESS.elements}
    names = {name for _, attributes in page.elements for name in attributes}
    assert names <= {name for _, attributes in HARMLESS.elements for name in attributes}
    assert text.count("</script>") == 2
    assert len(page.data["functions"]) == 2
    for function in page.data["functions"]:
        assert "".join(text for text, _, _ in pieces(function)) == function.get("code", "")


@fuzz(trace=traces())
def test_notebook(trace):
    text = trace._repr_html_()
    text.encode()
    check_screen(text)
    lines = source_lines(trace)[:MAX_LINES]
    shown = Seen(text).code.split("\n") if lines else []
    assert [line[6:] for line in shown] == ["".join(part for part, _ in line if part != "\n") for line in lines]


@fuzz(trace=traces(), title=code(surrogates=True, max_size=3))
def test_json(folder, trace, title):
    write_json(folder / "v.json", {"model_name_or_path": title, "functions": [trace.as_json()]})
    read = json.loads((folder / "v.json").read_text(encoding="utf-8"))
    assert read["model_name_or_path"] == title
    assert read["functions"][0]["source"] == trace.source
    assert len(read["functions"][0]["tokens"]) == len(trace.tokens)


@fuzz(trace=traces())
def test_kept_text(trace):
    tokens = FunctionTokens(np.zeros(len(trace.tokens), int), trace.offsets, trace.is_text)
    everything = kept_text(trace.source, tokens, np.ones(len(trace.tokens), bool))
    for kept in trace.kept:
        text = kept_text(trace.source, tokens, kept)
        assert len(text) <= len(everything) + len(trace.tokens)
        assert not set(text) - set(trace.source) - {" "}


@fuzz(
    row=st.dictionaries(
        st.sampled_from(["project", "path", "first_line", "finding_lines"]), st.one_of(VALUES, SCALARS)
    ),
    file=code(surrogates=True, max_size=3),
)
def test_columns_of_any_kind(row, file):
    assume("\0" not in file)
    series = pd.Series(row, dtype=object, name=3)
    assert "row 4" in name_of_function(file, series, own_layout(row, "code", None))
    assert all(isinstance(number, int) for number in lines_from_one(row.get("finding_lines"), None, file))


@fuzz(message=code(surrogates=True))
def test_error_messages(message):
    def main():
        raise UserError(message)

    errors = io.StringIO()
    with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()), pytest.raises(SystemExit):
        run_main(main)
    assert errors.getvalue().startswith("error: ")
    check_screen(errors.getvalue())


@fuzz(
    rows=st.lists(
        st.dictionaries(st.sampled_from("abc"), SCALARS | st.lists(SCALARS, max_size=2), min_size=1),
        min_size=1,
        max_size=3,
    )
)
def test_format_table(rows):
    text = format_table(rows, markdown=True)
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in text.split("\n")}) == 1
    assert len(text.split("\n")) == len(rows) + 2


def test_figure(folder):
    """Drawing takes 0.3 s, so there is one case of each kind."""
    for number, name in enumerate(("$\\frac$", "\x1b\ud800\u202e", "a\nb" * 20, "x" * 1000)):
        trace = make_trace(
            name=name, scores=np.full((3, 18), 0.0 if number == 0 else np.nan if number == 1 else 1e-30)
        )
        trace.tokens[0] = name
        save_figure(folder / f"{number}.png", np.ones((1, 4)), trace)
