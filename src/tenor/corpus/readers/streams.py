"""Bytes of a text source: unpacked, cut into physical lines, decoded; each bounded in memory.

Knows nothing of JSON or CSV.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from tenor.corpus.readers.records import Limits, RowError
from tenor.errors import InputError, describe_os_error

CHUNK_BYTES = 1 << 20
BYTE_ORDER_MARK = b"\xef\xbb\xbf"

#: Suffix of a packed file -> its codec.
CODECS = {".gz": "gzip", ".zst": "zstd"}


class Line(NamedTuple):
    """One physical line.

    Attributes:
        number: from 1, blank lines counted.
        offset: of its first byte in the unpacked file.
        data: its bytes without the line feed; only its beginning where it is too long.
        num_bytes: its length without the line feed.
        too_long: whether it is over `Limits.max_row_bytes`.
    """

    number: int
    offset: int
    data: bytes
    num_bytes: int
    too_long: bool


def read_chunks(path: Path, limits: Limits) -> Iterator[bytes]:
    """The file's bytes, unpacked by its suffix, in blocks.

    Raises:
        InputError: it cannot be opened, is truncated or damaged, or unpacks to more than it may.
    """
    codec = CODECS.get(path.suffix.lower())
    try:
        packed_bytes = path.stat().st_size
        with pa.OSFile(str(path)) as raw, _unpack(raw, codec) as stream:
            total = 0
            while chunk := stream.read(CHUNK_BYTES):
                total += len(chunk)
                if codec is not None:
                    limits.check_growth(total, packed_bytes, str(path))
                yield chunk
    except OSError as error:
        raise InputError(_explain(error, codec), path=path) from error


def _unpack(raw: Any, codec: str | None) -> Any:  # noqa: ANN401 - pyarrow has no types
    return raw if codec is None else pa.CompressedInputStream(raw, codec)


def _explain(error: OSError, codec: str | None) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, PermissionError):
        return "not readable: permission denied"
    if "Truncated" in str(error):
        return f"truncated {codec} file: its end is missing"
    if codec is not None and error.errno is None:
        return f"damaged, or no {codec} file"
    return f"cannot be read: {describe_os_error(error)}"


def read_lines(path: Path, limits: Limits) -> Iterator[Line]:
    """The physical lines of a file but the empty ones; a byte order mark at its start is dropped.

    A line over `limits.max_row_bytes` is passed on cut and marked, and takes no more memory than the limit.

    Raises:
        InputError: as `read_chunks`.
    """
    parts: list[bytes] = []
    held = length = number = offset = 0
    for chunk in read_chunks(path, limits):
        pieces = chunk.split(b"\n")
        last = len(pieces) - 1
        for index, piece in enumerate(pieces):
            length += len(piece)
            if held <= limits.max_row_bytes and piece:
                parts.append(piece)
                held += len(piece)
            if index == last:
                break
            number += 1
            if not length:  # an empty line: millions of them cost little
                offset += 1
                continue
            line = _make_line(number, offset, parts, length, limits)
            yield _drop_mark(line) if number == 1 else line
            offset += length + 1
            parts.clear()
            held = length = 0
    if length:
        line = _make_line(number + 1, offset, parts, length, limits)
        yield _drop_mark(line) if number == 0 else line


def _make_line(number: int, offset: int, parts: list[bytes], length: int, limits: Limits) -> Line:
    too_long = length > limits.max_row_bytes
    data = parts[0] if len(parts) == 1 else b"".join(parts)
    return Line(number, offset, data[:CHUNK_BYTES] if too_long else data, length, too_long)


def _drop_mark(line: Line) -> Line:
    if not line.data.startswith(BYTE_ORDER_MARK):
        return line
    return line._replace(data=line.data[3:], offset=line.offset + 3, num_bytes=line.num_bytes - 3)


def check_length(line: Line, limits: Limits) -> None:
    """Refuse a line that is too long.

    Raises:
        RowError: it is.
    """
    if line.too_long:
        raise RowError(
            None,
            f"expected a line of at most {limits.max_row_bytes} bytes, found {line.num_bytes}",
            "split the conversation",
        )


def decode_line(line: Line) -> str:
    """The line as text.

    Raises:
        RowError: it is not UTF-8; the rule gives the byte offsets.
    """
    try:
        return line.data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RowError(
            None,
            f"invalid UTF-8 at byte {line.offset + error.start} of the file (byte {error.start} of the line)",
            "convert the file to UTF-8",
        ) from error
