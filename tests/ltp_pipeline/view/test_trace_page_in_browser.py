"""The page of ltp_test.py in Chromium."""

import numpy as np

from ltp_pipeline.view.trace_page import html_page
from tests.ltp_pipeline.view.traces import make_trace

CELLS = "[...document.querySelectorAll('#layers tbody tr')].map(r => [...r.cells].map(c => c.innerText.trim()))"
TOKENS = "[...document.querySelectorAll('#code .t')].map(t => [t.textContent, t.className.replace(/^t */, '')])"


def opened(browser, tmp_path, *traces, scheme="light"):
    (tmp_path / "page.html").write_text(html_page([*traces], "checkpoint", "Warning: a note"), encoding="utf-8")
    browser.open((tmp_path / "page.html").as_uri(), scheme=scheme)
    assert browser.problems() == []


def test_it_shows_layers_tokens_lines_and_what_they_mean(browser, tmp_path):
    opened(browser, tmp_path, make_trace(line_scores=np.array([0.5, 2.0, -1, 0, 0])), make_trace(name="two"))
    body = browser.run("document.body.innerText")
    for part in (
        "Warning: a note",
        "predicted 1 (probability 0.875), label 1: right",
        "18 tokens, 2 kept by all layers",
    ):
        assert part in body
    assert browser.run("document.querySelector('#verdict').className") == "right"
    assert browser.run(CELLS) == [
        [str(i), "", str(layer.alive), str(layer.removed), f"{layer.threshold:.3g}", layer.scores]
        for i, layer in enumerate(make_trace().layers(), start=1)
    ]
    assert browser.run("document.querySelector('#layers .bar i').style.width") == "44.44%"
    lines = browser.run("[...document.querySelectorAll('#code .line')].map(l => [l.className, l.textContent])")
    assert lines == [["line", "if (x < 1)↵"], ["line flaw", '\tputs("a");↵'], ["line", "↵"], ["line", "end();↵"]]
    specials, ranked = (browser.run(f"document.getElementById({name!r}).innerText") for name in ("specials", "ranked"))
    assert specials.split() == ["special", "tokens:", "<s>", "</s>"]
    assert ranked.split() == "lines that speak most for class 1: 2 (2) 1 (0.5)".split()


def test_layers_are_stepped_through_and_tokens_say_their_scores(browser, tmp_path):
    opened(browser, tmp_path, make_trace())
    assert browser.run("document.querySelector('#code').dataset.shade") == "layers"
    kept = "[...document.querySelectorAll('#code .kept')].map(t => t.textContent)"
    assert browser.run(kept) == ["puts"]
    browser.press("ArrowRight", "ArrowRight")
    assert browser.run("document.querySelector('#layers tr.now').cells[0].innerText") == "2"
    state = dict(browser.run(TOKENS))
    assert "leaves" in state["x"] and state["if"] == "keyword gone" and state["puts"] == "kept"
    browser.run("document.getElementById('shade').value = 'scores'")
    browser.run("document.getElementById('shade').dispatchEvent(new Event('change'))")
    shades = "[...document.querySelectorAll('#code .t[style]')].map(t => [t.textContent, t.style.cssText])"
    assert browser.run(shades)[0] == ["<", "--shade: 1.000;"]
    tip = (
        "(t => { t.dispatchEvent(new PointerEvent('pointerover', { bubbles: true })); return t.title })"
        "([...document.querySelectorAll('#code .t')].find(t => t.textContent === 'x'))"
    )
    assert browser.run(tip).split("\n") == [
        *(
            "x  (token 3): removed in layer 2",
            "layer 1: score 0.9, threshold 0.1",
            "layer 2: score 0.01, threshold 0.2",
        )
    ]


def test_characters_of_a_line_are_in_the_order_of_the_file(browser, tmp_path):
    """Hebrew and Arabic letters would turn the order of what is between them."""
    opened(browser, tmp_path, make_trace("\u05d0 = 1 + \u05d1;", ["\u05d0", "1", "\u05d1;"], [0] * 5))
    left = "[...document.querySelectorAll('#code .t')].map(t => Math.round(t.getBoundingClientRect().left))"
    places = browser.run(left)
    assert places == sorted(places) and len(set(places)) == 3
