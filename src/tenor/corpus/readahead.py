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

Item = TypeVar("Item")


def expect_random(arrays: Sequence[npt.NDArray[Any]]) -> bool:
    """Announce random access to memory-mapped arrays; says whether `will_need` is to be called before each read."""
    if sum(array.nbytes for array in arrays) < LEAST_BYTES or _find_madvise() is None:
        return False
    for array in arrays:
        _advise(array.ctypes.data, array.nbytes, _RANDOM)
    return True


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


def will_need(array: npt.NDArray[Any], rows: npt.NDArray[np.int64]) -> None:
    """Ask for some rows of an array, in any order, to be read into memory; returns at once.

    Args:
        array: (M, F), memory-mapped.
        rows: which of the M.
    """
    if len(rows) == 0:
        return
    size = array.strides[0]
    wanted = np.unique(rows)
    breaks = np.flatnonzero(np.diff(wanted) > 1 + _GAP_BYTES // size)
    firsts, lasts = wanted[np.append(0, breaks + 1)], wanted[np.append(breaks, len(wanted) - 1)]
    base = array.ctypes.data
    for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True):
        _advise(base + first * size, (last - first + 1) * size, _WILL_NEED)


def bring(array: npt.NDArray[Any], rows: npt.NDArray[np.int64]) -> None:
    """Have some rows of an array read into memory, in any order; returns when they are there.

    Args:
        array: (M, F), memory-mapped.
        rows: which of the M.
    """
    will_need(array, rows)
    for column in (0, -1):  # a row lies in one page or two; where in more, those between have been asked for
        array[rows, column]


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
        bring_item: brings what an item reads (see `bring`); what it raises is raised here.
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
