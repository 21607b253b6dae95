"""Decides whether the Hugging Face hub is asked for models and data sets, or only its cache on this machine.

If the user has set HF_HUB_OFFLINE, it decides. Otherwise one look-up of the hub's address does: without an address the
libraries would retry for 24 seconds a file, which is 2 minutes for a model of which nothing is in the cache.
"""

import os
import socket
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from huggingface_hub import constants

_PROXIES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")


def is_offline() -> bool:
    """Whether only the cache on this machine is searched."""
    return constants.HF_HUB_OFFLINE or "HF_HUB_OFFLINE" not in os.environ and not _hub_has_address()


def hub_options(path: str | Path) -> dict[str, bool]:
    """Options of `from_pretrained` for a local path or the name of a model on the hub."""
    return {"local_files_only": True} if not Path(path).exists() and is_offline() else {}


def offline_note() -> str:
    """Ends the error message about a model or data set that was not found; empty where the hub itself was asked."""
    if not is_offline():
        return ""
    if constants.HF_HUB_OFFLINE:
        reason = "HF_HUB_OFFLINE is set"
    else:
        reason = f"{_hub_name()} has no address here; with HF_HUB_OFFLINE=0 the hub is asked all the same"
    return f" (only its cache on this machine was searched: {reason})"


def _hub_name() -> str | None:
    return urlsplit(constants.ENDPOINT).hostname


@cache
def _hub_has_address() -> bool:
    if any(os.environ.get(name) for name in _PROXIES):
        return True  # then the proxy looks the address up
    try:
        socket.getaddrinfo(_hub_name(), 443)
    except OSError:
        return False
    return True
