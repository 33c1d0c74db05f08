"""JSONL: the three forms of a row, features of all kinds, unknown fields, packed files."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenor.corpus.readers import ColumnMap, Limits, Reject, Tally
from tenor.corpus.readers.jsonl import _decode_fast, _parse_object, _parse_strictly, read_jsonl
from tenor.corpus.readers.records import RowError, SeenIds
from tenor.corpus.readers.streams import Line, read_lines
from tenor.corpus.schema import Conversation, Place
from tenor.errors import InputError

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def make_line(text: str) -> Line:
    data = text.encode()
    return Line(1, 0, data, len(data), too_long=False)


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def read(path: Path, columns: ColumnMap | None = None, tally: Tally | None = None) -> list[Conversation]:
    items = list(read_jsonl(path, columns, tally=tally))
    assert not [item for item in items if isinstance(item, Reject)], items
    return items  # type: ignore[return-value]


def reject(path: Path, columns: ColumnMap | None = None) -> Reject:
    (item,) = [item for item in read_jsonl(path, columns) if isinstance(item, Reject)]
    return item


def test_message_objects(tmp_path: Path) -> None:
    path = write(
        tmp_path / "in.jsonl",
        {
            "conversation_id": 7,
            "messages": [
                {"author": "ann", "text": "hello", "timestamp": 5},
                {"author": 12, "text": "", "timestamp": "1970-01-01T00:00:06Z"},
            ],
            "label": True,
            "author_labels": {"ann": 1, "12": None},
            "group": 3,
            "split": "dev",
        },
    )
    assert read(path) == [
        Conversation(
            conversation_id="7",
            authors=["ann", "12"],
            texts=["hello", ""],
            timestamps=[5.0, 6.0],
            label=1,
            author_labels={"ann": 1},
            group="3",
            split="validation",
            place=Place(str(path), 1),
        )
    ]


def test_lists_in_the_corpus_own_columns(tmp_path: Path) -> None:
    path = write(
        tmp_path / "in.jsonl",
        {
            "conversation_id": "c",
            "authors": ["ann", "bob"],
            "text": ["x", "y"],
            "timestamp": [1.0, None],
            "features": [[1.0, 2.0], [3.0, 4.0]],
            "participants": ["ann", "bob"],
            "participant_labels": ["good", None],
        },
    )
    (found,) = read(path)
    assert (found.texts, found.timestamps) == (["x", "y"], [1.0, None])
    assert found.author_labels == {"ann": "good"}
    assert found.features.dtype == np.float32
    np.testing.assert_array_equal(found.features, [[1, 2], [3, 4]])


def test_analyzed_corpus_made_elsewhere(tmp_path: Path) -> None:
    path = write(
        tmp_path / "in.jsonl",
        {
            "id": "c",
            "speakers": ["ann", "bob", "ann"],
            "feat_rude": [0.5, 0.25, 1],
            "feat_length": [3, 4, 5],
            "attackers": ["bob"],
        },
    )
    tally = Tally()
    (found,) = read(path, ColumnMap(conversation_id="id", authors="speakers"), tally)
    assert tally.agreement.feature_names == ("feat_length", "feat_rude")
    np.testing.assert_array_equal(found.features, [[3, 0.5], [4, 0.25], [5, 1]])
    assert found.author_labels == {"ann": 0, "bob": 1}
    assert found.texts is None


def test_scalar_features_in_message_objects(tmp_path: Path) -> None:
    messages = [{"author": "a", "feat_b": 1, "feat_a": 2}, {"author": "a", "feat_a": 4, "feat_b": 3}]
    (found,) = read(write(tmp_path / "in.jsonl", {"conversation_id": "c", "messages": messages}))
    np.testing.assert_array_equal(found.features, [[2, 1], [4, 3]])


def test_rows_of_messages(tmp_path: Path) -> None:
    path = write(
        tmp_path / "in.jsonl",
        {"conversation_id": "c", "user": "ann", "body": "x", "label": 1, "author_label": 0},
        {"conversation_id": "c", "user": "bob", "body": "y", "features": [1, 2]},
        {"conversation_id": "d", "user": "bob", "body": "z"},
    )
    tally = Tally()
    columns = ColumnMap(author="user", text="body")
    items = list(read_jsonl(path, columns, tally=tally))
    assert isinstance(items[0], Reject)  # features for one of two messages
    assert items[0].rule == "conversation 'c', message 2: expected no features, found 2 numbers"
    assert (items[0].place.line, items[0].rows) == (2, 2)
    assert items[1].texts == ["z"]
    assert (tally.unit, tally.rows) == ("message", 3)


def test_a_broken_first_row_of_messages_spoils_its_neighbour(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    good = [{"conversation_id": name, "author": "a", "text": "x"} for name in ("c", "d")]
    path.write_text("{}}\n{\n" + "".join(json.dumps(row) + "\n" for row in good))
    items = list(read_jsonl(path))
    assert [item.place.line for item in items] == [1, 2, 3, 4]
    assert [isinstance(item, Reject) for item in items] == [True, True, True, False]


def test_unknown_fields_are_counted(tmp_path: Path) -> None:
    row = {
        "conversation_id": "c",
        "messages": [{"author": "a", "text": "x", "likes": 3}] * 2,
        "channel": "web",
    }
    tally = Tally()
    read(write(tmp_path / "in.jsonl", row, row | {"conversation_id": "d", "meta": {}}), tally=tally)
    assert tally.unknown_fields == {"channel": 2, "messages[].likes": 4, "meta": 1}


def test_ignored_columns_are_said(tmp_path: Path) -> None:
    row = {
        "conversation_id": "c",
        "messages": [{"author": "a", "text": "x"}],
        "split": "nonsense",
        "group": "g",
    }
    tally = Tally()
    (found,) = read(write(tmp_path / "in.jsonl", row), ColumnMap(split=None, group=None), tally)
    assert found.split is found.group is None
    assert tally.unknown_fields == {"split": 1, "group": 1}


@pytest.mark.parametrize(
    "changes, field, rule",
    [
        ({"messages": [3]}, "messages[0]", "expected a message object, found the integer 3"),
        ({"messages": [{"author": "a"}]}, "messages[0].text", "expected a text or features"),
        ({"messages": [{"author": "a", "text": "x"}, {"author": "a"}]}, "messages[1].text", "found null"),
        ({"messages": None, "authors": "a"}, "messages", "expected a list of messages, found null"),
        ({"authors": ["a"], "text": ["x", "y"], "messages": "@"}, "text", "expected 1 entries"),
        ({"authors": ["a"], "text": "x", "messages": "@"}, "text", "expected a list"),
        ({"authors": ["a"], "feat_x": [1, 2], "messages": "@"}, "features", "expected 1 vectors"),
        ({"authors": ["a"], "feat_x": 1, "messages": "@"}, "feat_x", "expected a list of numbers"),
        (
            {"authors": ["a"], "feat_x": [1], "features": [[1]], "messages": "@"},
            "features",
            "one kind of features",
        ),
        ({"attackers": ["a"], "author_labels": {"a": 1}}, "attackers", "expected author labels or attackers"),
        ({"attackers": "a"}, "attackers", "expected a list of authors"),
        ({"participant_labels": [1], "author_labels": {}}, "participant_labels", "one kind of author labels"),
        ({"conversation_id": ""}, "conversation_id", "expected a string that is not empty"),
        ({"conversation_id": None}, "conversation_id", "missing"),
        ({"conversation_id": 1.5}, "conversation_id", "found the number 1.5"),
        ({"split": "holdout"}, "split", "expected train, validation"),
        ({"group": ""}, "group", "expected a string that is not empty"),
        ({"group": ["g"]}, "group", "found a list of 1"),
        ({"author_labels": [["a", 1]]}, "author_labels", "expected an object author -> label"),
    ],
)
def test_wrong_values_name_the_field(tmp_path: Path, changes: dict[str, Any], field: str, rule: str) -> None:
    row = {"conversation_id": "c", "messages": [{"author": "a", "text": "x"}]} | changes
    if row["messages"] == "@":
        del row["messages"]
    found = reject(write(tmp_path / "in.jsonl", row))
    assert found.field == field and rule in found.rule


def test_errors_name_the_users_columns(tmp_path: Path) -> None:
    path = write(tmp_path / "in.jsonl", {"id": "c", "turns": [{"who": "a", "said": 3}]})
    columns = ColumnMap(conversation_id="id", messages="turns", author="who", text="said")
    assert reject(path, columns).field == "turns[0].said"


def test_other_feature_columns_than_before(tmp_path: Path) -> None:
    rows = [
        {"conversation_id": "c", "authors": ["a"], "feat_x": [1]},
        {"conversation_id": "d", "authors": ["a"], "feat_y": [1]},
    ]
    found = reject(write(tmp_path / "in.jsonl", *rows))
    assert found.place.line == 2 and "expected the 1 feature columns as in" in found.rule


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
@pytest.mark.parametrize("end", ["", "\n"])
def test_lines_are_cut_at_chunks(tmp_path: Path, suffix: str, end: str) -> None:
    """Lines around and over the chunk size keep their number and offset."""
    sizes = [1 << 20, (1 << 20) - 1, 0, 3, (2 << 20) + 5, 1]
    data = ("\n".join(chr(97 + i) * size for i, size in enumerate(sizes)) + end).encode()
    packed = {"": data, ".gz": gzip.compress(data, 1), ".zst": pa.Codec("zstd").compress(data, asbytes=True)}
    path = tmp_path / f"in{suffix}"
    path.write_bytes(packed[suffix])
    lines = list(read_lines(path, Limits(max_row_bytes=2 << 20, max_ratio=10**6)))
    offsets = np.cumsum([0, *(size + 1 for size in sizes)])
    expected = [(i + 1, offsets[i], size) for i, size in enumerate(sizes) if size]
    assert [(line.number, line.offset, line.num_bytes) for line in lines] == expected
    assert [line.too_long for line in lines] == [False, False, False, True, False]
    assert all(
        line.data == data[line.offset : line.offset + line.num_bytes] for line in lines if not line.too_long
    )


def test_a_missing_file_raises(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        list(read_jsonl(tmp_path / "in.jsonl"))


def test_a_file_of_another_codec_raises(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl.gz").write_text("{}")
    with pytest.raises(InputError, match="damaged, or no gzip file"):
        list(read_jsonl(tmp_path / "in.jsonl.gz"))


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1, "a": 2}',
        '{"a" : 1, "a": 2}',
        '{"a"\t: 1, "a": 2}',
        '{"a": {"b": 1, "b": 2}}',
        r'{"a": [{"b": 1}, {"b": 1, "b": "\":"}]}',
        '{"a": [1, {"b": 1, "b": 2}]}',
        '{"a": [[{"b": 1, "b": 2}]]}',
        '{"a": {"b": {"c": 1, "c": 2}}}',
        '{"a": {"a" :1}, "b": {"c": 1, "c": 2}}',
    ],
)
def test_a_duplicate_key_is_found_wherever_it_stands(text: str) -> None:
    with pytest.raises(RowError, match="duplicate key"):
        _parse_object(make_line(text))


@pytest.mark.parametrize(
    "text", [r'{"a": "\": :) \"a\":"}', '{"a" : [{"b": 1}, {"b": {"b": []}}], "b": [1, {"a": 2}]}', "{}"]
)
def test_equal_keys_of_different_objects_and_colons_in_texts_are_no_duplicates(text: str) -> None:
    assert _parse_object(make_line(text)) == json.loads(text)


@given(st.dictionaries(st.text(), json_values), st.booleans())
def test_the_fast_decoder_reads_what_the_strict_one_reads(value: dict[str, Any], is_ascii: bool) -> None:
    text = json.dumps(value, ensure_ascii=is_ascii)
    data = text.encode(errors="surrogatepass")
    fast = _decode_fast(data)
    assert fast is None or repr(fast) == repr(_parse_strictly(text))  # repr: 1 is not 1.0, nor -0.0 0.0


@given(st.from_regex(r"-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,3})?", fullmatch=True))
def test_the_fast_decoder_reads_numbers_to_the_last_digit(number: str) -> None:
    text = f'{{"a": {number}}}'
    fast = _decode_fast(text.encode())
    assert fast is None or repr(fast) == repr(_parse_strictly(text))


@given(st.binary(max_size=6), st.integers(0, 40), st.integers(0, 6))
def test_the_fast_decoder_accepts_no_damaged_line(bytes_: bytes, start: int, length: int) -> None:
    sound = '{"a": [1.5, -2, null, true], "b": {"ü": "\\u00fc\\n"}}'.encode()
    data = sound[:start] + bytes_ + sound[start + length :]
    fast = _decode_fast(data)
    if fast is not None:
        assert repr(fast) == repr(_parse_strictly(data.decode()))


def test_lines_of_chats_are_read_by_the_fast_decoder() -> None:
    line = {
        "conversation_id": 2**70,
        "messages": [{"author": "ä", "text": "well :) : see a:b", "timestamp": 1.5}],
    }
    assert _decode_fast(json.dumps(line).encode()) == line
    assert _decode_fast(json.dumps(line, separators=(",", " : ")).encode()) is None


def test_ids_are_remembered_as_in_a_dict() -> None:
    seen = SeenIds()
    places: dict[int, Place] = {}
    numbers = np.random.default_rng(0).integers(0, 20_000, 30_000).tolist()
    for line, number in enumerate(numbers, start=1):
        place = Place(f"file-{line // 10_000}", line)
        assert seen.add(f"id-{number}", place) == places.get(number)
        places.setdefault(number, place)
    last = Place("file-3", 30_001)
    assert seen.add("new", last) is None
    assert seen.add("new", last) is None  # the same place once more is no other
