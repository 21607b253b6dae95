"""Bytes of a text whose encoding nobody names."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltp_pipeline.base.text_encoding import decode_text

ENCODINGS = ("utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")
TEXTS = {
    "code": "int f(void)\r\n{\r\n    return 1; // \u00e9\r\n}\r\n",
    "cyrillic": "function Get-\u041f\u0440\u0438\u0432\u0435\u0442 {\n  # \u0442\u0435\u043a\u0441\u0442\n}\n",
    "rows of Chinese": "code,label\n" + "\u4e2d\u6587\u4e0a\u4e00\u4e8c\u4e0d\u7684,1\n" * 9,
    "beyond 16 bits": "x = '\U0001f600'\n",
    "short": "a",
}


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("name", TEXTS)
def test_with_and_without_a_mark(name, encoding):
    assert decode_text(TEXTS[name].encode(encoding)) == (TEXTS[name], encoding)
    assert decode_text(f"\ufeff{TEXTS[name]}".encode(encoding)) == (TEXTS[name], f"{encoding} with a mark")


@pytest.mark.parametrize(
    "content, text, encoding",
    [
        (b"", "", "utf-8"),
        (b"\xff\xfe", "", "utf-16-le with a mark"),
        (b"\xef\xbb\xbf\xef\xbb\xbfa", "a", "utf-8 with a mark"),
        (b"\xff\xfea\0b", "ab", "utf-16-le with a mark"),  # cut in the middle of a character
        ("if (a)".encode("utf-16-le") + b"\n", "if (a)\n", "utf-16-le"),
        (b"\xff\xfe\0\xd8a\0", "\ufffda", "utf-16-le with a mark"),  # half of a pair
        (b"int f;\0 int g;\n", "int f;\0 int g;\n", "utf-8"),
        (b"abc" + bytes(5), "abc" + "\0" * 5, "utf-8"),
        (b"caf\xe9 \0and more\n", "caf\xe9 \0and more\n", "windows-1252"),
        (b"\x93a\x94 \x81", "\u201ca\u201d \x81", "windows-1252"),
        (b"\xef\xbb\xbfa \xe4", "a \xe4", "windows-1252 with a mark"),
        (b"#!/x\n# -*- coding: cp1251 -*-\nx = '\xcf'", "#!/x\n# -*- coding: cp1251 -*-\nx = '\u041f'", "cp1251"),
        (b"# coding: zip\n\xcf", "# coding: zip\n\xcf", "windows-1252"),
        (b"# coding: utf-16\n\xcf", "# coding: utf-16\n\xcf", "windows-1252"),
        (b"# coding: ascii\n\xcf", "# coding: ascii\n\xcf", "windows-1252"),
    ],
)
def test_damaged_and_8_bit_texts(content, text, encoding):
    assert decode_text(content) == (text, encoding)


@settings(max_examples=300, deadline=None)
@given(content=st.binary(max_size=40) | st.text(max_size=20).map(lambda text: text.encode(errors="replace")))
def test_all_bytes_can_be_decoded_and_the_text_be_written(content):
    text, encoding = decode_text(content)
    text.encode()
    assert encoding


@settings(max_examples=200, deadline=None)
@given(text=st.text(st.characters(min_codepoint=32, max_codepoint=126) | st.just("\n"), min_size=1, max_size=60))
def test_ascii_text_is_read_in_every_encoding(text):
    assert {decode_text(text.encode(encoding))[0] for encoding in ENCODINGS} == {text}


@pytest.mark.parametrize("name", ["unicode_escape", "raw_unicode_escape"])
def test_a_named_encoding_that_gives_half_characters_is_not_used(name):
    text, used = decode_text(f"# coding: {name}\n".encode() + b"a = '\\ud800\xe9'")
    assert text.endswith("a = '\\ud800\u00e9'") and used == "windows-1252"
    text.encode()
