"""The groups that splits are made of, as Arrow columns: what a plan takes for one unit at each level.

Knows nothing of which split a group is in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from itertools import groupby, islice

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tenor.arrays import make_scalar, number_array, to_numpy
from tenor.corpus.plan import SplitPlan

_STRINGS_AT_A_TIME = 1 << 14


def conversation_groups(table: pa.Table, plan: SplitPlan) -> pa.ChunkedArray:
    """The group of each conversation: (C,) strings, see `SplitPlan.by`."""
    if plan.by == "author":
        return pc.list_element(table["authors"], 0)
    if plan.by == "conversation":
        return table["conversation_id"]
    return pc.coalesce(table["group"], table["conversation_id"])


def participant_groups(table: pa.Table, plan: SplitPlan) -> pa.ChunkedArray:
    """The group of each participant at the author level: (P,) strings, see `SplitPlan.by`."""
    names = flatten(table["participants"])
    if plan.by == "author":
        return names
    parents = number_array(participant_parents(table))
    if plan.by == "conversation":
        return table["conversation_id"].take(parents)
    if table["group"].null_count == len(table):
        return names
    return pc.coalesce(table["group"].take(parents), names)


def participant_parents(table: pa.Table) -> npt.NDArray[np.int64]:
    """The row of the conversation of each participant: (P,)."""
    return np.repeat(np.arange(table.num_rows), list_lengths(table["participants"]))


def list_lengths(column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """The length of each row's list, 0 for null: (C,)."""
    lengths = [to_numpy(pc.list_value_length(chunk), null=0) for chunk in column.chunks]
    return np.concatenate([np.empty(0, np.int64), *lengths])


def flatten(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The entries of all rows' lists, without copying: one chunk for each of the column's chunks."""
    return pa.chunked_array([chunk.flatten() for chunk in column.chunks], type=column.type.value_type)


def split_triples(table: pa.Table, plan: SplitPlan) -> tuple[pa.Array, pa.Array]:
    """The distinct (level, group, split) triples of a table's conversations and of its participants."""
    return (
        _join("conversation", conversation_groups(table, plan), table["split"]),
        _join("author", participant_groups(table, plan), flatten(table["participant_splits"])),
    )


def _join(level: str, groups: pa.ChunkedArray, splits: pa.ChunkedArray) -> pa.Array:
    kind = pa.large_string()
    group, split = groups.combine_chunks().cast(kind), splits.combine_chunks().cast(kind)
    name, no_split, separator = (make_scalar(text, kind) for text in (level, "", "\x1f"))
    return pc.unique(pc.binary_join_element_wise(name, group, pc.coalesce(split, no_split), separator))


def hash_triples(levels: Iterable[Iterable[str]]) -> str:
    """SHA-256 over the distinct triples of a corpus (see `split_triples`), given sorted, of one level after another."""
    digest = hashlib.sha256()
    for triples in levels:
        distinct = (triple for triple, _ in groupby(triples))
        while some := list(islice(distinct, _STRINGS_AT_A_TIME)):
            digest.update("".join(f"{triple}\n" for triple in some).encode())
    return digest.hexdigest()


def hash_lines(levels: Iterable[pa.Array]) -> str:
    """The same of Arrow's bytes as they lie, much faster; the triples are distinct, each with its line end.

    Args:
        levels: sorted texts, each array in memory of its own.
    """
    digest = hashlib.sha256()
    for lines in levels:
        length = pc.sum(pc.binary_length(lines)).as_py()
        if length:
            digest.update(memoryview(lines.buffers()[2])[:length])
    return digest.hexdigest()
