from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenor.arrays import make_array, make_scalar, number_array, to_numpy

TEXTS = st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
NUMBERS = st.none() | st.floats(allow_nan=False)
VALUES = st.one_of(
    st.tuples(st.lists(TEXTS), st.sampled_from([pa.string(), pa.large_string()])),
    st.tuples(
        st.lists(st.none() | st.integers(-(2**31), 2**31 - 1)), st.sampled_from([pa.int32(), pa.int64()])
    ),
    st.tuples(st.lists(NUMBERS), st.just(pa.float64())),
    st.tuples(st.lists(st.none() | st.lists(TEXTS)), st.just(pa.list_(pa.large_string()))),
    st.tuples(st.lists(st.none() | st.lists(NUMBERS)), st.just(pa.list_(pa.float64()))),
)


def written(array: pa.Array) -> bytes:
    sink = pa.BufferOutputStream()
    batch = pa.record_batch([array], ["x"])
    with pa.ipc.new_stream(sink, batch.schema) as stream:
        stream.write_batch(batch)
    return sink.getvalue().to_pybytes()


@given(VALUES)
def test_arrays_are_written_as_those_of_pyarrow(case: tuple[list[object], pa.DataType]) -> None:
    values, kind = case
    found = make_array(values, kind)
    found.validate(full=True)
    assert written(found) == written(pa.array(values, kind))


def test_half_of_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(UnicodeEncodeError):
        make_array([["fine", "\ud800"]], pa.list_(pa.string()))


def test_numbers_there_and_back_share_memory() -> None:
    numbers = np.arange(5, dtype=np.int32)
    array = number_array(numbers).slice(2)
    view = to_numpy(array)
    assert view.tolist() == [2, 3, 4] and np.shares_memory(view, numbers)
    assert to_numpy(array.slice(3)).tolist() == []
    assert make_scalar(7, pa.int32()) == pa.scalar(7, pa.int32())


@given(
    st.sampled_from([pa.int32(), pa.int64(), pa.float32(), pa.float64(), pa.bool_()]),
    st.lists(st.lists(st.none() | st.integers(0, 1), max_size=20), max_size=3),
    st.integers(0, 9),
)
def test_values_come_back_as_pyarrow_gives_them(
    kind: pa.DataType, chunks: list[list[int | None]], start: int
) -> None:
    values = [[1 if value is None and kind == pa.bool_() else value for value in chunk] for chunk in chunks]
    column = pa.chunked_array([pa.array(chunk).cast(kind) for chunk in values], kind).slice(start)
    found = to_numpy(column, null=-1 if column.null_count else None)
    expected = column.to_numpy() if kind == pa.bool_() else column.fill_null(-1).to_numpy()
    assert found.dtype == expected.dtype and np.array_equal(found, expected)


def test_nulls_without_anything_in_their_place_are_refused() -> None:
    with pytest.raises(ValueError, match="expected no nulls, found 1"):
        to_numpy(pa.chunked_array([[1.5, None], [2.5]]))
