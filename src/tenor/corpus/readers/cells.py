"""Cells of Arrow arrays, proven sound, as Python values and numpy arrays; invalid UTF-8 becomes an InvalidText.

Knows nothing of conversations.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tenor.corpus.readers.records import Limits, RowError
from tenor.corpus.readers.values import InvalidText

Unpack = Callable[[pa.Array], list[Any]]

_UNITS_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_SECONDS_PER_DAY = 86_400


def unpack(array: pa.Array | None) -> list[Any]:
    """The values as Python objects; [] for no array."""
    if array is None:
        return []
    if pa.types.is_dictionary(array.type):
        array = array.dictionary.take(array.indices)
    try:
        values: list[Any] = array.to_pylist()
    except UnicodeDecodeError:
        if not (pa.types.is_string(array.type) or pa.types.is_large_string(array.type)):
            return [_unpack_object(array, index) for index in range(len(array))]
        return [_decode(value) for value in array.cast(pa.large_binary()).to_pylist()]
    return values


def unpack_labels(array: pa.Array | None) -> list[Any]:
    """Labels as Python objects; an empty text is no label, as in a CSV file."""
    values = unpack(array)
    return [None if value == "" else value for value in values] if "" in values else values


def _unpack_object(array: pa.Array, index: int) -> object:
    try:
        return array[index].as_py()
    except UnicodeDecodeError as error:
        return InvalidText(error.start)


def _decode(value: bytes | None) -> object:
    if value is None:
        return None
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        return InvalidText(error.start)


def unpack_times(array: pa.Array) -> list[Any]:
    """Dates and times as seconds since 1970 UTC (UTC where they name no zone), anything else as it is."""
    kind = array.type
    if pa.types.is_timestamp(kind):
        per_second = _UNITS_PER_SECOND[kind.unit]
        ticks = array.cast(pa.int64()).to_pylist()
        return [None if value is None else value / per_second for value in ticks]
    if pa.types.is_date64(kind):  # milliseconds; its days may be more than a date32 holds
        ticks = array.cast(pa.int64()).to_pylist()
        return [None if value is None else value / 1000 for value in ticks]
    if pa.types.is_date32(kind):
        days = array.cast(pa.int32()).to_pylist()
        return [None if value is None else float(value * _SECONDS_PER_DAY) for value in days]
    return unpack(array)


class Lists:
    """One column of lists: the values of all rows unpacked at once, and where each row's begin.

    Attributes:
        values: the values of all rows, one behind the other.
    """

    def __init__(self, array: pa.Array, convert: Unpack | None) -> None:
        """Take a list array; `convert` unpacks the values for `row`, None leaves them for `array`."""
        self._missing: npt.NDArray[np.bool_] | None = None
        if pa.types.is_null(array.type):
            array = array.cast(pa.list_(pa.null()))
        if array.null_count:
            self._missing = array.is_null().to_numpy(zero_copy_only=False)
        if pa.types.is_fixed_size_list(array.type):
            width = array.type.list_size
            starts = np.arange(array.offset, array.offset + len(array) + 1, dtype=np.int64) * width
        else:
            starts = array.offsets.to_numpy().astype(np.int64)
        first = int(starts[0]) if len(starts) else 0
        last = int(starts[-1]) if len(starts) else 0
        self._starts = starts - first
        self.values = array.values.slice(first, last - first)
        self._objects = convert(self.values) if convert is not None else []

    def with_values(self, values: pa.Array, convert: Unpack | None) -> Lists:
        """The same rows over other values, such as one field of the objects."""
        other = Lists.__new__(Lists)
        other._starts, other._missing, other.values = self._starts, self._missing, values
        other._objects = convert(values) if convert is not None else []
        return other

    def _range(self, index: int) -> tuple[int, int] | None:
        if self._missing is not None and self._missing[index]:
            return None
        return int(self._starts[index]), int(self._starts[index + 1])

    def row(self, index: int, limits: Limits) -> list[Any] | None:
        """The unpacked values of a row, None where it is null.

        Raises:
            RowError: more than a conversation may have.
        """
        bounds = self._range(index)
        if bounds is None:
            return None
        if bounds[1] - bounds[0] > limits.max_messages:
            rule = f"expected at most {limits.max_messages} messages, found {bounds[1] - bounds[0]}"
            raise RowError("messages", rule, "split the conversation")
        return self._objects[bounds[0] : bounds[1]]

    def array(self, index: int) -> pa.Array | None:
        """The values of a row as an Arrow array, None where it is null."""
        bounds = self._range(index)
        return None if bounds is None else self.values.slice(bounds[0], bounds[1] - bounds[0])


def unpack_vectors(vectors: pa.Array) -> npt.NDArray[Any] | list[Any] | None:
    """T lists of F numbers as an array (T, F), or as lists where they are at fault."""
    if pa.types.is_null(vectors.type) or (len(vectors) and vectors.null_count == len(vectors)):
        return None
    lengths = {vectors.type.list_size} if pa.types.is_fixed_size_list(vectors.type) else set()
    if not lengths:
        lengths = set(np.diff(vectors.offsets.to_numpy()).tolist())
    numbers = vectors.flatten()
    if vectors.null_count or len(lengths) > 1 or not pa.types.is_floating(numbers.type) or numbers.null_count:
        return unpack(vectors)
    values: npt.NDArray[Any] = numbers.to_numpy(zero_copy_only=False)
    return values.reshape(len(vectors), max(lengths, default=0))


def check_structure(batch: pa.RecordBatch) -> None:
    """Refuse offsets and indices outside their buffers; invalid UTF-8 passes, its row is named later.

    Raises:
        pa.ArrowException: the batch is damaged.
    """
    batch.validate()  # lengths and buffers; without it the conversion below could end the process
    try:
        batch.validate(full=True)
    except pa.ArrowInvalid as error:
        if "UTF8" not in str(error):
            raise
        for column in batch.columns:
            column.cast(_as_bytes(column.type)).validate(full=True)


def _as_bytes(kind: pa.DataType) -> pa.DataType:
    """The type with bytes in place of texts."""
    types = pa.types
    if types.is_string(kind):
        return pa.binary()
    if types.is_large_string(kind):
        return pa.large_binary()
    if types.is_list(kind):
        return pa.list_(_as_bytes(kind.value_type))
    if types.is_fixed_size_list(kind):
        return pa.list_(_as_bytes(kind.value_type), kind.list_size)
    if types.is_dictionary(kind):
        return pa.dictionary(kind.index_type, _as_bytes(kind.value_type))
    if types.is_large_list(kind):
        return pa.large_list(_as_bytes(kind.value_type))
    if types.is_struct(kind):
        fields = (kind.field(index) for index in range(kind.num_fields))
        return pa.struct([field.with_type(_as_bytes(field.type)) for field in fields])
    return kind
