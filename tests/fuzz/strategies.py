"""What the fuzz tests draw: source code in fragments, bytes of broken encodings, tables, JSON, and changed copies."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

# What begins, ends or hides something in one of the languages that the project reads
FRAGMENTS = (
    *(
        "int f(int a) {",
        "static void g()\n{",
        "F(x)\n{",
        "a::b() try {",
        "} catch (...) {",
        "struct s {",
        "int k(a) int a; {",
    ),
    *(
        "def f(a):\n    return 1\n",
        "async def g(\n",
        "class C:\n  def m(self):\n    pass\n",
        "lambda: 0",
        "@d\n",
        "f'{a!r:{b}}'",
    ),
    *(
        "function F {",
        "filter G($a) {",
        "class D { [int] M() {",
        "param($x)",
        "@'\n",
        "\n'@",
        '@"\n',
        '\n"@',
        "$(",
        "<#",
        "#>",
    ),
    *(
        "#if A\n",
        "#elif B\n",
        "#else\n",
        "#endif\n",
        "#define M(x) \\\n",
        '#line 7 "a.y"\n',
        "__attribute__((x))",
        "--%",
    ),
    *(
        "{",
        "}",
        "(",
        ")",
        "[",
        "]",
        "<",
        ">",
        ";",
        ",",
        ":",
        "=",
        "&",
        "*",
        "#",
        "$",
        "@",
        "`",
        "\\",
        "\\\n",
        "'",
        '"',
    ),
    *(
        "'''",
        '"""',
        'R"x(',
        ')x"',
        "//",
        "/*",
        "*/",
        "1'000",
        "'a'",
        '"b"',
        "if (a)",
        "return",
        "x",
        "\t",
        "    ",
        "\n",
        "\n\n",
    ),
    *("</script>", "<img src=x onerror=y>", '" onload="', "{{ 7 * 7 }}", "{% raw %}", "&amp;", "-->", "]]>", "<!--"),
    *("=1+1", "+1", "-1", "@SUM(A1)", "sep=;", "a,b", '""', "\r", "\r\n", " ", "0", "1", "label", "functionSource"),
)
# Characters that other programs obey, do not show, or treat as an end
CONTROLS = (
    *(
        "\0",
        "\x07",
        "\x08",
        "\x0b",
        "\x0c",
        "\x1a",
        "\x1b[2J",
        "\x1b]0;t\x07",
        "\x7f",
        "\x85",
        "\x9b31m",
        "\xa0",
        "\xad",
    ),
    *map(
        chr, (*range(0x200B, 0x2010), *range(0x2028, 0x202F), *range(0x2066, 0x206A), 0x061C, 0xFEFF, 0xFFFD, 0xFDD0)
    ),
    *(
        "\ufffe",
        "\U0010ffff",
        "\U000e0041",
        "\ue000",
        "\u0301",
        "\u05d0",
        "\u0627",
        "\u4e00",
        "\U0001f600",
        "\u201c",
        "\u2019",
    ),
)
LONG = st.builds(lambda text, times: text * times, st.sampled_from([*FRAGMENTS, "ab", "\u4e00"]), st.integers(1, 400))


def code(surrogates: bool = False, max_size: int = 25) -> st.SearchStrategy[str]:
    """Text of fragments, controls, long runs and any characters. `surrogates`: also halves of characters."""
    characters = st.text(max_size=6)
    if surrogates:
        characters = st.one_of(characters, st.sampled_from(["\ud800", "\udcff", "\udfffa"]))
    piece = st.one_of(
        st.sampled_from(FRAGMENTS), st.sampled_from(FRAGMENTS), st.sampled_from(CONTROLS), characters, LONG
    )
    return st.lists(piece, max_size=max_size).map("".join)


ENCODINGS = ("utf-8", "utf-8-sig", "utf-16-le", "utf-16-be", "utf-16", "utf-32", "utf-32-be", "latin-1", "cp1251")
# Names of encodings that a file may claim, some of which decode to half characters or are no encodings of text
NAMED = (
    "latin-1",
    "utf-8",
    "utf-7",
    "unicode_escape",
    "raw_unicode_escape",
    "punycode",
    "idna",
    "hex",
    "zlib",
    "rot13",
)
NAMED += ("undefined", "mbcs", "cp037", "shift_jis", "iso2022_jp", "utf-16", "utf-8-sig", "no-such", "..", "oem")
BYTES = (
    b"\xff",
    b"\xfe\xff",
    b"\xc3",
    b"\xed\xa0\x80",
    b"\0",
    b"\0\0",
    b"\xf8\x88\x80\x80\x80",
    b"\\ud800",
    b"\x80\x81",
)


@st.composite
def changed(draw: st.DrawFn, contents: st.SearchStrategy[bytes], most: int = 4) -> bytes:
    """Bytes with up to `most` changes: a part removed, repeated, or replaced by others."""
    content = draw(contents)
    for _ in range(draw(st.integers(0, most))):
        begin = draw(st.integers(0, len(content)))
        end = draw(st.integers(begin, min(len(content), begin + 40)))
        new = draw(st.one_of(st.sampled_from(BYTES), st.binary(max_size=4), st.just(content[begin:end] * 2)))
        content = content[:begin] + new + content[end:]
    return content


@st.composite
def encoded(draw: st.DrawFn, texts: st.SearchStrategy[str]) -> bytes:
    """A text in some encoding, perhaps with a line that names one, and with changed bytes."""
    text = draw(texts)
    if draw(st.integers(0, 3)) == 0:
        text = f"# coding: {draw(st.sampled_from(NAMED))}\n{text}"
    content = text.encode(draw(st.sampled_from(ENCODINGS)), errors="replace")
    return draw(changed(st.just(content)))


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.integers(),
    st.sampled_from([10**400, -(10**20), 1e308, -0.0, float("nan"), float("inf")]),
    st.floats(),
    st.sampled_from(
        ["", "0", "1", "true", "a/b", "/a", "..", "\0", "\ud800", "9" * 5000, "[" * 3000, "nan", "1_0", "\u0663"]
    ),
    code(surrogates=True, max_size=4),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
DEEP = st.sampled_from(["[", '{"a":', "[{", '{"b":[']).map(lambda opening: (opening * 100_000).encode())


@st.composite
def changed_values(draw: st.DrawFn, values: Any) -> Any:
    """JSON values with one to three of the inner ones removed or replaced by others."""
    values = json.loads(json.dumps(values))
    for _ in range(draw(st.integers(1, 3))):
        parent, key = None, None
        place = values
        while isinstance(place, dict | list) and place and (parent is None or draw(st.booleans())):
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            parent, key = place, draw(st.sampled_from(keys))
            place = place[key]
        if parent is None:
            return draw(VALUES)
        if draw(st.integers(0, 5)) == 0:
            del parent[key]
        else:
            parent[key] = draw(VALUES)
    return values


def json_files(*examples: Any) -> st.SearchStrategy[bytes]:
    """The bytes of JSON files: examples with changed values, then perhaps with changed bytes; or nested deeply."""
    values = st.one_of(*(changed_values(example) for example in examples), VALUES)
    content = values.map(lambda value: json.dumps(value).encode())
    return st.one_of(content, content, changed(content), st.sampled_from([b"", b"null", b"NaN"]), DEEP)
