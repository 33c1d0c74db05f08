"""From written Arrow files to a finished corpus folder: strict splits, counts, classes, hashes, JSON.

Works on the memory-mapped files with Arrow and numpy; only ids stay in memory.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tenor.corpus.groups import flatten, hash_splits, list_lengths, participant_parents
from tenor.corpus.info import INFO_NAME, CorpusInfo, EncoderInfo, FileInfo, SourceInfo, info_to_json
from tenor.corpus.layout import (
    DATASET_INFO_NAME,
    STATE_NAME,
    dataset_info_json,
    feature_dtype_name,
    open_table,
    state_json,
)
from tenor.corpus.plan import SplitPlan
from tenor.corpus.schema import Label, Level
from tenor.corpus.strict import assign_strict
from tenor.errors import CorpusError
from tenor.files import sha256_file, write_json


def finish_corpus(
    folder: Path,
    names: Sequence[str],
    schema: pa.Schema,
    *,
    plan: SplitPlan,
    assign_strictly: bool,
    encoder: EncoderInfo | None,
    feature_names: tuple[str, ...],
    sources: Sequence[SourceInfo],
    extra_counts: dict[str, int],
) -> CorpusInfo:
    """Give every file the final schema and splits, describe the whole, and write the JSON files.

    Args:
        folder: where the files lie, not yet published.
        names: the Arrow files in order.
        schema: the final one; a file written before the first label was seen may have another label type.
        plan: how the corpus is split.
        assign_strictly: make the joint assignment now, over all conversations.
        encoder: what made the features.
        feature_names: F names, or none.
        sources: what the corpus was imported from.
        extra_counts: more counts to record.

    Raises:
        CorpusError: a conversation_id occurs twice.
    """
    tables = [open_table(folder / name) for name in names]
    splits = _assign_strict_columns(tables, plan) if assign_strictly else None
    first_row = 0
    for name, table in zip(names, tables, strict=True):
        if splits is not None or table.schema != schema:
            _rewrite_file(folder / name, table, schema, splits, first_row)
        first_row += table.num_rows
    del tables
    table = pa.concat_tables([open_table(folder / name) for name in names])
    _require_unique_ids(table)
    files = tuple(_describe_file(folder / name) for name in names)
    vectors = schema.field("features").type.value_type if "features" in schema.names else None
    info = CorpusInfo(
        counts={**extra_counts, **_count(table)},
        has_text="text" in schema.names,
        has_timestamps=flatten(table["timestamp"]).null_count < len(flatten(table["timestamp"])),
        input_size=None if vectors is None else vectors.list_size,
        feature_dtype=None if vectors is None else feature_dtype_name(vectors.value_type),
        feature_names=feature_names,
        encoder=encoder,
        classes=_find_classes(table),
        split=plan,
        split_hash=hash_splits(table, plan),
        sources=tuple(sources),
        files=files,
        fingerprint=hashlib.sha256("\n".join(file.sha256 for file in files).encode()).hexdigest(),
    )
    write_json(folder / STATE_NAME, state_json(names, info.fingerprint))
    write_json(folder / DATASET_INFO_NAME, dataset_info_json(schema))
    write_json(folder / INFO_NAME, info_to_json(info))
    return info


#: Split columns to put in place of those written: split (C,), participant_splits' entries (P,) and offsets (C
#: + 1,).
_SplitColumns = tuple[pa.Array, pa.Array, np.ndarray]


def _assign_strict_columns(tables: Sequence[pa.Table], plan: SplitPlan) -> _SplitColumns:
    columns = ["conversation_id", "group", "participants"]
    table = pa.concat_tables([part.select(columns) for part in tables])
    units = table["conversation_id"]
    if plan.by in (None, "group"):
        units = pc.coalesce(table["group"], units)
    assignment = assign_strict(
        units.to_numpy(), flatten(table["participants"]).to_numpy(), participant_parents(table), plan
    )
    offsets = np.concatenate([[0], np.cumsum(list_lengths(table["participants"]))])
    splits, entries = (
        pc.if_else(pc.equal(strings, ""), None, strings)
        for strings in (
            pa.array(assignment.conversation_splits, pa.string()),
            pa.array(assignment.participant_splits, pa.string()),
        )
    )
    return splits, entries, offsets


def _rewrite_file(
    path: Path, table: pa.Table, schema: pa.Schema, splits: _SplitColumns | None, first_row: int
) -> None:
    """Write a file anew, batch by batch, with other types of labels or other splits."""
    temporary = path.with_suffix(".new")
    with pa.OSFile(str(temporary), "wb") as sink, pa.ipc.new_stream(sink, schema) as stream:
        for batch in table.to_batches():
            columns = {field.name: batch[field.name] for field in schema}
            changed = [field for field in schema if field.type != batch[field.name].type]
            if splits is not None:
                last_row = first_row + batch.num_rows
                offsets = splits[2][first_row : last_row + 1]
                entries = splits[1].slice(offsets[0], offsets[-1] - offsets[0])
                relative = pa.array((offsets - offsets[0]).astype(np.int32))
                columns["split"] = splits[0].slice(first_row, batch.num_rows)
                columns["participant_splits"] = pa.ListArray.from_arrays(relative, entries)
                changed += [schema.field("split"), schema.field("participant_splits")]
                first_row = last_row
            for field in changed:  # built anew, so that equal content gives equal bytes
                columns[field.name] = pa.array(columns[field.name].to_pylist(), field.type)
            stream.write_batch(pa.record_batch(list(columns.values()), schema=schema))
    os.replace(temporary, path)


def _require_unique_ids(table: pa.Table) -> None:
    ids = table["conversation_id"]
    if pc.count_distinct(ids).as_py() == len(ids):
        return
    counts = pc.value_counts(ids)
    repeated = counts.filter(pc.greater(counts.field("counts"), 1)).field("values")[0].as_py()
    raise CorpusError(
        f"conversation_id: expected unique ids, found {repeated[:80]!r} more than once: rename one"
    )


def _describe_file(path: Path) -> FileInfo:
    return FileInfo(path.name, path.stat().st_size, sha256_file(path), open_table(path).num_rows)


def _count(table: pa.Table) -> dict[str, int]:
    participants = flatten(table["participants"])
    authors = flatten(table["authors"])
    rows = np.repeat(np.arange(len(table)), list_lengths(table["authors"]))
    pairs = pa.table({"row": rows, "author": authors}).group_by(["row", "author"]).aggregate([])
    return {
        "conversations": table.num_rows,
        "messages": len(authors),
        "participants": len(participants),
        "author_sequences": pairs.num_rows,
        "authors": pc.count_distinct(authors).as_py(),
        "left_out_conversations": table["split"].null_count,
        "left_out_author_sequences": flatten(table["participant_splits"]).null_count,
    }


def _find_classes(table: pa.Table) -> dict[Level, tuple[Label, ...]]:
    conversation = _classes_of(table["label"])
    author = _classes_of(flatten(table["participant_labels"]))
    return {"conversation": conversation, "author": author, "profile": author}


def _classes_of(labels: pa.ChunkedArray) -> tuple[Label, ...]:
    if labels.null_count == len(labels):
        return ()
    return (
        (0, 1)
        if pa.types.is_integer(labels.type)
        else tuple(sorted(pc.unique(labels.drop_null()).to_pylist()))
    )
