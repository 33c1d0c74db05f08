"""Importing: four formats give one corpus, the summary tells all, and any bytes end well."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenor.corpus.corpus import open_corpus
from tenor.corpus.importing import import_corpus, import_with_summary
from tenor.corpus.info import EncoderInfo
from tenor.corpus.plan import SplitPlan
from tenor.corpus.readers import ColumnMap, Limits, Reject, read_source
from tenor.corpus.schema import Conversation, Place
from tenor.corpus.views import view_sequences
from tenor.corpus.writer import CorpusWriter
from tenor.errors import InputError, StorageError, TenorError, UsageError

Record = dict[str, Any]

# --- one corpus in four formats ------------------------------------------------------------------------------


def write_jsonl(path: Path, records: list[Record]) -> Path:
    path.mkdir()
    with (path / "in.jsonl").open("w", encoding="utf-8", newline="") as handle:
        for index, record in enumerate(records):
            handle.write(json.dumps(record, ensure_ascii=index % 2 == 0) + "\n")
    return path / "in.jsonl"


def message_rows(records: list[Record]) -> list[Record]:
    """One row a message, as CSV and flat Parquet files hold it."""
    rows = []
    for record in records:
        for message in record["messages"]:
            row = {name: record[name] for name in ("conversation_id", "label", "group", "split")}
            row |= {name: message[name] for name in ("author", "text", "timestamp")}
            row["author_label"] = record["author_labels"].get(message["author"])
            row |= {f"feat_{i}": number for i, number in enumerate(message["features"])}
            rows.append(row)
    return rows


def write_csv(path: Path, records: list[Record]) -> Path:
    path.mkdir()
    rows = message_rows(records)
    with (path / "in.csv").open("w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, list(rows[0]))
        writer.writeheader()
        writer.writerows(
            {name: "" if value is None else value for name, value in row.items()} for row in rows
        )
    return path / "in.csv"


def write_message_parquet(path: Path, records: list[Record]) -> Path:
    path.mkdir()
    pq.write_table(pa.Table.from_pylist(message_rows(records)), path / "in.parquet", row_group_size=3)
    return path / "in.parquet"


def conversation_table(records: list[Record]) -> pa.Table:
    labels = [record["author_labels"] for record in records]
    columns = {
        name: [record[name] for record in records] for name in ("conversation_id", "label", "group", "split")
    }
    columns["messages"] = [record["messages"] for record in records]
    columns["participants"] = [list(names) for names in labels]
    columns["participant_labels"] = [list(names.values()) for names in labels]
    return pa.table(columns)


def write_parquet(path: Path, records: list[Record]) -> Path:
    path.mkdir()
    pq.write_table(conversation_table(records), path / "in.parquet", row_group_size=2)
    return path / "in.parquet"


def write_huggingface(path: Path, records: list[Record]) -> Path:
    """As save_to_disk writes it, without the cost of importing datasets; the real one has its own tests."""
    table = conversation_table(records)
    path.mkdir()
    with pa.OSFile(str(path / "data.arrow"), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table, max_chunksize=2)
    (path / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data.arrow"}]}))
    return path


FORMATS: list[Callable[[Path, list[Record]], Path]] = [
    write_jsonl,
    write_csv,
    write_parquet,
    write_message_parquet,
    write_huggingface,
]

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    ["NA", "", '"', "a,b\r\n"]
)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=4)
CLASSES = {"binary": st.sampled_from([0, 1]), "several": st.sampled_from(["low", "middle", "high"])}


@st.composite
def corpora(draw: st.DrawFn) -> list[Record]:
    classes = CLASSES[draw(st.sampled_from(sorted(CLASSES)))]
    width = draw(st.integers(0, 3))
    finite = st.floats(-60000, 60000, width=16)
    message = st.fixed_dictionaries(
        {
            "author": NAMES,
            "text": TEXTS,
            "timestamp": st.none() | st.floats(-1e9, 1e9),
            "features": st.lists(finite, min_size=width, max_size=width),
        }
    )
    records = []
    for name in draw(st.lists(NAMES, min_size=1, max_size=5, unique=True)):
        messages = draw(st.lists(message, min_size=1, max_size=5))
        authors = sorted({message["author"] for message in messages})
        records.append(
            {
                "conversation_id": name,
                "messages": messages,
                "label": draw(st.none() | classes),
                "author_labels": {author: draw(st.none() | classes) for author in authors},
                "group": draw(st.none() | NAMES),
                "split": draw(st.sampled_from([None, "train", "validation", "test"])),
            }
        )
    return records


def expected_conversations(records: list[Record]) -> list[Record]:
    return [
        {
            "conversation_id": record["conversation_id"],
            "authors": [message["author"] for message in record["messages"]],
            "texts": [message["text"] for message in record["messages"]],
            "timestamps": [message["timestamp"] for message in record["messages"]],
            "features": [message["features"] for message in record["messages"]],
            "label": record["label"],
            "author_labels": {a: label for a, label in record["author_labels"].items() if label is not None},
            "group": record["group"],
            "given_split": record["split"],
        }
        for record in records
    ]


def found_conversations(path: Path, records: list[Record]) -> list[Record]:
    given = {record["conversation_id"]: record["split"] for record in records}
    result = []
    for item in open_corpus(path).conversations():
        times = item.timestamps if item.timestamps is not None else [None] * len(item.authors)
        kept = given[item.conversation_id] in (None, item.split)
        result.append(
            {
                "conversation_id": item.conversation_id,
                "authors": item.authors,
                "texts": item.texts,
                "timestamps": list(times),
                "features": [[]] * len(item.authors) if item.features is None else item.features.tolist(),
                "label": item.label,
                "author_labels": item.author_labels,
                "group": item.group,
                "given_split": given[item.conversation_id] if kept else "lost",
            }
        )
    return result


@given(records=corpora())
def test_four_formats_give_the_same_corpus(
    tmp_path_factory: pytest.TempPathFactory, records: list[Record]
) -> None:
    folder = tmp_path_factory.mktemp("formats")
    fingerprints = set()
    for write in FORMATS:
        bare = [
            record | {"messages": [drop_empty(message) for message in record["messages"]]}
            for record in records
        ]
        source = write(
            folder / write.__name__, records if write in (write_csv, write_message_parquet) else bare
        )
        path = import_corpus(source, folder / f"{write.__name__}-corpus")
        assert found_conversations(path, records) == expected_conversations(records), write.__name__
        fingerprints.add(open_corpus(path).info.split_hash)
    assert len(fingerprints) == 1
    shutil.rmtree(folder)


def drop_empty(message: Record) -> Record:
    return {name: value for name, value in message.items() if name != "features" or value}


# --- any bytes -----------------------------------------------------------------------------------------------

PIECES = st.sampled_from(
    [
        b'"',
        b",",
        b"\n",
        b"\r",
        b"{",
        b"}",
        b"[",
        b"]",
        b":",
        b"conversation_id",
        b"author",
        b"messages",
        b"text",
    ]
    + [
        b"null",
        b"1",
        b"\xff",
        b"\xef\xbb\xbf",
        b"\\ud800",
        b"conversation_id,author,text\n",
        b'{"conversation_id":"c",',
    ]
)
BYTES = st.binary(max_size=60) | st.lists(PIECES | st.binary(max_size=3), max_size=30).map(b"".join)
SUFFIXES = [".jsonl", ".jsonl.gz", ".jsonl.zst", ".csv", ".csv.gz", ".parquet", ".arrow"]


@given(data=BYTES, suffix=st.sampled_from(SUFFIXES))
def test_any_bytes_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, suffix: str
) -> None:
    folder = tmp_path_factory.mktemp("bytes")
    path = folder / f"in{suffix}"
    path.write_bytes(data)
    try:
        summary = import_with_summary(path, folder / "corpus", on_error="quarantine")
    except TenorError:
        assert sorted(folder.iterdir()) == [path]
    else:
        assert summary.rows == summary.imported_rows + summary.rejected_rows
        assert summary.conversations == open_corpus(summary.path).num_conversations > 0
    shutil.rmtree(folder)


@given(data=st.data())
def test_damaged_parquet_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    record = {"conversation_id": "c", "messages": [{"author": "a", "text": "xyz" * 9, "timestamp": 1.0}]}
    empty: Record = {"label": 1, "author_labels": {}, "group": None, "split": None}
    path = write_parquet(folder / "in", [record | empty, record | empty | {"conversation_id": "d"}])
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        list(read_source(path))
    except InputError as error:
        assert error.path == path
    shutil.rmtree(folder)


# --- what an import does besides -----------------------------------------------------------------------------


def line(name: str, **changes: object) -> str:
    messages = [{"author": "ann", "text": "hello"}, {"author": "bob", "text": "yes"}]
    return json.dumps({"conversation_id": name, "messages": messages} | changes) + "\n"


def test_a_strict_import_says_what_it_leaves_out(tmp_path: Path) -> None:
    rows = []
    for number in range(40):  # a chain: each author talks with the next, so that one component holds all
        messages = [{"author": f"a{number + k}", "text": "hello"} for k in (0, 1)]
        rows.append(json.dumps({"conversation_id": f"c{number}", "messages": messages}) + "\n")
    (tmp_path / "in.jsonl").write_text("".join(rows))
    summary = import_with_summary(tmp_path / "in.jsonl", tmp_path / "strict", plan=SplitPlan(strict=True))
    corpus = open_corpus(tmp_path / "strict")
    conversations, authors = view_sequences(corpus, "conversation"), view_sequences(corpus, "author")
    left_out = int((conversations.splits == "").sum()), int((authors.splits == "").sum())
    assert summary.left_out == left_out
    assert 0 < left_out[0] < 40
    assert summary.lines()[1] == (
        f"in no split, since the plan is strict: {left_out[0]} of 40 conversations, "
        f"{left_out[1]} of 80 author sequences"
    )
    plain = import_with_summary(tmp_path / "in.jsonl", tmp_path / "plain")
    assert (plain.left_out, len(plain.lines())) == ((0, 0), 1)


def test_times_that_run_backwards_are_said(tmp_path: Path) -> None:
    times = [[1.0, 2.0], [2.0, 1.0], [None, 3.0], [5.0, 5.0]]
    rows = [
        line(f"c{number}", messages=[{"author": "ann", "text": "x", "timestamp": time} for time in some])
        for number, some in enumerate(times)
    ]
    rows.append(
        line("c9", messages=[{"author": "a", "text": "x", "timestamp": time} for time in (4.0, None, 3.0)])
    )
    (tmp_path / "in.jsonl").write_text("".join(rows))
    summary = import_with_summary(tmp_path / "in.jsonl", tmp_path / "corpus")
    assert summary.backwards == 2
    assert summary.lines()[1].startswith(
        "in 2 of 5 conversations a message is earlier than the one before it"
    )


@pytest.mark.parametrize(
    ("labels", "line"),
    [
        (
            ("yes", "No", "Yes "),
            "labels 'Yes ', 'yes' are different classes: write them alike if they are one",
        ),
        (("\u00c4rger", "A\u0308rger", "ruhig"), "labels 'A\\u0308rger', '\\xc4rger' are different classes"),
        ((" ", "a", "b"), "labels ' ' count as classes: leave the cell empty"),
    ],
)
def test_labels_that_are_one_to_a_reader_are_said(tmp_path: Path, labels: tuple[str, ...], line: str) -> None:
    chats = [
        {
            "conversation_id": f"c{i}",
            "messages": [{"author": "a", "text": "x"}],
            "label": labels[i % len(labels)],
        }
        for i in range(30)
    ]
    (tmp_path / "chats.jsonl").write_text("".join(json.dumps(chat) + "\n" for chat in chats))
    summary = import_with_summary(tmp_path / "chats.jsonl", tmp_path / "corpus")
    assert [found for found in summary.lines() if found.startswith("labels")] != []
    assert any(found.startswith(line) for found in summary.lines())


def test_labels_that_are_seldom_meant_are_said(tmp_path: Path) -> None:
    header = "conversation_id,author,text,label,author_label\n"
    rows = [("a", "0.0", "1"), ("b", "1.0", ""), ("c", "nan", "0")]
    (tmp_path / "in.csv").write_text(
        header + "".join(f"{name},ann,hello,{label},{own}\n" for name, label, own in rows)
    )
    lines = import_with_summary(tmp_path / "in.csv", tmp_path / "corpus").lines()
    assert lines[1].startswith("labels 0.0, 1.0 are read as texts, not as numbers")
    assert lines[2].startswith("labels nan count as classes: leave the cell empty")
    (tmp_path / "in.csv").write_text(header + "a,ann,hello,0,1\nb,bob,hello,1,\nc,cy,hello,,\n")
    assert len(import_with_summary(tmp_path / "in.csv", tmp_path / "clean").lines()) == 1


def test_summary_and_rejects(tmp_path: Path) -> None:
    bad = line("c", label=7)
    (tmp_path / "in.jsonl").write_text(line("a", mood="x") + "[]\n" + bad + line("d", mood="y") + line("a"))
    summary = import_with_summary(tmp_path / "in.jsonl", tmp_path / "corpus", on_error="quarantine")
    assert (summary.rows, summary.imported_rows, summary.rejected_rows) == (5, 2, 3)
    assert (summary.conversations, summary.messages, summary.unit) == (2, 4, "conversation")
    assert summary.rejects_path == tmp_path / "corpus" / "rejects.jsonl"
    rejects = [json.loads(text) for text in summary.rejects_path.read_text().splitlines()]
    assert [(r["line"], r["field"], r["rows"]) for r in rejects] == [
        (2, None, 1),
        (3, "label", 1),
        (5, "conversation_id", 1),
    ]
    assert rejects[1]["rule"] == "outside the label set: expected 0, 1 or a string, found the integer 7"
    assert all(len(r["sha256"]) == 64 for r in rejects)
    lines = summary.lines()
    assert lines[0] == f"{tmp_path / 'corpus'}: 2 conversations, 4 messages"
    assert lines[1].startswith("set aside 3 of 5 rows (a row is a conversation)")
    assert "outside the label set" in lines[3]
    assert lines[-1] == "ignored fields that tenor does not know: mood (2)"
    counts = open_corpus(tmp_path / "corpus").info.counts
    assert (counts["rows"], counts["rejected"], counts["ignored_fields"]) == (5, 3, 1)


def test_rejects_go_where_they_are_asked_for(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text(line("a"))
    target = tmp_path / "set-aside.jsonl"
    summary = import_with_summary(
        tmp_path / "in.jsonl", tmp_path / "corpus", on_error="quarantine", rejects=target
    )
    assert summary.rejects_path == target and target.read_text() == ""
    assert not (tmp_path / "corpus" / "rejects.jsonl").exists()


def test_many_rejects_take_little_memory(tmp_path: Path) -> None:
    import tracemalloc

    (tmp_path / "in.jsonl").write_text(line("a") + "[]\n" * 20_000)
    tracemalloc.start()
    summary = import_with_summary(tmp_path / "in.jsonl", tmp_path / "corpus", on_error="quarantine")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert summary.rejected_rows == 20_000 and len(summary.first_rejects) == 3
    assert peak < 8 << 20


def test_nothing_left_raises_with_the_first_reason(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text("\n[]\n3\n")
    with pytest.raises(InputError) as caught:
        import_corpus(tmp_path / "in.jsonl", tmp_path / "corpus", on_error="quarantine")
    assert caught.value.line == 2
    assert caught.value.rule.startswith(
        "no conversation is left: all 2 rows break a rule, the first this: expected"
    )
    assert not (tmp_path / "corpus").exists()


def test_nothing_left_lists_what_was_set_aside(tmp_path: Path) -> None:
    """Rows in are rows out and rejected, also where none is left and there is no corpus to hold the list."""
    bad = [line("a", label=index) for index in range(2, 6)] + ['{"conversation_id": "b"}\n', "[]\n"]
    source, listed = write_lines(tmp_path / "in.jsonl", bad), tmp_path / "bad.jsonl"
    with pytest.raises(InputError) as caught:
        import_corpus(source, tmp_path / "corpus", on_error="quarantine")
    assert caught.value.line == 1 and caught.value.remedy.endswith("; --rejects FILE lists them all")
    assert caught.value.rule == (
        "no conversation is left: all 6 rows break a rule, the first this: outside the label set: expected 0, 1 or a "
        "string, found the integer 2; the most frequent: label: outside the label set: expected 0, 1 or a string (4); "
        "messages: missing (1); expected an object (1)"
    )
    with pytest.raises(InputError, match=f"; all are listed in {listed}"):
        import_corpus(source, tmp_path / "corpus", on_error="quarantine", rejects=listed)
    assert [json.loads(text)["line"] for text in listed.read_text().splitlines()] == [1, 2, 3, 4, 5, 6]
    grouped = {"split_by": "group", "on_error": "quarantine", "rejects": listed}  # set aside by the writer
    with pytest.raises(InputError, match=r"all 2 rows break a rule, .*expected a named group"):
        import_corpus(write_lines(tmp_path / "two.jsonl", [line("a"), line("b")]), tmp_path / "c", **grouped)
    assert len(listed.read_text().splitlines()) == 2
    assert not (tmp_path / "corpus").exists() and not (tmp_path / "c").exists()


def test_an_empty_source_raises(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text("\n\n")
    with pytest.raises(InputError, match="expected at least one conversation, found none"):
        import_corpus(tmp_path / "in.jsonl", tmp_path / "corpus")


def test_sources_are_remembered_with_their_hashes(tmp_path: Path) -> None:
    import hashlib

    for name in "ab":
        (tmp_path / f"{name}.jsonl").write_text(line(name))
    path = import_corpus(str(tmp_path / "*.jsonl"), tmp_path / "corpus")
    sources = open_corpus(path).info.sources
    assert [source.name for source in sources] == ["a.jsonl", "b.jsonl"]
    data = (tmp_path / "b.jsonl").read_bytes()
    assert (sources[1].num_bytes, sources[1].sha256) == (len(data), hashlib.sha256(data).hexdigest())


def test_an_existing_destination_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text(line("a"))
    (tmp_path / "corpus").mkdir()
    with pytest.raises(StorageError, match="exists already"):
        import_corpus(tmp_path / "in.jsonl", tmp_path / "corpus")
    path = import_corpus(tmp_path / "in.jsonl", tmp_path / "corpus", replace=True)
    assert open_corpus(path).num_conversations == 1
    with pytest.raises(
        StorageError, match=r"choose another destination, or replace it \(replace=True, --replace\)"
    ):
        import_corpus(tmp_path / "in.jsonl", path)


def test_a_folder_that_may_not_be_replaced_is_not_offered_for_it(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text(line("a"))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("mine")
    with pytest.raises(StorageError, match="choose another destination, or remove it first$"):
        import_corpus(tmp_path / "in.jsonl", tmp_path / "other")
    assert (tmp_path / "other" / "mine.txt").read_text() == "mine"


def test_only_a_corpus_is_replaced(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    source, notes = data / "in.jsonl", data / "notes.txt"
    source.write_text(line("a"))
    notes.write_text("notes")
    other = tmp_path / "other.jsonl"
    other.write_text(line("b"))
    for taken, dest, message in (
        (source, data, "dest: expected another place than that of the source"),
        (source, source, "dest: expected another place than that of the source"),
        (other, data, "expected a folder with tenor.json, which may be replaced, found something else"),
        (other, source, "expected a folder with tenor.json, which may be replaced, found something else"),
    ):
        with pytest.raises((UsageError, StorageError), match=message):
            import_corpus(taken, dest, replace=True)
    assert (source.read_text(), notes.read_text()) == (line("a"), "notes")
    corpus = import_corpus(source, tmp_path / "corpus")
    assert import_corpus(other, corpus, replace=True) == corpus
    assert [each.conversation_id for each in open_corpus(corpus).conversations()] == ["b"]


def test_the_folder_that_one_stands_in_is_no_destination(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in.jsonl").write_text(line("a"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(StorageError, match="expected another folder than the one that you are in"):
        import_corpus(tmp_path / "in.jsonl", ".", replace=True)
    with pytest.raises(UsageError, match="dest: expected another place than that of the source"):
        import_corpus(tmp_path / "in.jsonl", "..", replace=True)


def test_splits_that_a_source_brings_are_kept_with_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [line(f"c{number}", split="train" if number else "test") for number in range(4)]
    (tmp_path / "in.jsonl").write_text("".join(rows))
    corpus = import_corpus(tmp_path / "in.jsonl", tmp_path / "corpus", split_by="author")
    assert caplog.text.count("the source brings its splits: they are kept") == 1
    assert [each.split for each in open_corpus(corpus).conversations()] == ["test", "train", "train", "train"]


def test_given_splits_and_plans(tmp_path: Path) -> None:
    rows = [line(f"c{i}", split="val" if i == 0 else None, group=f"g{i % 3}") for i in range(9)]
    (tmp_path / "in.jsonl").write_text("".join(rows))
    path = import_corpus(
        tmp_path / "in.jsonl", tmp_path / "a", split_by="group", fractions=(0.5, 0.25, 0.25), seed=3
    )
    corpus = open_corpus(path)
    assert corpus.info.split == SplitPlan(seed=3, fractions=(0.5, 0.25, 0.25), by="group")
    splits = {item.conversation_id: item.split for item in corpus.conversations()}
    assert splits["c0"] == "validation"
    assert splits["c1"] == splits["c4"] == splits["c7"]


def test_a_missing_group_is_set_aside_under_a_plan_by_group(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text(line("a", group="g") + line("b") + line("c", group="h"))
    with pytest.raises(InputError, match="expected a named group, found none"):
        import_corpus(tmp_path / "in.jsonl", tmp_path / "corpus", split_by="group")
    summary = import_with_summary(
        tmp_path / "in.jsonl", tmp_path / "corpus", plan=SplitPlan(by="group"), on_error="quarantine"
    )
    assert (summary.conversations, summary.rejected_rows) == (2, 1)
    (reject,) = [
        json.loads(text) for text in (tmp_path / "corpus" / "rejects.jsonl").read_text().splitlines()
    ]
    assert (reject["line"], reject["field"]) == (2, "group")


def test_features_keep_their_names_and_precision(tmp_path: Path) -> None:
    row = {"conversation_id": "c", "authors": ["a", "b"], "feat_y": [0.1, 70_000.5], "feat_x": [1, 2]}
    (tmp_path / "in.jsonl").write_text(json.dumps(row))
    corpus = open_corpus(import_corpus(tmp_path / "in.jsonl", tmp_path / "corpus"))
    assert corpus.info.feature_names == ("feat_x", "feat_y")
    assert (corpus.info.input_size, corpus.info.feature_dtype, corpus.has_text) == (2, "float32", False)
    (found,) = corpus.conversations()
    np.testing.assert_array_equal(found.features, np.array([[1, 0.1], [2, 70_000.5]], np.float32))


def make_corpus(path: Path) -> Path:
    encoder = EncoderInfo("lsa", "f" * 64)
    with CorpusWriter(path, split=SplitPlan(seed=5), encoder=encoder, feature_names=("x", "y")) as writer:
        for i in range(20):
            features = np.full((2, 2), i, np.float16)
            labels: dict[str, int | str] = {f"a{i}": 1}
            writer.write(
                Conversation(
                    f"c{i}",
                    [f"a{i}", "b"],
                    ["t", "u"],
                    [1.0, None],
                    features,
                    0,
                    labels,
                    place=Place("m", i + 1),
                )
            )
        (writer.folder / "encoder.safetensors").write_bytes(b"state")
    return path


def test_a_corpus_as_source_keeps_all(tmp_path: Path) -> None:
    old = open_corpus(make_corpus(tmp_path / "old"))
    new = open_corpus(import_corpus(tmp_path / "old", tmp_path / "new"))
    assert new.info.encoder == old.info.encoder
    assert new.info.split == old.info.split != SplitPlan()  # what is appended is split by it
    assert new.info.feature_names == ("x", "y") and new.info.feature_dtype == "float16"
    assert (tmp_path / "new" / "encoder.safetensors").read_bytes() == b"state"
    assert new.info.split_hash == old.info.split_hash
    for before, after in zip(old.conversations(), new.conversations(), strict=True):
        np.testing.assert_array_equal(before.features, after.features)
        before.features = after.features = None
        before.place = after.place
        assert before == after


def test_another_split_of_a_corpus_that_keeps_its_own_is_an_error(tmp_path: Path) -> None:
    make_corpus(tmp_path / "old")
    with pytest.raises(
        UsageError, match=r"keeps its splits, made by .*seed 5; asked .*seed 9.*--column split="
    ):
        import_corpus(tmp_path / "old", tmp_path / "new", seed=9)
    assert not (tmp_path / "new").exists()
    assert open_corpus(import_corpus(tmp_path / "old", tmp_path / "new", seed=5)).info.split.seed == 5


def test_a_corpus_as_source_is_split_anew_when_its_splits_are_ignored(tmp_path: Path) -> None:
    old = open_corpus(make_corpus(tmp_path / "old"))
    path = import_corpus(tmp_path / "old", tmp_path / "new", seed=9, columns={"split": None})
    assert open_corpus(path).info.split_hash != old.info.split_hash


def test_folders_globs_and_formats(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "b.jsonl").write_text(line("b"))
    (folder / "a.jsonl").write_text(line("a"))
    (folder / "README.md").write_text("no data")
    (folder / ".hidden.jsonl").write_text("{")
    assert [item.conversation_id for item in read_source(folder)] == ["a", "b"]  # type: ignore[union-attr]
    assert [item.conversation_id for item in read_source(str(folder / "[b]*"))] == ["b"]  # type: ignore[union-attr]
    (folder / "c.txt").write_text(line("c"))
    assert [item.conversation_id for item in read_source(folder / "c.txt", "jsonl")] == ["c"]  # type: ignore[union-attr]
    (folder / "d.csv").write_text("conversation_id,author,text\nd,a,x\n")
    with pytest.raises(InputError, match=r"expected files of one format, found csv beside jsonl"):
        list(read_source(folder))
    assert len(list(read_source(folder, "jsonl"))) == 2
    assert len(list(read_source(folder, "csv"))) == 1


@pytest.mark.parametrize(
    "name, message",
    [
        ("none.jsonl", "expected a file or folder, found none"),
        ("none/*.jsonl", "expected a file or folder, found none"),
        ("x.txt", "expected a file of a known format by its suffix"),
        ("folder", "expected a folder with files of a known format, found none"),
    ],
)
def test_unclear_sources_raise(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "x.txt").write_text("x")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=message):
        import_corpus(tmp_path / name, tmp_path / "corpus")


@pytest.mark.parametrize("ending", ["", ".jsonl"])
def test_what_can_be_read_only_once_is_refused(tmp_path: Path, ending: str) -> None:
    os.mkfifo(tmp_path / f"pipe{ending}")
    remedy = "write it to a file first: import reads its source twice, for its hash is recorded"
    for source in (tmp_path / f"pipe{ending}", Path("/dev/null")):
        with pytest.raises(InputError, match="expected a file or folder, found a pipe or a device") as caught:
            import_corpus(source, tmp_path / "corpus", format="jsonl")
        assert caught.value.remedy == remedy
    with pytest.raises(InputError, match="found the sign for standard input") as caught:
        import_corpus("-", tmp_path / "corpus", format="jsonl")
    assert caught.value.remedy == remedy
    (tmp_path / "in.jsonl").write_text(line("a"))
    os.symlink(tmp_path / "in.jsonl", tmp_path / "link.jsonl")
    assert len(open_corpus(import_corpus(tmp_path / "link.jsonl", tmp_path / "corpus"))) == 1


def test_wrong_arguments_raise(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text(line("a"))
    for options, message in (
        ({"on_error": "skip"}, "on_error: expected raise or quarantine"),
        ({"format": "xml"}, "format: expected one of jsonl, csv"),
        ({"columns": {"auther": "x"}}, "column map: expected one of"),
        ({"fractions": (0.5, 0.1, 0.1)}, "fractions"),
    ):
        with pytest.raises(UsageError, match=message):
            import_corpus(tmp_path / "in.jsonl", tmp_path / "corpus", **options)  # type: ignore[arg-type]
    assert not (tmp_path / "corpus").exists()


def test_column_maps_reach_the_reader(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("thread,user,body\nt,u,hello\n")
    columns = ColumnMap.from_strings(["conversation_id=thread", "author=user", "text=body"])
    (found,) = open_corpus(
        import_corpus(tmp_path / "in.csv", tmp_path / "corpus", columns=columns)
    ).conversations()
    assert (found.conversation_id, found.authors, found.texts) == ("t", ["u"], ["hello"])


def test_limits_reach_the_reader(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text(line("a"))
    (item,) = read_source(tmp_path / "in.jsonl", limits=Limits(max_messages=1))
    assert isinstance(item, Reject) and item.rule == "expected at most 1 messages, found 2"


def test_no_temporary_file_is_made_unless_much_is_set_aside(
    small_source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))  # as where TMPDIR is full or read-only
    few = write_lines(tmp_path / "few.jsonl", [small_source.read_text(), "{}\n" * 10])
    summary = import_with_summary(few, tmp_path / "corpus", on_error="quarantine")
    assert (summary.conversations, summary.rejected_rows) == (80, 10)
    assert len((tmp_path / "corpus" / "rejects.jsonl").read_text().splitlines()) == 10
    many = write_lines(tmp_path / "many.jsonl", [small_source.read_text(), "{}\n" * 10_000])
    with pytest.raises(
        StorageError,
        match=r"^cannot write a temporary file: No such file .* \(TMPDIR names the folder for them\)$",
    ):
        import_corpus(many, tmp_path / "other", on_error="quarantine")
    assert not (tmp_path / "other").exists()
    import_corpus(small_source, tmp_path / "other")


def write_lines(path: Path, parts: list[str]) -> Path:
    path.write_text("".join(parts))
    return path


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("text=bdy", "'bdy'"),
        ("label=bad", "'bad'"),
        ("timestamp=time", "'time'"),
        ("group=match", "'match'"),
        ("feature_columns=a,b", "'a'"),
        ("feature_prefix=x_", "'x_*'"),
    ],
)
def test_a_column_that_the_map_names_must_be_there(tmp_path: Path, name: str, expected: str) -> None:
    """A typo would otherwise give a corpus without that field; CSV has tests of its own."""
    records = [
        {"conversation_id": f"c{index}", "label": index % 2, "lang": "en"}
        | {"messages": [{"author": "ann", "text": "hello", "timestamp": 1.0, "features": [0.5]}]}
        for index in range(4)
    ]
    source = write_jsonl(tmp_path / "rows", records)
    columns = ColumnMap.from_strings([name])
    with pytest.raises(InputError) as caught:
        import_corpus(source, tmp_path / "corpus", columns=columns)
    assert str(caught.value).startswith(f"{source}: expected {expected}")
    assert "as the column map says, found no row with it (fields without a meaning are " in str(caught.value)
    assert "lang" in caught.value.remedy

    path = tmp_path / "rows.parquet"
    pq.write_table(pa.Table.from_pylist(records), path)
    with pytest.raises(
        InputError, match=r"found conversation_id, label, lang, messages, messages\[\]\.author, "
    ) as at:
        import_corpus(path, tmp_path / "corpus", columns=columns)
    assert at.value.rule.startswith(f"expected a column {expected}, found ")
    assert not (tmp_path / "corpus").exists()

    import_corpus(source, tmp_path / "plain")
    with pytest.raises(
        UsageError, match=rf"is a corpus, whose columns have tenor's names, found {re.escape(expected)}"
    ):
        import_corpus(tmp_path / "plain", tmp_path / "corpus", columns=columns)


def test_a_column_that_the_map_names_may_be_in_some_rows_only(tmp_path: Path) -> None:
    first = [{"conversation_id": f"c{index}", "author": "ann", "said": "hello"} for index in range(3)]
    last = {"conversation_id": "c9", "author": "bob", "said": "no", "bad": 1}
    folder = tmp_path / "rows"
    folder.mkdir()
    (folder / "1.jsonl").write_text("".join(json.dumps(row) + "\n" for row in first))
    columns = ColumnMap(text="said", label="bad")
    with pytest.raises(InputError, match=r"expected 'bad', .*\(check how it is written\)$"):
        import_corpus(folder, tmp_path / "corpus", columns=columns)
    (folder / "2.jsonl").write_text(json.dumps(last) + "\n")
    assert open_corpus(import_corpus(folder, tmp_path / "corpus", columns=columns)).num_messages == 4


def test_what_the_command_prints_python_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    header = "conversation_id,author,text,label,mood\n"
    (tmp_path / "in.csv").write_text(header + "a,ann,hello,0.0,fine\nb,Ann,hello,1.0,bad\n")
    corpus = import_corpus(tmp_path / "in.csv", tmp_path / "corpus")
    said = [record.getMessage().removeprefix(f"{corpus}: ") for record in caplog.records]
    assert said == import_with_summary(tmp_path / "in.csv", corpus, replace=True).remarks()
    assert said[0] == "level conversation: positive is the class '1.0'; --positive 0.0 chooses the other"
    for beginning in (
        "2 names of authors differ",
        "labels 0.0, 1.0 are read as texts",
        "ignored fields that tenor",
    ):
        assert any(line.startswith(beginning) for line in said)
    caplog.clear()
    import_corpus(tmp_path / "in.csv", corpus, replace=True, positive="0.0")
    assert not any("positive is the class" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_a_column_that_is_to_be_ignored_is_not_said_to_be_unknown(tmp_path: Path, kind: str) -> None:
    rows = {"conversation_id": ["a", "b"], "author": ["x", "y"], "text": ["hi", "you"]}
    table = pa.table({**rows, "split": ["mine", "yours"], "mood": ["m", "n"]})
    source = tmp_path / f"in.{kind}"
    if kind == "jsonl":
        source.write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()))
    elif kind == "csv":
        lines = [table.column_names, *([row[name] for name in row] for row in table.to_pylist())]
        source.write_text("".join(",".join(line) + "\n" for line in lines))
    else:
        pq.write_table(table, source)
    summary = import_with_summary(source, tmp_path / "corpus", columns={"split": None})
    assert summary.ignored_fields == {"mood": 2}
    assert summary.lines()[-1] == "ignored fields that tenor does not know: mood (2)"


def test_a_list_of_rejects_takes_no_other_file_s_place(tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text(line("a") + "{bad\n")
    keep = tmp_path / "model.safetensors"
    keep.write_bytes(b"\x08\0\0\0\0\0\0\0{}")
    for rejects, message in (
        (keep, "rejects: expected a new name, or a list of rejects"),
        (source, "another place"),
    ):
        before = rejects.read_bytes()
        with pytest.raises(UsageError, match=message):
            import_corpus(source, tmp_path / "corpus", on_error="quarantine", rejects=rejects)
        assert rejects.read_bytes() == before and not (tmp_path / "corpus").exists()
    for _ in range(2):  # its own older list may go
        import_corpus(
            source, tmp_path / "corpus", on_error="quarantine", rejects=tmp_path / "r.jsonl", replace=True
        )
    assert len((tmp_path / "r.jsonl").read_text().splitlines()) == 1
