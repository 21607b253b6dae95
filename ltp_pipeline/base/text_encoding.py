"""Decodes text of an unknown encoding: UTF-8, UTF-16 and UTF-32 with or without a byte order mark, Windows-1252."""

from __future__ import annotations

import codecs
import re
import unicodedata

# A mark of UTF-32 begins with the mark of UTF-16, so UTF-32 is tried first.
MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
MEASURED = 1_000_000  # characters from which a binary file is told
FALLBACK = "windows-1252"  # contains Latin-1's printable characters; decodes every byte here
_NAMED = re.compile(rb"coding[:=][ \t]*([-\w.]+)")  # as in `# -*- coding: cp1251 -*-` (PEP 263)
_CONTROL = re.compile("[\x01-\x08\x0e-\x19\x1c-\x1f\x7f]")  # occur in no text, apart from NUL, ^Z and escape
_BEYOND_16_BITS = re.compile("[\U00010000-\U0010ffff]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_PRINTABLE = bytes(range(0x20, 0x7F))


def decode_text(content: bytes) -> tuple[str, str]:
    """The text of a file's bytes and the encoding that was found, for example `("a = 1", "utf-16-le with a mark")`.

    The encoding is that of the byte order mark. Without a mark it is UTF-32 or UTF-16 if the positions of NUL bytes
    show it, otherwise UTF-8, the encoding that one of the first two lines names, or Windows-1252. Units that the
    encoding does not allow become U+FFFD. Leading marks are removed. NUL characters and line ends stay.
    """
    for mark, encoding in MARKS:
        if content.startswith(mark) and _fits(content[len(mark) :], encoding):
            text, used = _decode_as(content[len(mark) :], encoding)
            return text.lstrip("\ufeff"), f"{used} with a mark"
    text, used = _decode_as(content, wide_encoding(content) or "utf-8")
    return text.lstrip("\ufeff"), used


def plain_text(text: str) -> str:
    """The text without NUL characters, with `\\n` for each `\\r\\n` and each other `\\r`."""
    return text.replace("\0", "").replace("\r\n", "\n").replace("\r", "\n")


def is_binary(text: str) -> bool:
    """Whether decoded bytes are no text: more than one of 50 characters, apart from NUL, is one that no text has."""
    begin = text[:MEASURED]
    return 50 * len(_CONTROL.findall(begin)) > len(begin) - begin.count("\0")


def wide_encoding(content: bytes) -> str | None:
    """The UTF-32 or UTF-16 encoding of a text without a mark, judged by the positions of its NUL bytes; else None."""
    if b"\0" not in content:
        return None
    for encoding in ("utf-32-le", "utf-32-be"):
        text = _strictly(content, encoding)
        if (
            text
            and "\0" not in text
            and not _CONTROL.search(text)
            and 2 * len(_BEYOND_16_BITS.findall(text)) < len(text)
        ):
            return encoding
    encoding, ascii_units, pairs = _count_units(content)
    wide = _strictly(content[: len(content) // 2 * 2], encoding)
    if not ascii_units or not wide or _CONTROL.search(wide):
        return None
    narrow = _strictly(content, "utf-8")
    if narrow is not None and not _CONTROL.search(narrow):  # the bytes may as well be an 8-bit text
        return encoding if 2 * pairs <= ascii_units else None
    unassigned = pairs and any(unicodedata.category(character) in ("Cn", "Co") for character in set(wide))
    return encoding if pairs <= 3 * ascii_units and not unassigned else None


def _count_units(content: bytes) -> tuple[str, int, int]:
    """The more probable byte order of 16-bit units, and how many units are what.

    First number: units that are an ASCII character beside a NUL, as in UTF-16; 0 if both byte orders occur. Second:
    units of two printable ASCII bytes, as in an 8-bit text.
    """
    import numpy as np

    is_printable = np.zeros(256, bool)
    is_printable[[*_PRINTABLE, *b"\t\n\r"]] = True
    units = np.frombuffer(content, np.uint8, len(content) // 2 * 2).reshape(-1, 2)
    printable = is_printable[units]
    little = int((printable[:, 0] & (units[:, 1] == 0)).sum())
    big = int((printable[:, 1] & (units[:, 0] == 0)).sum())
    encoding = "utf-16-le" if little >= big else "utf-16-be"
    return encoding, max(little, big) if max(little, big) > 2 * min(little, big) else 0, int(printable.all(1).sum())


def _fits(content: bytes, encoding: str) -> bool:
    """Whether the bytes after a mark of UTF-32 are UTF-32: the mark may be one of UTF-16, followed by a NUL."""
    return not encoding.startswith("utf-32") or _strictly(content[: len(content) // 4 * 4], encoding) is not None


def _decode_as(content: bytes, encoding: str) -> tuple[str, str]:
    if encoding == "utf-8":
        text = _strictly(content, encoding)
        return (text, encoding) if text is not None else _decode_8_bit(content)
    unit = int(encoding[4:6]) // 8
    whole = len(content) // unit * unit  # the file may be cut, or a program may have appended an 8-bit character
    return content[:whole].decode(encoding, errors="replace") + content[whole:].decode("latin-1"), encoding


def _decode_8_bit(content: bytes) -> tuple[str, str]:
    """Decodes bytes that are not UTF-8: by the encoding that one of the first two lines names, else Windows-1252."""
    named = _NAMED.search(b"\n".join(content[:1000].splitlines()[:2]))
    name = named[1].decode("latin-1") if named else ""
    if name and _strictly(_PRINTABLE, name) == _PRINTABLE.decode():
        text = _strictly(content, name)
        if text is not None and not _SURROGATE.search(text):  # unicode_escape can make half characters
            return text, codecs.lookup(name).name
    text = content.decode(FALLBACK, errors="surrogateescape")
    # Windows-1252 does not define five bytes. They become the control characters that Latin-1 has for them.
    return text.translate({0xDC00 + byte: byte for byte in (0x81, 0x8D, 0x8F, 0x90, 0x9D)}), FALLBACK


def _strictly(content: bytes, encoding: str) -> str | None:
    """The decoded text; None if the bytes are not of the encoding, or Python does not know it."""
    try:
        return content.decode(encoding)
    except (LookupError, ValueError):
        return None
