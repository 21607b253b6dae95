"""The optional dependencies in pyproject.toml, and what to say where one is not installed."""

from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec

from ltp_pipeline.base.errors import UserError

DISTRIBUTION = "ltp-longformer"


def check_installed(what: str, extra: str, *modules: str) -> None:
    """Raises UserError if one of `modules` is not installed.

    `what`: what needs them, as the beginning of a sentence. `extra`: the group of optional dependencies with them.
    """
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        raise UserError(f"{what} needs {', '.join(missing)}, which {verb} not installed: {how_to_install(extra)}")


def how_to_install(extra: str) -> str:
    """The command that installs a group of optional dependencies."""
    try:
        distribution(DISTRIBUTION)
    except PackageNotFoundError:  # a checkout
        return f"""pip install ".[{extra}]" in this project's folder"""
    return f'pip install "{DISTRIBUTION}[{extra}]"'
