"""Finds the functions of a Python or PowerShell file with tree-sitter, and by their layout where the parser fails.

The grammars do not know all of these languages: tree-sitter-powershell has an error node in 7 % of the functions of
published scripts. A function with an error inside is used if its head and its body are whole.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ltp_pipeline.base.extras import check_installed
from ltp_pipeline.code.languages import Language, language_of
from ltp_pipeline.code.parts import Function, NotExtracted, SourceFile
from ltp_pipeline.code.powershell_layout import powershell_definitions
from ltp_pipeline.code.python_layout import python_definitions

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

DEFINITIONS = {"powershell": powershell_definitions, "python": python_definitions}


def find_functions_in_tree(file: SourceFile) -> tuple[list[Function], list[NotExtracted]]:
    """The functions of a file, and what looks like a function and is not extracted, both in order.

    A function inside another one is part of the outer one. Raises UserError if the grammar is not installed.
    """
    language = language_of(file.path)
    content = file.text.encode()
    root = grammar(language).parse(content).root_node
    nodes = list(_nodes_of(root, language.functions))
    whole = [node for node in nodes if _is_whole(node)]
    found = [(*span, "") for span in _in_characters(whole, content)]
    if root.has_error or len(whole) < len(nodes):
        found += DEFINITIONS[language.name](file.text)
    functions: list[Function] = []
    lost: list[NotExtracted] = []
    line, counted, last_end = 1, 0, 0
    for start, end, reason in sorted(found, key=lambda one: (one[0], bool(one[2]))):
        if start < last_end:
            continue
        line, counted = line + file.text.count("\n", counted, start), start
        if reason:
            head = file.text[start:end].split("\n", 1)[0]
            last_line = line + file.text.count("\n", start, end)
            lost.append(NotExtracted(file.project, file.path, line, last_line, head, reason))
        else:
            last_end = end
            functions.append(Function(file.project, file.path, line, file.text[start:end]))
    return functions, lost


def _nodes_of(root: Node, kinds: tuple[str, ...]) -> Iterator[Node]:
    """The nodes of these kinds, in order, without those inside whole ones.

    A query would take time that is quadratic in the number of children of an error node.
    """
    cursor = root.walk()
    while True:
        node = cursor.node
        found = node.type in kinds
        if found:
            yield node
        if (found and _is_whole(node)) or not cursor.goto_first_child():
            while not cursor.goto_next_sibling():
                if not cursor.goto_parent():
                    return


def _is_whole(node: Node) -> bool:
    """Whether the function has no error inside and a body. The Python parser accepts a head without a block."""
    body = node.child_by_field_name("body")
    return not node.has_error and (body is None or body.start_byte < body.end_byte)


def _in_characters(nodes: list[Node], content: bytes) -> Iterator[tuple[int, int]]:
    """The start and end of each node in characters. The nodes are in order and not inside each other."""
    characters, position = 0, 0
    for node in nodes:
        start = characters + len(content[position : node.start_byte].decode())
        characters = start + len(content[node.start_byte : node.end_byte].decode())
        position = node.end_byte
        yield start, characters


@functools.cache
def grammar(language: Language) -> Parser:
    """The parser of a language. Raises UserError if its grammar is not installed."""
    check_installed(f"code in {language.name}", "scan", "tree_sitter", language.module)
    import tree_sitter

    module = importlib.import_module(language.module)
    return tree_sitter.Parser(tree_sitter.Language(module.language()))
