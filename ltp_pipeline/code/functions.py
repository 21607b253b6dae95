"""Finds the functions of a source file, or takes the whole file as one function."""

from __future__ import annotations

from ltp_pipeline.code.c.functions import find_c_functions
from ltp_pipeline.code.languages import language_of
from ltp_pipeline.code.parts import Function, NotExtracted, SourceFile
from ltp_pipeline.code.tree_functions import find_functions_in_tree


def find_functions(file: SourceFile) -> tuple[list[Function], list[NotExtracted]]:
    """The functions of a file, and what looks like a function and is not extracted, both in order.

    Raises UserError if the grammar of the file's language is not installed.
    """
    return find_functions_in_tree(file) if language_of(file.path).module else find_c_functions(file)


def extract_functions(file: SourceFile) -> list[Function]:
    """The functions of a file, as `find_functions` finds them."""
    return find_functions(file)[0]


def whole_file(file: SourceFile) -> list[Function]:
    """The file as one function that starts at line 1; nothing if the file holds only white space."""
    return [Function(file.project, file.path, 1, file.text)] if file.text.strip() else []
