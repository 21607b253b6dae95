"""Finds the functions of a Python or PowerShell file with tree-sitter."""

from __future__ import annotations

import functools
import importlib

from tree_sitter import Language as Grammar
from tree_sitter import Parser, Query, QueryCursor

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.code.languages import Language, language_of
from ltp_pipeline.code.parts import Function, NotExtracted, SourceFile


def find_functions_in_tree(file: SourceFile) -> tuple[list[Function], list[NotExtracted]]:
    """The functions of a file, and what looks like a function and is not extracted, both in order.

    A function inside another one is part of the outer one. Raises UserError if the grammar is not installed.
    """
    content = file.text.encode()
    parser, query = grammar(language_of(file.path))
    nodes = QueryCursor(query).captures(parser.parse(content).root_node).get("function", [])
    functions: list[Function] = []
    lost: list[NotExtracted] = []
    end = 0
    for node in sorted(nodes, key=lambda node: node.start_byte):
        if node.start_byte < end:
            continue
        source = content[node.start_byte : node.end_byte].decode()
        first_line, last_line = node.start_point.row + 1, node.end_point.row + 1
        if node.has_error:
            head = source.split("\n", 1)[0]
            lost.append(
                NotExtracted(file.project, file.path, first_line, last_line, head, "the parser finds an error")
            )
        else:
            end = node.end_byte
            functions.append(Function(file.project, file.path, first_line, source))
    return functions, lost


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
