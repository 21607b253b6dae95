"""Comments and telling names are removed, and lines keep their numbers in a map."""

import pytest

from Data.ground_truth.neutral_text import without_comments, without_telling_names
from ltp_pipeline.code.code_tokens import code_tokens
from ltp_pipeline.code.languages import LANGUAGES

C, PYTHON, POWERSHELL = (LANGUAGES[name] for name in ("c", "python", "powershell"))


@pytest.mark.parametrize(
    ("text", "language", "expected", "numbers"),
    [
        ("a;\n/* b */\nc;", C, "a;\nc;", [1, 0, 2]),
        ("a; // b\n\nc;", C, "a;\n\nc;", [1, 2, 3]),
        ("a; /* b\n b */ c;\n  /* d\n\n d */\ne;", C, "a;\n c;\ne;", [1, 2, 0, 0, 0, 3]),
        ("int/**/a = b /* c */ + d;", C, "int a = b  + d;", [1]),
        ('s = "/* no */"; // yes', C, 's = "/* no */";', [1]),
        ("// a \\\n b\nc;", C, "c;", [0, 0, 1]),
        ("/* never closed", C, "", [0]),
        ("# a\nx = '# b'  # c\n", PYTHON, "x = '# b'\n", [0, 1, 2]),
        ("<# a\n#>\n$a = '#b' # c", POWERSHELL, "$a = '#b'", [0, 0, 1]),
        ("a;  \n\n", C, "a;  \n\n", [1, 2, 3]),
        ("", C, "", [1]),
    ],
)
def test_comments(text, language, expected, numbers):
    assert without_comments(text, language) == (expected, numbers)
    assert code_tokens(expected, language) == code_tokens(text, language)


def test_names_are_replaced_alike_everywhere_and_only_where_they_tell():
    text = 'void badSink(int goodData) { goodData = prefix(goodData); badSink(1); strcpy("a bad idea", debug); }'
    found = without_telling_names(text, C)
    sink, data = ("name1", "name2") if found.startswith("void name1(") else ("name2", "name1")
    expected = f'void {sink}(int {data}) {{ {data} = prefix({data}); {sink}(1); strcpy("a text idea", debug); }}'
    assert found == expected


def test_the_numbers_depend_on_the_rest_of_the_text_alone():
    texts = [f"void bad{{}}() {{{{ dataBad{{}} = {i}; }}}}" for i in range(40)]
    one, other = ([without_telling_names(text.format(name, name), C) for text in texts] for name in ("Sink", "Source"))
    assert one == other
    assert len({text.split("(")[0] for text in one}) == 2


def test_a_name_that_is_taken_is_not_used():
    assert without_telling_names("bad = name1 + name_2;", C) == "name__1 = name1 + name_2;"


@pytest.mark.parametrize("text", ["", "int f() { return 1; }", "@#$ \\ '", "a\u00e9 = \u4e2d;"])
def test_other_text_stays(text):
    assert without_telling_names(text, C) == text
