"""Functions of PowerShell and Python files, also where the grammar has an error node."""

import time

import pytest

from ltp_pipeline.code import functions
from ltp_pipeline.code.functions import SourceFile, extract_functions

UNKNOWN = "git log --since=yesterday --pretty=short"  # valid, and an error for tree-sitter-powershell 0.26.4


def found(text, path):
    return [function.source for function in extract_functions(SourceFile("p", path, text))]


def lost(text, path):
    return [(one.first_line, one.head, one.reason) for one in functions.find_functions(SourceFile("p", path, text))[1]]


POWERSHELL = {
    "argument": f"function Show-Log {{\n    {UNKNOWN}\n}}",
    "comma": "function Read-It {\n    New-Object IO.StreamReader(New-Object IO.MemoryStream(,$Bytes))\n}",
    "scope and parameters": "function global:Get-X($a = ')', $b) { $a ?? '}' }",
    "filter": "filter Skip-Null { $_ ?? 1 }",
    "workflow": f"workflow Run-It\n{{\n    {UNKNOWN}\n}}",
    "here-string": f'function A {{\n    $x = @"\n }} {{ $(Get "}}") \n"@\n    {UNKNOWN}\n}}',
    "verbatim here-string": f"function A {{\n    $x = @'\n }} ' \" \n'@\n    {UNKNOWN}\n}}",
    "comments": f"function A {{ # }}\n    <# }} #> {UNKNOWN}\n}}",
    "continued lines": f"function A `\n  ($b) `\n{{\n    {UNKNOWN} `\n      x\n}}",
    "code in a string": f'function A {{\n    "a $(f "}}") b"\n    {UNKNOWN}\n}}',
    "escaped quote": f'function A {{\n    "a `" }} "" }}"\n    {UNKNOWN}\n}}',
    "nested": f"function A {{\n    function B {{ {UNKNOWN} }}\n    {UNKNOWN}\n}}",
    "name in other letters": f"Function Get-\u041f\u0440\u0438 {{ {UNKNOWN} }}",
    "rest of the line as it is": f'function A {{\n    cmd --% /c " {{\n    {UNKNOWN}\n}}',
    "odd names of variables": f"function A {{\n    ${{a{{b}} = 1\n    {UNKNOWN}\n}}",
    "lower case": f"function a{{{UNKNOWN}}}",
}


@pytest.mark.parametrize("kind", POWERSHELL)
def test_powershell_functions_with_an_error_node(kind):
    text = f"$x = 1\n\n{POWERSHELL[kind]}\n\nfunction Last {{ 1 }}\n"
    extracted = extract_functions(SourceFile("p", "a.ps1", text))
    assert [one.source for one in extracted] == [POWERSHELL[kind], "function Last { 1 }"]
    assert [one.first_line for one in extracted] == [3, 3 + POWERSHELL[kind].count("\n") + 2]
    assert not lost(text, "a.ps1")


@pytest.mark.parametrize("around", ["if ($x) {{ {} }}", "try {{ {} }} catch {{ }}", "& {{ {} }}", "1; {}"])
def test_powershell_functions_inside_other_blocks(around):
    function = f"function In {{ {UNKNOWN} }}"
    assert found(around.format(function), "a.ps1") == [function]


@pytest.mark.parametrize("command", ["1", UNKNOWN])
def test_methods_of_powershell_classes(command):
    methods = (
        f"P([int]$x) : base($x) {{ {command} }}",
        f"hidden static [string] Get([string]$a) {{ {command}; return '}}' }}",
        f"[Collections.Generic.Dictionary[string,int]] D() {{ {command} }}",
    )
    properties = "[int] $X = [int]::new()\n    [AccessFilter]$Y = [AccessFilter]::new()"
    text = "\n    ".join(["class P : Q {", properties, *methods]) + "\n}\n"
    assert found(text, "a.ps1") == list(methods) and not lost(text, "a.ps1")


def test_what_is_no_powershell_function():
    lines = (
        "# function A { }",
        "'function B { }'",
        "@{ Filter = { 1 } }",
        "Get-Command -Type function X { }",
        UNKNOWN,
    )
    text = "\n".join(lines)
    assert not found(text, "a.ps1") and not lost(text, "a.ps1")


def test_lost_powershell_functions_are_counted():
    text = f"function A {{ {UNKNOWN}\nfunction B {{ 1 }}\n"
    assert found(text, "a.ps1") == ["function B { 1 }"]
    assert lost(text, "a.ps1") == [(1, "function A", "the braces do not match")]
    text = f'$a = "\n{UNKNOWN}\nfunction A {{ 1 }}\n" ?? 1\n'
    assert lost(text, "a.ps1") == [(3, "function A", "inside a string of several lines")]


