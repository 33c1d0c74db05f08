"""From written Arrow files to a finished corpus folder: strict splits, counts, classes, hashes, JSON.

Works on the files batch by batch with Arrow and numpy. (A strict plan and labels that come late need a file as a whole:
it is memory-mapped.)
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, pairwise
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tenor.arrays import make_array, make_scalar, release_memory, to_numpy
from tenor.corpus.class_order import ClassOrder
from tenor.corpus.corpus import Corpus, changed_bytes
from tenor.corpus.groups import (
    flatten,
    hash_triples,
    list_lengths,
    participant_parents,
    split_triples,
)
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
from tenor.corpus.sorting import StringSorter
from tenor.corpus.strict import assign_strict
from tenor.errors import CorpusError, StorageError
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
    class_order: ClassOrder,
    base: Corpus | None = None,
    num_taken: int = 0,
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
        class_order: of the classes.
        base: the corpus from which the first `num_taken` files are taken over.
        num_taken: see `base`.

    Raises:
        CorpusError: a conversation_id occurs twice, or a file of `base` is damaged: with a new hash it would pass for
            sound.
        UsageError: a positive class that is asked for is not one of two.
    """
    tables = [open_table(folder / name, is_read_ahead=not assign_strictly) for name in names]
    splits = _assign_strict_columns(tables, plan) if assign_strictly else None
    earlier = _EarlierFiles(base, num_taken)
    first_row = 0
    for name, table in zip(names, tables, strict=True):
        if splits is not None or table.schema != schema:
            earlier.leave(folder / name)
            _rewrite_file(folder / name, table, schema, splits, first_row)
        first_row += table.num_rows
    del tables
    vectors = schema.field("features").type.value_type if "features" in schema.names else None
    with contextlib.closing(_Census(plan, folder)) as census:
        files = tuple(census.take(folder / name, damaged=earlier.error_of(name)) for name in names)
        for file in files:
            earlier.require_same(file.name, file.sha256)
        _require_unique_ids(census.ids)
        release_memory()
        info = CorpusInfo(
            counts={**extra_counts, **census.count()},
            has_text="text" in schema.names,
            has_timestamps=census.has_timestamps,
            input_size=None if vectors is None else vectors.list_size,
            feature_dtype=None if vectors is None else feature_dtype_name(vectors.value_type),
            feature_names=feature_names,
            encoder=encoder,
            classes=class_order.arrange(_find_classes(census)),
            split=plan,
            split_hash=hash_triples(census.triples),
            sources=tuple(sources),
            files=files,
            fingerprint=hashlib.sha256("\n".join(file.sha256 for file in files).encode()).hexdigest(),
        )
    write_json(folder / STATE_NAME, state_json(names, info.fingerprint))
    write_json(folder / DATASET_INFO_NAME, dataset_info_json(schema))
    write_json(folder / INFO_NAME, info_to_json(info))
    return info


#: What an author that is not known is called; compared in lower case.
_NOBODY = [
    "[deleted]", "[removed]", "[deleted user]", "deleted", "deleted user", "deleted account", "unknown", "anonymous",
    "nan", "na", "n/a", "none", "null", "<na>",
]  # fmt: skip

#: A census does not look into these.
_LONG_COLUMNS = ("text", "features")

#: Counts that are only there where they are not 0.
_SELDOM = ("alike_authors", "nobody_sequences")

#: Split columns to put in place of those written: split (C,), participant_splits' entries (P,) and offsets (C
#: + 1,).
_SplitColumns = tuple[pa.Array, pa.Array, np.ndarray]


