"""Columns of strings against plain lists of them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenor.errors import UsageError
from tenor.strings import Strings, concatenate_strings, find_rows, join_strings, number_rows

WORDS = st.lists(st.sampled_from(["", "a", "b", "é", "\U0001f600", "ab", "z" * 40]), max_size=12)


@given(WORDS)
def test_a_column_is_the_list_it_was_made_of(words: list[str]) -> None:
    for column in (
        Strings.of(words),
        Strings.of(np.array(words, dtype=object)),
        Strings.of(pa.chunked_array([words[:3], words[3:]], pa.string())),
    ):
        assert column.tolist() == list(column) == np.asarray(column).tolist() == words
        assert pa.array(column).to_pylist() == words
        assert (len(column), column.shape) == (len(words), (len(words),))
        assert [column[row] for row in range(len(words))] == words
        assert column[::-1].tolist() == words[::-1]
        assert column[np.array([word == "a" for word in words], dtype=bool)].tolist() == [
            w for w in words if w == "a"
        ]
        assert column.count_distinct() == len(set(words))


@given(WORDS)
def test_ranks_are_those_of_python(words: list[str]) -> None:
    ranks, distinct = Strings.of(words).rank()
    assert distinct.tolist() == sorted(set(words))
    assert ranks.tolist() == [sorted(set(words)).index(word) for word in words]


@given(WORDS, WORDS)
def test_rows_are_compared_and_found_as_in_lists(words: list[str], others: list[str]) -> None:
    column, other = Strings.of(words), Strings.of(others)
    assert (column == "a").tolist() == [word == "a" for word in words]
    assert (column != "b").tolist() == [word != "b" for word in words]
    assert find_rows([column], [other]).tolist() == [words.index(o) if o in words else -1 for o in others]
    count = min(len(words), len(others))
    expected = [a == b for a, b in zip(words, others, strict=False)]
    assert (column[:count] == other[:count]).tolist() == expected
    assert (column[:count] == np.array(others[:count], dtype=object)).tolist() == expected
    joined = concatenate_strings([column, other[1:], column[:2]])
    assert joined.tolist() == words + others[1:] + words[:2]
    assert joined.count_distinct() == len(set(joined.tolist()))


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz")), min_size=1))
def test_rows_of_several_columns(rows: list[tuple[str, str]]) -> None:
    columns = [Strings.of(column) for column in zip(*rows, strict=True)]
    numbers = number_rows(columns)
    assert [[a == b for b in numbers] for a in numbers] == [[a == b for b in rows] for a in rows]
    wanted = [("c", "x"), ("a", "z"), ("q", "x")]
    found = find_rows(columns, [Strings.of(column) for column in zip(*wanted, strict=True)])
    assert found.tolist() == [rows.index(row) if row in rows else -1 for row in wanted]
    assert join_strings(columns, "/").tolist() == ["/".join(row) for row in rows]


def test_values_may_hold_more_than_occur_and_one_string_twice() -> None:
    values = pa.chunked_array([["b", "a"], ["c", "a", "b"]])
    column = Strings(values, np.array([1, 0, 1], dtype=np.int8))
    assert column.tolist() == ["a", "b", "a"]
    assert column.count_distinct() == 2
    assert column.find_codes(Strings.of(["b", "a", "x"])).tolist() == [0, 1, -1]
    assert repr(column) == "Strings(['a', 'b', 'a'], 3 rows)"


def test_what_is_no_string_is_refused() -> None:
    with pytest.raises(UsageError, match="expected strings, found int"):
        Strings.of(["a", 1])  # type: ignore[list-item]
    with pytest.raises(UsageError, match="expected strings, found NoneType"):
        Strings.of(np.array(["a", None], dtype=object))
    with pytest.raises(UsageError, match="found 1 rows without a value"):
        Strings.of(pa.chunked_array([["a", None]]))
    with pytest.raises(UsageError, match="expected 2 strings to compare with, found 1"):
        _ = Strings.of(["a", "b"]) == Strings.of(["a"])
