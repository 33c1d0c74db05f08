"""The groups that splits are made of, as Arrow columns: what a plan takes for one unit at each level.

Knows nothing of which split a group is in.
"""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tenor.corpus.plan import SplitPlan


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
    parents = pa.array(participant_parents(table))
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
    lengths: npt.NDArray[np.int64] = pc.fill_null(pc.list_value_length(column), 0).to_numpy().astype(np.int64)
    return lengths


def flatten(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The entries of all rows' lists, without copying: one chunk for each of the column's chunks."""
    return pa.chunked_array([chunk.flatten() for chunk in column.chunks], type=column.type.value_type)


def hash_splits(table: pa.Table, plan: SplitPlan) -> str:
    """SHA-256 over the sorted distinct (level, group, split) triples of a corpus."""
    triples = [
        _join("conversation", conversation_groups(table, plan), table["split"]),
        _join("author", participant_groups(table, plan), flatten(table["participant_splits"])),
    ]
    digest = hashlib.sha256()
    for column in triples:
        for triple in sorted(pc.unique(column).to_pylist()):
            digest.update(triple.encode() + b"\n")
    return digest.hexdigest()


def _join(level: str, groups: pa.ChunkedArray, splits: pa.ChunkedArray) -> pa.Array:
    group, split = groups.combine_chunks(), pc.fill_null(splits, "").combine_chunks()
    parts = [
        pa.scalar(level, pa.large_string()),
        group.cast(pa.large_string()),
        split.cast(pa.large_string()),
    ]
    return pc.binary_join_element_wise(*parts, pa.scalar("\x1f", pa.large_string()))