def _assign_strict_columns(tables: Sequence[pa.Table], plan: SplitPlan) -> _SplitColumns:
    columns = ["conversation_id", "group", "participants"]
    table = pa.concat_tables([part.select(columns) for part in tables])
    units, is_named = table["conversation_id"], None
    if plan.by in (None, "group"):
        units, is_named = pc.coalesce(table["group"], units), to_numpy(table["group"].is_valid())
    assignment = assign_strict(
        units.to_numpy(),
        flatten(table["participants"]).to_numpy(),
        participant_parents(table),
        plan,
        is_named=is_named,
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


def _require_unique_ids(ids: Iterable[str]) -> None:
    """Refuse an id that stands twice among the sorted ones."""
    for first, second in pairwise(ids):
        if first == second:
            raise CorpusError(
                f"conversation_id: expected unique ids, found {first[:80]!r} more than once: rename one"
            )


class _Hashing:
    """A file that is hashed as it is read: a corpus larger than memory is not to be read twice."""

    closed = False

    def __init__(self, handle: BinaryIO, digest: hashlib._Hash) -> None:
        self._handle, self._digest = handle, digest

    def read(self, size: int) -> bytes:
        data = self._handle.read(size)
        self._digest.update(data)
        return data


def _read_batches(path: Path, digest: hashlib._Hash, *, is_sound: bool) -> Iterator[pa.RecordBatch]:
    """The batches of a file, not mapped: mapped pages that were read count as the process's memory.

    Args:
        path: the file.
        digest: is told every byte of it.
        is_sound: False has the columns that a census reads proven, before a damaged one has it read beyond them.

    Raises:
        StorageError: it cannot be read.
    """
    try:
        with path.open("rb") as handle:
            source = _Hashing(handle, digest)
            with pa.ipc.open_stream(source) as reader:
                yield from reader if is_sound else map(_proven, reader)  # neither keeps a batch
            while source.read(1 << 20):  # what follows the last batch
                pass
    except (pa.ArrowException, OSError) as error:
        raise StorageError(f"cannot read {path} again: {error}") from error


def _proven(batch: pa.RecordBatch) -> pa.RecordBatch:
    """A batch whose columns that a census reads are sound; else an ArrowInvalid."""
    for name in batch.schema.names:
        if name not in _LONG_COLUMNS:
            batch.column(name).validate(full=True)
    return batch


class _EarlierFiles:
    """Files that are taken over from a corpus: damaged ones are not to be given a new hash, with which they pass."""

    def __init__(self, base: Corpus | None, number: int) -> None:
        files = () if base is None else base.info.files[:number]
        self._hashes = {file.name: file.sha256 for file in files}
        self._errors = (
            {} if base is None else {file.name: changed_bytes(base.path / file.name) for file in files}
        )

    def error_of(self, name: str) -> CorpusError | None:
        """What to say of a file that is damaged; None = it was not taken over as it is."""
        return self._errors.get(name)

    def require_same(self, name: str, digest: str) -> None:
        """Refuse a file that was taken over and has another hash than there.

        Raises:
            CorpusError: its bytes have changed.
        """
        if name in self._hashes and self._hashes[name] != digest:
            raise self._errors[name]

    def leave(self, path: Path) -> None:
        """Compare a file that is to be written anew, while its hash is still that of the corpus.

        Raises:
            CorpusError: as require_same.
        """
        if path.name in self._hashes:
            self.require_same(path.name, sha256_file(path))
            del self._hashes[path.name], self._errors[path.name]


class _Census:
    """What is to be said of a whole corpus, gathered batch by batch, in memory that does not grow with it.

    Attributes:
        ids: of the conversations.
        triples: of each level (see `split_triples`).
        has_timestamps: whether any message has one.
        labels: column -> each batch's distinct labels.
    """

    def __init__(self, plan: SplitPlan, folder: Path) -> None:
        self.ids = StringSorter(folder)
        self.triples = (StringSorter(folder), StringSorter(folder))
        self.has_timestamps = False
        self.labels: dict[str, list[pa.Array]] = {"label": [], "participant_labels": []}
        self._plan = plan
        self._counts: Counter[str] = Counter()
        self._authors = StringSorter(folder)

    def take(self, path: Path, *, damaged: CorpusError | None = None) -> FileInfo:
        """Read a file.

        Args:
            path: of the file.
            damaged: what is raised where it cannot be read; None = it was written just now, and can be.
        """
        rows, digest = 0, hashlib.sha256()
        try:
            for batch in _read_batches(path, digest, is_sound=damaged is None):
                self._add(pa.Table.from_batches([batch]))
                rows += batch.num_rows
                del batch  # before the next is read
                release_memory()
        except StorageError as error:
            if damaged is None:
                raise
            raise damaged from error
        return FileInfo(path.name, path.stat().st_size, digest.hexdigest(), rows)

    def _add(self, table: pa.Table) -> None:
        participants, authors = flatten(table["participants"]), flatten(table["authors"]).combine_chunks()
        self.ids.add(pa.concat_arrays(table["conversation_id"].chunks))
        for found, triples in zip(self.triples, split_triples(table, self._plan), strict=True):
            found.add(triples)
        times = flatten(table["timestamp"])
        self.has_timestamps |= times.null_count < len(times)
        for name, labels in self.labels.items():
            column = table[name] if name == "label" else flatten(table[name])
            labels.append(pc.unique(column.drop_null()))
        codes = authors.dictionary_encode()
        rows = np.repeat(np.arange(len(table)), list_lengths(table["authors"]))
        pairs = rows * len(codes.dictionary) + to_numpy(codes.indices)
        self._authors.add(_with_likeness(codes.dictionary))
        sequences = np.unique(pairs)
        is_nobody = to_numpy(_are_nobody(codes.dictionary))
        self._counts.update(
            conversations=len(table),
            messages=len(authors),
            participants=len(participants),
            author_sequences=len(sequences),
            nobody_sequences=int(is_nobody[sequences % len(is_nobody)].sum()) if len(is_nobody) else 0,
            left_out_conversations=table["split"].null_count,
            left_out_author_sequences=flatten(table["participant_splits"]).null_count,
        )

    def close(self) -> None:
        """Let go of what was gathered."""
        for sorter in (self.ids, *self.triples, self._authors):
            sorter.close()

    def count(self) -> dict[str, int]:
        """The corpus's counts."""
        authors = alike = 0
        for _, names in groupby(self._authors, lambda name: name.partition("\0")[0]):
            distinct = sum(1 for _ in groupby(names))
            authors += distinct
            alike += distinct if distinct > 1 else 0
        counts = {**self._counts, "authors": authors, "alike_authors": alike}
        return {name: count for name, count in counts.items() if count or name not in _SELDOM}


def _are_nobody(names: pa.Array) -> pa.Array:
    """Which names stand for authors that are not known, as platforms and tables write them."""
    lowered = pc.utf8_lower(pc.utf8_trim_whitespace(names))
    return pc.is_in(lowered, value_set=make_array(_NOBODY, lowered.type))


def _with_likeness(names: pa.Array) -> pa.Array:
    """Names behind what they have in common with those that a person reads as the same, and a NUL."""
    alike = pc.utf8_lower(pc.utf8_trim_whitespace(pc.utf8_normalize(names, form="NFKC")))
    alike = pc.replace_substring_regex(alike, r"\s+", " ")
    between = make_scalar("\0", names.type)  # of Python's own text Arrow asks pandas
    return pc.binary_join_element_wise(pc.replace_substring(alike, "\0", " "), names, between)


def _find_classes(census: _Census) -> dict[Level, set[Label]]:
    conversation, author = (_classes_of(pa.chunked_array(found)) for found in census.labels.values())
    return {"conversation": conversation, "author": author, "profile": author}


def _classes_of(labels: pa.ChunkedArray) -> set[Label]:
    if len(labels) == 0:
        return set()
    return {0, 1} if pa.types.is_integer(labels.type) else set(pc.unique(labels).to_pylist())
