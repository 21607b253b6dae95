import pytest

from ltp_pipeline.code.languages import LANGUAGES
from ltp_pipeline.code.syntax import syntax_spans


@pytest.mark.parametrize(
    ("language", "text", "found"),
    [
        ("c", "#include <a>\nif (x1 > 0x1F) // no", "#include:keyword if:keyword 0x1F:number // no:comment"),
        ("c", 'char s[] = "if 1"; class', 'char:keyword "if 1":literal'),
        ("c", "  # define A 1.5e3f", "  # define:keyword 1.5e3f:number"),
        ("c", "a # if", "if:keyword"),
        ("cpp", "class A : public B", "class:keyword public:keyword"),
        ("python", "def f(self): return None # 1", "def:keyword return:keyword None:keyword # 1:comment"),
        ("python", "iffy = '''if\n1'''", "'''if\n1''':literal"),
        ("powershell", "If ($a -EQ 1) { } # x", "If:keyword -EQ:keyword 1:number # x:comment"),
        ("powershell", "$if.for Get-Process -Path .5", "-Path:keyword .5:number"),
        ("c", "", ""),
    ],
)
def test_what_has_a_colour(language, text, found):
    spans = syntax_spans(text, LANGUAGES[language])
    assert [f"{text[start:end]}:{kind}" for start, end, kind in spans] == split(found)


def split(found: str) -> list[str]:
    parts: list[str] = []
    for word in found.split(" "):
        if parts and not parts[-1].endswith((":keyword", ":number", ":comment", ":literal")):
            parts[-1] += f" {word}"
        elif word or parts or found:
            parts.append(word)
    return parts if found else []
