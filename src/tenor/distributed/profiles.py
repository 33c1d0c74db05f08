"""Profiles of predictions shards: rows dealt by author into buckets, each aggregated at once.

The deal and the grouping are Ray's own operators; the aggregation is that of one machine. Knows nothing of models.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tenor.aggregation.fixed import LabelRule
from tenor.distributed.shards import ShardFolder, make_mark
from tenor.distributed.stages import ShardSummary, make_absolute, start_ray
from tenor.errors import InputError, TenorError, UsageError
from tenor.evaluation.applying import apply_aggregation, find_applicable
from tenor.files import sha256_file
from tenor.models.model_file import ModelMetadata, read_metadata
from tenor.predictions.checksums import read_table
from tenor.predictions.writing import FINGERPRINT, KNOWN_WORDS

_BUCKET = "bucket"

#: Into how many parts Ray deals the buckets, at most: its own default, which is too many for few.
_MOST_PARTITIONS = 200


@dataclass(frozen=True, slots=True)
class ProfileWork:
    """What the aggregation of a bucket is told; see `profile_shards`."""

    dest: str
    aggregation: str
    profile_label: LabelRule
    schema: bytes
    mark: str
    buckets: int
    metadata: ModelMetadata | None

    def name(self, bucket: int) -> str:
        """The file of a bucket."""
        return f"part-{bucket:05d}-of-{self.buckets:05d}.parquet"


def profile_shards(
    source: str,
    dest: str,
    *,
    model_path: str | Path | None = None,
    aggregation: str | None = None,
    profile_label: LabelRule = "majority",
    buckets: int = 64,
) -> ShardSummary:
    """Aggregate predictions of authors' sequences into predictions of profiles.

    Their threshold is the one that the model's file has for the aggregation; without the file there is none.

    Args:
        source: a folder or URL of predictions files of one author model.
        dest: where ``part-00000-of-00064.parquet``, ... go, each with the profiles of some authors.
        model_path: the model whose predictions they must be; None = any one.
        aggregation: one of the fixed ones, or ``"trained"``, the one in the model's file; None = that one, or
            without it the mean.
        profile_label: see evaluate_profile_classifier.
        buckets: files of profiles; one is held in memory at a time by each worker.

    Raises:
        ModelFileError: no sound model file.
        UsageError: an aggregation that has to be fitted, or that the model's file lacks; or no buckets.
        InputError: no predictions files, or of different models or another level.
        MissingExtraError: Ray is not installed.
    """
    metadata = None if model_path is None else read_metadata(model_path)
    aggregation = find_applicable(metadata, aggregation)
    if buckets < 1:
        raise UsageError(f"buckets must be 1 or more, not {buckets}")
    folder, target = ShardFolder(make_absolute(source)), ShardFolder(make_absolute(dest))
    names = folder.names()
    if not names:
        raise InputError("expected Parquet files of predictions, found none", path=source)
    schema = _read_shared_schema(folder, names)
    if model_path is not None:
        found = json.loads(pa.ipc.read_schema(pa.py_buffer(schema)).metadata[b"tenor.predictions"])
        if found.get("model_hash") != sha256_file(Path(model_path)):
            raise InputError(
                f"expected predictions of {model_path}, found some of {found.get('model')}", path=source
            )
    versions = [folder.version(name) for name in names]
    mark = make_mark("profile", aggregation, profile_label, str(buckets), *versions)
    work = ProfileWork(target.url, aggregation, profile_label, schema, mark, buckets, metadata)
    target.filesystem.makedirs(target.path("").rstrip("/"), exist_ok=True)
    strangers = sorted(set(target.names()) - {work.name(bucket) for bucket in range(buckets)})
    if strangers:
        raise InputError(f"holds other files, such as {strangers[0]}: remove them", path=dest)
    done = frozenset(bucket for bucket in range(buckets) if target.mark_of(work.name(bucket)) == mark)
    if len(done) == buckets:
        return ShardSummary(0, 0, buckets)
    rows = _aggregate(folder, names, work, done)
    errors = sorted(row["error"] for row in rows if row["error"])
    if errors:
        raise InputError(errors[0], path=source)
    made = {int(row[_BUCKET]) for row in rows}
    for bucket in set(range(buckets)) - made - done:  # no author fell into it
        target.write(work.name(bucket), _profiles_of(pa.table({}), work), mark)
    return ShardSummary(buckets - len(done), sum(int(row["rows"]) for row in rows), len(done))


def _aggregate(
    folder: ShardFolder, names: list[str], work: ProfileWork, done: frozenset[int]
) -> list[dict[str, Any]]:
    ray = start_ray()
    buckets = work.buckets

    def deal(batch: dict[str, Any]) -> pa.Table:
        return pa.concat_tables(_deal(folder, str(name), work, done) for name in batch["shard"])

    def aggregate(table: pa.Table) -> pa.Table:
        bucket = int(table[_BUCKET][0].as_py())
        try:
            profiles = _profiles_of(table.drop_columns([_BUCKET]), work)
            ShardFolder(work.dest).write(work.name(bucket), profiles, work.mark)
            found, error = profiles.num_rows, ""
        except TenorError as caught:
            found, error = 0, str(caught)
        return pa.table({_BUCKET: [bucket], "rows": [found], "error": [error]})

    rows: list[dict[str, Any]] = (
        ray.data.from_items([{"shard": name} for name in names], override_num_blocks=len(names))
        .map_batches(deal, batch_size=1)
        .groupby(_BUCKET, num_partitions=min(buckets, _MOST_PARTITIONS))
        .map_groups(aggregate, batch_format="pyarrow")
        .take_all()
    )
    return rows


def _deal(folder: ShardFolder, name: str, work: ProfileWork, done: frozenset[int]) -> pa.Table:
    """A predictions file with the bucket of each row's author; without the rows of buckets that are done."""
    buckets, columns = work.buckets, pa.ipc.read_schema(pa.py_buffer(work.schema)).names
    with folder.fetch(name) as local:
        table = read_table(local, remedy="remove that shard and predict again", columns=columns)
    authors = table["author"].combine_chunks().dictionary_encode()
    numbers = np.array(
        [crc32(author.encode()) % buckets for author in authors.dictionary.to_pylist()], np.int64
    )
    found = numbers[authors.indices.to_numpy()]
    table = table.replace_schema_metadata(None).append_column(_BUCKET, pa.array(found))
    return table.filter(pa.array(~np.isin(found, list(done))))


