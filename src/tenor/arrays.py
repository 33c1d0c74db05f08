"""Arrow arrays from Python lists and to numpy, over their buffers.

What ``pyarrow.array`` and ``to_numpy`` do, without loading pandas, which both do at their first call (half a second
and 40 MB). The bytes are the same. Knows nothing of conversations.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

_MAX_INT32 = 2**31 - 1
_DTYPES: dict[pa.DataType, np.dtype[Any]] = {
    pa.int32(): np.dtype(np.int32),
    pa.int64(): np.dtype(np.int64),
    pa.uint64(): np.dtype(np.uint64),
    pa.float16(): np.dtype(np.float16),
    pa.float32(): np.dtype(np.float32),
    pa.float64(): np.dtype(np.float64),
}


def make_array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Python values as an Arrow array; None is null.

    Args:
        values: strings, integers, floats, or sequences of them.
        kind: string, large_string, int32, int64, double, or a list of one of these.

    Raises:
        UnicodeEncodeError: a string holds half of a surrogate pair.
        OverflowError: more bytes or entries than the type's offsets can count.
    """
    missing, mask, validity = _find_nulls(values)
    given = [value for value in values if value is not None] if missing else values
    if pa.types.is_list(kind):
        lengths = [None if value is None else len(value) for value in values]
        return make_list_array(list(chain.from_iterable(given)), lengths, kind)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        data, sizes = _encode(given)
        offsets = _offsets(sizes, mask, np.int32 if pa.types.is_string(kind) else np.int64)
        return pa.Array.from_buffers(kind, len(values), [validity, offsets, pa.py_buffer(data)], missing)
    dtype: np.dtype[Any] = _DTYPES[kind]
    numbers = np.zeros(len(values), dtype)
    numbers[... if mask is None else mask] = np.fromiter(given, dtype, len(given))
    return pa.Array.from_buffers(kind, len(values), [validity, pa.py_buffer(numbers)], missing)


def make_list_array(entries: Sequence[Any], lengths: Sequence[int | None], kind: pa.DataType) -> pa.Array:
    """Lists as an Arrow array, from their entries one after another.

    Args:
        entries: as the values of `make_array`.
        lengths: entries of each list; None is null.
        kind: a list type.

    Raises:
        UnicodeEncodeError, OverflowError: as `make_array`.
    """
    missing, mask, validity = _find_nulls(lengths)
    sizes = np.fromiter(
        (length for length in lengths if length is not None), np.int64, len(lengths) - missing
    )
    buffers = [validity, _offsets(sizes, mask, np.int32)]
    children = [make_array(entries, kind.value_type)]
    return pa.Array.from_buffers(kind, len(lengths), buffers, missing, children=children)


def _find_nulls(values: Sequence[Any]) -> tuple[int, npt.NDArray[np.bool_] | None, pa.Buffer | None]:
    """How many values are None, a mask of the others, and the same as Arrow has it; no mask where none is."""
    missing = values.count(None)
    if not missing:
        return 0, None, None
    mask = np.fromiter((value is not None for value in values), bool, len(values))
    return missing, mask, pa.py_buffer(np.packbits(mask, bitorder="little"))


def _encode(texts: Sequence[str]) -> tuple[bytes, npt.NDArray[np.int64]]:
    """Texts in UTF-8, one after another, and the bytes of each."""
    joined = "".join(texts)
    if joined.isascii():
        return joined.encode(), np.fromiter(map(len, texts), np.int64, len(texts))
    encoded = [text.encode() for text in texts]
    return b"".join(encoded), np.fromiter(map(len, encoded), np.int64, len(texts))


def make_scalar(value: str | float, kind: pa.DataType) -> pa.Scalar:
    """A value as an Arrow scalar; `kind` as for `make_array`."""
    return make_array([value], kind)[0]


def _offsets(
    sizes: npt.NDArray[np.int64], mask: npt.NDArray[np.bool_] | None, dtype: type[np.signedinteger[Any]]
) -> pa.Buffer:
    """Where each value begins, one more than there are values; a null takes nothing."""
    offsets = np.zeros((len(sizes) if mask is None else len(mask)) + 1, np.int64)
    offsets[1:][... if mask is None else mask] = sizes
    np.cumsum(offsets, out=offsets)
    if dtype is np.int32 and offsets[-1] > _MAX_INT32:
        raise OverflowError(f"expected at most {_MAX_INT32}, found {offsets[-1]}")
    return pa.py_buffer(offsets.astype(dtype, copy=False))


def number_array(numbers: npt.NDArray[Any], is_null: npt.NDArray[np.bool_] | None = None) -> pa.Array:
    """A one-dimensional numpy array as an Arrow array on the same memory.

    Args:
        numbers: (N,); copied where it is not contiguous.
        is_null: (N,), where null stands for the number; None = nowhere.
    """
    validity = None if is_null is None else pa.py_buffer(np.packbits(~is_null, bitorder="little"))
    buffers = [validity, pa.py_buffer(np.ascontiguousarray(numbers))]
    return pa.Array.from_buffers(pa.from_numpy_dtype(numbers.dtype), len(numbers), buffers)


def to_numpy(column: pa.Array | pa.ChunkedArray, *, null: float | None = None) -> npt.NDArray[Any]:
    """The values of an integer, float or bool column as a numpy array: (N,).

    Args:
        column: without nulls, unless there is something to put in their place.
        null: what stands for null; for numbers.

    Returns:
        On the same memory, not to be written to, where the column is of numbers, of one chunk and without nulls; else
        a copy.

    Raises:
        ValueError: nulls, and nothing to put in their place.
    """
    if column.null_count and null is None:
        raise ValueError(f"expected no nulls, found {column.null_count}")
    if column.null_count:
        column = pc.fill_null(column, make_array([null], column.type)[0])
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    is_bool = pa.types.is_boolean(column.type)
    parts = [_view_bits(chunk) if is_bool else _view(chunk) for chunk in chunks if len(chunk)]
    if not parts:
        return np.empty(0, bool if is_bool else _DTYPES[column.type])
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _view(array: pa.Array) -> npt.NDArray[Any]:
    dtype = _DTYPES[array.type]
    return np.frombuffer(array.buffers()[1], dtype, len(array), array.offset * dtype.itemsize)


def _view_bits(array: pa.Array) -> npt.NDArray[np.bool_]:
    data = np.frombuffer(array.buffers()[1], np.uint8)
    bits = np.unpackbits(data, count=array.offset + len(array), bitorder="little")
    return bits[array.offset :].view(bool)


def release_memory() -> None:
    """Give back to the system what has been let go of, by Arrow and, where both share an allocator, by numpy."""
    pa.default_memory_pool().release_unused()
