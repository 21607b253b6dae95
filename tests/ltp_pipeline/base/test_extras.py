import sys

import pytest

from ltp_pipeline.base import extras
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.extras import check_installed
from ltp_pipeline.code import tree_functions
from ltp_pipeline.code.parts import SourceFile
from ltp_pipeline.commands import scan
from ltp_pipeline.quality.near_duplicates import _datasketch


def scan_without_pathspec():
    scan.main([".", "--model_name_or_path", "pruned"])


def functions_of_python():
    tree_functions.find_functions_in_tree(SourceFile("", "a.py", "def f(): pass\n"))


@pytest.fixture
def no_grammar_is_loaded():
    tree_functions.grammar.cache_clear()
    _datasketch.cache_clear()
    yield
    tree_functions.grammar.cache_clear()
    _datasketch.cache_clear()


@pytest.mark.parametrize("module", ["pathspec", "tree_sitter", "tree_sitter_python", "datasketch"])
@pytest.mark.parametrize("found", [True, False], ids=["installed", "checkout"])
def test_what_is_missing_is_named_with_the_command_that_installs_it(monkeypatch, no_grammar_is_loaded, module, found):
    what, extra, needs = {
        "pathspec": ("a scan", "scan", scan_without_pathspec),
        "datasketch": ("--near_duplicates", "data", _datasketch),
    }.get(module, ("code in python", "scan", functions_of_python))

    def distribution(name):
        if not found:
            raise extras.PackageNotFoundError(name)

    monkeypatch.setattr(extras, "distribution", distribution)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UserError) as raised:
        needs()
    command = (
        f'pip install "ltp-longformer[{extra}]"' if found else f"""pip install ".[{extra}]" in this project's folder"""
    )
    assert str(raised.value) == f"{what} needs {module}, which is not installed: {command}"


def test_several_at_once(monkeypatch):
    for name in ("pathspec", "h5py"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UserError, match="a scan needs pathspec, h5py, which are not installed: pip install"):
        check_installed("a scan", "scan", "pathspec", "json", "h5py")
