"""Reads a page as a browser would, without running its script."""

import json
from html.parser import HTMLParser
from typing import Any

from ltp_pipeline.view.page.code_runs import NUM_LOOKS

VOID = ("meta", "input")  # elements without an end


class Page(HTMLParser):
    """The elements of a page with their attributes, its text, and the data of its script."""

    def __init__(self, text: str):
        super().__init__()
        self.elements, self.text, self.open, self.data = [], "", [], None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.elements.append((tag, attributes))
        if tag not in VOID:
            self.open.append((tag, attributes))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag
        if tag in ("dt", "dd", "td", "th", "option", "summary"):
            self.text += " "

    def handle_data(self, data):
        tag, attributes = self.open[-1] if self.open else ("", {})
        if attributes.get("type") == "application/json":
            self.data = json.loads(data)
        elif tag not in ("script", "style"):
            self.text += data

    def attributes(self, tag, name) -> list[dict]:
        return [attributes for kind, attributes in self.elements if kind == tag and name in attributes]


def pieces(function: dict[str, Any]) -> list[tuple[str, int, int]]:
    """The runs of a function's code: text, value of the token (-1: none), and syntax (0: none)."""
    units, begin, result = function.get("code", "").encode("utf-16-le"), 0, []
    runs = [int(number) for number in function.get("runs", "").split()]
    for length, style in zip(runs[::2], runs[1::2], strict=True):
        text = units[2 * begin : 2 * (begin + length)].decode("utf-16-le")
        result.append((text, style // NUM_LOOKS - 1, style % NUM_LOOKS))
        begin += length
    assert 2 * begin == len(units)
    return result
