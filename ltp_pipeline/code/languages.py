"""The programming languages that the project reads: their file endings and their grammars."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath


@dataclass(frozen=True)
class Language:
    """A language and the endings of its files.

    `module` is its tree-sitter grammar and `functions` are its function nodes there. C and C++ have none: `code/c/`
    finds their functions.
    """

    name: str
    suffixes: frozenset[str]
    module: str = ""
    functions: tuple[str, ...] = ()


LANGUAGES = {
    language.name: language
    for language in (
        Language("c", frozenset({".c", ".h"})),
        Language("cpp", frozenset({".cc", ".cpp", ".cxx", ".c++", ".hh", ".hpp", ".hxx", ".inl", ".ipp"})),
        Language("python", frozenset({".py"}), "tree_sitter_python", ("function_definition",)),
        Language(
            "powershell",
            frozenset({".ps1", ".psm1"}),
            "tree_sitter_powershell",
            ("function_statement", "class_method_definition"),
        ),
    )
}
# Endings of source files in other languages
OTHER_SUFFIXES = frozenset(
    ".asm .awk .bas .bash .bat .cgi .cl .cmd .cs .cu .cuh .d .dart .go .groovy .hta .java .jl .js .jse .jsx .kt .kts "
    ".lua .m .mjs .mm .pas .php .pl .pm .psd1 .pyi .pyw .r .rb .rs .s .scala .sh .sol .sql .swift .tcl .ts .tsx .v "
    ".vb .vba .vbe .vbs .wsf .zsh".split()
)


def language_of(path: str) -> Language:
    """The language of a file by its ending, ignoring case, except that `.C` is C++. Unknown endings count as C."""
    suffix = PurePosixPath(path).suffix
    if suffix == ".C":
        return LANGUAGES["cpp"]
    return next((one for one in LANGUAGES.values() if suffix.lower() in one.suffixes), LANGUAGES["c"])


def suffixes_of(names: Iterable[str]) -> frozenset[str]:
    """The file endings of the languages with these names, in lower case."""
    return frozenset().union(*(LANGUAGES[name].suffixes for name in names))
