from __future__ import annotations

import copy
import mmap
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tenor.corpus import mapped_rows, readahead
from tenor.corpus.corpus import Corpus, open_corpus
from tenor.corpus.mapped_rows import MappedRows
from tenor.corpus.views import view_sequences
from tenor.synthetic import SyntheticPlan, generate_conversations


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("width", [1, 3, 64])
@pytest.mark.parametrize("sizes", [[40], [3, 0, 17, 1, 19]])
def test_rows_are_found_wherever_their_arrays_lie(dtype: type, width: int, sizes: list[int]) -> None:
    generator = np.random.default_rng(0)
    arrays = [generator.normal(size=(size, width)).astype(dtype) for size in sizes]
    rows, whole = MappedRows.of(arrays), np.concatenate(arrays)
    assert (len(rows), rows.width, rows.dtype, rows.row_bytes) == (40, width, dtype, whole.strides[0])
    for wanted in (np.arange(40), generator.integers(0, 40, 200), np.array([39]), np.array([], np.int64)):
        found = [rows.numbers[place : place + width] for place in rows.find(wanted).tolist()]
        assert len(found) == len(wanted)
        for row, expected in zip(found, whole[wanted], strict=True):
            np.testing.assert_array_equal(row, expected)
    assert (
        rows.find(np.arange(40, dtype=np.int8)).dtype == np.int64
    )  # a view's numbers are as narrow as may be
    assert not rows.is_read_ahead  # they are small


def test_a_copy_is_of_the_rows_alone() -> None:
    rows = MappedRows.of([np.ones((3, 2), np.float16), np.full((2, 2), 5, np.float16)])
    assert len(rows.numbers) >= 10  # spans what lies between
    copied = copy.deepcopy(rows)
    assert "numbers" not in vars(copied)
    assert [copied.numbers[place] for place in copied.find(np.arange(5)).tolist()] == [1, 1, 1, 5, 5]


def test_arrays_that_begin_inside_a_number_are_copied() -> None:
    crooked = np.frombuffer(b"-" + np.arange(6, dtype=np.float16).tobytes(), np.float16, 6, offset=1)
    rows = MappedRows.of([np.zeros((2, 2), np.float16), crooked.reshape(3, 2)])
    assert [rows.numbers[place] for place in rows.find(np.arange(2, 5)).tolist()] == [0, 2, 4]


@pytest.mark.parametrize("wanted", [[0, 40], [-1, 3]])
def test_rows_that_are_not_there_are_never_found(wanted: list[int]) -> None:
    rows = MappedRows.of([np.zeros((20, 2), np.float16), np.zeros((20, 2), np.float16)])
    with pytest.raises(IndexError, match=r"rows from .* of 40"):
        rows.find(np.array(wanted))


def test_the_pages_of_wanted_rows_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    array = np.memmap(
        tmp_path / "array", np.float32, "w+", shape=(1000, 1024)
    )  # a row is one page of 4096 bytes
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(readahead, "_advise", lambda address, size, advice: asked.append((address, size)))
    monkeypatch.setattr(readahead, "LEAST_BYTES", 0)
    base = array.ctypes.data
    mapped = MappedRows.of([array[500:], array[:493]])  # not in the order of memory, with a gap
    assert asked == [(base + 500 * 4096, 500 * 4096), (base, 493 * 4096)]
    asked.clear()
    mapped.will_need(mapped.find(np.array([200, 503, 505, 504, 503, 512, 900, 0, 992])))
    pages = [(3, 10), (400, 1), (492, 9), (700, 1)]  # rows closer than 32 KiB are asked for together
    assert asked == [(base + first * 4096, count * 4096) for first, count in pages]
    mapped.will_need(np.array([], dtype=np.int64))
    mapped.bring(np.array([], dtype=np.int64))
    assert len(asked) == 4


def test_what_is_brought_is_all_asked_for_before_anything_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    array = np.memmap(tmp_path / "array", np.float32, "w+", shape=(1000, 1024))
    mapped, asked = MappedRows.of([array]), list[tuple[int, int]]()
    base, will_need, populate = array.ctypes.data, readahead._WILL_NEED, readahead._POPULATE_READ
    monkeypatch.setattr(readahead, "_advise", lambda address, size, advice: asked.append((advice, address)))
    mapped.bring(mapped.find(np.array([400, 3, 700])))
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
    before, rows, mapped = count_held_pages(array), np.arange(1, 4000, 40), MappedRows.of([array])
    mapped.bring(mapped.find(rows))
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


def test_a_view_brings_the_rows_of_its_sequences(
    write_corpus: Callable[..., Corpus], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = SyntheticPlan(conversations=50, input_size=4)
    corpus = write_corpus(generate_conversations(plan), batch_bytes=4000)
    view, indices = view_sequences(corpus, "author"), np.array([40, 3, 17])
    monkeypatch.setattr(readahead, "LEAST_BYTES", 0)
    large = open_corpus(corpus.path, verify=False)
    assert len(large.feature_chunks) > 1 and large.features.is_read_ahead
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(readahead, "_advise", lambda address, size, advice: asked.append((address, size)))
    monkeypatch.setattr(mapped_rows, "_GAP_BYTES", 0)
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
