"""Finds words that say what a function's label is: `bad` in `badSink`, `CWE` in `CWE121_char_alloca`.

The names of library functions and types, such as `strcpy`, are no such words, however often they occur in defective
functions: they are what a model is to learn from.
"""

from __future__ import annotations

import re

# what is reported -> the words that an identifier, a comment or a string may contain
TELLING = {
    "bad": ("bad",),
    "good": ("good",),
    "CWE": ("cwe", "cwes"),
    "CVE": ("cve", "cves"),
    "vulnerable": ("vuln", "vulns", "vulnerable", "vulnerability", "vulnerabilities"),
    "flaw": ("flaw", "flaws", "flawed"),
    "bug": ("bug", "bugs", "buggy"),
    "fix": ("fix", "fixed", "fixes", "unfixed"),
    "patch": ("patch", "patched", "patches", "unpatched"),
    "malicious": ("malicious", "malware"),
    "benign": ("benign",),
    "test case": ("testcase", "testcases"),
}
_MEANING = {word: meaning for meaning, words in TELLING.items() for word in words}
_SHORTEST = [word for word in _MEANING if not any(other != word and other in word for other in _MEANING)]
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")  # in an identifier: CWE in CWE121, Sink in badSink
_TEST_CASE = re.compile(r"test[ _-]?case", re.IGNORECASE)


def telling_words(text: str) -> set[str]:
    """The keys of TELLING whose words occur in a text, as whole words or as parts of identifiers.

    >>> sorted(telling_words("dataBadBuffer = prefix; /* FIXED: CWE-121 */"))
    ['CWE', 'bad', 'fix']
    """
    lower = text.lower()
    found = set()
    if any(word in lower for word in _SHORTEST):
        found = {_MEANING[word] for word in set(map(str.lower, _WORD.findall(text))) & _MEANING.keys()}
    if _TEST_CASE.search(text):
        found.add("test case")
    return found


def without_telling_words(text: str, other: str) -> str:
    """The text with `other` instead of each word that `telling_words` finds."""
    replaced = _WORD.sub(lambda word: other if word[0].lower() in _MEANING else word[0], text)
    return _TEST_CASE.sub(other, replaced)
