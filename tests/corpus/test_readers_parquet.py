"""Parquet and what it shares with Arrow files: all types of columns, nulls, places, batches cut small."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tenor.corpus.readers import ColumnMap, Limits, Reject, Tally, batches
from tenor.corpus.readers.kinds import kind_of
from tenor.corpus.readers.parquet import read_parquet
from tenor.corpus.schema import Conversation, Place
from tenor.errors import InputError

IDS = pa.array(["c", "d"])
AUTHORS = pa.array([["ann", "bob"], ["eve"]])
TEXTS = pa.array([["x", "y"], ["z"]])


def write(path: Path, options: dict[str, Any] | None = None, **columns: object) -> Path:
    pq.write_table(pa.table(columns), path, **(options or {}))
    return path


def read(path: Path, columns: ColumnMap | None = None, tally: Tally | None = None) -> list[Conversation]:
    items = list(read_parquet(path, columns, tally=tally))
    assert not [item for item in items if isinstance(item, Reject)], items
    return items  # type: ignore[return-value]


def conversations(path: Path, **columns: object) -> list[Conversation]:
    values: dict[str, object] = {"conversation_id": IDS, "authors": AUTHORS, "text": TEXTS}
    return read(write(path / "in.parquet", **(values | columns)))


def test_columns_of_the_corpus(tmp_path: Path) -> None:
    found = conversations(
        tmp_path,
        timestamp=pa.array([[1.0, None], None]),
        features=pa.array([[[1, 2], [3, 4]], [[5, 6]]], pa.list_(pa.list_(pa.float16(), 2))),
        label=pa.array([True, None]),
        participants=pa.array([["bob", "ann"], ["eve"]]),
        participant_labels=pa.array([["good", None], ["bad"]]),
        group=pa.array([1, None]),
        split=pa.array(["train", "dev"]),
    )
    assert found[0].features.dtype == np.float16
    np.testing.assert_array_equal(found[0].features, [[1, 2], [3, 4]])
    np.testing.assert_array_equal(found[1].features, [[5, 6]])
    for conversation in found:
        conversation.features = None
    path = str(tmp_path / "in.parquet")
    assert found == [
        Conversation(
            conversation_id="c",
            authors=["ann", "bob"],
            texts=["x", "y"],
            timestamps=[1.0, None],
            label=1,
            author_labels={"bob": "good"},
            group="1",
            split="train",
            place=Place(path, 1),
        ),
        Conversation(
            conversation_id="d",
            authors=["eve"],
            texts=["z"],
            author_labels={"eve": "bad"},
            split="validation",
            place=Place(path, 2),
        ),
    ]


def test_message_objects(tmp_path: Path) -> None:
    messages = [
        [
            {
                "author": "ann",
                "text": "x",
                "timestamp": datetime(1970, 1, 2),
                "features": [1.0, 2.0],
                "likes": 1,
            }
        ],
        [
            {"author": "bob", "text": "y", "timestamp": None, "features": [3.0, 4.0], "likes": 1},
            {"author": "ann", "text": "", "timestamp": None, "features": [5.0, 6.0], "likes": 1},
        ],
    ]
    tally = Tally()
    found = read(
        write(tmp_path / "in.parquet", conversation_id=IDS, messages=messages, mood=["a", "b"]), tally=tally
    )
    assert [c.authors for c in found] == [["ann"], ["bob", "ann"]]
    assert [c.texts for c in found] == [["x"], ["y", ""]]
    assert [c.timestamps for c in found] == [[86_400.0], None]
    np.testing.assert_array_equal(found[1].features, [[3, 4], [5, 6]])
    assert tally.unknown_fields == {"mood": 2}


def test_a_column_that_only_the_map_knows_is_said_first(tmp_path: Path) -> None:
    path = write(tmp_path / "in.parquet", conversation_id=["c"], user=["ann"], text=["hello"])
    with pytest.raises(InputError) as caught:
        read(path, ColumnMap(author="autor"))
    assert caught.value.rule == (
        "the source has no column 'autor', which the column map names: expected a column 'messages' or 'authors' (a "
        "row a conversation) or 'autor' (a row a message), found conversation_id, user, text"
    )
    with pytest.raises(InputError, match="in.parquet: expected a column 'messages' or 'authors'"):
        read(path)


def test_chat_objects_of_the_hub(tmp_path: Path) -> None:
    messages = [
        [{"role": "user", "content": "x", "feat_b": 1.0, "feat_a": 2}],
        [{"role": "system", "content": "y", "feat_b": 3.0, "feat_a": 4}],
    ]
    columns = ColumnMap(conversation_id="id", author="role", text="content")
    tally = Tally()
    found = read(write(tmp_path / "in.parquet", id=[1, 2], messages=messages), columns, tally)
    assert [(c.conversation_id, c.authors, c.texts) for c in found] == [
        ("1", ["user"], ["x"]),
        ("2", ["system"], ["y"]),
    ]
    np.testing.assert_array_equal(found[1].features, [[4, 3]])
    assert tally.agreement.feature_names == ("feat_a", "feat_b")


@pytest.mark.parametrize(
    "messages, field",
    [
        ([[{"author": "a", "text": "x"}, None]], "messages[1].author"),
        ([[{"text": "x"}]], "messages[0].author"),
        ([[{"author": "a", "text": None}]], "messages[0].text"),
        ([[]], "messages"),
        ([None], "authors"),
    ],
)
def test_faults_in_message_objects(tmp_path: Path, messages: list[Any], field: str) -> None:
    kind = pa.list_(pa.struct({"author": pa.string(), "text": pa.string()}))
    column = pa.array([[{"author": "a", "text": "x"}], *messages], kind)
    path = write(tmp_path / "in.parquet", conversation_id=IDS, messages=column)
    (_, found) = read_parquet(path)
    assert isinstance(found, Reject) and (found.field, found.place.line) == (field, 2)


def test_analyzed_corpus_made_elsewhere(tmp_path: Path) -> None:
    tally = Tally()
    path = write(
        tmp_path / "in.parquet",
        conversation_id=IDS,
        authors=AUTHORS,
        feat_b=pa.array([[1.0, 2.0], [3.0]]),
        feat_a=pa.array([[4, 5], [6]]),
        attackers=pa.array([["bob"], []], pa.list_(pa.string())),
    )
    first, second = read(path, tally=tally)
    np.testing.assert_array_equal(first.features, [[4, 1], [5, 2]])
    np.testing.assert_array_equal(second.features, [[6, 3]])
    assert (first.author_labels, second.author_labels) == ({"ann": 0, "bob": 1}, {"eve": 0})
    assert tally.agreement.feature_names == ("feat_a", "feat_b")


def test_rows_of_messages(tmp_path: Path) -> None:
    tally = Tally()
    path = write(
        tmp_path / "in.parquet",
        {"row_group_size": 2},
        conversation_id=[1, 1, 1, 2],
        author=pa.array(["ann", "bob", "ann", "eve"]).dictionary_encode(),
        text=["x", "y", "", "z"],
        timestamp=[datetime(1970, 1, 1, 0, 0, 1), None, datetime(1970, 1, 1), datetime(1970, 1, 1)],
        feat_a=[1, 2, 3, 4],
        feat_b=[5.0, 6.0, 7.0, 8.0],
        label=[None, "w", None, "v"],
        author_label=[1, 0, None, None],
        split=["test"] * 4,
    )
    first, second = read(path, tally=tally)
    assert (first.authors, first.texts) == (["ann", "bob", "ann"], ["x", "y", ""])
    assert first.timestamps == [1.0, None, 0.0]
    assert (first.label, first.author_labels, first.split) == ("w", {"ann": 1, "bob": 0}, "test")
    assert (second.conversation_id, second.place.line) == ("2", 4)
    np.testing.assert_array_equal(first.features, [[1, 5], [2, 6], [3, 7]])
    assert (tally.unit, tally.rows) == ("message", 4)


def test_feature_lists_in_rows_of_messages(tmp_path: Path) -> None:
    values: dict[str, Any] = {"conversation_id": ["c", "c"], "author": ["a", "b"]}
    (found,) = read(write(tmp_path / "in.parquet", **values, features=pa.array([[1, 2], [3, 4]])))
    np.testing.assert_array_equal(found.features, [[1, 2], [3, 4]])
    path = write(tmp_path / "in.parquet", **values, features=pa.array([[1.0, 2.0], [3.0]]))
    (item,) = read_parquet(path)
    assert isinstance(item, Reject) and item.place.line == 2
    assert "message 2: expected 2 numbers, found 1" in item.rule


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
def test_timestamps_of_all_units(tmp_path: Path, unit: str, zone: str | None) -> None:
    seconds = 1_700_000_000
    ticks = seconds * {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    column = pa.array([[ticks, None], [0]], pa.list_(pa.timestamp(unit, zone)))
    found = conversations(tmp_path, timestamp=column)
    assert [c.timestamps for c in found] == [[float(seconds), None], [0.0]]


def test_other_timestamps(tmp_path: Path) -> None:
    found = conversations(tmp_path, timestamp=pa.array([[date(1970, 1, 2), None], [date(1969, 12, 31)]]))
    assert [c.timestamps for c in found] == [[86_400.0, None], [-86_400.0]]
    days = pa.array([[date(1970, 1, 2), None], [date(1969, 12, 31)]], pa.list_(pa.date64()))
    found = conversations(tmp_path, timestamp=days)
    assert [c.timestamps for c in found] == [[86_400.0, None], [-86_400.0]]
    found = conversations(tmp_path, timestamp=pa.array([["1970-01-02", "3"], ["4.5"]]))
    assert [c.timestamps for c in found] == [[86_400.0, 3.0], [4.5]]
    found = conversations(tmp_path, timestamp=pa.array([[1, 2], [3]], pa.list_(pa.int32())))
    assert [c.timestamps for c in found] == [[1.0, 2.0], [3.0]]


@pytest.mark.parametrize(
    "features",
    [
        pa.array([[[1, 2], [3, 4]], [[5, 6]]], pa.list_(pa.list_(pa.float64()))),
        pa.array([[[1, 2], [3, 4]], [[5, 6]]], pa.list_(pa.list_(pa.float32(), 2))),
        pa.array([[[1, 2], [3, 4]], [[5, 6]]], pa.large_list(pa.list_(pa.int64()))),
        pa.array([[[1, 2], [3, 4]], [[5, 6]]], pa.list_(pa.large_list(pa.float32()))),
    ],
)
def test_features_of_all_types(tmp_path: Path, features: pa.Array) -> None:
    first, second = conversations(tmp_path, features=features)
    assert first.features.dtype == np.float32
    np.testing.assert_array_equal(first.features, [[1, 2], [3, 4]])
    np.testing.assert_array_equal(second.features, [[5, 6]])


def test_author_labels_as_structs_and_maps(tmp_path: Path) -> None:
    """A struct has all authors of the file in every row, as json readers make it; null is no label."""
    structs = pa.array([{"ann": 1, "bob": 0, "eve": None}, {"ann": None, "bob": None, "eve": 1}])
    maps = pa.array([[("ann", 1), ("bob", 0)], [("eve", 1)]], pa.map_(pa.string(), pa.int64()))
    for column in (structs, maps):
        found = conversations(tmp_path, author_labels=column)
        assert [c.author_labels for c in found] == [{"ann": 1, "bob": 0}, {"eve": 1}]


def test_an_empty_label_is_none_as_in_a_csv_file(tmp_path: Path) -> None:
    labels = pa.array([["yes", ""], [""]])
    participants = pa.array([["ann", "bob"], ["eve"]])
    for column in (pa.array(["", "no"]), pa.array(["", "no"]).dictionary_encode()):
        found = conversations(tmp_path, label=column, participants=participants, participant_labels=labels)
        assert [c.label for c in found] == [None, "no"]
        assert [c.author_labels for c in found] == [{"ann": "yes"}, {}]
    rows = {"conversation_id": ["c", "c"], "author": ["a", "b"], "text": ["x", "y"], "label": ["", "no"]}
    (found_one,) = read(write(tmp_path / "in.parquet", **rows, author_label=["", "bad"]))
    assert (found_one.label, found_one.author_labels) == ("no", {"b": "bad"})


def test_what_was_deleted_is_told_with_what_to_do(tmp_path: Path) -> None:
    rows = {"conversation_id": ["c", "c"], "author": ["a", None], "text": ["x", "y"]}
    (found,) = read_parquet(write(tmp_path / "in.parquet", **rows))
    assert isinstance(found, Reject)
    assert (found.place.line, found.field, found.rule) == (2, "author", "missing")
    assert found.remedy == (
        "who is not known any more gets a name of their own, such as one for each message; or leave the row out"
    )
    (found,) = read_parquet(
        write(tmp_path / "in.parquet", **rows | {"author": ["a", "b"], "text": ["x", None]})
    )
    assert isinstance(found, Reject)
    assert (found.place.line, found.rule) == (2, "expected a string, found null")
    assert found.remedy == "write an empty string for a text that is gone, or leave the message out"


def test_null_columns_hold_nothing(tmp_path: Path) -> None:
    null = pa.nulls(2)
    columns = ("timestamp", "label", "author_labels", "group", "split", "features", "attackers")
    found = conversations(tmp_path, **dict.fromkeys(columns, null))
    assert [c.label for c in found] == [c.group for c in found] == [None, None]
    assert found[0].features is None and found[0].timestamps is None


def test_large_and_dictionary_types(tmp_path: Path) -> None:
    found = conversations(
        tmp_path,
        conversation_id=IDS.cast(pa.large_string()),
        authors=AUTHORS.cast(pa.large_list(pa.large_string())),
        text=pa.ListArray.from_arrays(TEXTS.offsets, TEXTS.values.dictionary_encode()),
        label=pa.array(["p", "q"]).dictionary_encode(),
    )
    assert [(c.conversation_id, c.authors, c.texts, c.label) for c in found] == [
        ("c", ["ann", "bob"], ["x", "y"], "p"),
        ("d", ["eve"], ["z"], "q"),
    ]


@pytest.mark.parametrize("group_rows", [1, 7, 100])
def test_rows_keep_their_number_across_groups_and_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group_rows: int
) -> None:
    monkeypatch.setattr(batches, "PART_BYTES", 300)
    monkeypatch.setattr(batches, "PART_ROWS", 5)
    generator = np.random.default_rng(0)
    texts = [["t" * int(n) for n in generator.integers(0, 80, size=1 + i % 4)] for i in range(100)]
    authors = [["a" if (i, j) != (60, 0) else None for j in range(len(t))] for i, t in enumerate(texts)]
    ids = [f"c{i}" for i in range(100)]
    path = write(
        tmp_path / "in.parquet",
        {"row_group_size": group_rows},
        conversation_id=ids,
        authors=authors,
        text=texts,
    )
    items = list(read_parquet(path))
    assert [item.place.line for item in items] == list(range(1, 101))
    assert [i for i, item in enumerate(items) if isinstance(item, Reject)] == [60]
    assert [item.texts for item in items if isinstance(item, Conversation)] == texts[:60] + texts[61:]


@pytest.mark.parametrize(
    "columns, field, rule",
    [
        ({"authors": None}, None, "expected a column 'messages' or 'authors'"),
        ({"conversation_id": None}, "conversation_id", "the column is missing"),
        ({"conversation_id": pa.nulls(2)}, "conversation_id", "expected text or integer, found empty"),
        (
            {"conversation_id": pa.array([1.0, 2.0])},
            "conversation_id",
            "expected text or integer, found number",
        ),
        ({"authors": pa.array(["a", "b"])}, "authors", "expected list<text> or list<integer>, found text"),
        ({"text": pa.array([[1], [2]])}, "text", "expected list<text>, found list<integer>"),
        ({"text": pa.array([[b"x"], [b"y"]])}, "text", "found list<binary>"),
        (
            {"features": pa.array([[1.0], [2.0]])},
            "features",
            "expected list<list<number>> or list<list<integer>>",
        ),
        ({"feat_x": pa.array([1.0, 2.0])}, "feat_x", "expected list<number> or list<integer>, found number"),
        ({"messages": pa.array([["x"], ["y"]])}, "messages", "expected list<object>, found list<text>"),
        (
            {"messages": pa.array([[{"author": 1.5}], []])},
            "messages[].author",
            "expected text or integer, found number",
        ),
        ({"author_labels": pa.array(["x", "y"])}, "author_labels", "expected object or map, found text"),
    ],
)
def test_wrong_columns_raise(tmp_path: Path, columns: dict[str, Any], field: str | None, rule: str) -> None:
    values: dict[str, Any] = {"conversation_id": IDS, "authors": AUTHORS, "text": TEXTS} | columns
    path = write(
        tmp_path / "in.parquet", **{name: value for name, value in values.items() if value is not None}
    )
    with pytest.raises(InputError) as caught:
        list(read_parquet(path))
    assert caught.value.field == field and rule in caught.value.rule


def test_repeated_columns_raise(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([IDS, AUTHORS, TEXTS, TEXTS], ["conversation_id", "authors", "text", "text"])
    pq.write_table(table, tmp_path / "in.parquet")
    with pytest.raises(InputError, match="expected one column of this name, found several"):
        list(read_parquet(tmp_path / "in.parquet"))


def test_two_kinds_of_features_or_labels_are_refused(tmp_path: Path) -> None:
    for columns, field in (
        ({"features": pa.array([[[1.0], [2.0]]]), "feat_a": pa.array([[1.0, 2.0]])}, "features"),
        (
            {"participants": [["ann"]], "participant_labels": [[1]], "author_labels": [{"ann": 1}]},
            "participant_labels",
        ),
    ):
        path = write(tmp_path / "in.parquet", conversation_id=["c"], authors=[["ann", "bob"]], **columns)
        (found,) = read_parquet(path)
        assert isinstance(found, Reject) and found.field == field


@pytest.mark.parametrize(
    "kind, word",
    [
        (pa.large_string(), "text"),
        (pa.uint8(), "integer"),
        (pa.float16(), "number"),
        (pa.list_(pa.list_(pa.float32(), 3)), "list<list<number>>"),
        (pa.dictionary(pa.int8(), pa.string()), "text"),
        (pa.timestamp("us"), "time"),
        (pa.null(), "empty"),
        (pa.struct({"a": pa.string()}), "object"),
        (pa.binary(), "binary"),
        (pa.duration("s"), "duration[s]"),
    ],
)
def test_kind_of(kind: pa.DataType, word: str) -> None:
    assert kind_of(kind) == word


def test_memory_is_bounded_by_parts_not_by_the_file(tmp_path: Path) -> None:
    """Ten times the rows in the same row-group size must not take more Python memory."""
    import tracemalloc

    def peak(count: int) -> int:
        rows = [["some words of a message " + "x" * 400] * 5] * count
        path = write(
            tmp_path / "in.parquet",
            {"row_group_size": 500, "use_dictionary": False},
            conversation_id=[f"c{i}" for i in range(count)], authors=[["a"] * 5] * count, text=rows,
        )  # fmt: skip
        items: Iterator[object] = read_parquet(path, limits=Limits(max_ratio=10**6))
        tracemalloc.start()
        assert sum(1 for _ in items) == count
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(5000) < 1.5 * peak(500)
