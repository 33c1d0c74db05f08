"""Columns of strings that hold each distinct string once: ids, authors, groups and splits of tables of any length.

Arrow holds the strings, numpy a number a row; Python strings are made where one looks at them. Knows nothing of
what the strings mean.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tenor.arrays import make_array, make_scalar, number_array, to_numpy
from tenor.errors import UsageError

Integers = npt.NDArray[np.int64]

#: Rows turned into Python strings at a time.
_ROWS_AT_A_TIME = 1 << 14


class Strings:
    """N strings, to be used as a read-only numpy array of them: indexed, compared, iterated over, ``tolist``.

    ``numpy.asarray`` makes the array of Python strings, ``pyarrow.array`` the Arrow one.

    Attributes:
        values: an Arrow column of strings, without nulls; it may hold more than occur.
        codes: (N,) integers, the place of each row's string in `values`; equal strings have equal codes.
    """

    __slots__ = ("codes", "values")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, values: pa.ChunkedArray, codes: npt.NDArray[np.signedinteger[Any]]) -> None:
        self.values, self.codes = values, codes

    @classmethod
    def of(cls, strings: Strings | pa.ChunkedArray | Iterable[str]) -> Strings:
        """Strings from an Arrow column or from Python's.

        Raises:
            UsageError: a value that is no string, or none at all.
        """
        if isinstance(strings, Strings):
            return strings
        if not isinstance(strings, pa.ChunkedArray):
            given = list(strings)
            wrong = next((value for value in given if not isinstance(value, str)), "")
            if wrong != "":
                raise UsageError(f"expected strings, found {type(wrong).__name__}")
            strings = pa.chunked_array([make_array(given, pa.string())])
        if strings.null_count:
            raise UsageError(f"expected strings, found {strings.null_count} rows without a value")
        if len(strings) == 0:
            return cls(pa.chunked_array([], pa.string()), np.empty(0, np.int32))
        encoded = strings.dictionary_encode()
        dictionary = encoded.chunk(encoded.num_chunks - 1).dictionary
        if any(
            len(chunk.dictionary) != len(dictionary) for chunk in encoded.chunks
        ):  # they share one, as a rule
            encoded = encoded.unify_dictionaries()
            dictionary = encoded.chunk(0).dictionary
        codes = [to_numpy(chunk.indices) for chunk in encoded.chunks]
        return cls(pa.chunked_array([dictionary]), np.concatenate(codes))

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def shape(self) -> tuple[int]:
        """(N,)."""
        return (len(self),)

    @property
    def nbytes(self) -> int:
        """Bytes of the codes and of all values."""
        return int(self.codes.nbytes + self.values.nbytes)

    @overload
    def __getitem__(self, rows: int | np.integer[Any]) -> str: ...

    @overload
    def __getitem__(self, rows: slice | npt.NDArray[Any] | Sequence[int]) -> Strings: ...

    def __getitem__(
        self, rows: int | np.integer[Any] | slice | npt.NDArray[Any] | Sequence[int]
    ) -> str | Strings:
        found = self.codes[rows]
        if np.ndim(found) == 0:
            return str(self.values[int(found)].as_py())
        return Strings(self.values, found)

    def __iter__(self) -> Iterator[str]:
        for first in range(0, len(self), _ROWS_AT_A_TIME):
            yield from self[first : first + _ROWS_AT_A_TIME].tolist()

    def tolist(self) -> list[str]:
        """Python's strings, each distinct one made once."""
        strings: list[str] = np.asarray(self).tolist()
        return strings

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        used, places = self._used()
        distinct = np.empty(len(used), dtype=object)
        distinct[:] = used.to_pylist()
        strings = distinct[places]
        return strings if dtype is None else strings.astype(dtype, copy=False)

    def __arrow_array__(self, type: pa.DataType | None = None) -> pa.Array:
        strings = self.to_arrow()
        return strings if type is None else strings.cast(type)

    def astype(self, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """(N,) numpy array, such as of ``str``."""
        return np.asarray(self, dtype=dtype)

    def to_arrow(self) -> pa.Array:
        """(N,) strings of Arrow."""
        return _take(self.values, self.codes)

    def __eq__(self, other: object) -> npt.NDArray[np.bool_]:  # type: ignore[override]
        """(N,) bool, row by row; with one string, or with N of them."""
        if isinstance(other, str):
            if not len(self):
                return np.zeros(0, dtype=bool)
            used, places = self._used()
            same = pc.equal(used, make_scalar(other, pa.string()))
            return np.asarray(to_numpy(same)[places])
        if isinstance(other, Strings):
            if len(other) != len(self):
                raise UsageError(f"expected {len(self)} strings to compare with, found {len(other)}")
            return np.asarray(self.find_codes(other) == self.codes)
        return np.asarray(np.asarray(self) == np.asarray(other, dtype=object))

    def __ne__(self, other: object) -> npt.NDArray[np.bool_]:  # type: ignore[override]
        return ~(self == other)

    def __repr__(self) -> str:
        first = ", ".join(map(repr, islice(self, 3)))
        return f"Strings([{first}{', ...' if len(self) > 3 else ''}], {len(self)} rows)"

    def rank(self) -> tuple[Integers, Strings]:
        """Ranks (N,) among the sorted distinct strings, and those (D,), by code points."""
        used, places = self._used()
        order = to_numpy(pc.array_sort_indices(used)).astype(np.int64)
        ranks = np.empty(len(order), dtype=np.int64)
        ranks[order] = np.arange(len(order))
        return ranks[places], Strings(
            pa.chunked_array([used.take(number_array(order))]), np.arange(len(order))
        )

    def count_distinct(self) -> int:
        """How many different strings there are."""
        return len(self._used()[0])

    def find_codes(self, others: Strings) -> Integers:
        """The code that each other string has here: (N of the others,) int64, -1 where it is not among the values."""
        if others.values is self.values or others.values.equals(self.values):
            return others.codes.astype(np.int64)
        used, places = others._used()
        return to_numpy(pc.index_in(used, self.values), null=-1).astype(np.int64)[places]

    def _used(self) -> tuple[pa.Array, Integers]:
        """The distinct strings that occur (D,), and the place of each row's among them (N,)."""
        if not len(self):
            return make_array([], pa.string()), np.empty(0, np.int64)
        first = int(self.codes.min())
        codes = self.codes - first
        is_used = np.zeros(int(codes.max()) + 1, dtype=bool)
        is_used[codes] = True
        places = np.cumsum(is_used, dtype=codes.dtype)
        places -= 1
        return _take(self.values, np.flatnonzero(is_used) + first), places[codes].astype(np.int64)


def _take(values: pa.ChunkedArray, codes: npt.NDArray[np.signedinteger[Any]]) -> pa.Array:
    """The strings of some codes. Only the part of the values between the codes is read."""
    if not len(codes):
        return make_array([], pa.string())
    first = int(codes.min())
    part = values.slice(first, int(codes.max()) - first + 1)
    return part.take(number_array(codes - first)).combine_chunks()


def concatenate_strings(parts: Sequence[Strings]) -> Strings:
    """The rows of one column after another's; one at least."""
    values = parts[0].values
    if not all(part.values is values for part in parts):
        everything = pa.chunked_array([chunk for part in parts for chunk in part.values.chunks], pa.string())
        joint = Strings.of(everything)
        values, codes, start = joint.values, [], 0
        for part in parts:
            codes.append(joint.codes[start : start + len(part.values)][part.codes])
            start += len(part.values)
        return Strings(values, np.concatenate(codes))
    return Strings(values, np.concatenate([part.codes for part in parts]))


def join_strings(columns: Sequence[Strings], separator: str) -> Strings:
    """The strings of each row's columns with a separator between them: (N,)."""
    joined = pc.binary_join_element_wise(
        *(column.to_arrow() for column in columns), make_scalar(separator, pa.string())
    )
    return Strings.of(pa.chunked_array([joined]))


def number_rows(columns: Sequence[Strings]) -> Integers:
    """Numbers (N,) of rows of one column or more: equal where the rows are equal in all columns."""
    return _combine(columns, [column.codes for column in columns])


def find_rows(columns: Sequence[Strings], wanted: Sequence[Strings]) -> Integers:
    """The row at which each wanted row stands: (W,) int64, -1 where none does; the first of equal ones.

    Args:
        columns: one or more, of N rows.
        wanted: as many, of W rows.
    """
    codes = [column.find_codes(other) for column, other in zip(columns, wanted, strict=True)]
    keys = _combine(columns, codes)
    keys[np.any([part < 0 for part in codes], axis=0)] = -1
    del codes  # of millions of rows each array counts
    own = number_rows(columns)
    if not len(own):
        return np.full(len(keys), -1)
    order = np.argsort(own, kind="stable")
    places = np.searchsorted(own, keys, sorter=order)
    np.minimum(places, len(own) - 1, out=places)
    places = order[places]
    places[own[places] != keys] = -1
    return places


def _combine(columns: Sequence[Strings], codes: Sequence[npt.NDArray[Any]]) -> Integers:
    """One number for the codes of each row, as digits of a number with as many values a place."""
    keys = np.zeros(len(codes[0]), dtype=np.int64)
    for column, part in zip(columns, codes, strict=True):
        keys *= len(column.values)
        keys += part
    return keys
