"""Function definitions of a source file, found with tree-sitter, or the file as a whole."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate

from tree_sitter import Node, Query, QueryCursor, Tree

from Data.sources.source_files import SourceFile
from ltp_pipeline.code.languages import LANGUAGES, Language, grammar, language_of, token_pattern


@dataclass(frozen=True)
class Function:
    """One function definition: `source` is the text of the file from its first token to its closing brace."""

    project: str
    path: str
    first_line: int  # in the file, from 1
    source: str

    @property
    def last_line(self) -> int:
        return self.first_line + self.source.count("\n")


_STATEMENTS = frozenset({b"if", b"for", b"while", b"switch", b"catch"})


def extract_functions(file: SourceFile) -> list[Function]:
    """Function definitions of a file, outermost only, in order."""
    content = file.text.encode()
    language = language_of(file.path)
    tree, query = _parse(language, file.path, content)
    is_function = _is_function if language.name in ("c", "cpp") else _is_whole
    nodes = sorted(QueryCursor(query).captures(tree.root_node).get("function", []), key=lambda node: node.start_byte)
    functions, end = [], 0
    for node in nodes:
        if node.start_byte >= end and is_function(node):
            end = node.end_byte
            source = content[node.start_byte : end].decode()
            functions.append(Function(file.project, file.path, node.start_point.row + 1, source))
    return functions


def whole_file(file: SourceFile) -> list[Function]:
    """The file as one function, from its line 1; nothing for a file of white space."""
    return [Function(file.project, file.path, 1, file.text)] if file.text.strip() else []


def code_tokens(source: str, language: Language = LANGUAGES["c"]) -> list[str]:
    """Lexical tokens of source code, without comments: `a+=1; // x` -> `["a", "+=", "1", ";"]`."""
    return [token for token in token_pattern(language).findall(source) if token]


def token_hash(tokens: list[str]) -> str:
    """A hash that two functions share if they differ in layout and comments only."""
    return hashlib.sha256("\n".join(tokens).encode()).hexdigest()


def _is_whole(node: Node) -> bool:
    return not node.has_error


def _is_function(node: Node) -> bool:
    """Whether the node has a name, a parameter list and a body that is one block.

    Macros that the grammar cannot know may leave errors inside a function, and make other things look like one.
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


def _is_one_block(tokens: Iterable[str]) -> bool:
    """Whether the brace that opens first closes last."""
    depth = list(accumulate({"{": 1, "}": -1}.get(token, 0) for token in tokens))
    return depth[-1] == 0 and 0 not in depth[:-1]


def _parse(language: Language, path: str, content: bytes) -> tuple[Tree, Query]:
    """Parse with the grammar of the file's ending; a `.h` that is no C is taken as C++."""
    parser, query = grammar(language)
    tree = parser.parse(content)
    if path.endswith(".h") and tree.root_node.has_error and re.search(rb"\b(?:class|namespace|template)\b", content):
        parser, query = grammar(LANGUAGES["cpp"])
        tree = parser.parse(content)
    return tree, query
