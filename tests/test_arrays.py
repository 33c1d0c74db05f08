from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenor.arrays import make_array, make_scalar, number_array, view_numbers

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
    view = view_numbers(array, np.int32)
    assert view.tolist() == [2, 3, 4] and np.shares_memory(view, numbers)
    assert view_numbers(array.slice(3), np.int32).tolist() == []
    assert make_scalar(7, pa.int32()) == pa.scalar(7, pa.int32())
