"""The rows of many arrays on memory maps as if they were one array: found, and asked for before they are read.

A corpus's features lie so, an array a record batch. Knows nothing of corpora, nor of who copies the rows.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from tenor.corpus import readahead

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.floating[Any]]

#: Rows that lie closer than so many bytes are asked for together.
_GAP_BYTES = 32 << 10


@dataclass(frozen=True, eq=False)
class MappedRows:
    """The rows of A arrays (·, F), numbered through.

    Attributes:
        arrays: of one width and dtype, at least one; none is copied.
        is_read_ahead: they are so large that each read is to be announced.
    """

    arrays: Sequence[Floats]
    is_read_ahead: bool

    @classmethod
    def of(cls, arrays: Sequence[Floats]) -> MappedRows:
        """Arrays as one; random access to large ones is announced to the kernel."""
        arrays = [np.require(array, requirements=["ALIGNED"]) for array in arrays]  # Arrow's are, as a rule
        is_large = readahead.can_advise() and sum(array.nbytes for array in arrays) >= readahead.LEAST_BYTES
        if is_large:
            for array in arrays:
                readahead.expect_random(array.ctypes.data, array.nbytes)
        return cls(arrays, is_large)

    def __reduce__(self) -> tuple[Any, ...]:
        """Copied as its arrays alone: `numbers` spans memory that is not theirs."""
        return MappedRows.of, (list(self.arrays),)

    def __len__(self) -> int:
        return int(self._offsets[-1])

    @property
    def width(self) -> int:
        """F."""
        return int(self.arrays[0].shape[1])

    @property
    def dtype(self) -> np.dtype[np.floating[Any]]:
        """Of all arrays."""
        return self.arrays[0].dtype

    @property
    def row_bytes(self) -> int:
        """What a row takes."""
        return self.width * self.dtype.itemsize

    @cached_property
    def numbers(self) -> Floats:
        """All numbers from the lowest address to the end of the highest array: (N,), not copied.

        A row is the window of F of them that begins at its place (see `find`). What lies between the arrays is nobody's
        to read, nothing here is to be written, and it is there as long as the arrays are.
        """
        last = max(array.ctypes.data + array.nbytes for array in self.arrays)
        memory: Any = (ctypes.c_char * (last - self._first)).from_address(self._first)
        return np.frombuffer(memory, self.dtype)

    def find(self, rows: npt.NDArray[np.integer[Any]]) -> Integers:
        """Each row's place among `numbers`: (N,).

        Raises:
            IndexError: there is no such row.
        """
        if len(rows) and (rows.min() < 0 or rows.max() >= len(self)):
            raise IndexError(f"rows from {rows.min()} to {rows.max()} of {len(self)}")
        places = rows.astype(np.int64) * self.width
        if len(self.arrays) > 1:
            places += self._shifts[np.searchsorted(self._offsets, rows, side="right") - 1]
        return places

    def will_need(self, places: Integers) -> None:
        """Ask for the rows at some places, in any order, to be read into memory; returns at once."""
        for address, size in self._find_ranges(places):
            readahead.will_need(address, size)

    def bring(self, places: Integers) -> None:
        """Have the rows at some places, in any order, read into memory; returns when they are there."""
        ranges = self._find_ranges(places)
        for address, size in ranges:
            readahead.will_need(address, size)
        # What was asked for last is there last: who waits for that first waits once, not once a range.
        for address, size in reversed(ranges):
            readahead.wait_for(address, size)

    @cached_property
    def _offsets(self) -> Integers:
        """(A + 1,) where the rows of each array begin among all."""
        return np.cumsum([0, *map(len, self.arrays)])

    @cached_property
    def _first(self) -> int:
        """The lowest address of all."""
        return min(array.ctypes.data for array in self.arrays)

    @cached_property
    def _shifts(self) -> Integers:
        """(A,) what leads from a row's number, times F, to its place (see `find`)."""
        addresses = np.array([array.ctypes.data for array in self.arrays], dtype=np.int64)
        return (addresses - self._first) // self.dtype.itemsize - self._offsets[:-1] * self.width

    def _find_ranges(self, places: Integers) -> list[tuple[int, int]]:
        """Addresses, rising, and sizes of what holds the rows there; those that lie close together are one."""
        if len(places) == 0:
            return []
        begins = self._first + np.unique(places) * self.dtype.itemsize
        breaks = np.flatnonzero(np.diff(begins) > self.row_bytes + _GAP_BYTES)
        firsts, lasts = begins[np.append(0, breaks + 1)], begins[np.append(breaks, len(begins) - 1)]
        return list(zip(firsts.tolist(), (lasts - firsts + self.row_bytes).tolist(), strict=True))
