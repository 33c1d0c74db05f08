"""Messages shared out over the participants of their conversations, a record batch at a time."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenor.arrays import make_array
from tenor.corpus.groups import participant_parents
from tenor.corpus.ordering import sort_messages

Names = list[list[str]]


def make_table(batches: list[Names], participants: list[Names] | None = None) -> pa.Table:
    """Conversations with a message by each of the names, in batches; participants in order of their first message."""
    named = participants or [[list(dict.fromkeys(names)) for names in batch] for batch in batches]
    kind = pa.list_(pa.string())
    schema = pa.schema([("conversation_id", pa.string()), ("authors", kind), ("participants", kind)])
    parts = [
        pa.record_batch(
            [
                make_array(["c"] * len(authors), pa.string()),
                make_array(authors, kind),
                make_array(those, kind),
            ],
            schema=schema,
        )
        for authors, those in zip(batches, named, strict=True)
    ]
    return pa.Table.from_batches(parts, schema)


def offsets_of(batches: list[Names]) -> np.ndarray:
    return np.concatenate(
        [[0], np.cumsum([len(names) for batch in batches for names in batch], dtype=np.int64)]
    )


@given(st.lists(st.lists(st.lists(st.sampled_from("abcd"), max_size=6), max_size=4), min_size=1, max_size=3))
def test_each_participant_has_its_messages_in_order(batches: list[Names]) -> None:
    table = make_table(batches)
    parents = participant_parents(table).astype(np.int32)
    found = sort_messages(table, offsets_of(batches), parents)
    expected, first, participant = [], 0, 0
    for names in (names for batch in batches for names in batch):
        for name in dict.fromkeys(names):
            expected.append(
                (participant, [first + place for place, other in enumerate(names) if other == name])
            )
            participant += 1
        first += len(names)
    starts, ends = found.starts.tolist(), (found.starts + found.lengths).tolist()
    messages = [found.order[start:end].tolist() for start, end in zip(starts, ends, strict=True)]
    assert list(zip(found.participants.tolist(), messages, strict=True)) == expected


def test_an_author_who_is_no_participant_is_an_error() -> None:
    for participants in (
        [["a"], ["b", "a"]],
        [["a"], ["b"]],
    ):  # unknown in the batch, and in the conversation only
        table = make_table([[["a"], ["b", "c" if "a" in participants[1] else "a"]]], [participants])
        with pytest.raises(ValueError, match="absent"):
            sort_messages(table, np.array([0, 1, 3]), participant_parents(table).astype(np.int32))


def test_a_batch_of_many_short_conversations_of_as_many_authors() -> None:
    """A number for each (conversation, author) of the batch is more than 32 bits hold."""
    count = 50_000
    table = make_table([[[f"author-{number}"] for number in range(count)]])
    found = sort_messages(table, np.arange(count + 1), np.arange(count, dtype=np.int32))
    assert np.array_equal(found.participants, np.arange(count))
    assert np.array_equal(found.order[found.starts], np.arange(count))
