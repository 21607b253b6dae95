"""Tokenized functions on disk, found again by their content, so that the next run need not tokenize them.

An entry is a folder named by a hash of all that its tokens depend on. It appears whole: written beside its place, and
renamed. Several processes that want the same one at once wait for the first, and read what it has made.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

FORMAT = 1  # raised where other code would make other tokens of the same content
UNUSED_DAYS = 30


def cache_folder() -> Path:
    """`$LTP_CACHE`, or `ltp` in the user's cache folder."""
    given = os.environ.get("LTP_CACHE")
    return Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "ltp")


def content_key(texts: Iterable[Iterable[str]], tokenizer: PreTrainedTokenizerBase, settings: dict[str, Any]) -> str:
    """A name for the tokens of `texts` (columns of texts) that nothing else has.

    Args:
        tokenizer: a fast one; its vocabulary and rules count, not what it was last told about lengths.
        settings: what else the tokens depend on.
    """
    import tokenizers

    rules = json.loads(tokenizer.backend_tokenizer.to_str())
    rules = {name: rule for name, rule in rules.items() if name not in ("truncation", "padding")}
    about = [FORMAT, tokenizers.__version__, type(tokenizer).__name__, rules, settings]
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for column in texts:
        for text in column:
            raw = text.encode("utf-8", errors="surrogatepass")
            digest.update(b"%d:" % len(raw))
            digest.update(raw)
        digest.update(b"|")
    return digest.hexdigest()[:32]


def cached(key: str, build: Callable[[], Dataset], overwrite: bool = False) -> Dataset:
    """The data set of that key, from the cache, or from `build` and then in the cache.

    Where the cache cannot be written or read, `build` is called and a line says so: no run fails for want of it.

    Args:
        overwrite: build it in any case.
    """
    from filelock import FileLock

    place = cache_folder() / "tokens" / key
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(f"{place}.lock")
        lock.acquire()
    except (OSError, NotImplementedError) as error:
        print(f"tokens are not cached: {place.parent} cannot be written: {error}")
        return build()
    try:
        found = None if overwrite else _load(place)
        if found is not None:
            print(f"tokens of {found.num_rows} rows are taken from {place} (--overwrite_cache makes them anew)")
            return found
        built = build()
        try:
            _remove_unused(place.parent)
            _store(built, place)
        except OSError as error:
            print(f"tokens are not cached: {place} cannot be written: {error}")
        return built
    finally:
        lock.release()


def _load(place: Path) -> Dataset | None:
    import pyarrow
    from datasets import load_from_disk

    if not place.is_dir():
        return None
    try:
        os.utime(place)  # it is in use
        return load_from_disk(str(place))
    except (OSError, ValueError, KeyError, TypeError, pyarrow.ArrowException):
        return None  # damaged, or of another version of the library


def _store(dataset: Dataset, place: Path) -> None:
    work = Path(tempfile.mkdtemp(prefix=".writing-", dir=place.parent))
    try:
        dataset.save_to_disk(str(work / "new"))
        if place.exists():
            os.rename(place, work / "old")
        os.rename(work / "new", place)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _remove_unused(folder: Path) -> None:
    """Entries, and what killed processes have left, that nobody has touched for a month."""
    oldest = time.time() - UNUSED_DAYS * 24 * 3600
    for entry in folder.iterdir():
        if entry.is_dir() and entry.stat().st_mtime < oldest:
            shutil.rmtree(entry, ignore_errors=True)
