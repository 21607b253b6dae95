"""How models and data sets are loaded from the Hugging Face hub, or only from its cache on this machine.

HF_HUB_OFFLINE decides if it is set. Otherwise only the cache is used if DNS finds no address of the hub. Without this
check the libraries would retry for 24 seconds per file: 2 minutes for a model that is not in the cache.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from textwrap import shorten
from urllib.parse import urlsplit

from huggingface_hub import constants

from ltp_pipeline.base.errors import UserError, printable

_PROXIES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")


def is_offline() -> bool:
    """Whether only the cache on this machine is searched."""
    return constants.HF_HUB_OFFLINE or "HF_HUB_OFFLINE" not in os.environ and not _hub_has_address()


def hub_options(path: str | Path) -> dict[str, bool]:
    """Options of `from_pretrained` for a local path or the name of a model on the hub."""
    return {"local_files_only": True} if not Path(path).exists() and is_offline() else {}


def offline_note() -> str:
    """The end of an error message about a model or data set that was not found; "" if the hub itself was searched."""
    if not is_offline():
        return ""
    if constants.HF_HUB_OFFLINE:
        reason = "HF_HUB_OFFLINE is set"
    else:
        reason = f"{_hub_name()} has no address here; HF_HUB_OFFLINE=0 tries the hub anyway"
    return f" (only its cache on this machine was searched: {reason})"


@contextmanager
def as_user_error(path: str | Path, flag: str, what: str) -> Iterator[None]:
    """Turns any error that the library raises for a wrong checkpoint into a UserError with the start of its message.

    `what`: the part of the checkpoint that is loaded, such as "weights".
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # The library raises errors of many kinds for wrong files, `Exception` among them.
        reason = printable(shorten(str(error), 300), 300) or type(error).__name__
        if Path(path).exists():
            raise UserError(f"{flag} {path}: the {what} cannot be loaded: {reason}") from error
        raise UserError(
            f"{flag} {path}: no such folder, and no model of that name on the hub: {reason}{offline_note()}"
        ) from error


def _hub_name() -> str | None:
    return urlsplit(constants.ENDPOINT).hostname


@cache
def _hub_has_address() -> bool:
    if any(os.environ.get(name) for name in _PROXIES):
        return True  # the proxy looks up the address
    try:
        socket.getaddrinfo(_hub_name(), 443)
    except OSError:
        return False
    return True
