"""Telling the kernel what of a memory-mapped file is read next, where the file is larger than memory.

Left to itself it reads megabytes around every page that is missed, of which random access uses little; told, it reads
the wanted pages alone, many at a time. Where the system has no ``madvise`` nothing happens. Knows nothing of corpora.
"""

from __future__ import annotations

import ctypes
import functools
import mmap
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import pyarrow as pa

#: Smaller files and arrays are left to the kernel: they stay in memory once they are read.
LEAST_BYTES = 256 << 20
#: What is brought before its turn is about so many bytes, but one item at least. Whole pages are read, several times as
#: much: more than the kernel has room for would be gone again before its turn.
_BYTES_AHEAD = 4 << 20
_WILL_NEED, _RANDOM = 3, 1  # of madvise(2); the same on Linux and macOS
_POPULATE_READ = 22  # of Linux 5.14; others refuse it

Item = TypeVar("Item")


def can_advise() -> bool:
    """Whether the system takes advice."""
    return _find_madvise() is not None


def expect_random(address: int, size: int) -> None:
    """Announce random access to what lies memory-mapped at an address."""
    _advise(address, size, _RANDOM)


def expect_random_file(source: pa.MemoryMappedFile) -> None:
    """Announce random access to a memory-mapped file, before anything is read from it."""
    whole = source.read_buffer()
    source.seek(0)
    expect_random(whole.address, whole.size)


def will_need_buffers(array: pa.Array, *, but_last: bool = False) -> None:
    """Ask for the memory-mapped buffers of an Arrow array; returns at once.

    Args:
        array: of any type.
        but_last: leave out the last buffer, that of the values.
    """
    for buffer in array.buffers()[: -1 if but_last else None]:
        if buffer is not None and buffer.size:
            will_need(buffer.address, buffer.size)


def will_need(address: int, size: int) -> None:
    """Ask for what lies memory-mapped at an address; returns at once."""
    _advise(address, size, _WILL_NEED)


def wait_for(address: int, size: int) -> None:
    """Have what lies memory-mapped at an address read into memory; returns when it is there.

    On Linux before 5.14 and on macOS, which cannot say so, it returns at once.
    """
    _advise(address, size, _POPULATE_READ)


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
        bring_item: brings what an item reads (see `wait_for`); what it raises is raised here.
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
