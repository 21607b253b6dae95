"""The report of a scan in Chromium: it is operated as a reader would, with a pointer, keys and a screen reader."""

from dataclasses import replace

import pytest

from ltp_pipeline.scan.finding import KeptTokens
from ltp_pipeline.scan.reports.page import write_page
from tests.ltp_pipeline.scan.made_reports import COPY, make_finding, make_report

NAMES = [f"src/f{i}.c" for i in range(12)]
HOSTILE = (
    "</script><script>window.hacked=1</script>",
    '"><img src=x onerror=window.hacked=1>',
    "<!--<script>window.hacked=1//-->",
    "javascript:window.hacked=1",
    "\u202egnp.exe\u2066\u200f\u3164\x1b[2J\x00\ud800",
    "{{7*7}}${alert(1)}`",
    "<svg/onload=window.hacked=1>",
    "&lt;b&gt; &amp;",
)


def rows(browser) -> list[str]:
    return browser.run(
        "[...document.querySelectorAll('#rows tbody a')].map(a => a.closest('tr').cells[2].textContent)"
    )


def text(browser, selector: str) -> str:
    return browser.run(f"document.querySelector({selector!r}).innerText")


def fill(browser, selector: str, value: str) -> None:
    """Sets a control as a reader would: with an event."""
    browser.run(
        f"(c => {{ c.value = {value!r}; c.dispatchEvent(new Event('input', {{ bubbles: true }}));"
        f"c.dispatchEvent(new Event('change', {{ bubbles: true }})) }})(document.querySelector({selector!r}))"
    )
    browser.settle()


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The address of a report of 12 findings; each second one has another class, and the third is known."""
    kept = KeptTokens((0, 4, 9), (3, 8, 10), (2, 0, 1), 2)
    findings = [
        replace(make_finding(0.99 - i / 20, "CWE-120" if i % 2 else "CWE-78", kept=kept, path=path), is_new=i != 2)
        for i, path in enumerate(NAMES)
    ]
    findings[4] = make_finding(0.79, "CWE-78", kept=kept, path=NAMES[4], text=COPY * 2, name="long")
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_page(make_report(findings), path)
    return path.as_uri()


def test_it_loads_without_a_message_and_asks_for_nothing_else(browser, report):
    browser.open(report)
    assert browser.problems() == []
    assert browser.requests() == [report]
    assert rows(browser) == [f"{name}:10" for name in NAMES]
    assert text(browser, "#name") == "copy" and text(browser, "#verdict") == "CWE-78, probability 0.990"
    assert [line.strip() for line in text(browser, "#code").split("\n")][0] == "int copy(char *to)"


def test_the_list_is_sorted_by_its_heads(browser, report):
    browser.open(report)
    browser.run("document.querySelectorAll('#rows th button')[2].click()")
    assert rows(browser)[:3] == [f"src/f{i}.c:10" for i in (0, 1, 2)]  # f2 before f10
    browser.run("document.querySelectorAll('#rows th button')[2].click()")
    assert rows(browser)[:3] == [f"src/f{i}.c:10" for i in (11, 10, 9)]
    sorts = "[...document.querySelectorAll('#rows th')].map(th => th.getAttribute('aria-sort'))"
    assert browser.run(sorts) == ["none", "none", "descending", "none", "none", "none"]
    browser.run("document.querySelectorAll('#rows th button')[4].click()")  # lines: the longest first
    assert rows(browser)[:2] == ["src/f4.c:10", "src/f0.c:10"]


def test_the_list_is_filtered(browser, report):
    browser.open(report)
    fill(browser, "#words", "F1 src")
    assert rows(browser) == ["src/f1.c:10", "src/f10.c:10", "src/f11.c:10"]
    assert text(browser, "#count") == "3 of 12 functions"
    fill(browser, "select[data-column='3']", "CWE-120")
    assert rows(browser) == ["src/f1.c:10", "src/f11.c:10"]
    fill(browser, "input[data-column='0']", "0.9")
    assert rows(browser) == ["src/f1.c:10"]
    browser.run("document.querySelector('#filters button').click()")
    browser.settle()
    assert len(rows(browser)) == 12
    fill(browser, "input[data-column='4'][data-test=least]", "10")
    assert rows(browser) == ["src/f4.c:10"]
    fill(browser, "input[data-column='4'][data-test=most]", "11")
    assert rows(browser) == [] and text(browser, "#count") == "0 of 12 functions"
    browser.press("n")  # there is nothing to go to
    assert browser.problems() == []


def test_with_a_baseline_the_new_findings_are_shown_first(browser, tmp_path):
    findings = [replace(make_finding(path=path), is_new=i % 3 == 0) for i, path in enumerate(NAMES)]
    write_page(make_report(findings, baseline="old.sarif"), tmp_path / "report.html")
    browser.open((tmp_path / "report.html").as_uri())
    assert rows(browser) == [f"src/f{i}.c:10" for i in (0, 3, 6, 9)]
    fill(browser, "select[data-column='5']", "in the baseline")
    assert len(rows(browser)) == 8
    assert browser.problems() == []


def test_keys_go_through_the_list_and_back(browser, report):
    browser.open(report)
    place = "location.hash"
    browser.press("n", "j", "n")
    assert browser.run(place) == "#f3" and text(browser, "#place").startswith("4 of 12")
    assert text(browser, "#spoken") == "4 of 12: copy, CWE-120, probability 0.840"
    browser.press("p", "k")
    assert browser.run(place) == "#f1"
    browser.press("/")
    assert browser.run("document.activeElement.id") == "words"
    browser.press("f", "5")
    assert rows(browser) == ["src/f5.c:10"] and browser.run(place) == "#f1"  # letters are text there
    browser.press("Escape")
    assert len(rows(browser)) == 12
    browser.press("Escape")
    focused = "document.activeElement.getAttribute('href')"
    assert browser.run(focused) == "#f1"
    browser.press("ArrowDown", "ArrowDown")
    assert browser.run(focused) == "#f3" and browser.run(place) == "#f3"
    browser.press("Enter")
    assert browser.run("document.activeElement.id") == "name" and browser.run(place) == "#f3"
    browser.press("n")
    assert browser.run("document.activeElement.id") == "name" and browser.run(place) == "#f4"
    browser.press("Escape")
    assert browser.run(focused) == "#f4"
    browser.run("document.getElementById('keys').click()")
    browser.press("n")
    assert browser.run(place) == "#f4"
    assert browser.problems() == []


def test_each_element_that_is_operated_has_a_name_and_the_list_one_stop_of_the_tab_key(browser, report):
    browser.open(report)
    nodes = browser.call("Accessibility.getFullAXTree")["nodes"]
    shown = [
        (node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes if not node.get("ignored")
    ]
    operated = {
        "button",
        "combobox",
        "MenuListPopup",
        "slider",
        "searchbox",
        "spinbutton",
        "checkbox",
        "link",
        "region",
    }
    assert [role for role, name in shown if role in operated - {"MenuListPopup"} and not name] == []
    for role, name in (
        ("slider", "After layer"),
        ("searchbox", "Search"),
        ("columnheader", "Probability"),
        ("heading", "copy"),
        ("region", "copy"),
        ("main", ""),
        ("DisclosureTriangle", "Left out (1)"),
    ):
        assert (role, name) in shown, (role, name)  # fmt: skip
    live = [node for node in nodes if node["role"].get("value") == "status"]
    assert len(live) == 3  # number of rows, tokens alive, and what was opened
    assert browser.run("document.querySelectorAll('#rows a[tabindex=\"0\"]').length") == 1
    assert browser.run("document.querySelector('#rows a[aria-current]').getAttribute('href')") == "#f0"


def test_the_slider_dims_and_hides_pruned_text(browser, report):
    browser.open(report)
    state = "[...document.querySelectorAll('#code .t')].map(t => [t.textContent, t.className.split(' ').pop()])"
    assert [word for word, _ in browser.run(state)] == ["int", "copy", "c"]
    fill(browser, "#layer", "1")
    assert text(browser, "#alive") == "after layer 1 of 2: 2 of 3 tokens"
    assert ["copy", "leaves"] in browser.run(state)
    browser.press("ArrowRight")
    assert browser.run("document.getElementById('layer').getAttribute('aria-valuetext')") == (
        "after layer 2 of 2: 1 of 3 tokens"
    )
    assert browser.run(state)[1:] == [["copy", "gone"], ["c", "leaves"]]
    browser.press("h")
    assert text(browser, "#code").split("\n") == ["int ·(·har *to)", "lines 11 to 18: no token alive"]
    browser.press("ArrowLeft", "ArrowLeft", "ArrowLeft")
    assert text(browser, "#alive") == "all text: 3 of 3 tokens" and "strcpy(own, to)" in text(browser, "#code")


def test_lines_and_tokens_are_shaded_on_demand(browser, report):
    browser.open(report)
    shaded = (
        "[...document.querySelectorAll('.line[style]')].map(l => [l.dataset.n, l.style.getPropertyValue('--shade')])"
    )
    assert browser.run(shaded) == [["12", "0.444"], ["16", "1.000"]]
    colour = "getComputedStyle(document.querySelector('[data-n=\"16\"]')).backgroundColor"
    by_line = browser.run(colour)
    browser.run("document.querySelector('#ranked button').click()")
    assert browser.run("document.querySelector('.line.found').dataset.n") == "16"
    fill(browser, "#shade", "layers")
    assert browser.run(colour) != by_line
    tokens = "[...document.querySelectorAll('#code .t')].map(t => t.style.getPropertyValue('--shade'))"
    assert browser.run(tokens) == ["1.000", "", "0.500"]
    assert text(browser, "#legend").split() == [
        *("removed", "in", "layer", "1", "2", "kept", ";", "shaded", "line", "number:", "score", "of", "the", "line")
    ]
    browser.press("n")
    assert browser.run("document.getElementById('shade').value") == "layers"  # the choice stays


def test_light_and_dark(browser, report):
    colour = "getComputedStyle(document.body).backgroundColor"
    browser.open(report, scheme="dark")
    assert browser.run(colour) == "rgb(13, 17, 23)"
    browser.emulate("light")
    assert browser.run(colour) == "rgb(255, 255, 255)"
    fill(browser, "#theme", "dark")
    assert browser.run(colour) == "rgb(13, 17, 23)"
    browser.open(report, scheme="light")  # it is remembered
    assert browser.run(colour) == "rgb(13, 17, 23)"
    fill(browser, "#theme", "light dark")
    assert browser.run(colour) == "rgb(255, 255, 255)"


def test_hostile_text_does_nothing(browser, tmp_path):
    findings = [
        make_finding(path=hostile, name=hostile, label=hostile, text=f"/* {hostile} */ {hostile}\n", language=language)
        for hostile in HOSTILE
        for language in ("c", "powershell")
    ]
    everything = " ".join(HOSTILE)
    write_page(
        make_report(findings, model=everything, ranking_note=everything, settings={everything: everything}),
        tmp_path / "report.html",
    )
    address = (tmp_path / "report.html").as_uri()
    browser.open(address)
    for number, hostile in enumerate(HOSTILE):
        browser.run(f"location.hash = 'f{2 * number}'")
        browser.settle()
        shown = hostile if number != 4 else r"\u202egnp.exe\u2066\u200f\u3164\x1b[2J\x00\ud800"
        assert text(browser, "#name") == shown
        assert text(browser, "#code").strip() == f"/* {shown} */ {shown}"
    assert browser.run("window.hacked") is None
    assert browser.run("document.querySelectorAll('img, svg, script').length") == 2
    assert browser.problems() == [] and set(browser.requests()) == {address}


def test_only_its_own_script_runs(browser, report):
    """Should a text ever become an element, the policy stops it."""
    browser.open(report)
    added = "(e => { e.textContent = 'window.hacked = 1'; document.body.append(e) })(document.createElement('script'))"
    with pytest.raises(AssertionError, match="TrustedScript|Trusted"):
        browser.run(added)
    with pytest.raises(AssertionError, match="TrustedHTML|Trusted"):
        browser.run("document.body.innerHTML = '<img src=x onerror=window.hacked=1>'")
    assert browser.run("window.hacked") is None


def test_nothing_found(browser, tmp_path):
    write_page(make_report([]), tmp_path / "report.html")
    browser.open((tmp_path / "report.html").as_uri())
    assert browser.problems() == []
    assert text(browser, "main").startswith("No finding: none of the other 11 functions")
    assert "src/d.c" in text(browser, "body") and "lib/x.c" not in text(browser, "body")
    browser.press("n", "Escape", "ArrowRight")
    assert browser.problems() == []


def test_a_long_file_is_drawn_where_the_reader_is(browser, tmp_path):
    lines = [f"int x{i} = {i};" for i in range(20_000)] + ["x;" * 20_000]
    code = "\n".join(lines)
    finding = make_finding(text=code, name="", first_line=1, lines=((15_000, 0.5),))
    write_page(make_report([finding]), tmp_path / "report.html")
    browser.open((tmp_path / "report.html").as_uri())
    assert browser.run("document.querySelectorAll('#code .line').length") < 1000
    height = "document.getElementById('code').scrollHeight"
    before = browser.run(height)
    browser.run("document.querySelector('#ranked button').click()")
    browser.settle()
    assert text(browser, "[data-n='15000']") == "int x14999 = 14999;"
    browser.run("scrollTo(0, 1e7)")
    browser.settle()
    assert text(browser, "[data-n='20001']") == "x;" * 20_000
    assert browser.run("document.querySelectorAll('[data-n=\"20001\"] *').length") <= 4000
    assert abs(browser.run(height) - before) < 5
    assert browser.problems() == []


def test_two_thousand_functions(browser, tmp_path):
    """CPU time, because the machine may be busy. It includes that of Chromium's start."""
    findings = [make_finding(1 - i / 4000, path=f"src/{i % 97}/{i}.c", text=COPY * 5) for i in range(2000)]
    write_page(make_report(findings), tmp_path / "report.html")
    browser.open((tmp_path / "report.html").as_uri())
    assert browser.cpu_seconds() < 2
    assert len(rows(browser)) == 100
    browser.run("document.querySelectorAll('#rows th button')[2].click()")
    assert rows(browser)[0] == "src/0/0.c:10"
    browser.run("document.getElementById('pane').scrollTop = 1e6")
    browser.settle()
    browser.settle()
    assert len(rows(browser)) > 100
    browser.run("location.hash = 'f1999'")
    browser.settle()
    assert text(browser, "#verdict") == "defective, probability 0.500"
    assert browser.run("document.querySelector('#rows tr.now').cells[2].textContent") == "src/59/1999.c:10"
    assert browser.problems() == []
