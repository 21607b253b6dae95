"""Splits source code into lexical tokens: to count them, and to find functions that differ in layout or comments only.

The builder of data sets (Data/) and the check of finished ones (ltp_pipeline/check_data.py) both use these rules, so
that they agree on which functions are duplicates.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from ltp_pipeline.code.languages import LANGUAGES, Language

_STRING = r'"(?:\\.|[^"\\\n])*"|' + r"'(?:\\.|[^'\\\n])*'"
_SIGN = r"<<=|>>=|->|\+\+|--|&&|\|\||<<|>>|::|[-+*/%&|^!=<>]=|\S"
_C = re.compile(
    r"//(?:\\\n|[^\n])*|/\*.*?(?:\*/|\Z)"  # comments; a backslash at the end of a line continues a // comment
    r'|(?P<token>(?:u8|[uUL])?R"(?P<delimiter>[^()\\\s]{0,16})\(.*?\)(?P=delimiter)"'  # C++ raw string
    rf"|{_STRING}|\.?\d(?:'?\w|\.)*|\w+|{_SIGN})",  # 1'000 and 1.5f are one token each
    re.DOTALL,
)
_RULES = {
    "c": _C,
    "cpp": _C,
    "python": re.compile(
        r'#[^\n]*|(?P<token>"""(?:\\.|[^\\])*?"""|' + rf"'''(?:\\.|[^\\])*?'''|{_STRING}|\.?\d[\w.]*|\w+|{_SIGN})",
        re.DOTALL,
    ),
    "powershell": re.compile(
        r"<#.*?(?:#>|\Z)|#[^\n]*"
        r"""|(?P<token>@"\n.*?\n"@|@'\n.*?\n'@|"(?:`.|""|[^"`])*"|'(?:''|[^'])*'|[\w$]+|\S)""",
        re.DOTALL,
    ),
}


def code_tokens(text: str, language: Language = LANGUAGES["c"]) -> list[str]:
    """The tokens of `text` in order, without white space and comments.

    >>> code_tokens('a >>= 1.5f;  // why')
    ['a', '>>=', '1.5f', ';']
    """
    return [match["token"] for match in _RULES[language.name].finditer(text) if match["token"]]


def token_hash(tokens: Sequence[str]) -> bytes:
    """16 bytes that identify the sequence of tokens."""
    return hashlib.blake2b("\n".join(tokens).encode("utf-8", errors="replace"), digest_size=16).digest()
