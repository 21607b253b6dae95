"""Long and deeply nested inputs, each in a process with a limit on its memory and its CPU time.

In the suite the inputs have SIZE characters; with the environment variable FUZZ they have 10 million, and 100,000
nested brackets.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys

import pytest

FULL = "FUZZ" in os.environ
SIZE = 10_000_000 if FULL else 300_000
DEPTH = 100_000 if FULL else 20_000
MEMORY = 6 << 30 if FULL else 3 << 30  # bytes of address space, of which the imports take 1
SECONDS = 300 if FULL else 30

NESTED = {
    "braces": "{", "closed_braces": "{}", "parentheses": "(", "brackets": "[", "ifs": "#if A\n", "else": "#else\n",
    "heads": "int f(", "functions": "int f() {\n", "fstrings": "f'{", "here_strings": "@'\n", "quotes": "'",
    "subexpressions": '"$(', "defs": "def f(\n", "methods": "class C { [int] M() {\n", "raw_strings": 'R"x(',
    "attributes": "__attribute__((", "templates": "template<", "NULs": "\0", "marks": "\u202e\u2066",
    "old_style": "f(a) int a; ", "comments": "/*", "lambdas": "[]() {", "angles": "a<", "numbers": "1'",
}  # fmt: skip

EXTRACT = """
from ltp_pipeline.code.functions import SourceFile, find_functions
from ltp_pipeline.code.code_tokens import code_tokens
from ltp_pipeline.code.languages import language_of
from Data.sources.choose_files import choose_files
from ltp_pipeline.files.source_text import decode_source
pieces = {pieces!r}
for piece in pieces:
    for text in (piece * ({depth} // max(1, len(piece) // 4)), (piece * {size})[:{size} // 20]):
        for path in ("a.c", "a.cpp", "a.h", "a.py", "a.ps1"):
            file = SourceFile("p", path, decode_source(text.encode()))
            choose_files([file])
            find_functions(file)
            code_tokens(file.text, language_of(path))
"""
ONE_LINE = """
from pathlib import Path
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.files.file_formats import read_table
from ltp_pipeline.data.readers import read_functions
from Data.analysers.user_findings import read_findings
folder = Path({folder!r})
line = ("int f(int a) {{ return a + 1; }} " * {size})[:{size}]
contents = {{
    "a.csv": "functionSource,label\\n" + line + ",0\\n", "quote.csv": 'functionSource,label\\n"' + line,
    "sep.csv": "functionSource,label\\n" + "," * {size}, "a.jsonl": '{{"code": "' + line + '", "label": 0}}\\n',
    "deep.json": "[" * {size}, "digits.json": "[" + "1" * {size} + "]",
    "keys.json": "{{" + ",".join('"k%d": 0' % i for i in range({size} // 50)) + "}}",
    "nul.csv": "\\0" * {size}, "bom.csv": "\\ufeff" * {size}, "long.json": line,
}}
for name, content in contents.items():
    path = folder / name
    path.write_bytes(content.encode())
    for read in (read_functions, lambda path: read_findings(path, [])):
        try:
            read(path)
        except UserError as error:
            assert len(str(error)) < 5000, name
"""
SHOWN = """
import numpy as np
from tests.ltp_pipeline.view.traces import make_trace
from ltp_pipeline.view.trace_page import html_page
from ltp_pipeline.view.terminal import TerminalView
for source in ("x" * {size}, "\\u202e" * ({size} // 20), "\\n" * ({size} // 20), "a b " * ({size} // 20)):
    ends = np.linspace(0, len(source), 17).astype(int)
    words = [source[a:b] for a, b in zip(ends, ends[1:])]
    trace = make_trace(source, words, [0, 1, 2, 3] * 4 + [0, 0], offsets=np.array(
        [(0, 0), *zip(ends[:-1], ends[1:]), (0, 0)]), flaw_lines=())
    assert len(html_page([trace], "t")) > len(source)
    TerminalView(color=True).function(trace)
"""


def run_limited(script: str) -> None:
    """Runs a script with limits on its memory and CPU time."""

    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))

    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, preexec_fn=limit)
    assert run.returncode == 0, run.stderr[-1500:]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of memory are those of Linux")
@pytest.mark.parametrize("kind", [*NESTED] if FULL else ["all"])
def test_nested_and_long_source_files(kind):
    pieces = list(NESTED.values()) if kind == "all" else [NESTED[kind]]
    depth, size = (DEPTH, SIZE) if FULL else (2_000, 40_000)
    run_limited(EXTRACT.format(pieces=pieces, depth=depth, size=size))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of memory are those of Linux")
def test_tables_of_one_line(tmp_path):
    run_limited(ONE_LINE.format(size=SIZE, folder=str(tmp_path)))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of memory are those of Linux")
def test_views_of_long_functions():
    run_limited(SHOWN.format(size=SIZE // 5))
