"""The cache of results: what was stored is read again, and nothing that happens to its file gives a wrong result."""

import multiprocessing
import random
import sqlite3

import pytest

from ltp_pipeline.scan.detection import cache as module
from ltp_pipeline.scan.detection.cache import FILE, PRIVATE, ResultCache, key_of

CONTEXT = b"c" * 32
KEYS = [key_of(CONTEXT, f"int f{i}(void);") for i in range(20)]
VALUES = [[0.5 + i / 100, 0, i, "é" * i] for i in range(20)]


def fill(folder, numbers=range(20)):
    with ResultCache(folder) as cache:
        for i in numbers:
            cache.put(KEYS[i], VALUES[i])


def read(folder, notes=None):
    with ResultCache(folder, (notes if notes is not None else []).append) as cache:
        return cache.get(KEYS)


def test_a_later_scan_reads_what_was_stored(tmp_path):
    fill(tmp_path / "new" / "folder", range(10))
    assert read(tmp_path / "new" / "folder") == dict(zip(KEYS[:10], VALUES))
    with ResultCache(tmp_path / "new" / "folder") as cache:
        assert cache.has_any(CONTEXT) and not cache.has_any(b"d" * 32)
        cache.put(KEYS[15], VALUES[15])
        assert cache.get(KEYS[14:16]) == {KEYS[15]: VALUES[15]}  # before it is stored


def test_a_thread_that_asks_after_the_end_leaves_the_file_alone(tmp_path):
    notes = []
    with ResultCache(tmp_path, notes.append) as cache:
        cache.put(KEYS[0], VALUES[0])
    with pytest.raises(sqlite3.ProgrammingError):
        cache.get(KEYS)
    assert read(tmp_path, notes) == {KEYS[0]: VALUES[0]} and not notes


def test_keys_tell_texts_and_contexts_apart():
    made = {key_of(CONTEXT, "ab", "c"), key_of(CONTEXT, "a", "bc"), key_of(CONTEXT, "abc"), key_of(b"d" * 32, "abc")}
    assert len(made) == 4 and len(set(KEYS)) == 20
    assert key_of(CONTEXT, "\udce9") != key_of(CONTEXT, "?")  # half characters are texts, too


def test_without_a_folder_results_last_for_the_scan():
    with ResultCache(None) as cache:
        cache.put(KEYS[0], VALUES[0])
        cache._commit()
        assert cache.get(KEYS) == {KEYS[0]: VALUES[0]}


@pytest.fixture
def tmp_path(memory_folder):
    """In memory: these tests change files often."""
    return memory_folder


@pytest.mark.parametrize("content", [b"", b"no database", b"SQLite format 3\0" + b"\xff" * 4096])
def test_a_damaged_file_is_made_anew(tmp_path, content):
    (tmp_path / FILE).write_bytes(content)
    notes = []
    assert read(tmp_path, notes) == {} and bool(notes) == bool(content)
    fill(tmp_path)
    assert read(tmp_path) == dict(zip(KEYS, VALUES))


def test_damage_is_noticed_wherever_it_is(tmp_path):
    fill(tmp_path)
    whole = (tmp_path / FILE).read_bytes()
    for place in range(0, len(whole), 499):
        spoilt = bytearray(whole)
        spoilt[place : place + 3] = b"\xa5\x5a\xa5"
        (tmp_path / FILE).write_bytes(spoilt)
        with ResultCache(tmp_path) as cache:
            found = cache.get(KEYS)
            assert all(found[key] == value for key, value in zip(KEYS, VALUES) if key in found)
            cache.put(KEYS[3], VALUES[3])
            assert cache.get([KEYS[3]]) == {KEYS[3]: VALUES[3]}


def test_a_file_that_is_cut_off(tmp_path):
    fill(tmp_path)
    whole = (tmp_path / FILE).read_bytes()
    for length in range(0, len(whole), 1024):
        (tmp_path / FILE).write_bytes(whole[:length])
        found = read(tmp_path)
        assert all(found[key] == value for key, value in zip(KEYS, VALUES) if key in found)


