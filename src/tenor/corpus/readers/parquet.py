"""Parquet: one row a conversation, or one row a message.

Texts stay dictionary-encoded until a small part of a batch is unpacked, so a file that repeats one long text
a million times does not fill the memory. Knows nothing of how rows become conversations.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from tenor.corpus.readers.batches import check_batches, read_batches
from tenor.corpus.readers.columns import ColumnMap
from tenor.corpus.readers.kinds import check_schema, decode_names, find_unit, kind_of
from tenor.corpus.readers.labels import ClassNames
from tenor.corpus.readers.records import ARROW_ERRORS, Item, Limits
from tenor.corpus.readers.tally import Tally
from tenor.errors import InputError

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
    schema, groups, leaves = _inspect(path)
    limits.check_growth(sum(group.num_bytes for group in groups), path.stat().st_size, str(path))
    unit = find_unit(schema, columns, path)
    used = check_schema(schema, columns, path, unit)
    tally.begin(str(path), unit)
    tally.agree_on_columns({name: kind_of(schema.field(name).type) for name in used}, str(path))
    rows = tally.rows
    texts = [leaf for leaf in leaves if leaf.split(".")[0] in used and not leaf.endswith(".key")]
    labels = ClassNames(schema, columns, path)
    batches = check_batches(_iterate(path, used, texts, groups), path)
    yield from read_batches(map(labels.replace, batches), str(path), columns, limits, tally, unit)
    for name in schema.names:
        if name not in used:
            tally.count_unknown(name, tally.rows - rows)


class _Group(NamedTuple):
    """A row group: its rows, and its bytes unpacked but still encoded."""

    num_rows: int
    num_bytes: int


def _inspect(path: Path) -> tuple[pa.Schema, list[_Group], list[str]]:
    """A file's schema, its row groups, and the paths of its string columns, nested ones too."""
    import pyarrow.parquet as pq  # imported here: only this reader pays for it

    try:
        with pq.ParquetFile(path) as file:
            groups = [file.metadata.row_group(index) for index in range(file.metadata.num_row_groups)]
            leaves = [file.schema.column(index) for index in range(len(file.schema))]
            texts = [leaf.path for leaf in leaves if leaf.physical_type == "BYTE_ARRAY"]
            schema = file.schema_arrow
            decode_names(schema)
            return schema, [_Group(group.num_rows, group.total_byte_size) for group in groups], texts
    except FileNotFoundError as error:
        raise InputError("no such file", path=path) from error
    except ARROW_ERRORS as error:
        raise InputError("truncated, damaged, or no Parquet file", path=path) from error


def _iterate(path: Path, used: list[str], texts: list[str], groups: list[_Group]) -> Iterator[pa.RecordBatch]:
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, read_dictionary=texts, buffer_size=1 << 20) as file:
            for index, group in enumerate(groups):
                rows = BATCH_BYTES * group.num_rows // max(group.num_bytes, 1)
                rows = max(1, min(MAX_BATCH_ROWS, rows))
                yield from file.iter_batches(batch_size=rows, row_groups=[index], columns=used)
    except ARROW_ERRORS as error:
        raise InputError("truncated or damaged Parquet file", path=path) from error
