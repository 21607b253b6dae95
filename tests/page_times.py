"""Measures in headless Chromium how fast a report of ltp_scan.py opens and answers: python -m tests.page_times FILE"""

import sys
import tempfile
from pathlib import Path
from statistics import median

from tests.browser import Browser

LOADED = "performance.getEntriesByType('navigation')[0].loadEventEnd"
TIMED = """new Promise(done => {{ const begin = performance.now(); {script};
    requestAnimationFrame(() => setTimeout(() => done(performance.now() - begin))) }})"""
FRAMES = """new Promise(done => {{ const times = [], element = {element}; let before = performance.now();
    requestAnimationFrame(function next(now) {{ times.push(now - before); before = now; element.scrollTop += 150;
      if (times.length < 120) requestAnimationFrame(next); else done(times) }}) }})"""
ACTIONS = {
    "sort by place": "document.querySelectorAll('#rows th button')[2].click()",
    "sort by probability": "document.querySelectorAll('#rows th button')[0].click()",
    "search": "find('words').value = 'e'; arrange()",
    "next function": "step(1)",
    "one layer on": "change_layer(1)",
    "hide pruned text": "KEYS.h()",
}
ROUNDS = 5


def main(path: Path) -> None:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        browser = Browser(Path(folder))
        try:
            times, computed = [], []
            for _ in range(ROUNDS):
                browser.open(path.resolve().as_uri())
                times.append(browser.run(LOADED))
                computed.append(1000 * browser.cpu_seconds())
            print(f"{path.stat().st_size / 1e6:.1f} MB, {browser.run('functions.length')} functions")
            report("load event, first rows and first function drawn", times)
            report("CPU time of that, all threads", computed)
            for name, script in ACTIONS.items():
                report(name, [browser.run(TIMED.format(script=script)) for _ in range(ROUNDS)])
            for name, element in (("list", "find('pane')"), ("page", "document.scrollingElement")):
                frames = browser.run(FRAMES.format(element=element))[1:]
                report(f"a frame of scrolling the {name}", frames)
        finally:
            browser.close()


def report(name: str, times: list[float]) -> None:
    print(f"{name}: median {median(times):.0f} ms, longest {max(times):.0f} ms")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
