"""Results of earlier scans on disk, by a hash of everything that determines them.

A cache that is damaged, full, locked or not writable makes a scan slower, never wrong: each entry has a checksum, and
what cannot be stored is kept for this scan only.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
import time
import zlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

FILE = "results_1.sqlite3"  # another number for another table
MAX_BYTES = 2**28  # above this size the entries that were not used for longest are removed
UNUSED_DAYS = 90
COMMIT_SECONDS = 2.0  # what a killed scan loses at most, besides the batch that it was computing
KEY_BYTES = 24
KEYS_AT_ONCE = 500  # in one query
PRIVATE = ("", ":memory:")  # SQLite's names for a temporary file and for memory
FAILURES = (sqlite3.Error, OSError, ValueError)  # ValueError: also a name in a damaged file that is no UTF-8
DAMAGE = (sqlite3.DatabaseError, ValueError)
NO_DAMAGE = sqlite3.OperationalError  # such as a file that is locked, and a disk that is full
TABLE = "CREATE TABLE IF NOT EXISTS results (key BLOB PRIMARY KEY, value BLOB NOT NULL, day INTEGER NOT NULL)"


def key_of(context: bytes, *parts: str) -> bytes:
    """The key of a result: it begins with `context`, a digest of all that the results of a scan have in common."""
    digest = hashlib.sha256()
    for part in parts:
        raw = part.encode("utf-8", errors="surrogatepass")
        digest.update(b"%d:" % len(raw) + raw)
    return context[:8] + hashlib.sha256(context + digest.digest()).digest()[: KEY_BYTES - 8]


class ResultCache:
    """Values that JSON can hold, by key. It is a context manager; several threads and several scans may use it.

    What is put is stored every few seconds, and at the end, also if the scan is interrupted.

    Args:
        folder: where the results are; None: a temporary file for this scan.
        note: is called with a line if results cannot be stored.
    """

    def __init__(self, folder: Path | None, note: Callable[[str], None] = lambda line: None):
        self._file = None if folder is None else folder / FILE
        self._note, self._lock = note, threading.RLock()
        self._today = int(time.time() // 86400)
        self._new: dict[bytes, bytes] = {}  # entries that are not stored yet
        self._used: set[bytes] = set()  # stored entries of an earlier day that this scan has used
        self._committed = time.monotonic()
        self._removed = False
        self._places = [*([str(self._file)] if self._file else []), *PRIVATE]  # where to store; the first is used
        self._connection = self._open()

    def __enter__(self) -> ResultCache:
        return self

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            self._commit()
            if self._places[0] not in PRIVATE:
                self._tried(lambda: self._remove(f"day < {self._today - UNUSED_DAYS}"))
            self._connection.close()

    def get(self, keys: Iterable[bytes]) -> dict[bytes, Any]:
        """The values of those keys that the cache has."""
        keys, found = list(keys), {}
        with self._lock:
            for start in range(0, len(keys), KEYS_AT_ONCE):
                some = keys[start : start + KEYS_AT_ONCE]
                query = f"SELECT key, value, day FROM results WHERE key IN ({','.join('?' * len(some))})"
                rows = self._tried(lambda query=query, some=some: self._connection.execute(query, some).fetchall())
                for key, stored, day in rows or ():
                    value = _unpacked(key, stored)
                    if value is not None:
                        found[key] = value
                        if isinstance(day, int) and day < self._today:
                            self._used.add(key)
            for key in keys:
                if key in self._new:
                    found[key] = _unpacked(key, self._new[key])
        return found

    def has_any(self, context: bytes) -> bool:
        """Whether there is a result with this context."""
        query, first = "SELECT 1 FROM results WHERE key >= ? AND key < ? LIMIT 1", context[:8]
        with self._lock:
            return bool(self._tried(lambda: self._connection.execute(query, (first, first + b"\xff" * 16)).fetchall()))

    def put(self, key: bytes, value: Any) -> None:
        """Adds a value."""
        with self._lock:
            self._new[key] = _packed(key, value)
            if time.monotonic() - self._committed > COMMIT_SECONDS:
                self._commit()

    def _commit(self) -> None:
        self._tried(self._store)
        self._new.clear()
        self._used.clear()
        self._committed = time.monotonic()

    def _store(self) -> None:
        with self._connection as connection:
            rows = [(key, value, self._today) for key, value in self._new.items()]
            connection.executemany("INSERT OR REPLACE INTO results VALUES (?, ?, ?)", rows)
            used = [(self._today, key) for key in self._used]
            connection.executemany("UPDATE results SET day = ? WHERE key = ?", used)
        if self._bytes() > MAX_BYTES:
            oldest = "SELECT rowid FROM results ORDER BY day, rowid LIMIT (SELECT COUNT(*) / 4 + 1 FROM results)"
            self._remove(f"rowid IN ({oldest})")

    def _bytes(self) -> int:
        names = ("page_count", "freelist_count", "page_size")
        pages, free, size = (self._connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names)
        return (pages - free) * size

    def _remove(self, condition: str) -> None:
        with self._connection as connection:
            connection.execute(f"DELETE FROM results WHERE {condition}")
        self._connection.execute("PRAGMA incremental_vacuum").fetchall()

    def _tried(self, action: Callable[[], Any]) -> Any:
        """What `action` returns. If it fails, it is tried again with a new file, or without one."""
        while True:
            try:
                return action()
            except sqlite3.ProgrammingError:  # the connection is closed: the scan has ended, and the file is whole
                raise
            except FAILURES as error:
                self._connection.close()
                self._leave_place(error)
                self._connection = self._open()

    def _open(self) -> sqlite3.Connection:
        while True:
            try:
                return _connected(self._places[0])
            except FAILURES as error:
                self._leave_place(error)

    def _leave_place(self, error: Exception) -> None:
        """Chooses where to store after an error: a new file in place of a damaged one, else a private place."""
        if self._places[0] in PRIVATE:
            if len(self._places) == 1:
                raise error
            self._places.pop(0)
        elif isinstance(error, DAMAGE) and not isinstance(error, NO_DAMAGE) and self._remove_file():
            self._note(f"the cache {self._file} was damaged ({error}); a new one is made")
        else:
            self._note(f"results are not cached: {self._file}: {error} (--cache_dir names another folder)")
            self._places.pop(0)

    def _remove_file(self) -> bool:
        """Removes the file, once: if the next one is damaged, too, the disk is at fault."""
        removed, self._removed = self._removed, True
        with suppress(OSError):
            for ending in ("", "-journal"):
                Path(f"{self._file}{ending}").unlink(missing_ok=True)
            return not removed
        return False


def _connected(place: str) -> sqlite3.Connection:
    """A connection to a database with the table. `place`: its file, or one of `PRIVATE`."""
    if place not in PRIVATE:
        Path(place).parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(place, timeout=10, check_same_thread=False)
    try:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        with connection:
            connection.execute(TABLE)
    except FAILURES:
        connection.close()
        raise
    return connection


def _packed(key: bytes, value: Any) -> bytes:
    """The compressed JSON of a value after a checksum."""
    raw = json.dumps(value, separators=(",", ":")).encode()
    raw = zlib.compress(raw, 1) if len(raw) > 200 else raw
    return zlib.crc32(raw, zlib.crc32(key)).to_bytes(4, "big") + raw


def _unpacked(key: bytes, stored: Any) -> Any:
    """The value of an entry; None if it is damaged."""
    if not isinstance(stored, bytes) or stored[:4] != zlib.crc32(stored[4:], zlib.crc32(key)).to_bytes(4, "big"):
        return None
    raw = stored[4:]
    return json.loads(zlib.decompress(raw) if raw[:1] == b"\x78" else raw)
