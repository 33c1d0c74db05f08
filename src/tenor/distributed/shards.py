"""Parquet shards in a folder or under a URL: their names, and how one comes and goes.

A shard of analyzed conversations has a corpus's columns, and what ``tenor.json`` would say of it in its metadata.
Knows nothing of Ray.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tenor.corpus.class_order import ClassOrder
from tenor.corpus.corpus import Corpus, open_corpus
from tenor.corpus.finishing import finish_corpus
from tenor.corpus.info import CorpusInfo, info_from_json, info_to_json
from tenor.errors import CorpusError, InputError, StorageError
from tenor.files import publish_file, publish_folder
from tenor.predictions.checksums import open_writer

_INFO_KEY, _MARK_KEY = b"tenor.corpus", b"tenor.shard"
_SUFFIX = ".parquet"


@dataclass(frozen=True)
class ShardFolder:
    """A folder of Parquet shards.

    Attributes:
        url: a local path, or a URL of fsspec such as ``s3://bucket/folder``.
    """

    url: str

    @cached_property
    def _place(self) -> tuple[Any, str]:
        from fsspec.core import url_to_fs

        try:
            return url_to_fs(self.url)  # type: ignore[no-any-return]
        except (ValueError, ImportError) as error:
            raise InputError(f"cannot be reached: {error}", path=self.url) from error

    @property
    def filesystem(self) -> Any:  # noqa: ANN401 - fsspec has no types
        """The fsspec file system."""
        return self._place[0]

    def path(self, name: str) -> str:
        """A shard's path on the file system."""
        return f"{self._place[1].rstrip('/')}/{name}"

    def names(self) -> list[str]:
        """The shards, in the order of their names; none where there is no folder.

        Raises:
            InputError: the folder cannot be listed.
        """
        try:
            paths = self.filesystem.ls(self._place[1], detail=False)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise InputError(f"cannot be listed: {error}", path=self.url) from error
        names = (str(path).rstrip("/").rsplit("/", 1)[-1] for path in paths)
        return sorted(name for name in names if name.endswith(_SUFFIX) and name[0] not in "._")

    def version(self, name: str) -> str:
        """What changes when a shard does."""
        return str(self.filesystem.ukey(self.path(name)))

    @contextlib.contextmanager
    def fetch(self, name: str) -> Iterator[Path]:
        """Hand out a local copy of a shard, or the shard itself where it is local."""
        if self._is_local:
            yield Path(self.path(name))
            return
        with tempfile.TemporaryDirectory() as folder:
            local = Path(folder, name)
            self.filesystem.get_file(self.path(name), str(local))
            yield local

    def write(self, name: str, table: pa.Table, mark: str) -> None:
        """Write a shard, whole or not at all.

        Args:
            name: of the shard.
            table: its content, with metadata in the schema.
            mark: of what it was made from and by; see `mark_of`.

        Raises:
            StorageError: it cannot be written.
        """
        table = table.replace_schema_metadata({**(table.schema.metadata or {}), _MARK_KEY: mark.encode()})
        try:
            if self._is_local:
                with (
                    publish_file(Path(self.path(name))) as temporary,
                    open_writer(temporary, table.schema) as out,
                ):
                    out.write_table(table)
                return
            with tempfile.TemporaryDirectory() as folder:
                local = Path(folder, name)
                with open_writer(local, table.schema) as out:
                    out.write_table(table)
                self.filesystem.put_file(str(local), self.path(name))  # an object store shows it whole
        except OSError as error:
            raise StorageError(f"cannot write {self.url}/{name}: {error}") from error

    def mark_of(self, name: str) -> str | None:
        """The mark that a shard was written with; None where it has none or cannot be read."""
        try:
            with self.filesystem.open(self.path(name)) as handle:
                metadata = pq.read_schema(handle).metadata
        except (OSError, pa.ArrowException):
            return None
        return None if not metadata or _MARK_KEY not in metadata else metadata[_MARK_KEY].decode()

    @property
    def _is_local(self) -> bool:
        protocols = self.filesystem.protocol
        return "file" in ((protocols,) if isinstance(protocols, str) else protocols)


def make_mark(*parts: str) -> str:
    """A hash over what decides a shard's content: the work, the model, the shard it is made from."""
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()


def corpus_to_table(corpus: Corpus) -> pa.Table:
    """An analyzed corpus as one table, with what ``tenor.json`` says in its metadata."""
    metadata = json.dumps(info_to_json(corpus.info), sort_keys=True).encode()
    return corpus.table.replace_schema_metadata({_INFO_KEY: metadata})


def table_to_corpus(table: pa.Table, folder: Path, source: Path | str) -> Corpus:
    """Write a shard's table as a corpus folder and open it.

    Args:
        table: from `corpus_to_table`.
        folder: to make.
        source: the shard, for errors.

    Raises:
        CorpusError: it is no shard of an analyzed corpus, or damaged.
    """
    info = read_shard_info(table.schema, source)
    schema = pa.schema(table.schema).remove_metadata()
    try:
        with publish_folder(folder) as temporary:
            name = "data-00000.arrow"
            with pa.OSFile(str(temporary / name), "wb") as sink, pa.ipc.new_stream(sink, schema) as stream:
                stream.write_table(table.replace_schema_metadata(None))
            finish_corpus(
                temporary,
                [name],
                schema,
                plan=info.split,
                assign_strictly=False,
                encoder=info.encoder,
                feature_names=info.feature_names,
                sources=info.sources,
                extra_counts={},
                class_order=ClassOrder(known=info.classes),
            )
        return open_corpus(folder, verify=False)
    except (pa.ArrowException, KeyError, ValueError) as error:
        raise CorpusError(f"{source}: no shard of an analyzed corpus: {error}") from error


def read_shard_info(schema: pa.Schema, source: Path | str) -> CorpusInfo:
    """What a shard's metadata says of it.

    Raises:
        CorpusError: it says nothing, or nothing sound.
    """
    value = (schema.metadata or {}).get(_INFO_KEY)
    if value is None:
        raise CorpusError(
            f"{source}: expected a shard of analyzed conversations, found a Parquet file without tenor's metadata: "
            "encode it first (tenor encode SHARDS DEST --engine ray --encoder like:CORPUS)"
        )
    try:
        return info_from_json(json.loads(value), Path(str(source)))
    except (ValueError, RecursionError) as error:
        raise CorpusError(f"{source}: damaged metadata: {error}") from error
