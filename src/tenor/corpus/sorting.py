"""Strings in any number, sorted in bounded memory: sorted runs go to a file, and are merged block by block.

An external merge sort (Knuth, The Art of Computer Programming 3, 5.4), whose every step is one of Arrow's on some
thousand strings. Knows nothing of what the strings mean.
"""

from __future__ import annotations

import io
import tempfile
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

#: Strings of a run that are read at a time, and of what is handed out.
_BLOCK = 1 << 12
#: Bytes that wait in memory, until they become a run.
_RUN_BYTES = 8 << 20
#: Bytes of a run that are read at a time.
_READ_BYTES = 1 << 16


class StringSorter:
    """Takes arrays of strings and gives back all strings, sorted by their UTF-8, equal ones beside each other.

    It may have a file open until it is closed.
    """

    def __init__(self, folder: Path, *, run_bytes: int = _RUN_BYTES) -> None:
        """Nothing is written as long as no more than `run_bytes` are added.

        Args:
            folder: on whose disk the runs may lie, in a file without a name.
            run_bytes: that are held in memory, beside as many while they are sorted.
        """
        self._folder, self._run_bytes = folder, run_bytes
        self._held: list[pa.Array] = []
        self._held_bytes = 0
        self._file: IO[bytes] | None = None
        self._starts: list[int] = []

    def add(self, strings: pa.Array) -> None:
        """Take strings in, without nulls, always of one type of Arrow.

        Raises:
            OSError: the disk takes no more.
        """
        self._held.append(strings)
        self._held_bytes += strings.nbytes
        if self._held_bytes > self._run_bytes:
            self._write_run()

    def __iter__(self) -> Iterator[str]:
        """The strings, once: nothing is held afterwards."""
        for block in self._merge():
            yield from block.to_pylist()
        self.close()

    def close(self) -> None:
        """Let go of what was added."""
        self._held, self._held_bytes = [], 0
        if self._file is not None:
            self._file.close()

    def _sort_held(self) -> Iterator[pa.Array]:
        """The held strings, sorted, in blocks; they are let go of."""
        strings = pa.concat_arrays(self._held)
        self._held, self._held_bytes = [], 0
        order = pc.array_sort_indices(strings)
        for start in range(0, len(order), _BLOCK):
            yield strings.take(order.slice(start, _BLOCK))

    def _write_run(self) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=self._folder)
        self._starts.append(self._file.tell())
        with pa.ipc.new_stream(self._file, pa.schema([("strings", self._held[0].type)])) as stream:
            for block in self._sort_held():
                stream.write_batch(pa.record_batch([block], ["strings"]))
        self._file.flush()

    def _read_runs(self) -> list[Iterator[pa.Array]]:
        if self._file is None:
            return []
        # Read, not mapped: mapped pages that were read count as the process's memory.
        spans = [io.BufferedReader(_Span(self._file, start), _READ_BYTES) for start in self._starts]
        streams = [pa.ipc.open_stream(span) for span in spans]
        return [(batch.column(0) for batch in stream) for stream in streams]

    def _merge(self) -> Iterator[pa.Array]:
        """Sorted blocks. What is not above the first of the blocks' last strings has no other left before it."""
        runs = self._read_runs()
        if self._held:
            runs.append(self._sort_held())
        heads = [(block, run) for run in runs if (block := next(run, None)) is not None]
        while len(heads) > 1:
            bound = min(block[-1].as_py() for block, _ in heads)
            parts, rest = [], []
            for block, run in heads:
                stop = _count_up_to(block, bound)
                parts.append(block.slice(0, stop))
                left = block.slice(stop) if stop < len(block) else next(run, None)
                if left is not None:
                    rest.append((left, run))
            heads = rest
            merged = pa.concat_arrays(parts)
            yield merged.take(pc.array_sort_indices(merged))
        for block, run in heads:
            yield block
            yield from run


class _Span(io.RawIOBase):
    """A file from some byte on; several of one file have places of their own. It is the file's owner who closes it."""

    def __init__(self, file: IO[bytes], start: int) -> None:
        self._file, self._place = file, start

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Read some bytes; gives how many."""
        self._file.seek(self._place)
        with memoryview(buffer) as target:
            data = self._file.read(len(target))
            target[: len(data)] = data
        self._place += len(data)
        return len(data)


def _count_up_to(block: pa.Array, bound: str) -> int:
    """How many of the sorted strings are not above the bound."""
    return bisect_right(range(len(block)), bound, key=lambda row: str(block[row]))
