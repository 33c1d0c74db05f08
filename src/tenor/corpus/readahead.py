"""Telling the kernel what of a memory-mapped array is read next, where the file is larger than memory.

Left to itself it reads megabytes around every page that is missed, of which random access uses little; told, it reads
the wanted pages alone, many at a time. Where the system has no ``madvise`` nothing happens. Knows nothing of corpora.
"""

from __future__ import annotations

import ctypes
import functools
import mmap
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

#: Smaller arrays are left to the kernel: they stay in memory once they are read.
LEAST_BYTES = 256 << 20
#: Rows that lie closer than so many bytes are asked for together.
_GAP_BYTES = 32 << 10
#: What is brought before its turn is about so many bytes, but one item at least. Whole pages are read, several times as
#: much: more than the kernel has room for would be gone again before its turn.
_BYTES_AHEAD = 4 << 20
_WILL_NEED, _RANDOM = 3, 1  # of madvise(2); the same on Linux and macOS
_POPULATE_READ = 22  # of Linux 5.14; others refuse it

Item = TypeVar("Item")


@dataclass(frozen=True, eq=False)
class MappedRows:
    """The rows of arrays that lie on a memory map, to be asked for before they are read.

    Attributes:
        addresses: (A,) where each array begins.
        offsets: (A + 1,) where the rows of each begin among all.
        row_bytes: what a row takes.
    """

    addresses: npt.NDArray[np.int64]
    offsets: npt.NDArray[np.int64]
    row_bytes: int

    @classmethod
    def of(cls, arrays: Sequence[npt.NDArray[Any]]) -> MappedRows:
        """Announce random access to arrays (M, F) of one width, whose rows are numbered through."""
        for array in arrays:
            _advise(array.ctypes.data, array.nbytes, _RANDOM)
        addresses = np.array([array.ctypes.data for array in arrays], dtype=np.int64)
        return cls(addresses, np.cumsum([0, *map(len, arrays)]), arrays[0].strides[0])

    def will_need(self, rows: npt.NDArray[np.int64]) -> None:
        """Ask for some rows, in any order, to be read into memory; returns at once."""
        for address, size in self._find_ranges(rows):
            _advise(address, size, _WILL_NEED)

    def bring(self, rows: npt.NDArray[np.int64]) -> None:
        """Have some rows, in any order, read into memory; returns when they are there.

        On Linux before 5.14 and on macOS, which cannot say so, it returns at once.
        """
        ranges = self._find_ranges(rows)
        for address, size in ranges:
            _advise(address, size, _WILL_NEED)
        # What was asked for last is there last: who waits for that first waits once, not once a range.
        for address, size in reversed(ranges):
            _advise(address, size, _POPULATE_READ)

    def _find_ranges(self, rows: npt.NDArray[np.int64]) -> list[tuple[int, int]]:
        """Addresses, rising, and sizes of what holds the rows; those that lie close together are one."""
        wanted = np.unique(rows)
        if len(wanted) == 0:
            return []
        array_of = np.searchsorted(self.offsets, wanted, side="right") - 1
        begins = np.sort(self.addresses[array_of] + (wanted - self.offsets[array_of]) * self.row_bytes)
        breaks = np.flatnonzero(np.diff(begins) > self.row_bytes + _GAP_BYTES)
        firsts, lasts = begins[np.append(0, breaks + 1)], begins[np.append(breaks, len(begins) - 1)]
        return list(zip(firsts.tolist(), (lasts - firsts + self.row_bytes).tolist(), strict=True))


def map_rows(arrays: Sequence[npt.NDArray[Any]]) -> MappedRows | None:
    """Memory-mapped arrays whose rows are to be asked for before each read; None where they are left to the kernel."""
    if sum(array.nbytes for array in arrays) < LEAST_BYTES or _find_madvise() is None:
        return None
    return MappedRows.of(arrays)


def expect_random_file(source: pa.MemoryMappedFile) -> None:
    """Announce random access to a memory-mapped file, before anything is read from it."""
    whole = source.read_buffer()
    source.seek(0)
    _advise(whole.address, whole.size, _RANDOM)


def will_need_buffers(array: pa.Array, *, but_last: bool = False) -> None:
    """Ask for the memory-mapped buffers of an Arrow array; returns at once.

    Args:
        array: of any type.
        but_last: leave out the last buffer, that of the values.
    """
    for buffer in array.buffers()[: -1 if but_last else None]:
        if buffer is not None and buffer.size:
            _advise(buffer.address, buffer.size, _WILL_NEED)


def fits_ahead(num_bytes: int) -> bool:
    """Whether an item of so many bytes is brought before its turn (see `bring_ahead`)."""
    return num_bytes <= _BYTES_AHEAD


def bring_ahead(
    items: Iterable[Item], bring_item: Callable[[Item], None], num_bytes: Callable[[Item], int]
) -> Iterator[Item]:
    """Hand items on in their order, each once what it reads is in memory; a thread brings it in the meantime.

    An item that reads more than may be ahead is left to who reads it: its first part would be gone before its last is
    there.

    Args:
        items: what is worked through.
        bring_item: brings what an item reads (see `MappedRows.bring`); what it raises is raised here.
        num_bytes: how much that is.
    """
    waiting: deque[tuple[Item, Future[None] | None]] = deque()
    ahead = 0
    thread = ThreadPoolExecutor(1, "readahead")
    try:
        for item in items:
            size = num_bytes(item)
            waiting.append((item, thread.submit(bring_item, item) if fits_ahead(size) else None))
            ahead += size
            while len(waiting) > 1 and ahead >= _BYTES_AHEAD:
                ahead -= num_bytes(waiting[0][0])
                yield _wait_for(waiting.popleft())
        while waiting:
            yield _wait_for(waiting.popleft())
    finally:
        thread.shutdown(cancel_futures=True)  # who stops early waits for one item at most


def _wait_for(entry: tuple[Item, Future[None] | None]) -> Item:
    item, brought = entry
    if brought is not None:
        brought.result()
    return item


def _advise(address: int, size: int, advice: int) -> None:
    madvise = _find_madvise()
    if madvise is not None:
        start = address - address % mmap.PAGESIZE
        madvise(start, address + size - start, advice)


@functools.cache
def _find_madvise() -> Callable[[int, int, int], int] | None:
    try:
        madvise = ctypes.CDLL(None).madvise
    except (AttributeError, OSError, TypeError):
        return None
    madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    call: Callable[[int, int, int], int] = madvise
    return call
