"""What a model card says about the checkpoint that the model started from: its name on the hub, and its licence."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from huggingface_hub import hf_hub_download, metadata_load
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from ltp_pipeline.base.hub import is_offline

CARD = "README.md"
LICENSE_FIELDS = ("license", "license_name", "license_link")
_LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]*")
_CACHED = re.compile(r"models--(.+?)--(.+)")  # the folder of a model in the hub's cache


@dataclass(frozen=True)
class Origin:
    """The checkpoint that a model started from."""

    name: str | None = None  # on the hub, or of the folder; None: the model started from random weights
    base_model: str | None = None  # its name on the hub, or that of the model that it was made from itself
    license: dict[str, str] = field(default_factory=lambda: {"license": "unknown"})  # values of LICENSE_FIELDS


def origin_of(path: str | Path | None) -> Origin:
    """Describes the checkpoint at `path`, a folder or a name on the hub; None: there is none.

    The licence is that of the checkpoint's own card, else `unknown`. The model on the hub that a folder was made from
    is known from its card, as this project writes it. No path of this machine is in the result.
    """
    if path is None:
        return Origin()
    folder = Path(path)
    if folder.is_dir():
        resolved = folder.resolve()
        cached = next((found for part in resolved.parts if (found := _CACHED.fullmatch(part))), None)
        on_hub = None if cached is None else "/".join(cached.groups())
        card = folder / CARD
    else:
        on_hub, card = str(path), _downloaded_card(str(path))
    values = _metadata(card)
    base_model = on_hub if _is_hub_name(on_hub) else values.get("base_model")
    if isinstance(base_model, list) and len(base_model) == 1:
        base_model = base_model[0]
    name = on_hub or folder.resolve().name
    license = {key: value for key in LICENSE_FIELDS if isinstance(value := values.get(key), str)}
    if not _LICENSE.fullmatch(license.get("license", "")):
        license = {"license": "unknown"}
    return Origin(name, base_model if _is_hub_name(base_model) else None, license)


def _is_hub_name(name: Any) -> bool:
    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return isinstance(name, str)


def _downloaded_card(name: str) -> Path | None:
    try:
        return Path(hf_hub_download(name, CARD, local_files_only=is_offline()))
    except (OSError, ValueError):  # no network, or the model has no card
        return None


def _metadata(card: Path | None) -> dict[str, Any]:
    """The metadata of a card; {} if there is none that can be read."""
    try:
        return metadata_load(card) or {} if card is not None and card.is_file() else {}
    except Exception:  # YAML of others may raise any error, and a card decides nothing
        return {}
