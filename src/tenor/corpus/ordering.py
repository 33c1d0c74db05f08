"""Numbers in place of names, the messages of a corpus sorted by author, and blocks of them: what views are made of.

One record batch is sorted at a time, so that little stands in memory beside the result. Knows nothing of labels,
splits and features.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tenor.arrays import make_scalar, to_numpy
from tenor.corpus.groups import conversation_groups, flatten
from tenor.corpus.plan import SplitPlan
from tenor.strings import Strings

Integers = npt.NDArray[np.int64]
#: int32 as long as that suffices.
Codes = npt.NDArray[np.signedinteger[Any]]


@dataclass(frozen=True, slots=True)
class MessageOrder:
    """The messages of a corpus, sorted by conversation and there by author.

    Attributes:
        participants: (S,) those with messages, rising.
        starts: (S,) where the messages of each begin in `order`.
        lengths: (S,) how many there are.
        order: (M,) messages.
    """

    participants: Codes
    starts: Codes
    lengths: Integers
    order: Codes


def code_type(count: int) -> np.dtype[np.signedinteger[Any]]:
    """What numbers so many things."""
    return np.dtype(np.int32 if count < 1 << 31 else np.int64)


def encode_participants(table: pa.Table) -> tuple[pa.ChunkedArray, Codes]:
    """Distinct names (A,), and for each participant (P,) the number of its name."""
    found = Strings.of(flatten(table["participants"]))
    return found.values, found.codes


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


def sort_messages(table: pa.Table, offsets: Integers, parents: Codes) -> MessageOrder:
    """Share out messages over participants.

    Args:
        table: the corpus's.
        offsets: (C + 1,) where each conversation's messages begin.
        parents: (P,) the row of each participant's conversation.

    Raises:
        ValueError: a message's author is not among the participants of its conversation.
    """
    num_messages, count = int(offsets[-1]), 0
    order = np.empty(num_messages, dtype=code_type(num_messages))
    participants = np.empty(len(parents), code_type(len(parents)))
    starts = np.empty(len(parents), code_type(num_messages))
    lengths = np.empty(len(parents), np.int64)
    names, authors = flatten(table["participants"]).chunks, flatten(table["authors"]).chunks
    ends = np.cumsum([len(chunk) for chunk in table["conversation_id"].chunks]).tolist()
    for batch, (first, end) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
        base = int(offsets[first])
        left, right = np.searchsorted(parents, np.array([first, end], parents.dtype)).tolist()
        conversations = np.repeat(np.arange(end - first), np.diff(offsets[first : end + 1]))
        named = names[batch].dictionary_encode()
        # One number a (conversation, author), in this batch.
        local = parents[left:right].astype(np.int64) - first
        known = local * len(named.dictionary) + to_numpy(named.indices)
        codes = to_numpy(pc.index_in(authors[batch], named.dictionary), null=-1)
        if (codes < 0).any():
            raise ValueError("absent")
        keys = conversations * len(named.dictionary) + codes
        sort = np.argsort(keys, kind="stable")
        keys = keys[sort]
        order[base : base + len(keys)] = sort + base
        begins = np.flatnonzero(np.diff(keys, prepend=-1))
        rows = _find_rows(known, keys[begins])
        by_row = np.argsort(rows)
        found = slice(count, count + len(rows))
        participants[found] = rows[by_row] + left
        starts[found] = begins[by_row] + base
        lengths[found] = np.diff(np.append(begins, len(keys)))[by_row]
        count += len(rows)
    return MessageOrder(participants[:count], starts[:count], lengths[:count], order)


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


def blocks_of_messages(lengths: Integers, num_messages: int) -> Iterator[Integers]:
    """Positions of all sequences in order, about so many messages at a time, of their lengths (S,)."""
    ends = np.cumsum(lengths)
    bounds = np.arange(num_messages, ends[-1:].sum(), num_messages)
    cuts = np.unique(np.searchsorted(ends, bounds, side="right")).tolist()
    del ends  # not held while blocks are worked through
    for start, stop in pairwise([0, *cuts, len(lengths)]):
        if start < stop:
            yield np.arange(start, stop)
