from __future__ import annotations

import mmap
import os
import re
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tenor.corpus import readahead
from tenor.corpus.corpus import Corpus, open_corpus
from tenor.corpus.views import view_sequences
from tenor.synthetic import SyntheticPlan, generate_conversations


def test_the_pages_of_wanted_rows_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    array = np.memmap(
        tmp_path / "array", np.float32, "w+", shape=(1000, 1024)
    )  # a row is one page of 4096 bytes
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(readahead, "_advise", lambda address, size, advice: asked.append((address, size)))
    base = array.ctypes.data
    mapped = readahead.MappedRows.of([array[500:], array[:493]])  # not in the order of memory, with a gap
    assert asked == [(base + 500 * 4096, 500 * 4096), (base, 493 * 4096)]
    asked.clear()
    mapped.will_need(np.array([200, 503, 505, 504, 503, 512, 900, 0, 992]))
    pages = [(3, 10), (400, 1), (492, 9), (700, 1)]  # rows closer than 32 KiB are asked for together
    assert asked == [(base + first * 4096, count * 4096) for first, count in pages]
    mapped.will_need(np.array([], dtype=np.int64))
    mapped.bring(np.array([], dtype=np.int64))
    assert len(asked) == 4


def test_what_is_brought_is_all_asked_for_before_anything_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    array = np.memmap(tmp_path / "array", np.float32, "w+", shape=(1000, 1024))
    mapped, asked = readahead.MappedRows.of([array]), list[tuple[int, int]]()
    base, will_need, populate = array.ctypes.data, readahead._WILL_NEED, readahead._POPULATE_READ
    monkeypatch.setattr(readahead, "_advise", lambda address, size, advice: asked.append((advice, address)))
    mapped.bring(np.array([400, 3, 700]))
    places = [base + row * 4096 for row in (3, 400, 700)]
    assert asked == [(will_need, at) for at in places] + [(populate, at) for at in reversed(places)]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_rows_are_in_memory_once_they_are_brought(tmp_path: Path) -> None:
    path, page = tmp_path / "array", mmap.PAGESIZE
    np.zeros((4000, 3 * page // 8), np.float32).tofile(path)  # every other row begins in the middle of a page
    with path.open("rb") as handle:
        os.fsync(handle.fileno())
        os.posix_fadvise(handle.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    array = np.memmap(path, np.float32, "r", shape=(4000, 3 * page // 8))
    before, rows = count_held_pages(array), np.arange(1, 4000, 40)
    readahead.MappedRows.of([array]).bring(rows)
    assert count_held_pages(array) >= before + 2 * len(rows)  # each lies in two pages


def count_held_pages(array: np.ndarray) -> int:
    """Pages of a mapped array that this process holds (Rss of its mapping)."""
    found = 0
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            first, last = (int(part, 16) for part in line.split()[0].split("-"))
            is_ours = first <= array.ctypes.data < last
        elif line.startswith("Rss:") and is_ours:
            found += (int(line.split()[1]) << 10) // mmap.PAGESIZE
    return found


def test_a_large_corpus_gives_the_same_features(
    write_corpus: Callable[..., Corpus], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = SyntheticPlan(conversations=50, input_size=4)
    corpus = write_corpus(generate_conversations(plan), batch_bytes=4000)
    indices = np.array([40, 3, 17, 3])
    assert not corpus.is_read_ahead
    view = view_sequences(corpus, "author")
    expected, texts = view.gather_features(indices), list(view.texts(indices))
    monkeypatch.setattr(readahead, "LEAST_BYTES", 0)
    asked: list[tuple[int, int, int]] = []
    advise = readahead._advise

    def note(address: int, size: int, advice: int) -> None:
        asked.append((advice, address, size))
        advise(address, size, advice)

    monkeypatch.setattr(readahead, "_advise", note)
    large = open_corpus(corpus.path, verify=False)
    assert large.is_read_ahead
    assert (1, corpus.info.files[0].num_bytes) in [
        (advice, size) for advice, _, size in asked
    ]  # all of the file
    asked.clear()
    view = view_sequences(large, "author")
    features = [chunk.ctypes.data for chunk in large.feature_chunks]
    assert not any(address in features for _, address, _ in asked)  # a view reads none
    assert np.array_equal(view.gather_features(indices), expected)
    assert list(view.texts(indices)) == texts


def test_what_is_read_next_is_brought_in_order_and_in_bounds() -> None:
    size, asked = readahead._BYTES_AHEAD // 4, list[int]()
    handed = []
    for item in readahead.bring_ahead(range(20), asked.append, lambda _: size):
        handed.append(item)
        assert len(asked) <= item + 4  # itself and three, which with it are as many bytes as may be
    assert handed == asked == list(range(20))
    large = readahead.bring_ahead(range(3), lambda _: None, lambda _: 100 * size)
    assert list(large) == [0, 1, 2]
    assert list(readahead.bring_ahead([], asked.append, lambda _: size)) == []


def test_what_fails_while_it_is_brought_is_raised_in_its_turn() -> None:
    def fail(item: int) -> None:
        if item == 2:
            raise OSError("the disk has gone")

    handed = readahead.bring_ahead(range(5), fail, lambda _: 0)
    assert [next(handed), next(handed)] == [0, 1]
    with pytest.raises(OSError, match="the disk has gone"):
        next(handed)


def test_who_stops_early_waits_for_one_item_at_most() -> None:
    begun, go_on = list[int](), threading.Event()

    def hold(item: int) -> None:
        begun.append(item)
        if item > 0:
            go_on.wait(60)

    handed = readahead.bring_ahead(range(20), hold, lambda _: 0)
    assert next(handed) == 0
    threading.Timer(0.2, go_on.set).start()
    handed.close()
    assert begun in ([0], [0, 1])


def test_what_is_larger_than_may_be_ahead_is_not_brought() -> None:
    brought = list[int]()
    sizes = [1, readahead._BYTES_AHEAD + 1, 2]
    assert list(readahead.bring_ahead(range(3), brought.append, sizes.__getitem__)) == [0, 1, 2]
    assert brought == [0, 2]


def test_a_view_brings_the_rows_of_its_sequences(
    write_corpus: Callable[..., Corpus], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = SyntheticPlan(conversations=50, input_size=4)
    corpus = write_corpus(generate_conversations(plan), batch_bytes=4000)
    view, indices = view_sequences(corpus, "author"), np.array([40, 3, 17])
    view.bring(indices)  # of a small corpus nothing
    monkeypatch.setattr(readahead, "LEAST_BYTES", 0)
    large = open_corpus(corpus.path, verify=False)
    assert len(large.feature_chunks) > 1 and large.mapped_features is not None
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(readahead, "_advise", lambda address, size, advice: asked.append((address, size)))
    monkeypatch.setattr(readahead, "_GAP_BYTES", 0)
    view = view_sequences(large, "author")
    asked.clear()
    view.bring(indices)
    found: set[int] = set()
    for first, chunk in zip(large.chunk_offsets.tolist(), large.feature_chunks, strict=False):
        for row in range(len(chunk)):
            begin = chunk[row].ctypes.data
            if any(
                address <= begin and begin + chunk[row].nbytes <= address + size for address, size in asked
            ):
                found.add(first + row)
    assert found == set(view.message_rows(indices).tolist())
