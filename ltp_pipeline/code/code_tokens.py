"""Splits source code into lexical tokens: to count them, and to find functions that differ in layout or comments only.

The builder of data sets (Data/) and the check of finished ones (ltp_pipeline/check_data.py) both use these rules, so
that they agree on which functions are duplicates.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from ltp_pipeline.code.languages import LANGUAGES, Language

_STRING = r""" "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*' """
_SIGN = r"<<=|>>=|->|\+\+|--|&&|\|\||<<|>>|::|[-+*/%&|^!=<>]=|\S"
_C = rf"""
    //(?:\\\n|[^\n])* | /\*.*?(?:\*/|\Z)  # comments; a backslash continues a // comment on the next line
    | (?P<token>
        (?:u8|[uUL])?R"(?P<delimiter>[^()\\\s]{{0,16}})\(.*?\)(?P=delimiter)"  # raw string
        | {_STRING}
        | \.?\d(?:'?\w|\.)*  # number: 1'000 and 1.5f are one token each
        | \w+
        | {_SIGN}
    )"""
_PYTHON = rf"""
    \#[^\n]*
    | (?P<token>
        \"{{3}}(?:\\.|[^\\])*?\"{{3}} | '{{3}}(?:\\.|[^\\])*?'{{3}}
        | {_STRING}
        | \.?\d[\w.]*
        | \w+
        | {_SIGN}
    )"""
_POWERSHELL = r"""
    <\#.*?(?:\#>|\Z) | \#[^\n]*
    | (?P<token>
        @"\n.*?\n"@ | @'\n.*?\n'@ | "(?:`.|\"{2}|[^"`])*" | '(?:'{2}|[^'])*'
        | [\w$]+
        | \S
    )"""
_RULES = {
    name: re.compile(rule, re.DOTALL | re.VERBOSE)
    for name, rule in {"c": _C, "cpp": _C, "python": _PYTHON, "powershell": _POWERSHELL}.items()
}


def code_tokens(text: str, language: Language = LANGUAGES["c"]) -> list[str]:
    """The tokens of `text` in order, without white space and comments.

    >>> code_tokens('a >>= 1.5f;  // why')
    ['a', '>>=', '1.5f', ';']
    """
    return [token for match in _RULES[language.name].finditer(text) if (token := match["token"])]


def token_hash(tokens: Sequence[str]) -> bytes:
    """16 bytes that identify the sequence of tokens."""
    return hashlib.blake2b("\n".join(tokens).encode("utf-8", errors="replace"), digest_size=16).digest()
