"""The rules for single values, against hand-computed ones."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenor.corpus.readers.records import Limits, RowError, SeenIds
from tenor.corpus.readers.tally import MAX_UNKNOWN_FIELDS, OTHER_FIELDS, Tally
from tenor.corpus.readers.values import (
    label_attackers,
    label_from_text,
    pair_labels,
    parse_author_labels,
    parse_authors,
    parse_label,
    parse_name,
    parse_split,
    parse_texts,
    parse_timestamp,
)
from tenor.corpus.schema import Place
from tenor.errors import InputError


@pytest.mark.parametrize(
    "value, seconds",
    [
        (0, 0.0),
        (-8.0, -8.0),
        (1_700_000_000, 1.7e9),
        ("1700000000.5", 1_700_000_000.5),
        ("-3", -3.0),
        ("1e3", 1000.0),
        ("1970-01-02", 86_400.0),
        ("1970-01-01T00:00:01", 1.0),
        ("1970-01-01 00:00:01.25Z", 1.25),
        ("1970-01-01T01:00:00+01:00", 0.0),
        ("2024-02-29T12:00:00Z", 1_709_208_000.0),
        (None, None),
    ],
)
def test_parse_timestamp(value: object, seconds: float | None) -> None:
    assert parse_timestamp(value) == seconds


@pytest.mark.parametrize(
    "value", [True, math.nan, math.inf, 10**400, "x", "", "nan", "inf", "1_000", "2024-13-01", [], {}, "１"]
)
def test_parse_timestamp_refuses(value: object) -> None:
    with pytest.raises(RowError, match="expected seconds since 1970 or an ISO 8601"):
        parse_timestamp(value)


def test_parse_timestamp_refuses_milliseconds() -> None:
    with pytest.raises(RowError, match="years 1 to 9999, found 1.7e\\+12") as caught:
        parse_timestamp(1_700_000_000_000, 3)
    assert caught.value.remedy == "divide milliseconds by 1000" and caught.value.index == 3


@given(st.datetimes(min_value=datetime(2, 1, 1)), st.integers(-12 * 60, 12 * 60))
def test_parse_timestamp_reads_what_isoformat_writes(moment: datetime, minutes: int) -> None:
    zoned = moment.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    if zoned.astimezone(UTC).year < 9999:
        assert parse_timestamp(zoned.isoformat()) == zoned.timestamp()
    assert parse_timestamp(moment.isoformat()) == moment.replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    "value, label", [(0, 0), (1, 1), (True, 1), (False, 0), ("a", "a"), (None, None), ("1", "1")]
)
def test_parse_label(value: object, label: object) -> None:
    found = parse_label(value, "label")
    assert found == label and type(found) is type(label)


@pytest.mark.parametrize(
    "text, label", [("", None), ("0", 0), ("01", "01"), ("1", 1), ("-1", -1), ("1.0", "1.0"), ("NA", "NA")]
)
def test_label_from_text(text: str, label: object) -> None:
    assert label_from_text(text) == label


@pytest.mark.parametrize(
    "value, split",
    [
        ("train", "train"),
        ("Val", "validation"),
        ("valid", "validation"),
        ("dev", "validation"),
        ("TEST", "test"),
    ],
)
def test_parse_split(value: str, split: str) -> None:
    assert parse_split(value) == split


@pytest.mark.parametrize("value", ["holdout", "", 1, []])
def test_parse_split_refuses(value: object) -> None:
    with pytest.raises(RowError, match="expected train, validation"):
        parse_split(value)


def test_parse_name_takes_integers_and_refuses_texts() -> None:
    assert parse_name(17, "author") == "17"
    assert parse_name("é", "author") == "é"
    with pytest.raises(RowError, match="at most 1000 characters, found 1001"):
        parse_name("x" * 1001, "author")


def test_parse_authors_tells_one_from_true() -> None:
    assert parse_authors([1, "a", 1], Limits()) == ["1", "a", "1"]
    with pytest.raises(RowError, match="found true") as caught:
        parse_authors([1, True], Limits())
    assert caught.value.index == 1
    with pytest.raises(RowError, match="found the number 1"):
        parse_authors([1, 1.0], Limits())


def test_parse_texts_is_none_without_any_text() -> None:
    assert parse_texts([None, None], Limits(), Tally(), surrogates=False) is None
    with pytest.raises(RowError, match="expected a string, found null") as caught:
        parse_texts(["a", None], Limits(), Tally(), surrogates=False)
    assert caught.value.index == 1


def test_parse_author_labels() -> None:
    assert parse_author_labels({"a": 1, "b": None}, ["a", "b"]) == {"a": 1}
    assert parse_author_labels([("a", "x")], ["a"]) == {"a": "x"}
    assert parse_author_labels(None, ["a"]) == {}
    for value in ([["a", 1]], ["a"], "a", 3):
        with pytest.raises(RowError, match="expected an object author -> label"):
            parse_author_labels(value, ["a"])
    with pytest.raises(RowError, match="entry 2: an author named before"):
        parse_author_labels([("a", 1), ("a", 1)], ["a"])


def test_pair_labels_refuses_other_lengths() -> None:
    assert pair_labels(["a"], [1]) == [("a", 1)]
    with pytest.raises(RowError, match="found a list of 2 beside a list of 1"):
        pair_labels(["a"], [1, 0])
    with pytest.raises(RowError, match="found a list of 1 beside null"):
        pair_labels(None, [1])


def test_label_attackers_labels_all_others_0() -> None:
    assert label_attackers(["b"], ["a", "b", "a", "c"]) == {"a": 0, "b": 1, "c": 0}
    assert label_attackers([], ["a"]) == {"a": 0}
    with pytest.raises(RowError, match="entry 1: an author who wrote no message"):
        label_attackers(["x"], ["a"])


def test_seen_ids_names_the_first_place() -> None:
    seen = SeenIds()
    first, second = Place("a", 3), Place("b", 2**40)
    assert seen.add("x", first) is None
    assert seen.add("y", second) is None
    assert seen.add("x", Place("b", 9)) == first
    assert seen.add("y", Place("a", 1)) == second


def test_unknown_fields_are_bounded() -> None:
    tally = Tally()
    for index in range(1000):
        tally.count_unknown(f"key{index}" + "x" * 1000)
    assert len(tally.unknown_fields) == MAX_UNKNOWN_FIELDS + 1
    assert tally.unknown_fields[OTHER_FIELDS] == 1000 - MAX_UNKNOWN_FIELDS
    assert max(map(len, tally.unknown_fields)) <= 40


def test_files_with_other_rows_raise() -> None:
    tally = Tally()
    tally.begin("a", "message")
    with pytest.raises(InputError, match="has one row a conversation, and a has one a message"):
        tally.begin("b", "conversation")
