"""Telling the kernel what of a memory-mapped array is read next, where the file is larger than memory.

Left to itself it reads megabytes around every page that is missed, of which random access uses little; told, it reads
the wanted pages alone, many at a time. Where the system has no ``madvise`` nothing happens. Knows nothing of corpora.
"""

from __future__ import annotations

import ctypes
import functools
import mmap
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

#: Smaller arrays are left to the kernel: they stay in memory once they are read.
LEAST_BYTES = 256 << 20
#: Rows that lie closer than so many bytes are asked for together.
_GAP_BYTES = 32 << 10
_WILL_NEED, _RANDOM = 3, 1  # of madvise(2); the same on Linux and macOS


def expect_random(arrays: Sequence[npt.NDArray[Any]]) -> bool:
    """Announce random access to memory-mapped arrays; says whether `will_need` is to be called before each read."""
    if sum(array.nbytes for array in arrays) < LEAST_BYTES or _find_madvise() is None:
        return False
    for array in arrays:
        _advise(array.ctypes.data, array.nbytes, _RANDOM)
    return True


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
