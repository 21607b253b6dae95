"""Stored measurements: JSON files in experiments/, compact, without the predictions of single functions.

A file of `experiments/pruning_costs/` holds the rows of `benchmarks.accuracy`, measured, or transcribed from a table
whose cells are not kept. Those of `experiments/demo/` are comparison.json of `ltp_pipeline.comparison`.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.files import parse_json, write_text

FORMAT = 1  # increase it when files of an earlier version cannot be read
COSTS = Path("experiments/pruning_costs")
DEMO = Path("experiments/demo")
KINDS = ("measured", "transcribed")
DIGITS = 6  # significant digits of stored numbers


class Store:
    """The stored files below `root`. Each is read once."""

    def __init__(self, root: Path):
        self.root = root
        self._read: dict[Path, dict[str, Any]] = {}

    def costs(self, name: str) -> dict[str, Any]:
        """What pruning costs, by the file's name without its ending. Raises UserError if it cannot be used."""
        return self._load(COSTS / f"{name}.json", ("format", "kind", "title", "about", "rows"), check_costs)

    def demo(self, name: str) -> dict[str, Any]:
        """A comparison of the demo's checkpoints. Raises UserError if it cannot be used."""
        return self._load(DEMO / f"{name}.json", ("checkpoints",), lambda path, found: None)

    def names(self, kind: str | None = None) -> list[str]:
        """The names of all files of what pruning costs, or of those of one of KINDS."""
        names = sorted(path.stem for path in (self.root / COSTS).glob("*.json"))
        return [name for name in names if kind is None or self.costs(name)["kind"] == kind]

    def _load(self, path: Path, keys: tuple[str, ...], check: Any) -> dict[str, Any]:
        if path not in self._read:
            try:
                found = parse_json((self.root / path).read_text(encoding="utf-8"))
            except (OSError, ValueError) as error:
                raise UserError(f"{path}: cannot be read as JSON: {error}; expected stored measurements") from error
            missing = [key for key in keys if not isinstance(found, dict) or key not in found]
            if missing:
                raise UserError(f"{path}: has no {', '.join(missing)}; expected stored measurements")
            check(path, found)
            self._read[path] = found
        return self._read[path]


def check_costs(path: Path, found: dict[str, Any]) -> None:
    """Raises UserError if a stored file has another format or kind than this version reads."""
    if found["format"] != FORMAT:
        raise UserError(f"{path}: has format {found['format']}; expected {FORMAT}")
    if found["kind"] not in KINDS:
        raise UserError(f"{path}: kind {found['kind']!r}; expected {' or '.join(KINDS)}")


def write_stored(path: Path, found: dict[str, Any]) -> None:
    """Writes stored measurements whole: a line for each field, and for each item of a list of objects or texts."""
    lines = []
    for name, value in rounded(found).items():
        if isinstance(value, list) and value and isinstance(value[0], dict | str):
            items = ",\n".join(f"  {_json(item)}" for item in value)
            lines.append(f"{_json(name)}: [\n{items}\n]")
        else:
            lines.append(f"{_json(name)}: {_json(value)}")
    write_text(path, "{\n" + ",\n".join(lines) + "\n}\n")


def rounded(value: Any) -> Any:
    """The same, with DIGITS significant digits in each number that is not whole."""
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, dict):
        return {name: rounded(inner) for name, inner in value.items()}
    return [rounded(inner) for inner in value] if isinstance(value, list | tuple) else value


def digest(value: Any) -> str:
    """SHA-256 of a value that JSON can hold, whatever its form on disk."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