PYTHON = {
    "error in the body": "def f(a):\n    b = a ?? 1\n    return b",
    "one line": "def f(a): return a ?? 1",
    "strings": 'def f(a, b=")"):\n    """doc\n\ndef no(): ?\n    """\n    return a ?? \'\'\'\nx\n\'\'\'',
    "head of several lines": "def f(\n    a: 'x:y',\n    b={1: 2},  # ):\n) -> dict[str, int]:\n    a ?? b",
    "brackets": "def f():\n    x = [\n1,\n2]\n    a ?? b",
    "continued": "def f(a):\\\n    return a ?? 1",
    "tabs and spaces": "def f(a):\n        if a:\n\t    b ?? c\n        return 1",
    "asynchronous": "async def f(a):\n    await a ?? 1",
    "nested": "def f(a):\n    def g(b):\n        return b ?? 1\n    return lambda: g",
    "comments": "def f(a):\n    a ?? b  # one\n    # two",
    "blank lines": "def f(a):\n\n    a ?? b\n\n\n    return a",
}


@pytest.mark.parametrize("kind", PYTHON)
def test_python_functions_with_an_error_node(kind):
    text = f"import a\n@b\n{PYTHON[kind]}\n# c\n\nx = 1\ndef last(): pass\n"
    extracted = extract_functions(SourceFile("p", "a.py", text))
    assert [one.source for one in extracted] == [PYTHON[kind], "def last(): pass"]
    assert extracted[0].first_line == 3 and not lost(text, "a.py")


@pytest.mark.parametrize(
    "body",
    ["print a", "try:\n        a\n    except E, e:\n        b", "exec 'a' in b", "raise E, 'a'", "return 0777 <> `a`"],
)
def test_python_2(body):
    function = f"def f(a, (b, c)):\n    {body}"
    assert found(f"{function}\nx = 1\n", "a.py") == [function]


def test_python_methods_and_conditional_functions():
    text = "class A:\n    @property\n    def m(self): return 1 ??\n    x ??\n    def n(self):\n        return 2\n"
    assert found(text, "a.py") == ["def m(self): return 1 ??", "def n(self):\n        return 2"]
    text = "try:\n    def q():\n        a ?? b\nexcept E:\n    def q():\n        a $ b\nif x:\n\tdef r(): 1 ??\n"
    assert found(text, "a.py") == ["def q():\n        a ?? b", "def q():\n        a $ b", "def r(): 1 ??"]


def test_lost_python_functions_are_counted():
    text = "def f(:\n    pass\ndef g():\nreturn 1\ndef h()\n    1\n\ndef i(): return 1\n"
    assert found(text, "a.py") == ["def i(): return 1"]
    no_head = "the head has no parameter list or no colon"
    assert lost(text, "a.py") == [
        (1, "def f(:", no_head),
        (3, "def g():", "no indented block"),
        (5, "def h()", no_head),
    ]
    assert lost("def g():\nreturn 1\n", "a.py") == [(1, "def g():", "no indented block")]  # the parser sees no error


def test_layout_agrees_with_the_parser():
    """Where the parser finds no error, heads and braces or indentation give the same functions."""
    from ltp_pipeline.code.powershell_layout import powershell_definitions
    from ltp_pipeline.code.python_layout import python_definitions

    for path, text in (("a.ps1", "\n".join(POWERSHELL.values())), ("a.py", "\n".join(PYTHON.values()) + "\n")):
        text = text.replace(UNKNOWN, "git log").replace("??", "+" if path == "a.py" else "-eq").replace("(,$", "($")
        layout = powershell_definitions(text) if path == "a.ps1" else python_definitions(text)
        by_layout = {text[start:end] for start, end, reason in layout if not reason}
        by_parser = found(text, path)
        assert set(by_parser) <= by_layout and len(by_parser) > 8


@pytest.mark.parametrize("path", ["a.py", "a.ps1"])
@pytest.mark.parametrize(
    "unit",
    [
        "(",
        "{",
        "-",
        "def f(\n",
        "def f():\n  ??\n",
        "function f { ",
        "class A\n",
        "class A { ",
        "$(",
        '@"\n',
        "`",
        '"""',
    ],
)
def test_time_is_linear(path, unit):
    """Half a minute and more for 200,000 characters if the time is quadratic."""
    begin = time.process_time()
    extract_functions(SourceFile("p", path, unit * (200_000 // len(unit) // 2) + "??"))
    assert time.process_time() - begin < 5
