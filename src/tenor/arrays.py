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

_MAX_INT32 = 2**31 - 1
_DTYPES: dict[pa.DataType, np.dtype[Any]] = {
    pa.int32(): np.dtype(np.int32),
    pa.int64(): np.dtype(np.int64),
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
    missing = sum(value is None for value in values)
    given = [value for value in values if value is not None] if missing else values
    mask = np.fromiter((value is not None for value in values), bool, len(values)) if missing else None
    validity = None if mask is None else pa.py_buffer(np.packbits(mask, bitorder="little"))
    if pa.types.is_list(kind):
        entries = make_array(list(chain.from_iterable(given)), kind.value_type)
        buffers = [validity, _offsets(given, mask, np.int32)]
        return pa.Array.from_buffers(kind, len(values), buffers, missing, children=[entries])
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        encoded = [value.encode() for value in given]
        offsets = _offsets(encoded, mask, np.int32 if pa.types.is_string(kind) else np.int64)
        data = pa.py_buffer(b"".join(encoded))
        return pa.Array.from_buffers(kind, len(values), [validity, offsets, data], missing)
    dtype: np.dtype[Any] = _DTYPES[kind]
    numbers = np.zeros(len(values), dtype)
    numbers[... if mask is None else mask] = np.fromiter(given, dtype, len(given))
    return pa.Array.from_buffers(kind, len(values), [validity, pa.py_buffer(numbers)], missing)


def make_scalar(value: str | float, kind: pa.DataType) -> pa.Scalar:
    """A value as an Arrow scalar; `kind` as for `make_array`."""
    return make_array([value], kind)[0]


def _offsets(
    given: Sequence[Any], mask: npt.NDArray[np.bool_] | None, dtype: type[np.signedinteger[Any]]
) -> pa.Buffer:
    """Where each value begins, one more than there are values; a null takes nothing."""
    sizes = np.fromiter(map(len, given), np.int64, len(given))
    offsets = np.zeros((len(given) if mask is None else len(mask)) + 1, np.int64)
    offsets[1:][... if mask is None else mask] = sizes
    np.cumsum(offsets, out=offsets)
    if dtype is np.int32 and offsets[-1] > _MAX_INT32:
        raise OverflowError(f"expected at most {_MAX_INT32}, found {offsets[-1]}")
    return pa.py_buffer(offsets.astype(dtype, copy=False))


def number_array(numbers: npt.NDArray[Any]) -> pa.Array:
    """A one-dimensional contiguous numpy array as an Arrow array on the same memory."""
    kind = pa.from_numpy_dtype(numbers.dtype)
    return pa.Array.from_buffers(kind, len(numbers), [None, pa.py_buffer(np.ascontiguousarray(numbers))])


def view_numbers(array: pa.Array, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """The values of an integer or float array without nulls, on the same memory.

    Args:
        array: of the Arrow type that belongs to `dtype`.
        dtype: of the values.
    """
    if len(array) == 0:
        return np.empty(0, dtype)
    return np.frombuffer(array.buffers()[1], dtype, len(array), array.offset * np.dtype(dtype).itemsize)
