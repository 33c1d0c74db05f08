"""Looks into Arrow IPC messages for compressed buffers, before Arrow itself unpacks them.

A compressed buffer states its unpacked size in a few bytes and may unpack to anything, and Arrow sets no
limit. Neither tenor nor datasets writes such files. Knows only as much of the format as that takes: the
message's flatbuffer (arrow/format/Message.fbs), whose tables name a field's place by a slot.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pyarrow as pa

from tenor.errors import InputError

#: Values of MessageHeader, and slots of the tables Message, RecordBatch and DictionaryBatch.
_DICTIONARY_BATCH, _RECORD_BATCH = 2, 3
_HEADER_TYPE_SLOT, _HEADER_SLOT = 1, 2
_DICTIONARY_DATA_SLOT, _COMPRESSION_SLOT = 1, 3


def check_uncompressed(source: Any, path: Path) -> None:  # noqa: ANN401 - pyarrow has no types
    """Read the messages of a stream, refuse compressed ones, and go back to the beginning.

    Args:
        source: a memory map of the file.
        path: its name.

    Raises:
        InputError: a message is compressed, or the file is in the file format rather than the stream format.
        pa.ArrowException: a message is damaged.
    """
    if source.read(6) == b"ARROW1":
        raise InputError(
            "expected Arrow's stream format, found its file format (Feather)",
            path=path,
            remedy="save it as Parquet",
        )
    source.seek(0)
    reader = pa.ipc.MessageReader.open_stream(source)
    while True:
        try:
            message = reader.read_next_message()
        except StopIteration:
            break
        if is_compressed(message.metadata.to_pybytes()):
            raise InputError(
                "the Arrow file is compressed inside, and may unpack to anything",
                path=path,
                remedy="save it with datasets' save_to_disk, or as Parquet",
            )
    source.seek(0)


def is_compressed(metadata: bytes) -> bool:
    """Whether a message's flatbuffer says that its body is compressed; True too where it cannot be read.

    Args:
        metadata: the flatbuffer of the table Message.
    """
    try:
        message = struct.unpack_from("<I", metadata, 0)[0]
        kind_at, header_at = (
            _find(metadata, message, _HEADER_TYPE_SLOT),
            _find(metadata, message, _HEADER_SLOT),
        )
        kind = metadata[kind_at] if kind_at is not None else 0
        if kind not in (_DICTIONARY_BATCH, _RECORD_BATCH) or header_at is None:
            return False
        batch = _follow(metadata, header_at)
        if kind == _DICTIONARY_BATCH:
            data_at = _find(metadata, batch, _DICTIONARY_DATA_SLOT)
            if data_at is None:
                return False
            batch = _follow(metadata, data_at)
        return _find(metadata, batch, _COMPRESSION_SLOT) is not None
    except (struct.error, IndexError):
        return True


def _follow(data: bytes, position: int) -> int:
    """The place that an offset, itself at `position`, leads to."""
    return position + int(struct.unpack_from("<I", data, position)[0])


def _find(data: bytes, table: int, slot: int) -> int | None:
    """Where a table's field stands; None when it is absent."""
    vtable = table - struct.unpack_from("<i", data, table)[0]
    size = struct.unpack_from("<H", data, vtable)[0]
    place = 4 + 2 * slot
    if place + 2 > size:
        return None
    offset = int(struct.unpack_from("<H", data, vtable + place)[0])
    return table + offset if offset else None
