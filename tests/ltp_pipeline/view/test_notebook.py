"""A trace in a notebook: static, escaped, and readable without colours."""

from html.parser import HTMLParser

import numpy as np
import pytest

from ltp_pipeline.view.notebook import MAX_LINES, trace_html
from tests.ltp_pipeline.view.traces import SOURCE, make_trace

# What the sanitizers of notebook hosts leave, with the attributes that are used
ELEMENTS = {
    "div": set(), "p": set(), "b": set(), "br": set(), "small": set(), "pre": {"style"}, "span": {"title", "style"},
    "table": set(), "tr": set(), "th": set(), "td": set(),
}  # fmt: skip


class Seen(HTMLParser):
    """The text of the code, its bold parts, tooltips, and cells of the table. Fails at any other element."""

    def __init__(self, html: str):
        super().__init__()
        self.open, self.code, self.bold, self.titles, self.cells, self.text = [], "", [], [], [], ""
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        assert set(dict(attrs)) <= ELEMENTS[tag]
        if tag != "br":
            self.open.append(tag)
        if tag == "span":
            self.titles.append(dict(attrs)["title"])
            assert dict(attrs)["style"].startswith("background-color: rgba(")
        if tag == "td":
            self.cells.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data
        if "pre" in self.open:
            self.code += data
            if "b" in self.open:
                self.bold.append(data)
        if "td" in self.open:
            self.cells[-1] += data


def test_what_is_shown():
    seen = Seen(make_trace()._repr_html_())
    assert seen.code.splitlines() == ["   1  if (x < 1)", '   2      puts("a");', "   3  ", "   4  end();"]
    assert seen.bold == ["puts"] and "if  (token 1): removed in layer 1\nlayer 1: score 0.01" in seen.titles[0]
    assert "test.csv row 7predicted 1 (probability 0.875), label 1: right18 tokens, 2 kept by all layers" in seen.text
    assert "flaw line 2: " in seen.text and "<s> kept" in seen.text
    assert seen.cells[:10] == ["1", "8", "10", "44%", "0.1", "2", "4", "4", "22%", "0.2"]


def test_shades_grow_with_the_layers_that_keep_a_token():
    html = trace_html(make_trace())
    for text, opacity in (("if", "0.00"), ("x", "0.17"), ("&lt;", "0.33"), ("<b>puts</b>", "0.50")):
        assert f'style="background-color: rgba(255, 150, 0, {opacity})">{text}</span>' in html


MARKUP = "</pre><script>alert(1)</script><img src=x onerror=alert(1)>\" style='x' &amp;"


def test_markup_in_the_input_is_text():
    words = MARKUP.split(" ")
    trace = make_trace(MARKUP, words, [0] * (len(words) + 2), name=MARKUP, flaw_lines=())
    trace.tokens[0] = trace.tokens[-1] = MARKUP  # special tokens of a tokenizer
    seen = Seen(trace._repr_html_())  # fails at an element or an attribute that is not ours
    assert seen.code == f"   1  {MARKUP}" and seen.text.startswith(MARKUP)
    assert f"{MARKUP} kept" in seen.text and any(words[0] in title for title in seen.titles)


def test_characters_that_a_browser_obeys_are_escapes():
    source = "a\u202eb\x00\x1b[2J"
    seen = Seen(make_trace(source, [source], [0, 0, 0], flaw_lines=())._repr_html_())
    assert seen.code == "   1  a\\u202eb\\x00\\x1b[2J"


def test_long_functions_are_cut():
    source = "\n".join(["x"] * (MAX_LINES + 3)) + "\n"
    seen = Seen(make_trace(source, ["x"] * (MAX_LINES + 3), [1] * (MAX_LINES + 5), flaw_lines=())._repr_html_())
    assert len(seen.code.splitlines()) == MAX_LINES and "3 more lines" in seen.text


def test_a_layer_that_does_not_prune():
    seen = Seen(make_trace(thresholds=np.array([np.nan, 0.2, 0.3]))._repr_html_())
    assert seen.cells[4] == "-"


def test_the_short_form_names_function_and_tokens():
    assert repr(make_trace()) == "<FunctionTrace 'test.csv row 7': 18 tokens, 2 kept by all layers (11.1%)>"
    assert SOURCE not in repr(make_trace())


@pytest.mark.parametrize("label", [None, 0])
def test_without_a_label(label):
    text = Seen(make_trace(label=label, flaw_lines=())._repr_html_()).text
    assert ("WRONG" in text) == (label == 0) and "flaw line" not in text