def test_damage_while_the_scan_runs(tmp_path):
    notes = []
    with ResultCache(tmp_path, notes.append) as cache:
        cache.put(KEYS[0], VALUES[0])
        cache._commit()
        (tmp_path / FILE).write_bytes(b"x" * 8192)
        cache.get(KEYS)
        cache.put(KEYS[1], VALUES[1])
        cache._commit()
        assert cache.get([KEYS[1]]) == {KEYS[1]: VALUES[1]}
    assert notes and read(tmp_path)[KEYS[1]] == VALUES[1]


def test_a_full_disk(tmp_path):
    notes = []
    with ResultCache(tmp_path, notes.append) as cache:
        cache._connection.execute("PRAGMA max_page_count = 3")
        cache.put(KEYS[0], random.Random(0).randbytes(20_000).hex())
        cache._commit()
        assert "database or disk is full" in notes[0] and "--cache_dir" in notes[0]
        for key, value in zip(KEYS, VALUES):
            cache.put(key, value)
            cache._commit()
        assert cache.get(KEYS) == dict(zip(KEYS, VALUES)) and len(notes) == 1


@pytest.mark.parametrize("kind", ["file in place of the folder", "folder in place of the file"])
def test_a_place_that_cannot_be_used(tmp_path, kind):
    folder, notes = tmp_path / "cache", []
    if kind.startswith("file"):
        folder.write_text("")
    else:
        (folder / FILE).mkdir(parents=True)
    with ResultCache(folder, notes.append) as cache:
        cache.put(KEYS[0], VALUES[0])
        cache._commit()
        assert cache.get(KEYS) == {KEYS[0]: VALUES[0]}
    assert len(notes) == 1 and str(folder) in notes[0]


def test_two_processes_write_at_once(tmp_path):
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=fill, args=(tmp_path, range(i, 20, 2))) for i in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    assert read(tmp_path) == dict(zip(KEYS, VALUES))


def test_another_scan_holds_the_file(tmp_path, monkeypatch):
    fill(tmp_path, range(5))
    connect, notes = sqlite3.connect, []
    monkeypatch.setattr(module.sqlite3, "connect", lambda place, **rest: connect(place, **{**rest, "timeout": 0}))
    other = connect(tmp_path / FILE, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with ResultCache(tmp_path, notes.append) as cache:
        cache.put(KEYS[0], VALUES[0])
        assert cache.get(KEYS[:1]) == {KEYS[0]: VALUES[0]}
    other.close()
    assert "locked" in notes[0] and read(tmp_path) == dict(zip(KEYS[:5], VALUES))


def test_a_scan_that_was_killed_while_it_stored(tmp_path):
    fill(tmp_path, range(5))
    other = sqlite3.connect(tmp_path / FILE, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    other.execute("DELETE FROM results")
    other.close()  # without COMMIT, as the system does for a killed process
    assert read(tmp_path) == dict(zip(KEYS[:5], VALUES))


def test_what_was_not_used_for_longest_is_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_BYTES", 2**16)
    draw, kept = random.Random(0), KEYS[0]
    for number in range(30):
        with ResultCache(tmp_path) as cache:
            cache._today += number
            cache.get([kept])
            cache.put(key_of(CONTEXT, str(number)) if number else kept, draw.randbytes(2500).hex())
    assert (tmp_path / FILE).stat().st_size < 2**17
    with ResultCache(tmp_path) as cache:
        numbers = range(1, 30)
        found = cache.get([key_of(CONTEXT, str(number)) for number in numbers])
        assert cache.get([kept]) and len(found) < 29
        assert set(found) == {key_of(CONTEXT, str(number)) for number in numbers[-len(found) :]}


def test_results_that_nobody_uses_leave_after_a_while(tmp_path):
    with ResultCache(tmp_path) as cache:
        cache._today -= module.UNUSED_DAYS + 1
        cache.put(KEYS[0], VALUES[0])
    fill(tmp_path, [1])
    assert read(tmp_path) == {KEYS[1]: VALUES[1]}


def test_private_places_need_no_file():
    assert "" in PRIVATE and all(module._connected(place).close() is None for place in PRIVATE)
