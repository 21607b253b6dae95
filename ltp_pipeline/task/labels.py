"""Turns the values in a column of labels into classes 0 and 1."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.text_encoding import decode_text

LABELS = {"0": 0, "0.0": 0, "false": 0, "1": 1, "1.0": 1, "true": 1}
_DEFECTIVE = "vulnerable vul vuln vulnerability insecure unsafe bad buggy defective flawed malicious malware".split()
_CLEAN = "benign clean good safe secure fixed patched harmless bugfree invulnerable".split()
# Words that name a class without doubt, in lower case, without white space, "-" and "_". A column uses one of these
# sets of words, and one word of it for each class.
WORDS = (
    {"no": 0, "yes": 1},
    {"negative": 0, "positive": 1},
    dict.fromkeys([*_CLEAN, *(f"{no}{word}" for no in ("non", "not") for word in _DEFECTIVE)], 0)
    | dict.fromkeys(_DEFECTIVE, 1),
)
FORM = "expected NAME=0,NAME=1, such as good=0,bad=1, or a JSON file with such an object"


def parse_label_map(given: str | None, flag: str = "--label_map") -> dict[str, int] | None:
    """The class of each name, from `good=0,bad=1` or a JSON file with an object such as `{"good": 0, "bad": 1}`.

    Raises UserError for another form, a class that is not 0 or 1, or a name with two classes.
    """
    if given is None:
        return None
    if Path(given).suffix.lower() == ".json":
        pairs = _pairs_of_file(Path(given))
    else:
        pairs = [tuple(part.rpartition("=")[::2]) for part in given.split(",")]
    label_map: dict[str, int] = {}
    for name, value in pairs:
        name, number = str(name).strip(), LABELS.get(str(value).strip().lower())
        if not name:
            raise UserError(f"{flag} {given}: {FORM}")
        if number is None:
            raise UserError(f"{flag} {given}: {name} is {value!r}; expected 0 or 1")
        if label_map.setdefault(name, number) != number:
            raise UserError(f"{flag} {given}: {name} is both 0 and 1; expected one of them")
    return label_map


class _Object(list):
    """The pairs of a JSON object, in which a name may occur twice."""


def _pairs_of_file(path: Path) -> list[tuple[Any, Any]]:
    try:
        pairs = json.loads(decode_text(path.read_bytes())[0], object_pairs_hook=_Object)
    except OSError as error:
        raise UserError(f"--label_map {path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"--label_map {path}: not well-formed JSON: {error}") from error
    if not isinstance(pairs, _Object):
        raise UserError(f'--label_map {path}: expected one JSON object, such as {{"good": 0, "bad": 1}}')
    return list(pairs)


def as_class(value: Any, label_map: dict[str, int] | None = None) -> int | None:
    """The class, 0 or 1, that `value` stands for; None if it is not a label.

    A list (in a JSON or Parquet file, or written as JSON in a CSV) has an entry for each kind of defect. Its class is
    1 if any entry is 1, else 0.

    `value`: 0, 1, true or false, as a number, a boolean or text; with `label_map`, one of its names.
    """
    entries = _entries(value)
    if entries is None:
        return _single(value, label_map)
    classes = [_single(entry, label_map) for entry in entries]
    return None if None in classes else max(classes, default=0)


def as_classes(values: Iterable[Any], label_map: dict[str, int] | None = None) -> list[int | None]:
    """The classes of a column of labels; None for a value that is not a label.

    Without `label_map` a value may also be a word of `WORDS`, if no value of the column is 0, 1, true or false.
    Otherwise as [`as_class`]. Raises ValueError if two different words of the column mean the same class, or if the
    words are of two sets: the message names two of them.
    """
    values = list(values)
    classes = [as_class(value, label_map) for value in values]
    if label_map is not None or any(label is not None for label in classes):
        return classes
    plain = [re.sub(r"[\s_-]", "", value).lower() if isinstance(value, str) else None for value in values]
    used = {word: value for word, value in zip(plain, values) if any(word in words for words in WORDS)}
    if not used:
        return classes
    first = next(iter(used))
    words = next(words for words in WORDS if first in words)
    chosen: dict[int, str] = {}
    for word, value in used.items():
        other = chosen.setdefault(words[word], word) if word in words else first
        if other != word:
            raise ValueError(f"{shown_label(used[other])} and {shown_label(value)}")
    return [words.get(word) for word in plain]


def as_groups(value: Any, names: Sequence[str]) -> list[int] | None:
    """0 or 1 for each of `names`, for an item that may belong to several groups; None if `value` is not such a label.

    Args:
        value: a list with 0 or 1 (or true or false) for each group, a list of some of the names, or a text of some of
            the names with spaces between them; "" for no group.
    """
    entries = _entries(value)
    if entries is None and isinstance(value, str):
        entries = value.split()
    if entries is None:
        return None
    if all(isinstance(entry, str) for entry in entries) and set(entries) <= set(names):
        return [int(name in entries) for name in names]
    classes = [_single(entry, None) for entry in entries]
    return classes if None not in classes and len(classes) == len(names) else None


def expected_label(label_map: dict[str, int] | None, groups: Sequence[str] = (), *, words: bool = False) -> str:
    """The end of an error message: what a label may be. `words`: words that name a class, too; see [`as_classes`]."""
    if groups:
        return f"expected a list of {len(groups)} of 0 or 1, or some of {', '.join(groups)} (empty: none)"
    if label_map is not None:
        return f"expected one of {', '.join(label_map)} (--label_map), or a list of them"
    word = ", or one clear word for each class, such as benign and malicious" if words else ""
    return (
        f"expected 0 or 1 (or true, false, or a list of these{word}); for {'other ' if words else ''}names give "
        "--label_map, such as good=0,bad=1"
    )


def shown_label(value: Any) -> str:
    """A label as an error message shows it: quoted, with at most 60 characters."""
    text = repr(str(value))
    return text if len(text) <= 60 else f"{text[:56]}...'"


def _single(value: Any, label_map: dict[str, int] | None) -> int | None:
    text = str(value).strip()
    return LABELS.get(text.lower()) if label_map is None else label_map.get(text)


def _entries(value: Any) -> list[Any] | None:
    """The entries of a list; None if `value` is not a list."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    if hasattr(value, "tolist"):
        value = value.tolist()
    return list(value) if isinstance(value, list | tuple) else None
