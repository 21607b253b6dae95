"""The tokenizer of code; the builder and check_data find the same duplicates with it."""

import time

import pandas as pd
import pytest

from Data.functions.labelling import Labelling, label_chunk
from Data.functions.splits import drop_duplicates
from ltp_pipeline.check_data import main
from ltp_pipeline.code.code_tokens import code_tokens, token_hash
from ltp_pipeline.code.functions import SourceFile
from ltp_pipeline.code.languages import LANGUAGES


@pytest.mark.parametrize(
    "language, text, tokens",
    [
        ("c", "a+=1; // x", ["a", "+=", "1", ";"]),
        ("c", 'f("// no", \'"\'); /* y\n */', ["f", "(", '"// no"', ",", "'\"'", ")", ";"]),
        ("c", 'g(/* a "b */ "/* no */"); /* open', ["g", "(", '"/* no */"', ")", ";"]),
        ("c", "p->x<<=0x1F + 1.5e3f", ["p", "->", "x", "<<=", "0x1F", "+", "1.5e3f"]),
        ("c", "a; // it's \\\n still;\nb", ["a", ";", "b"]),
        ("cpp", "1'000'000 - .5'0; // it's", ["1'000'000", "-", ".5'0", ";"]),
        ("cpp", 'LR"x(}" // \n)" )x" + R"(})"; c', ['LR"x(}" // \n)" )x"', "+", 'R"(})"', ";", "c"]),
        ("python", "s = '''a # b'''  # c\nt='#'", ["s", "=", "'''a # b'''", "t", "=", "'#'"]),
        ("powershell", "$a = @'\n# it's\n'@ <# b #> + \"`\"#\" # c", ["$a", "=", "@'\n# it's\n'@", "+", '"`"#"']),
    ],
)
def test_code_tokens(language, text, tokens):
    assert code_tokens(text, LANGUAGES[language]) == tokens


def test_token_hash_ignores_layout_and_comments_only():
    first = token_hash(code_tokens("int f(void) { return 1; }"))
    assert first == token_hash(code_tokens("int  f( void )\n{\n  return 1; /* one */\n}"))
    assert first != token_hash(code_tokens("int f(void) { return 2; }"))
    assert token_hash(["ab", "c"]) != token_hash(["a", "bc"]) != token_hash(["abc"])


@pytest.mark.parametrize(
    "path, one, other, same",
    [
        ("a.c", "void f() { a>>b; }", "void f() { a> >b; }", False),
        ("a.c", "void f() { g(1.5f); }", "void f() { g(1 . 5f); }", False),
        ("a.c", "void f() { g(1.5f); }", "void  f()\n{ g( 1.5f ); }", True),
        ("a.c", "void f() { g(); // x \\\n h();\n }", "void f() { g(); }", True),
        ("a.c", "void f() { g(); // x \\\n h();\n }", "void f() { g(); h(); }", False),
        ("a.py", "def f():\n    return 1  # one", "def f():\n    return 1", True),
    ],
)
def test_the_builder_and_check_data_agree_on_duplicates(path, one, other, same, tmp_path, capsys):
    files = [SourceFile("p", path, text) for text in (one, other)]
    found, _ = label_chunk(files, Labelling(analyzers=()))
    assert len(found) == 2 and len(drop_duplicates(found)) == 2 - same
    rows = [(each.function.source, each.function.path, label) for label, each in enumerate(found)]
    table = tmp_path / "functions.csv"
    pd.DataFrame(rows, columns=["functionSource", "path", "label"]).to_csv(table, index=False)
    main([str(table), "--near_duplicates", "0", "--allow", "label_conflict"])
    assert ("warning duplicates" in capsys.readouterr().out) == same


@pytest.mark.parametrize("language", ["c", "python", "powershell"])
@pytest.mark.parametrize("opened", ['"', "'"])
@pytest.mark.parametrize(
    "unit", [r"\"", "\\", "/*", "//\\\n", "/* c */", "# c\n", 'R"(', '`"', '@"\n', '"$(', r"\'''", "{", "1'"]
)
def test_time_is_linear(language, opened, unit):
    """Half a minute and more if the time is quadratic."""
    begin = time.process_time()
    code_tokens(opened + unit * 40_000, LANGUAGES[language])
    assert time.process_time() - begin < 3


@pytest.mark.parametrize(
    "language, text, tokens",
    [
        ("c", "u8'{' 1'000'0 .5'0f", ["u8", "'{'", "1'000'0", ".5'0f"]),
        ("c", 'R"a( ")b" )a" R"(', ['R"a( ")b" )a"', "R", '"', "("]),
        ("c", '#error don\'t { "}"\n}', ["#", "error", "don", "'", "t", "{", '"}"', "}"]),
        ("c", '"\\"}\n}', ['"', "\\", '"', "}", "}"]),
        ("python", "'''a\\''' ' # no'''", ["'''a\\''' ' # no'''"]),
        ("powershell", '"a $(f "}") b" }', ['"a $(f "}") b"', "}"]),
        ("powershell", "@'\n'\n'@ <# ' #> b", ["@'\n'\n'@", "b"]),
        ("powershell", "a `\n  b `# c", ["a", "b", "`#", "c"]),
    ],
)
def test_literals(language, text, tokens):
    assert code_tokens(text, LANGUAGES[language]) == tokens
