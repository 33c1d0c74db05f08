"""Folders that Hugging Face datasets itself wrote, damaged Arrow files, and corpora as sources."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenor.corpus.readers import ColumnMap, Reject, Tally
from tenor.corpus.readers.huggingface import read_arrow, read_huggingface
from tenor.corpus.readers.ipc import is_compressed
from tenor.corpus.schema import Conversation
from tenor.errors import InputError

datasets = pytest.importorskip("datasets")


def rows(*ids: str, **columns: object) -> dict[str, Any]:
    return {
        "conversation_id": list(ids),
        "messages": [
            [{"author": "ann", "text": f"hello {name}"}, {"author": "bob", "text": ""}] for name in ids
        ],
    } | columns


def save(data: Any, path: Path, **options: object) -> Path:  # noqa: ANN401 - a Dataset or DatasetDict
    datasets.disable_progress_bars()
    data.save_to_disk(str(path), **options)
    return path


def save_dict(path: Path, *names: str, **columns: object) -> Path:
    parts = {name: datasets.Dataset.from_dict(rows(f"in-{name}", **columns)) for name in names}
    return save(datasets.DatasetDict(parts), path)


def read(path: Path, columns: ColumnMap | None = None, tally: Tally | None = None) -> list[Conversation]:
    items = list(read_huggingface(path, columns, tally=tally))
    assert not [item for item in items if isinstance(item, Reject)], items
    return items  # type: ignore[return-value]


def test_dataset_of_several_files(tmp_path: Path) -> None:
    data = datasets.Dataset.from_dict(rows(*"abcdefg", label=[0, 1, 0, 1, 0, 1, None], mood=[1] * 7))
    path = save(data, tmp_path / "in", num_shards=3)
    tally = Tally()
    found = read(path, tally=tally)
    assert [c.conversation_id for c in found] == list("abcdefg")
    assert [c.label for c in found] == [0, 1, 0, 1, 0, 1, None]
    assert found[3].texts == ["hello d", ""] and found[3].authors == ["ann", "bob"]
    assert [c.place.line for c in found] == [1, 2, 3, 1, 2, 1, 2]
    assert len(tally.paths) == 3 and tally.unknown_fields == {"mood": 7}
    assert all(c.split is None for c in found)


def test_keys_of_a_dict_are_the_splits(tmp_path: Path) -> None:
    found = read(save_dict(tmp_path / "in", "train", "dev", "test"))
    assert {c.conversation_id: c.split for c in found} == {
        "in-train": "train",
        "in-dev": "validation",
        "in-test": "test",
    }


def test_a_lone_key_is_no_split(tmp_path: Path) -> None:
    assert [c.split for c in read(save_dict(tmp_path / "in", "train"))] == [None]


def test_an_unknown_key_raises(tmp_path: Path) -> None:
    path = save_dict(tmp_path / "in", "train", "unsupervised")
    with pytest.raises(
        InputError, match="expected the splits train, validation .*, found 'unsupervised'"
    ) as caught:
        read(path)
    assert caught.value.path == path / "dataset_dict.json" and caught.value.field == "splits"
    assert [c.split for c in read(path, ColumnMap(split=None))] == [None, None]


def test_a_split_column_that_differs_from_the_key_is_refused(tmp_path: Path) -> None:
    path = save_dict(tmp_path / "in", "train", "test", split=["train"])
    first, second = read_huggingface(path)
    assert isinstance(first, Conversation) and first.split == "train"
    assert isinstance(second, Reject) and second.field == "split"
    assert second.rule == "expected the split of its dataset, test, found train"


def test_class_labels_become_their_names(tmp_path: Path) -> None:
    for names, labels, expected in (
        (["neg", "pos"], [0, 1, -1], [0, 1, None]),
        (["calm", "tense", "rude"], [2, 0, -1], ["rude", "calm", None]),
    ):
        data = datasets.Dataset.from_dict(rows("a", "b", "c", label=labels))
        data = data.cast_column("label", datasets.ClassLabel(names=names))
        path = tmp_path / f"in{len(names)}"
        assert [c.label for c in read(save(data, path))] == expected
        data.to_parquet(str(path / "x.parquet"))
        from tenor.corpus.readers.parquet import read_parquet

        assert [c.label for c in read_parquet(path / "x.parquet")] == expected  # type: ignore[union-attr]


def test_a_day_that_no_date32_holds_is_set_aside(tmp_path: Path) -> None:
    day = 86_400_000 * 10**10  # milliseconds
    days = pa.ListArray.from_arrays(
        pa.array([0, 2], pa.int32()), pa.array([day, 0], pa.int64()).view(pa.date64())
    )
    columns = {"conversation_id": ["a"], "authors": [["x", "y"]], "text": [["1", "2"]], "timestamp": days}
    write_stream(tmp_path / "x.arrow", pa.table(columns))
    (found,) = read_arrow(tmp_path / "x.arrow")
    assert isinstance(found, Reject) and found.field == "timestamp[0]"
    assert "in the years 1 to 9999, found 8.64e+14" in found.rule


@pytest.mark.parametrize("number", [2**64 - 249, 2**63, 3])
def test_class_labels_outside_are_refused(tmp_path: Path, number: int) -> None:
    data = datasets.Dataset.from_dict(rows("a", "b", label=[0, 2]))
    table = data.cast_column("label", datasets.ClassLabel(names=["x", "y", "z"])).data.table
    codes = pa.array([0, number], pa.uint64())
    write_stream(
        tmp_path / "x.arrow", table.set_column(table.schema.get_field_index("label"), "label", codes)
    )
    with pytest.raises(InputError, match=f"expected a class from 0 to 2, found {number}") as caught:
        list(read_arrow(tmp_path / "x.arrow"))
    assert (caught.value.path, caught.value.field) == (tmp_path / "x.arrow", "label")


def test_class_names_that_are_no_text_are_refused(tmp_path: Path) -> None:
    data = datasets.Dataset.from_dict(rows("a", "b", label=[0, 2]))
    table = data.cast_column("label", datasets.ClassLabel(names=["x", "y", "zzzzzz"])).data.table
    content = write_stream(tmp_path / "x.arrow", table)
    (tmp_path / "x.arrow").write_bytes(content.replace(b"zzzzzz", b"\\ud800"))
    with pytest.raises(InputError, match="a class name holds half of a surrogate pair") as caught:
        list(read_arrow(tmp_path / "x.arrow"))
    assert caught.value.field == "label"


def test_features_and_older_sequences(tmp_path: Path) -> None:
    data = datasets.Dataset.from_dict(
        {"conversation_id": ["a"], "authors": [["x", "y"]], "features": [[[1.0, 2.0], [3.0, 4.0]]]}
    )
    (found,) = read(save(data, tmp_path / "in"))
    np.testing.assert_array_equal(found.features, [[1, 2], [3, 4]])


def test_rows_of_messages(tmp_path: Path) -> None:
    data = datasets.Dataset.from_dict(
        {"conversation_id": ["a", "a", "b"], "author": ["x", "y", "x"], "text": ["1", "2", "3"]}
    )
    tally = Tally()
    assert [c.texts for c in read(save(data, tmp_path / "in"), tally=tally)] == [["1", "2"], ["3"]]
    assert (tally.unit, tally.rows) == ("message", 3)


@pytest.mark.parametrize(
    "name, content, rule",
    [
        ("state.json", None, "missing or not readable"),
        ("state.json", "[", "damaged: expected JSON"),
        ("state.json", "[]", "damaged: expected an object"),
        ("state.json", "[" * 100_000, "damaged: expected JSON"),
        ("state.json", "{}", "expected a list of file names"),
        ("state.json", '{"_data_files": [{"filename": 3}]}', "expected a list of file names"),
        ("state.json", '{"_data_files": [{"filename": "none.arrow"}]}', "no such file"),
        ("dataset_dict.json", "{}", "expected a list of splits"),
        ("dataset_dict.json", '{"splits": ["../x"]}', "expected a plain file name, found '../x'"),
        ("dataset_dict.json", '{"splits": ["none"]}', "missing or not readable"),
    ],
)
def test_damaged_folders_raise(tmp_path: Path, name: str, content: str | None, rule: str) -> None:
    path = save(datasets.Dataset.from_dict(rows("a")), tmp_path / "in")
    (path / name).unlink(missing_ok=True)
    if content is not None:
        (path / name).write_text(content)
    with pytest.raises(InputError) as caught:
        read(path)
    assert rule in caught.value.rule


def write_stream(path: Path, table: pa.Table, **options: Any) -> bytes:  # noqa: ANN401
    with pa.OSFile(str(path), "wb") as sink:
        with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as stream:
            stream.write_table(table)
    return path.read_bytes()


TABLE = pa.table(
    {
        "conversation_id": ["a", "b"],
        "authors": [["x", "y"], ["x"]],
        "text": pa.array([["hello", "é"], [""]], pa.list_(pa.large_string())),
        "features": pa.array([[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0]]], pa.list_(pa.list_(pa.float16(), 2))),
        "timestamp": [[1.0, None], None],
        "label": pa.array(["p", "q"]).dictionary_encode(),
    }
)


@pytest.mark.parametrize("codec", [None, "zstd", "lz4"])
def test_is_compressed_reads_the_messages_metadata(tmp_path: Path, codec: str | None) -> None:
    write_stream(tmp_path / "x.arrow", TABLE, compression=codec)
    reader = pa.ipc.MessageReader.open_stream(pa.memory_map(str(tmp_path / "x.arrow")))
    messages = list(reader)
    assert [message.type for message in messages] == ["schema", "dictionary", "record batch"]
    found = [is_compressed(message.metadata.to_pybytes()) for message in messages]
    assert found == [False, codec is not None, codec is not None]
    assert is_compressed(b"") and is_compressed(b"\xff" * 40)


def test_the_file_format_is_refused(tmp_path: Path) -> None:
    with pa.OSFile(str(tmp_path / "x.arrow"), "wb") as sink, pa.ipc.new_file(sink, TABLE.schema) as stream:
        stream.write_table(TABLE)
    with pytest.raises(InputError, match="found its file format"):
        list(read_arrow(tmp_path / "x.arrow"))


@given(st.data())
def test_damaged_arrow_files_are_refused_or_read(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("damaged") / "x.arrow"
    content = bytearray(write_stream(path, TABLE))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        assert len(list(read_arrow(path))) <= 1000
    except InputError as error:
        assert error.path == path
    shutil.rmtree(path.parent)


@pytest.mark.parametrize("offset", [10**6, -5, 0])
def test_offsets_outside_their_buffers_are_refused(tmp_path: Path, offset: int) -> None:
    content = write_stream(tmp_path / "x.arrow", TABLE)
    old, new = (np.array(values, np.int32).tobytes() for values in ([0, 2, 3], [0, offset, 3]))
    assert old in content  # the lists' offsets
    (tmp_path / "x.arrow").write_bytes(content.replace(old, new, 1))
    if offset == 0:  # sound as offsets go, but the lists differ in length then
        assert any(isinstance(item, Reject) for item in read_arrow(tmp_path / "x.arrow"))
        return
    with pytest.raises(InputError, match="damaged: offsets or codes lead outside"):
        list(read_arrow(tmp_path / "x.arrow"))


@pytest.mark.parametrize("text", [b"hello b", b"\xff\xfflo b"])
def test_huge_and_negative_lengths_are_refused_or_read(tmp_path: Path, text: bytes) -> None:
    """Arrow ends the process when it converts an array of negative length; it must not come to that."""
    path = tmp_path / "x.arrow"
    data = datasets.Dataset.from_dict(rows("a", "b", label=[0, 2]))
    table = data.cast_column("label", datasets.ClassLabel(names=["x", "y", "z"])).data.table
    content = write_stream(path, table).replace(b"hello b", text)
    refused = 0
    for place in range(7, len(content), 8):
        damaged = bytearray(content)
        damaged[place] ^= 0x80
        path.write_bytes(damaged)
        try:
            list(read_arrow(path))
        except InputError:
            refused += 1
    assert refused > 20


def test_names_that_are_no_utf8_are_refused(tmp_path: Path) -> None:
    content = write_stream(tmp_path / "x.arrow", pa.table(rows("a", speaker=["x"])))
    for name in (b"author", b"speaker", b"messages"):
        (tmp_path / "x.arrow").write_bytes(content.replace(name, name[:-1] + b"\xd8"))
        with pytest.raises(InputError, match="truncated, damaged, or no Arrow file"):
            list(read_arrow(tmp_path / "x.arrow"))


def test_dictionary_codes_outside_are_refused(tmp_path: Path) -> None:
    codes = pa.array([0, 7], pa.int32())
    column = pa.DictionaryArray.from_arrays(codes, pa.array(["p", "q"]), safe=False)
    write_stream(tmp_path / "x.arrow", TABLE.set_column(5, "label", column))
    with pytest.raises(InputError, match="damaged: offsets or codes lead outside"):
        list(read_arrow(tmp_path / "x.arrow"))


def test_state_json_of_the_house_is_read(tmp_path: Path) -> None:
    """The folder needs only the files' names, so one written by hand is enough."""
    write_stream(tmp_path / "x.arrow", TABLE)
    (tmp_path / "state.json").write_text(json.dumps({"_data_files": [{"filename": "x.arrow"}]}))
    assert [c.label for c in read(tmp_path)] == ["p", "q"]
