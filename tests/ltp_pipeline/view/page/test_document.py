import base64
import hashlib
import re

import pytest

from ltp_pipeline.code.languages import LANGUAGES
from ltp_pipeline.view.page.code_runs import code_runs
from ltp_pipeline.view.page.document import FOLDER, Column, Document, Function, Table, render
from tests.ltp_pipeline.view.page_reader import Page

HOSTILE = [
    "</script><script>x()</script>",
    '" onerror="x()',
    "' onload='x()",
    "<img x>",
    "<!--<script>",
    "]]>",
    "{{ 7 * 7 }}",
]
COLOURS = re.compile(r"--([a-z]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\)")


def document_of(text: str = "a", count: int = 2) -> Document:
    """A document that shows `text` wherever it can."""
    code, runs = code_runs(text, [(0, 1, 2)], LANGUAGES["c"])
    token = {"text": text, "tip": text, "kept": 1, "scores": [1]}
    function = Function(text, text, [text, 0.5], code, runs, facts=[text], alive=[1, 1, 1], layers=[(text, text)])
    function.tokens, function.specials = [token] * 3, [0]
    columns = [Column("Place"), Column("Probability", "probability", "least")]
    tables = [Table("Left out", ["file"], [[text]], note=text)]
    return Document("Findings", text, columns, [function] * count, 2, text, [("figure", text)], text, tables)


def test_the_page_is_well_formed_and_needs_no_other_file():
    text = render(document_of())
    page = Page(text)
    assert page.open == []
    markup = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    assert not re.search(r"(src|href)=|url\(|@import|https?:|\{\{|\{%|style=|\son\w+=", markup)
    assert [attributes.get("type") for tag, attributes in page.elements if tag == "script"] == [
        "application/json",
        None,
    ]
    assert {"style", "script"} <= {tag for tag, _ in page.elements}


def test_only_the_own_style_and_script_are_allowed():
    text = render(document_of())
    (policy,) = [one["content"] for one in Page(text).attributes("meta", "http-equiv")]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'" and rules["base-uri"] == "'none'" and rules["form-action"] == "'none'"
    for tag, rule in (("<style>", "style-src"), ("<script>", "script-src")):
        content = text[text.index(tag) + len(tag) : text.rindex(tag.replace("<", "</"))]
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert rules[rule] == f"'sha256-{digest}'"


def test_the_script_makes_no_html_from_text():
    for script in FOLDER.glob("*.js"):
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|Function\(|DOMParser|srcdoc",
            script.read_text(),
        )


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_text_is_text(hostile):
    harmless = Page(render(document_of()))
    text = render(document_of(f"a{hostile}&amp;\u202e\x1b\n\u3164"))
    page = Page(text)
    shown = f"a{hostile}&amp;\\u202e\\x1b"
    assert page.data["functions"][0]["code"] == f"{shown}\n\\u3164"
    assert page.data["functions"][0]["name"] == f"{shown}\\n\\u3164"
    assert page.text.count(shown) == 6  # page title, title, figure, note, and twice in the table
    assert [(tag, [*attributes]) for tag, attributes in page.elements] == [
        (tag, [*attributes]) for tag, attributes in harmless.elements
    ]
    assert text.lower().count("<script") == 2 and text.count("</script>") == 2
    assert not set("\u202e\x1b\u3164") & set(text)


def test_without_functions_the_page_says_why():
    page = Page(render(document_of("nothing found", count=0)))
    assert page.data["functions"] == []
    assert "nothing found" in page.text and not page.attributes("table", "id")


def test_every_text_has_contrast():
    """Ratio of at least 4.5 (WCAG AA) of each colour of text to each colour that can be behind it."""
    style = (FOLDER / "page.css").read_text()
    colours = {name: pair for name, *pair in COLOURS.findall(style)}
    code = ("fg", "soft", "comment", "literal", "number", "keyword", "bad")
    for behind, texts in {
        "panel": (*code, "dim"),
        "heat": code[:1] + code[2:],
        "bg": (*code[:2], "bad", "good", "accent"),
        "marked": ("fg", "accent"),
    }.items():
        for text in texts:
            for light_or_dark in (0, 1):
                ratio = contrast(colours[text][light_or_dark], colours[behind][light_or_dark])
                assert ratio >= 4.5, (text, behind, light_or_dark, ratio)


def contrast(one: str, other: str) -> float:
    dark, light = sorted(map(luminance, (one, other)))
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear))
