import re
from html.parser import HTMLParser

import numpy as np
import pytest

from ltp_pipeline.model.ranking_note import ranking_note
from ltp_pipeline.task.tasks import CODE
from ltp_pipeline.view.page import html_page
from tests.ltp_pipeline.view.traces import make_trace
from transformer_revised import LTPConfig


class Page(HTMLParser):
    """What a browser would make of the page: elements with attributes, the text of the lines, and the other text."""

    def __init__(self, text: str):
        super().__init__()
        self.elements, self.lines, self.text, self.open = [], [], "", []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.elements.append((tag, attributes))
        if attributes.get("class", "").startswith("line"):
            self.lines.append("")
        if tag != "meta":
            self.open.append((tag, attributes.get("class", "")))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        if any(kind.startswith("line") for _, kind in self.open):
            self.lines[-1] += data
        else:
            self.text += data

    def attributes(self, tag, name) -> list[dict]:
        return [attributes for kind, attributes in self.elements if kind == tag and name in attributes]


def test_the_page_is_well_formed_and_needs_no_other_file():
    text = html_page([make_trace(), make_trace(name="two")], "ck")
    page = Page(text)
    assert page.open == []
    assert not re.search(r"(src|href)=\"(?!#)|url\(|@import|https?:|\{\{|\{%", text)
    assert {"script", "style"} <= {tag for tag, _ in page.elements} and not page.attributes("link", "href")
    assert [button["data-step"] for button in page.attributes("button", "data-step")] == ["-1", "0", "1", "2", "3"]
    assert [section["id"] for section in page.attributes("section", "id")] == ["f0", "f1"]
    assert [link["href"] for link in page.attributes("a", "href")] == ["#f0", "#f1"]
    assert "prefers-color-scheme: dark" in text
    for layer in range(1, 4):
        assert f".map .a{layer} {{ background: hsl(" in text


def test_lines_and_tables_show_the_function():
    page = Page(html_page([make_trace(source='if (x < 1)\n\tputs("a");\n\nend();\nunread')], "t"))
    assert page.lines == ["if (x < 1)↵", '    puts("a");↵', "↵", "end();↵"]
    lines = page.attributes("div", "data-n")
    assert [line["class"] for line in lines] == ["line", "line flaw", "line", "line"]
    assert [line["data-n"] for line in lines] == ["1", "2", "3", "4"]
    text = re.sub(r"\s+", " ", page.text)
    for part in ("test.csv row 7 predicted 1 ", "; flaw line 2: ", "; the model did not read the last 6 "):
        assert part in text
    assert [bar["style"] for bar in page.attributes("i", "style")] == ["width:44.44%", "width:22.22%", "width:11.11%"]


def test_the_gutter_is_shaded_by_line_scores():
    trace = make_trace(line_scores=np.array([0.5, 2.0, -np.inf, -1.0, -np.inf]))
    page = Page(html_page([trace], "t"))
    assert [line.get("style") for line in page.attributes("div", "data-n")] == ["--s:0.25", "--s:1.00", None, None]
    assert "; lines that speak most for class 1: 2 (2), 1 (0.5)" in re.sub(r"\s+", " ", page.text)


@pytest.mark.parametrize("teacher", [None, "attention", "relevance"])
def test_how_the_ranking_was_taught_stands_before_the_legend(teacher):
    note = ranking_note(LTPConfig(rank_teacher=teacher), CODE)
    text = html_page([make_trace()] * 2, "t", note)
    page = Page(text)
    assert page.attributes("p", "role") == [{"class": "note" if teacher else "note warning", "role": "note"}]
    assert page.text.count(note) == 1
    assert page.text.index(note) < page.text.index("colour of a token") < page.text.index("alive after the layer")
    assert ".note { color: var(--fg); background: var(--panel);" in text  # both have values for light and for dark
    assert not Page(html_page([make_trace()], "t")).attributes("p", "role")


def test_tokens_carry_fate_and_scores():
    tokens = Page(html_page([make_trace()], "t")).attributes("span", "data-a")
    assert len(tokens) == 18 + 1  # the token "\n\n" is shown on two lines
    by_text = {token["title"].split("  ")[0]: token for token in tokens}
    assert by_text["puts"] == {
        "class": "t a3",
        "data-a": "3",
        "data-s": "0.9 0.9 0.9",
        "title": "puts  (token 9): kept\nlayer 1: score 0.9, threshold 0.1\nlayer 2: score 0.9, threshold 0.2\n"
        "layer 3: score 0.9, threshold 0.3",
    }
    x = by_text["x"]
    assert (x["data-a"], x["data-s"]) == ("1", "0.9 0.01")
    assert x["title"].splitlines()[0] == "x  (token 3): removed in layer 2" and len(x["title"].splitlines()) == 3
    assert by_text["<s>"]["class"] == "t a3 special" and by_text["</s>"]["class"] == "t a1 special"


@pytest.mark.parametrize("hostile", ["</script><script>x()</script>", '" onerror="x()', "' onload='x()", "<img x>"])
def test_hostile_code_name_title_and_tokens_are_text(hostile):
    source = f"a{hostile}&amp;{{{{ 7 * 7 }}}}\u202e\x1b"
    trace = make_trace(source, ["a", hostile, "&amp;", "{{ 7 * 7 }}", "\u202e\x1b"], [0] * 7, name=hostile)
    trace.tokens[0] = hostile
    harmless = Page(html_page([make_trace("ab", ["a", "b"], [0] * 4)] * 2, "t", "note"))
    text = html_page([trace, trace], hostile, hostile)
    page = Page(text)
    assert page.lines == [source.replace("\u202e\x1b", "\\u202e\\x1b")] * 2
    # title, heading and note; link, name and special token of each function
    assert page.text.count(hostile) == 3 + 2 * 3
    assert text.count("</script>") == 1 and "\x1b" not in text
    names = {name for _, attributes in page.elements for name in attributes}
    assert names <= {name for _, attributes in harmless.elements for name in attributes}
    assert {tag for tag, _ in page.elements} == {tag for tag, _ in harmless.elements}
    assert any(token["title"].startswith(f"{hostile}  (token 2)") for token in page.attributes("span", "title"))


def test_characters_of_a_line_are_in_the_order_of_the_file():
    """Hebrew and Arabic letters would turn the order of what is between them."""
    text = html_page([make_trace("\u05d0 = 1 + \u05d1;", ["\u05d0", "1", "\u05d1;"], [0] * 5)], "t")
    assert re.search(r"\.line \{ direction: ltr; unicode-bidi: isolate-override;", text)


def test_a_token_of_many_lines_makes_no_page_of_quadratic_size():
    """Each of its lines shows the token's text."""

    def size(lines):
        text = "\n" * lines
        trace = make_trace(text, [text], [3, 3, 3], offsets=np.array([(0, 0), (0, lines), (0, 0)]), flaw_lines=())
        return len(html_page([trace], "t"))

    small, large = size(1000), size(4000)
    assert large < 4.5 * small
