"""The languages of the builder: which files, which grammar, what a function is, which analysers read it."""

from __future__ import annotations

import functools
import importlib
import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from tree_sitter import Language as Grammar
from tree_sitter import Parser, Query

from ltp_pipeline.base.errors import UserError

_C_COMMENT = r"//(?:\\\n|[^\n])*|/\*.*?(?:\*/|\Z)"
_C_TOKEN = (
    r"""("(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|\.?\d[\w.]*|\w+"""
    r"|<<=|>>=|->|\+\+|--|&&|\|\||<<|>>|::|[-+*/%&|^!=<>]=|\S)"
)


@dataclass(frozen=True)
class Language:
    """`function` is the grammar's node; `module` its package; `comment` and `token` are regular expressions."""

    name: str
    suffixes: frozenset[str]
    module: str
    function: str
    analyzers: tuple[str, ...]
    comment: str = _C_COMMENT
    token: str = _C_TOKEN


C_SUFFIXES = frozenset({".c", ".h"})
CPP_SUFFIXES = frozenset({".cc", ".cpp", ".cxx", ".c++", ".hh", ".hpp", ".hxx", ".inl", ".ipp"})
_FOR_C = ("flawfinder", "cppcheck", "clang")
LANGUAGES = {
    language.name: language
    for language in (
        Language("c", C_SUFFIXES, "tree_sitter_c", "function_definition", _FOR_C),
        Language("cpp", CPP_SUFFIXES, "tree_sitter_cpp", "function_definition", _FOR_C),
        Language(
            "python", frozenset({".py"}), "tree_sitter_python", "function_definition", ("bandit",), comment=r"#[^\n]*",
            token=r'("""(?:\\.|[^\\])*?"""' + r"|'''(?:\\.|[^\\])*?'''|" + _C_TOKEN[1:],
        ),
        Language(
            "powershell", frozenset({".ps1", ".psm1"}), "tree_sitter_powershell", "function_statement", (),
            comment=r"<#.*?(?:#>|\Z)|#[^\n]*",
            token=r'''(@"\n.*?\n"@|@'\n.*?\n'@|"(?:`.|""|[^"`])*"|'(?:''|[^'])*'|[\w$]+|\S)''',
        ),
    )
}  # fmt: skip


def language_of(path: str) -> Language:
    """The language of a file by its ending; `.C` is C++. What is in no table is taken as C."""
    suffix = PurePosixPath(path).suffix
    if suffix == ".C":
        return LANGUAGES["cpp"]
    return next((one for one in LANGUAGES.values() if suffix.lower() in one.suffixes), LANGUAGES["c"])


def suffixes_of(names: list[str]) -> frozenset[str]:
    """The endings of the files of these languages, in lower case."""
    return frozenset().union(*(LANGUAGES[name].suffixes for name in names))


@functools.cache
def grammar(language: Language) -> tuple[Parser, Query]:
    """The parser of a language and the query for its functions. Raises UserError if its grammar is not installed."""
    try:
        module = importlib.import_module(language.module)
    except ImportError:
        package = language.module.replace("_", "-")
        raise UserError(f"--language {language.name} needs the package {package}: pip install {package}") from None
    parsed = Grammar(module.language())
    return Parser(parsed), Query(parsed, f"({language.function}) @function")


@functools.cache
def token_pattern(language: Language) -> re.Pattern[str]:
    """Finds comments, outside the group, and tokens, inside."""
    return re.compile(f"{language.comment}|{language.token}", re.DOTALL)
