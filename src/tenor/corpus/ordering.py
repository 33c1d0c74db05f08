"""Numbers in place of names, and the messages of a corpus sorted by author: what views are made of.

One record batch is sorted at a time, so that little stands in memory beside the result. Knows nothing of labels,
splits and features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tenor.arrays import make_scalar, to_numpy
from tenor.corpus.groups import conversation_groups, flatten, participant_parents
from tenor.corpus.plan import SplitPlan
from tenor.strings import Strings

Integers = npt.NDArray[np.int64]
#: int32 as long as that suffices.
Codes = npt.NDArray[np.signedinteger[Any]]


@dataclass(frozen=True, slots=True)
class MessageOrder:
    """The messages of a corpus, sorted by conversation and there by the number of the author.

    Attributes:
        participants: (S,) those with messages, rising.
        starts: (S,) where the messages of each begin in `order`.
        lengths: (S,) how many there are.
        order: (M,) messages.
    """

    participants: Integers
    starts: Integers
    lengths: Integers
    order: Codes


def code_type(count: int) -> np.dtype[np.signedinteger[Any]]:
    """What numbers so many things."""
    return np.dtype(np.int32 if count < 1 << 31 else np.int64)


def encode_authors(table: pa.Table) -> tuple[pa.ChunkedArray, Codes, Codes]:
    """Distinct names (A,), and for each participant (P,) and each message (M,) the number of its name."""
    participants, authors = flatten(table["participants"]), flatten(table["authors"])
    found = Strings.of(pa.chunked_array([*participants.chunks, *authors.chunks], type=pa.string()))
    return found.values, found.codes[: len(participants)], found.codes[len(participants) :]


def encode_conversation_groups(table: pa.Table, plan: SplitPlan) -> tuple[pa.ChunkedArray, Codes]:
    """The groups' names, and the number of each conversation's group (C,); see `conversation_groups`."""
    is_own = plan.by == "conversation" or (
        plan.by != "author" and table["group"].null_count == table.num_rows
    )
    if is_own:
        return table["conversation_id"], np.arange(table.num_rows, dtype=code_type(table.num_rows))
    groups = Strings.of(conversation_groups(table, plan))
    return groups.values, groups.codes


def encode_author_groups(
    table: pa.Table, plan: SplitPlan, names: pa.ChunkedArray, rows: Codes, authors: Codes
) -> tuple[pa.ChunkedArray, Codes]:
    """The groups' names, and the number of each author sequence's group (S,); see `participant_groups`.

    Args:
        table: the corpus's.
        plan: how it is split.
        names: of the authors.
        rows: (S,) the conversation of each sequence.
        authors: (S,) the number of its author's name.
    """
    if plan.by == "conversation":
        return table["conversation_id"], rows
    named = table["group"]
    if plan.by == "author" or named.null_count == len(named):
        return names, authors
    found = Strings.of(pc.coalesce(named, make_scalar("", pa.string())))
    groups, codes = found.values, found.codes
    known = to_numpy(pc.index_in(names, groups.chunk(0)), null=-1)  # authors called as a group is
    of_author = np.where(known >= 0, known, np.arange(len(names)) + len(groups))
    is_named = to_numpy(named.is_valid())[rows]
    return pa.chunked_array([*groups.chunks, *names.chunks]), np.where(
        is_named, codes[rows], of_author[authors]
    )


def sort_messages(
    table: pa.Table, offsets: Integers, participant_codes: Codes, message_codes: Codes, num_names: int
) -> MessageOrder:
    """Share out messages over participants.

    Args:
        table: the corpus's.
        offsets: (C + 1,) where each conversation's messages begin.
        participant_codes: (P,) from `encode_authors`.
        message_codes: (M,) likewise.
        num_names: how many names there are.

    Raises:
        ValueError: a message's author is not among the participants of its conversation.
    """
    order = np.empty(len(message_codes), dtype=code_type(len(message_codes)))
    parents = participant_parents(table)
    parts: list[tuple[Integers, Integers, Integers]] = []
    ends = np.cumsum([len(chunk) for chunk in table["conversation_id"].chunks]).tolist()
    for first, end in zip([0, *ends[:-1]], ends, strict=True):
        base, stop = int(offsets[first]), int(offsets[end])
        conversations = np.repeat(np.arange(end - first), np.diff(offsets[first : end + 1]))
        keys = conversations * num_names + message_codes[base:stop]  # one number a (conversation, author)
        sort = np.argsort(keys, kind="stable")
        keys = keys[sort]
        order[base:stop] = sort + base
        starts = np.flatnonzero(np.diff(keys, prepend=-1))
        left, right = np.searchsorted(parents, [first, end])
        known = (parents[left:right] - first) * num_names + participant_codes[left:right]
        rows = _find_rows(known, keys[starts])
        lengths = np.diff(np.append(starts, len(keys)))
        by_row = np.argsort(rows)
        parts.append((rows[by_row] + left, starts[by_row] + base, lengths[by_row]))
    participants, starts, lengths = (np.concatenate([part[place] for part in parts]) for place in range(3))
    return MessageOrder(participants, starts, lengths, order)


def _find_rows(keys: Integers, wanted: Integers) -> Integers:
    """The place of each wanted key.

    Raises:
        ValueError: one is absent.
    """
    sort = np.argsort(keys)
    rows: Integers = sort[np.minimum(np.searchsorted(keys, wanted, sorter=sort), max(0, len(sort) - 1))]
    if not np.array_equal(keys[rows], wanted):
        raise ValueError("absent")
    return rows
