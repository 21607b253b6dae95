"""Finds the function definitions of a C or C++ file with tree-sitter."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import accumulate

from tree_sitter import Node, Query, QueryCursor, Tree

from ltp_pipeline.code.code_tokens import code_tokens
from ltp_pipeline.code.languages import LANGUAGES, Language, language_of
from ltp_pipeline.code.parts import Function, NotExtracted, SourceFile
from ltp_pipeline.code.tree_functions import grammar

_STATEMENTS = frozenset({b"if", b"for", b"while", b"switch", b"catch"})


def find_c_functions(file: SourceFile) -> tuple[list[Function], list[NotExtracted]]:
    """The functions of a file, and what looks like a function and is not extracted, both in order.

    A function inside another one is part of the outer one.
    """
    content = file.text.encode()
    tree, query = _parse(language_of(file.path), file.path, content)
    nodes = sorted(QueryCursor(query).captures(tree.root_node).get("function", []), key=lambda node: node.start_byte)
    functions, end = [], 0
    for node in nodes:
        if node.start_byte >= end and _is_c_function(node):
            end = node.end_byte
            source = content[node.start_byte : end].decode()
            functions.append(Function(file.project, file.path, node.start_point.row + 1, source))
    return functions, []


def _is_c_function(node: Node) -> bool:
    """Whether the node has a name, a parameter list and a body that is one block.

    The parser does not expand macros. A macro can therefore cause errors inside a function, or make other code look
    like a function.
    """
    body = node.child_by_field_name("body")
    if body is None or body.type != "compound_statement" or not _is_one_block(code_tokens(body.text.decode())):
        return False
    declarator = node.child_by_field_name("declarator")
    while declarator is not None and not declarator.type.endswith("function_declarator"):
        inner = declarator.child_by_field_name("declarator")
        declarator = inner or next((c for c in declarator.named_children if c.type.endswith("_declarator")), None)
    if declarator is None:
        return False
    name = declarator.child_by_field_name("declarator")
    before = node.text[: declarator.start_byte - node.start_byte]
    between = [child for child in node.children if declarator.end_byte <= child.start_byte < body.start_byte]
    return (
        (name is None or name.text not in _STATEMENTS)
        and not re.search(rb"[;}]", before)
        and not any(child.type == "ERROR" for child in between)
    )


def _is_one_block(tokens: Sequence[str]) -> bool:
    """Whether the last token closes the brace that the first token opens."""
    depth = list(accumulate({"{": 1, "}": -1}.get(token, 0) for token in tokens))
    return depth[-1] == 0 and 0 not in depth[:-1]


def _parse(language: Language, path: str, content: bytes) -> tuple[Tree, Query]:
    """Parses a file by its language's grammar, but a `.h` file that is not valid C and looks like C++ as C++."""
    parser, query = grammar(language)
    tree = parser.parse(content)
    if path.endswith(".h") and tree.root_node.has_error and re.search(rb"\b(?:class|namespace|template)\b", content):
        parser, query = grammar(LANGUAGES["cpp"])
        tree = parser.parse(content)
    return tree, query
