"""The function extractor and what it uses: comments, literals, tokens."""

from __future__ import annotations

import re

from hypothesis import strategies as st

from Data.sources.choose_files import choose_files
from ltp_pipeline.code.code_tokens import code_tokens, token_hash
from ltp_pipeline.code.functions import SourceFile, find_functions
from ltp_pipeline.code.languages import LANGUAGES
from ltp_pipeline.code.literals import masked, spans
from tests.fuzz.limits import fuzz
from tests.fuzz.strategies import code

ENDINGS = {"c": ".c", "cpp": ".cpp", "python": ".py", "powershell": ".ps1"}
BODIES = {
    "c": "int %s(int a)\n{\n  %s\n}\n",
    "cpp": "void N::%s() try {\n  %s\n} catch (...) {}\n",
    "python": "def %s(a):\n    %s\n",
    "powershell": "function %s($a) {\n  %s\n}\n",
}


def plain(text: str) -> str:
    """The text as the readers of sources hand it over."""
    return text.replace("\0", "").replace("\r\n", "\n").replace("\r", "\n")


@st.composite
def source(draw, language: str) -> str:
    """Fragments, between them functions whose bodies hold fragments."""
    names = st.from_regex(r"[a-z]{1,5}", fullmatch=True)
    function = st.builds(lambda name, body: BODIES[language] % (name, body), names, code(max_size=4))
    return plain("".join(draw(st.lists(st.one_of(code(max_size=8), function), max_size=5))))


def check_functions(path: str, text: str) -> None:
    """What is found is text of the file at the stated lines, in order, and not inside another function."""
    functions, lost = find_functions(SourceFile("p", path, text))
    starts = [0, *(match.end() for match in re.finditer("\n", text))]
    for function in functions:
        assert 1 <= function.first_line <= len(starts)
        begin = text.find(function.source, starts[function.first_line - 1])
        assert begin >= 0 and text.count("\n", 0, begin) + 1 == function.first_line
        assert function.source.strip()
    assert [one.first_line for one in functions] == sorted(one.first_line for one in functions)
    for place in lost:
        assert 1 <= place.first_line <= place.last_line <= len(starts)
        assert "\n" not in place.head and place.reason


def extractor_target(language: str):
    @fuzz(text=source(language))
    def test(text):
        check_functions(f"a{ENDINGS[language]}", text)

    return test


test_functions_of_c = extractor_target("c")
test_functions_of_cpp = extractor_target("cpp")
test_functions_of_python = extractor_target("python")
test_functions_of_powershell = extractor_target("powershell")


@fuzz(text=source("cpp"))
def test_functions_of_a_header(text):
    check_functions("a.h", text)


@fuzz(text=source("cpp"), language=st.sampled_from(list(LANGUAGES.values())))
def test_spans_and_masked(text, language):
    found = list(spans(text, language))
    assert all(begin < end <= len(text) for begin, end, _ in found)
    assert all(before[1] <= after[0] for before, after in zip(found, found[1:]))
    code_only = masked(text, language)
    assert len(code_only) == len(text)
    assert [i for i, char in enumerate(code_only) if char == "\n"] == [
        i for i, char in enumerate(text) if char == "\n"
    ]


@fuzz(text=code(), language=st.sampled_from(list(LANGUAGES.values())))
def test_code_tokens(text, language):
    position = 0
    for token in code_tokens(text, language):
        position = text.index(token, position) + len(token)
    assert len(token_hash(code_tokens(text, language))) == 16


@fuzz(texts=st.lists(code().map(plain), max_size=4), ending=st.sampled_from(list(ENDINGS.values())))
def test_choose_files(texts, ending):
    files = [SourceFile("p", f"{number}{ending}", text) for number, text in enumerate(texts)]
    chosen, dropped = choose_files(files)
    assert len(chosen) + sum(dropped.values()) == len(files)
