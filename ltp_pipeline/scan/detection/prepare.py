"""Files to windows of units with their token ids, which the model reads next. Memory is bounded by a window."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from queue import Full, Queue
from typing import TYPE_CHECKING, Any

import numpy as np

from ltp_pipeline.base.errors import UserError, printable
from ltp_pipeline.data.truncation import Truncation
from ltp_pipeline.scan.detection.workers import TaskFailed, Workers
from ltp_pipeline.scan.finding import CodeUnit, SkippedFile
from ltp_pipeline.scan.fingerprints import fingerprints
from ltp_pipeline.scan.sources.paths import FoundFile
from ltp_pipeline.scan.sources.units import units_of

if TYPE_CHECKING:
    from tokenizers import Tokenizer

WINDOW = 1024  # units that are classified together, in batches of similar length
WINDOW_CHARACTERS = 2**23  # of a window's texts; one text may be longer
FILES_AHEAD = 32  # files that are read before their turn
TEXTS_AT_ONCE = 64  # in one task of tokenizing


@dataclass(frozen=True)
class Tokens:
    """The token ids of one text."""

    length: int  # tokens of the whole text
    rows: list[np.ndarray]  # ids that the model reads at once, int32 `[n]`: several in windows


@dataclass
class Window:
    """Units that are classified together."""

    units: list[CodeUnit] = field(default_factory=list)
    names: list[str] = field(default_factory=list)  # fingerprints
    skipped: list[SkippedFile] = field(default_factory=list)  # what was left out of the files of these units
    keys: list[bytes] = field(default_factory=list)  # of the texts in the cache
    fresh: dict[bytes, str] = field(default_factory=dict)  # texts that no earlier unit of the scan has, by key
    known: dict[bytes, Any] = field(default_factory=dict)  # those of them that the cache had
    tokens: list[Tokens] | None = None  # of `fresh`; None: the tokenizer was not loaded, or all are known


def read_file(_: Any, file: FoundFile, granularity: str) -> tuple[list[CodeUnit], list[str], list[SkippedFile]]:
    """The units of a file, their fingerprints, and what is left out."""
    units, skipped = units_of(file, granularity)
    return units, fingerprints(units), skipped


def token_ids(tokenizer: str, texts: list[str], max_length: int, truncation: Truncation) -> list[Tokens]:
    """The token ids of texts, as `view.encode.encode_windows` gives them. It imports no torch.

    `tokenizer`: the JSON of a fast tokenizer.
    """
    encoder, made = _encoder(tokenizer), []
    for encoding in encoder.encode_batch_fast(texts):
        ids = np.array(encoding.ids, dtype=np.int32)
        special = np.array(encoding.special_tokens_mask, dtype=bool)
        readings = truncation.readings(special, max_length) if len(ids) > max_length else [slice(None)]
        made.append(Tokens(len(ids), [ids[reading] for reading in readings]))
    return made


@lru_cache(maxsize=1)
def _encoder(tokenizer: str) -> Tokenizer:
    from tokenizers import Tokenizer

    encoder = Tokenizer.from_str(tokenizer)
    encoder.no_truncation()
    encoder.no_padding()
    encoder.encode_special_tokens = True  # as in training: </s> inside the code is ordinary text
    return encoder


def tokenize(texts: Sequence[str], workers: Workers, max_length: int, truncation: Truncation) -> list[Tokens]:
    """The token ids of texts, by the processes, whose shared value is the tokenizer."""
    chunks = [list(texts[start : start + TEXTS_AT_ONCE]) for start in range(0, len(texts), TEXTS_AT_ONCE)]
    futures = [workers.submit(token_ids, chunk, max_length, truncation) for chunk in chunks]
    try:
        return [tokens for future in futures for tokens in future.result()]
    except TaskFailed as error:
        raise UserError(f"tokenizing failed: {error}; try --num_workers 0") from None


def windows(
    files: Sequence[FoundFile],
    workers: Workers,
    granularity: str,
    wanted: Callable[[CodeUnit], bool],
    key_of: Callable[[str], bytes],
) -> Iterator[Window]:
    """The units of the files for which `wanted` is true, in order. `key_of`: the key of a text in the cache.

    Which units are in a window depends on the files alone, so that a scan which is continued has the same batches.
    """
    seen: set[bytes] = set()
    window, characters = Window(), 0
    for units, names, skipped in _read(files, workers, granularity):
        window.skipped += skipped
        for unit, name in zip(units, names, strict=True):
            if not wanted(unit):
                continue
            if window.units and (len(window.units) == WINDOW or characters + len(unit.text) > WINDOW_CHARACTERS):
                yield window
                window, characters = Window(), 0
            key = key_of(unit.text)
            window.units.append(unit)
            window.names.append(name)
            window.keys.append(key)
            characters += len(unit.text)
            if key not in seen:
                seen.add(key)
                window.fresh[key] = unit.text
    yield window


def _read(
    files: Sequence[FoundFile], workers: Workers, granularity: str
) -> Iterator[tuple[list[CodeUnit], list[str], list[SkippedFile]]]:
    """The result of `read_file` for each file, in order."""
    ahead = FILES_AHEAD if workers.count else 0
    pending: deque = deque()
    for file in files:
        pending.append((file, workers.submit(read_file, file, granularity)))
        if len(pending) > ahead:
            yield _result(*pending.popleft())
    while pending:
        yield _result(*pending.popleft())


def _result(file: FoundFile, future: Any) -> tuple[list[CodeUnit], list[str], list[SkippedFile]]:
    try:
        return future.result()
    except TaskFailed as error:
        return [], [], [SkippedFile(file.shown, f"not read: {printable(str(error))}", is_error=True)]


def in_background(items: Iterator[Window], ahead: int = 1) -> Iterator[Window]:
    """The same items, made in a thread: `ahead` of them are ready while the caller works on one."""
    queue: Queue = Queue(ahead)
    stopped = threading.Event()

    def put(item: Any) -> None:
        while not stopped.is_set():
            try:
                return queue.put(item, timeout=0.2)
            except Full:
                continue

    def make() -> None:
        try:
            for item in items:
                put((item, None))
                if stopped.is_set():
                    return
            put((None, None))
        except BaseException as error:
            put((None, error))

    threading.Thread(target=make, name="prepare", daemon=True).start()
    try:
        while True:
            item, error = queue.get()
            if error is not None:
                raise error
            if item is None:
                return
            yield item
    finally:
        stopped.set()
