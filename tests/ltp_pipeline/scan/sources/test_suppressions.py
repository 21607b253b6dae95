"""Comments and files that hide findings."""

import time

import pytest

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.code.languages import LANGUAGES
from ltp_pipeline.scan.finding import CodeUnit, Finding
from ltp_pipeline.scan.sources.suppressions import IgnoreComments, read_suppressions

F = "int f(int a)\n{\n    return a;\n}\n"
FINGERPRINT = "0123456789abcdef" * 2


def by(text, language="c", first=None, last=None):
    """What suppresses the function `f` of a text, which begins at the line with `f(`."""
    lines = text.split("\n")
    first = first or next(number for number, line in enumerate(lines, 1) if "f(" in line)
    return IgnoreComments(text, LANGUAGES[language]).of(first, last or len(lines))


@pytest.mark.parametrize(
    "text, language, expected",
    [
        (F, "c", ""),
        (F.replace("return a;", "return a; // ltp: ignore"), "c", "comment in line 3"),
        (F.replace("(int a)", "(int a) /* LTP:ignore (checked) */"), "c", "comment in line 1: (checked)"),
        ("// ltp: ignore - bounded by the caller\n" + F, "c", "comment in line 1: bounded by the caller"),
        ("/* what f does\n\n * ltp: ignore: a reason */\n" + F, "c", "comment in line 3: a reason"),
        ("/* ltp: ignore\n\n   and more */\ntemplate <class T>\n" + F, "cpp", "comment in line 1"),
        ("// ltp: ignore\n[[nodiscard]]\nstatic\n" + F, "cpp", "comment in line 1"),
        ("# ltp: ignore\n@decorator\ndef f(a):\n    return a\n", "python", "comment in line 1"),
        ("def f(a):\n    return a  # noqa # ltp: ignore # more\n", "python", "comment in line 2: # more"),
        ("<# ltp: ignore: signed #>\nfunction f() { 1 }\n", "powershell", "comment in line 1: signed"),
        # not right above
        ("// ltp: ignore\n\n" + F, "c", ""),
        ("// ltp: ignore\nint b;\n" + F, "c", ""),
        ("int g(void) { return 1; } // ltp: ignore\n" + F, "c", ""),
        ("// ltp: ignore\n#define A\n" + F, "c", ""),
        ("# ltp: ignore\nb = 1\ndef f(a):\n    return a\n", "python", ""),
        # no comment
        (F.replace("return a;", 'return g("// ltp: ignore");'), "c", ""),
        ('def f(a):\n    """ltp: ignore"""\n', "python", ""),
        ("function f() { '# ltp: ignore' }\n", "powershell", ""),
        ("def f(a):\n    return a // ltp(ignore)\n", "python", ""),
        # other words
        (F.replace("return a;", "return a; // ltp: ignored"), "c", ""),
        (F.replace("return a;", "return a; // ltp: ignore-next-line"), "c", ""),
        (F.replace("return a;", "return a; // sltp: ignore"), "c", ""),
        (F.replace("return a;", "return a; // ltp\n: ignore"), "c", ""),
    ],
    ids=str,
)
def test_comments(text, language, expected):
    assert by(text, language) == expected


def test_a_comment_holds_for_its_function_alone():
    text = F + "// ltp: ignore\n" + F.replace("f", "g") + F.replace("f", "h")
    comments = IgnoreComments(text, LANGUAGES["c"])
    assert [comments.of(1, 4), comments.of(6, 9), comments.of(10, 13)] == ["", "comment in line 5", ""]
    assert IgnoreComments("int f(void);\n", LANGUAGES["c"]).of(1, 1) == ""


def test_control_characters_of_a_reason_are_escaped():
    assert by(F.replace("return a;", "return a; // ltp: ignore \x1b[31m")) == "comment in line 3: \\x1b[31m"


@pytest.mark.parametrize("unit", ["ltp: ignore ", "// ltp: ignore\n", "/* ltp:", "ltp: ignore \\\n"])
def test_linear_time(unit):
    begin = time.process_time()
    assert by(unit * 20_000 + F, first=20_001) is not None
    assert time.process_time() - begin < 2


def test_linear_time_for_many_functions_with_comments():
    begin = time.process_time()
    comments = IgnoreComments("int f() {} // ltp: ignore\n" * 20_000, LANGUAGES["c"])
    assert all(comments.of(line, line) == f"comment in line {line}" for line in range(1, 20_001))
    assert time.process_time() - begin < 1


def finding(path="src/a b/x.cc", name="A::f", fingerprint=FINGERPRINT, ignored_by=""):
    return Finding(CodeUnit(path, 1, name, "cpp", "", ignored_by), 0.9, "defective", fingerprint)


@pytest.mark.parametrize(
    "line, hides",
    [
        ("src/a b/x.cc", True),
        ("./src/a b/x.cc  # a reason", True),
        ("/src/a b/x.cc", True),
        ("x.cc", True),
        ("*.cc", True),
        ("src/", True),
        ("**/a b/*", True),
        ("src/a b/x.cc::A::f", True),
        ("src::A::*", True),
        ("* :: *f", True),
        ("*.cc::A::F", False),
        ("*.cc::f", False),
        ("*.c", False),
        ("/x.cc", False),
        ("./x.cc", False),
        ("b/x.cc", False),
        (FINGERPRINT, True),
        (FINGERPRINT.upper() + "\t# a reason", True),
        (FINGERPRINT[::-1], False),
        ("# src/", False),
        ("", False),
    ],
)
def test_lines_of_the_file(tmp_path, line, hides):
    file = tmp_path / "hide"
    file.write_text(f"# comment\nno/such.c\n{line}\n")
    suppressions = read_suppressions(str(file))
    assert suppressions.hidden_by(finding()) == (f"{file}:3" if hides else "")
    assert suppressions.hidden_by(finding("other.h", "g", "f" * 32)) == ""


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings_of_the_file(tmp_path, encoding):
    (tmp_path / "hide").write_text("# comment\r\nx.cc\r\n", encoding=encoding, newline="")
    assert read_suppressions(str(tmp_path / "hide")).hidden_by(finding()).endswith("hide:2")


def test_the_file_of_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert read_suppressions().hidden_by(finding()) == ""
    (tmp_path / ".ltpignore").write_text("src/\nx.cc\n")
    suppressions = read_suppressions()
    assert suppressions.hidden_by(finding()) == ".ltpignore:1"
    assert suppressions.hidden_by(finding("y.c", ignored_by="comment in line 2")) == "comment in line 2"


@pytest.mark.parametrize(
    "line",
    [
        "::f",
        "src/a.c::",
        "src/a.c:: # reason",
        "!src/a.c",
        "0123456789abcdef",
        "a" * 33,
        "src\\a.c",
        "/",
        "/::f",
        "a[b",
    ],
)
def test_a_broken_line_names_its_number(tmp_path, line):
    file = tmp_path / "hide"
    file.write_text(f"src/\n{line}\n")
    with pytest.raises(UserError, match=r"--suppressions .*hide, line 2: "):
        read_suppressions(str(file))


def test_a_file_that_cannot_be_read(tmp_path, monkeypatch):
    (tmp_path / "binary").write_bytes(b"caf\xe9\n")
    for name, reason in (("missing", "No such file"), (".", "directory"), ("binary", "UTF-8")):
        with pytest.raises(UserError, match=rf"--suppressions .*{reason}"):
            read_suppressions(str(tmp_path / name))
    (tmp_path / ".ltpignore").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"^\.ltpignore: .*directory"):
        read_suppressions()
