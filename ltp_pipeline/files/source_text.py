"""Decodes source files, and says why the content of one is not used."""

from __future__ import annotations

from ltp_pipeline.base.text_encoding import decode_text, is_binary, plain_text

MAX_FILE_BYTES = 4 << 20

TOO_LARGE = f"larger than {MAX_FILE_BYTES >> 20} MiB"
BINARY = "binary"
EMPTY = "empty"


def why_no_text(text: str) -> str:
    """Why a file with this decoded text is left out, BINARY or EMPTY; "" if it is not."""
    if is_binary(text):
        return BINARY
    return "" if plain_text(text).strip() else EMPTY


def decode_source(content: bytes) -> str:
    """The text of a source file, decoded by `decode_text`.

    Line ends (`\\r\\n`, `\\r`) become `\\n`. NUL characters are removed.
    """
    return plain_text(decode_text(content)[0])
