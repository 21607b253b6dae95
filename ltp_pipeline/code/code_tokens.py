"""Splits source code into lexical tokens: to count them, and to find functions that differ in layout or comments only.

The builder of data sets (Data/) and the check of finished ones (ltp_pipeline/check_data.py) both use these rules, so
that they agree on which functions are duplicates.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from ltp_pipeline.code.languages import LANGUAGES, Language
from ltp_pipeline.code.literals import LITERAL, spans

_SIGN = r"<<=|>>=|->|\+\+|--|&&|\|\||<<|>>|::|[-+*/%&|^!=<>]=|\S"
_C = re.compile(rf"\.?\d(?:'?\w|\.)*|\w+|{_SIGN}")  # number: 1'000 and 1.5f are one token each
_PYTHON = re.compile(rf"\.?\d[\w.]*|\w+|{_SIGN}")
_RULES = {"c": _C, "cpp": _C, "python": _PYTHON, "powershell": re.compile(r"[\w$]+|\S")}


def code_tokens(text: str, language: Language = LANGUAGES["c"]) -> list[str]:
    """The tokens of `text` in order, without white space and comments.

    >>> code_tokens('a >>= 1.5f;  // why')
    ['a', '>>=', '1.5f', ';']
    """
    rule = _RULES[language.name]
    tokens: list[str] = []
    position = 0
    for start, end, kind in spans(text, language):
        tokens += rule.findall(text, position, start)
        if kind == LITERAL and (literal := text[start:end].strip()):
            tokens.append(literal)
        position = end
    return tokens + rule.findall(text, position)


def token_hash(tokens: Sequence[str]) -> bytes:
    """16 bytes that identify the sequence of tokens."""
    return hashlib.blake2b("\n".join(tokens).encode("utf-8", errors="replace"), digest_size=16).digest()
