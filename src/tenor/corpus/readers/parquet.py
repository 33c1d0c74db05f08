"""Parquet: one row a conversation, or one row a message.

Texts stay dictionary-encoded until a small part of a batch is unpacked, so a file that repeats one long text
a million times does not fill the memory. Knows nothing of how rows become conversations.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa

from tenor.corpus.readers.batches import read_batches
from tenor.corpus.readers.columns import ColumnMap
from tenor.corpus.readers.kinds import check_schema, find_unit, kind_of
from tenor.corpus.readers.labels import ClassNames
from tenor.corpus.readers.records import Item, Limits
from tenor.corpus.readers.tally import Tally
from tenor.errors import InputError

ParquetFile: TypeAlias = Any  # pyarrow has no types

#: Batches are read with as many rows as come to about so many bytes, by the row group's mean.
BATCH_BYTES, MAX_BATCH_ROWS = 16 << 20, 8192


def read_parquet(
    path: Path, columns: ColumnMap | None = None, limits: Limits | None = None, tally: Tally | None = None
) -> Iterator[Item]:
    """Read a Parquet file as conversations.

    Columns, by the names of the map: where a row is a conversation, the corpus's own (``authors``, ``text``,
    ``timestamp``, ``features``, ... one list a row) or ``messages``, a list of structs; where a row is a
    message, those of a CSV file. Dates and times are taken as UTC where they name no zone.

    Yields:
        Conversations, and Rejects for rows that break a rule; both in the order of the file.

    Raises:
        InputError: the file is truncated, damaged or unpacks to too much, a column is missing or of a wrong
            type or of another than in an earlier file, or rows of one conversation are apart.
    """
    columns, limits, tally = columns or ColumnMap(), limits or Limits(), tally or Tally()
    with _open(path, []) as probe:
        schema, metadata = probe.schema_arrow, probe.metadata
        unit = find_unit(schema, columns, path)
        used = check_schema(schema, columns, path, unit)
        groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
        limits.check_growth(sum(group.total_byte_size for group in groups), path.stat().st_size, str(path))
        texts = _text_leaves(probe, used)
    tally.begin(str(path), unit)
    tally.agree_on_columns({name: kind_of(schema.field(name).type) for name in used}, str(path))
    rows = tally.rows
    with _open(path, texts) as file:
        batches = _iterate(file, used, [(group.num_rows, group.total_byte_size) for group in groups], path)
        labels = ClassNames(schema, columns, path)
        yield from read_batches(map(labels.replace, batches), str(path), columns, limits, tally, unit)
    for name in schema.names:
        if name not in used:
            tally.count_unknown(name, tally.rows - rows)


def _open(path: Path, texts: list[str]) -> ParquetFile:
    import pyarrow.parquet as pq  # imported here: only this reader pays for it

    try:
        return pq.ParquetFile(path, read_dictionary=texts, buffer_size=1 << 20)
    except FileNotFoundError as error:
        raise InputError("no such file", path=path) from error
    except (pa.ArrowException, OSError, MemoryError) as error:
        raise InputError("truncated, damaged, or no Parquet file", path=path) from error


def _text_leaves(file: ParquetFile, used: list[str]) -> list[str]:
    """Paths of the string columns among the used ones, nested ones too."""
    leaves = (file.schema.column(index) for index in range(len(file.schema)))
    return [
        leaf.path
        for leaf in leaves
        if leaf.path.split(".")[0] in used
        and leaf.physical_type == "BYTE_ARRAY"
        and not leaf.path.endswith(".key")
    ]


def _iterate(
    file: ParquetFile, used: list[str], groups: list[tuple[int, int]], path: Path
) -> Iterator[pa.RecordBatch]:
    for index, (num_rows, num_bytes) in enumerate(groups):
        if num_rows <= 0:
            continue
        rows = max(1, min(MAX_BATCH_ROWS, BATCH_BYTES * num_rows // max(num_bytes, 1)))
        try:
            yield from file.iter_batches(batch_size=rows, row_groups=[index], columns=used)
        except (pa.ArrowException, OSError, MemoryError) as error:
            raise InputError("truncated or damaged Parquet file", path=path) from error
