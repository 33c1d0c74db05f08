"""Parquet files in which no damage passes for a value: pages carry Parquet's own checksums, the footer one of tenor's.

Parquet has none of the footer, in which metadata, columns' names and the places of pages stand. tenor's lies before it,
where other readers do not look, so that whoever writes a file anew leaves it out. Knows nothing of what columns mean.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from tenor.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

#: Stands before the checksum: the SHA-256 of the footer and of the tail, which is the footer's length and ``PAR1``.
_MAGIC = b"tenor256"
_DIGEST_BYTES, _TAIL_BYTES = 32, 8


@contextlib.contextmanager
def open_writer(path: Path, schema: pa.Schema) -> Iterator[Any]:
    """A pyarrow.parquet.ParquetWriter of a file with checksums; the same tables give the same bytes."""
    import pyarrow.parquet as pq

    with pq.ParquetWriter(path, schema, compression="zstd", write_page_checksum=True) as writer:
        yield writer
    with path.open("rb+") as handle:
        footer = _read_footer(handle)
        handle.seek(-len(footer), os.SEEK_END)
        handle.write(_MAGIC + hashlib.sha256(footer).digest() + footer)


@contextlib.contextmanager
def open_reader(path: Path, *, remedy: str) -> Iterator[Any]:
    """A pyarrow.parquet.ParquetFile that compares checksums; a file without them, as of earlier versions, is read too.

    Args:
        path: the file.
        remedy: for one that is damaged.

    Raises:
        InputError: it is damaged, or no Parquet file, also where that is found in the ``with``.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    has_checksum = False
    damaged = InputError("damaged: its bytes have changed (checksum)", path=path, remedy=remedy)
    try:
        with path.open("rb") as handle:
            footer = _read_footer(handle)
            handle.seek(-min(handle.tell(), len(footer) + len(_MAGIC) + _DIGEST_BYTES), os.SEEK_END)
            has_checksum = handle.read(len(_MAGIC)) == _MAGIC
            if has_checksum and handle.read(_DIGEST_BYTES) != hashlib.sha256(footer).digest():
                raise damaged
        with pq.ParquetFile(path, pre_buffer=False, page_checksum_verification=True) as file:
            yield file
    except (pa.ArrowException, OSError) as error:
        if has_checksum:
            raise damaged from error
        raise InputError("expected a Parquet file, and it cannot be read as one", path=path) from error


def read_table(path: Path, *, remedy: str, columns: Sequence[str] | None = None) -> pa.Table:
    """All rows of a file, its checksums compared.

    Raises:
        InputError: as open_reader.
    """
    with open_reader(path, remedy=remedy) as file:
        return read_columns(file, file.schema_arrow.names if columns is None else columns)


def read_columns(file: Any, columns: Sequence[str]) -> pa.Table:  # noqa: ANN401 - a ParquetFile
    """Columns of an open file; see read_groups."""
    import pyarrow as pa

    nothing = file.schema_arrow.empty_table().select(columns)  # there may be no row group
    return pa.concat_tables([nothing, *read_groups(file, columns)])


def read_groups(file: Any, columns: Sequence[str]) -> Iterator[pa.Table]:  # noqa: ANN401 - a ParquetFile
    """The row groups of an open file, one in memory at a time.

    Raises:
        pyarrow.ArrowInvalid: one lacks rows: a page whose header is damaged, which no checksum holds, may be skipped.
    """
    import pyarrow as pa

    for number in range(file.num_row_groups):
        table, expected = (
            file.read_row_group(number, list(columns), use_threads=False),
            file.metadata.row_group(number),
        )
        if table.num_rows != expected.num_rows:
            raise pa.ArrowInvalid(f"expected {expected.num_rows} rows, found {table.num_rows}")
        yield table


def _read_footer(handle: BinaryIO) -> bytes:
    """A Parquet file's footer and tail, up to its end; of another file, whatever stands there."""
    size = handle.seek(0, os.SEEK_END)
    handle.seek(max(0, size - _TAIL_BYTES))
    length = int.from_bytes(handle.read(4), "little") + _TAIL_BYTES
    handle.seek(max(0, size - length))
    return handle.read()