def _profiles_of(table: pa.Table, work: ProfileWork) -> pa.Table:
    """The profiles of some sequences' predictions; of none, an empty table."""
    from tenor.predictions import from_arrow, to_arrow

    schema = pa.schema(pa.ipc.read_schema(pa.py_buffer(work.schema)))
    whole = pa.table({name: table[name] for name in schema.names}) if table.num_rows else schema.empty_table()
    sequences = from_arrow(whole.cast(schema).replace_schema_metadata(schema.metadata), work.dest)
    return to_arrow(
        apply_aggregation(sequences, work.metadata, work.aggregation, profile_label=work.profile_label)
    )


def _read_shared_schema(folder: ShardFolder, names: list[str]) -> bytes:
    """The schema, serialised, that all predictions files share; what profiles do not need may be absent in some."""
    first: pa.Schema | None = None
    for name in names:
        try:
            with folder.filesystem.open(folder.path(name)) as handle:
                schema = pq.read_schema(handle)
        except (OSError, pa.ArrowException) as error:
            raise InputError("cannot be read as Parquet", path=f"{folder.url}/{name}") from error
        metadata = {
            key: value for key, value in (schema.metadata or {}).items() if key == b"tenor.predictions"
        }
        schema = schema.with_metadata(metadata)
        if first is None:
            first = schema
        unneeded = {FINGERPRINT}
        if KNOWN_WORDS not in schema.names or KNOWN_WORDS not in first.names:  # files of earlier versions
            unneeded.add(KNOWN_WORDS)
        schema, first = (_without(each, unneeded) for each in (schema, first))
        if "author" not in schema.names or not metadata:
            raise InputError(
                "expected predictions of an author model (tenor predict)", path=f"{folder.url}/{name}"
            )
        if not schema.equals(first, check_metadata=True):
            raise InputError(f"of another model than {names[0]}", path=f"{folder.url}/{name}")
    return b"" if first is None else bytes(first.serialize().to_pybytes())


def _without(schema: pa.Schema, names: set[str]) -> pa.Schema:
    """The schema without some fields."""
    return pa.schema([each for each in schema if each.name not in names], metadata=schema.metadata)
