"""How source files are decoded, and which are left out for their content."""

import pytest

from ltp_pipeline.files.source_text import BINARY, EMPTY, decode_source, why_no_text


@pytest.mark.parametrize(
    "content, text",
    [
        (b"a\r\nb\rc\n", "a\nb\nc\n"),
        (b"\xef\xbb\xbfint \xc3\xa4;", "int \u00e4;"),
        (b"int \xe4;", "int \u00e4;"),
        (b"a\0b", "ab"),
        (b"a\r\0\nb", "a\nb"),
        (b"a\rb\rc", "a\nb\nc"),
        (b"a\r\nb\nc\rd\r\n\r\n", "a\nb\nc\nd\n\n"),
        (b"a\x0c\x0b\xc2\x85\xe2\x80\xa8b", "a\x0c\x0b\x85\u2028b"),  # none of them ends a line
        (b"say \x93hello\x94", "say \u201chello\u201d"),
        (b"int a;\n" + bytes(300), "int a;\n"),
    ],
)
def test_decode_source(content, text):
    assert decode_source(content) == text


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_one_newline_a_line_in_every_encoding(encoding, mark, newline):
    text = "function Get-\u041f\u0440\u0438 {\n    # \u4e2d \u00e9\n    1\n}\n\nlast\n"
    assert decode_source((mark + text.replace("\n", newline)).encode(encoding)) == text


@pytest.mark.parametrize("text, reason", [("", EMPTY), (" \n\0\t", EMPTY), ("a\x01\x02", BINARY), ("int a;\0", "")])
def test_content_that_is_left_out(text, reason):
    assert why_no_text(text) == reason
