"""A conversation's fingerprint changes with any of its messages, and with nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tenor.corpus.corpus import open_corpus
from tenor.corpus.fingerprints import fingerprint_conversations
from tenor.corpus.importing import import_corpus

Record = dict[str, Any]
Find = Callable[..., list[int]]


def make_records() -> list[Record]:
    texts = [["ab", "c", ""], ["ab", "c", ""], ["x"], ["über", "日本語"]]
    records = []
    for number, said in enumerate(texts):
        messages = [
            {"author": f"u{turn % 2}", "text": text, "timestamp": 10.0 * turn}
            for turn, text in enumerate(said)
        ]
        records.append({"conversation_id": f"c{number}", "messages": messages, "label": number % 2})
    return records


@pytest.fixture
def find(tmp_path: Path) -> Find:
    """A function (records, rows) that imports them and gives the fingerprints of these rows, or of all."""

    def run(records: list[Record], rows: list[int] | None = None) -> list[int]:
        number = len(list(tmp_path.iterdir()))
        source = tmp_path / f"{number}.jsonl"
        source.write_text("".join(json.dumps(record) + "\n" for record in records))
        corpus = open_corpus(import_corpus(source, tmp_path / f"{number}-corpus"))
        wanted = range(len(corpus)) if rows is None else rows
        return fingerprint_conversations(corpus, np.array(wanted, np.int64)).tolist()

    return run


def test_equal_messages_have_equal_fingerprints_wherever_they_stand(find: Find) -> None:
    found = find(make_records())
    assert found[0] == found[1] and len(set(found)) == 3
    assert find(make_records()[2:]) == found[2:]
    assert find(make_records(), [3, 0, 3]) == [found[3], found[0], found[3]]
    relabelled = [
        {**record, "label": 1, "conversation_id": f"x{i}"} for i, record in enumerate(make_records())
    ]
    assert find(relabelled) == found
    assert find(make_records(), []) == []


@pytest.mark.parametrize(
    ("message", "key", "value"),
    [
        (1, "text", "C"),
        (1, "text", ""),
        (2, "text", "c"),
        (0, "author", "u1"),
        (0, "author", "u9"),
        (2, "timestamp", 21.0),
    ],
)
def test_any_edit_is_another_fingerprint(find: Find, message: int, key: str, value: object) -> None:
    edited = make_records()
    edited[1]["messages"][message][key] = value
    first, second, *rest = find(edited)
    assert second != first == find(make_records())[0]
    assert rest == find(make_records())[2:]


def test_where_one_message_ends_counts(find: Find) -> None:
    moved = make_records()
    for message, text in zip(moved[1]["messages"], ["a", "bc", ""], strict=True):
        message["text"] = text
    first, second, *_ = find(moved)
    assert first != second
    swapped = make_records()
    swapped[1]["messages"].append({"author": "u1", "text": "", "timestamp": 30.0})
    assert find(swapped)[1] != first


@pytest.mark.parametrize("has_text", [True, False])
def test_features_made_elsewhere_count(find: Find, has_text: bool) -> None:
    records = make_records()
    for record in records:
        for turn, message in enumerate(record["messages"]):
            message["features"] = [0.5, float(turn)]
            if not has_text:
                del message["text"]
    before = find(records)
    records[1]["messages"][2]["features"] = [0.5, -1.0]
    after = find(records)
    assert before[0] == before[1] == after[0] != after[1] and before[2:] == after[2:]


def test_many_batches_and_blocks_agree_with_one_conversation_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tenor.corpus import fingerprints

    records = make_records() * 9
    for number, record in enumerate(records):
        records[number] = {**record, "conversation_id": f"c{number}"}
    for part in range(3):
        some = records[part * 12 : part * 12 + 12]
        (tmp_path / f"{part}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in some))
        import_corpus(tmp_path / f"{part}.jsonl", tmp_path / "corpus", append=part > 0)
    corpus = open_corpus(tmp_path / "corpus")
    assert len(corpus.chunk_offsets) > 2
    monkeypatch.setattr(fingerprints, "_AT_A_TIME", 5)
    together = fingerprint_conversations(corpus, np.arange(len(corpus)))
    alone = [int(fingerprint_conversations(corpus, np.array([row]))[0]) for row in range(len(corpus))]
    assert together.tolist() == alone and together.dtype == np.uint64
