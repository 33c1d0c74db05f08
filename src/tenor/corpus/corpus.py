"""A corpus folder, opened: columns on the memory map, read without copying.

Checks what it opens; does not import Hugging Face datasets, and knows nothing of batches.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tenor.arrays import to_numpy
from tenor.corpus import readahead
from tenor.corpus.groups import list_lengths
from tenor.corpus.info import INFO_NAME, CorpusInfo, read_info
from tenor.corpus.layout import (
    DATASET_DICT_NAME,
    STATE_NAME,
    corpus_schema,
    open_table,
    read_state,
    recognise_file,
)
from tenor.corpus.mapped_rows import MappedRows
from tenor.corpus.schema import Conversation, Place
from tenor.errors import CorpusError
from tenor.files import require_path, sha256_file

#: Corpora up to this size are compared with their hashes whenever they are opened.
VERIFIED_BYTES = 256 << 20
#: Conversations turned into Python objects at a time.
_ROWS_AT_A_TIME = 64


@dataclass(frozen=True, eq=False)
class Corpus:
    """An open corpus.

    Attributes:
        path: the folder.
        info: what ``tenor.json`` says.
        table: the memory-mapped columns, one row a conversation (see design and `corpus_schema`).
        is_verified: whether the files' hashes were compared.
    """

    path: Path
    info: CorpusInfo
    table: pa.Table
    is_verified: bool

    @property
    def num_conversations(self) -> int:
        """How many conversations (rows)."""
        return int(self.table.num_rows)

    @property
    def num_messages(self) -> int:
        """How many messages."""
        return int(self.message_offsets[-1])

    @property
    def has_text(self) -> bool:
        """Whether the messages' texts are kept."""
        return self.info.has_text

    def __len__(self) -> int:
        return self.num_conversations

    def __repr__(self) -> str:
        """One line, without texts and names."""
        width = self.info.input_size
        parts = [
            repr(str(self.path)),
            f"{self.num_conversations:,} conversations",
            f"{self.info.counts.get('messages', 0):,} messages",
            "no features" if width is None else f"{width} features",
        ]
        return f"Corpus({', '.join(parts)})"

    def column(self, name: str) -> pa.ChunkedArray:
        """A column whose offsets and texts are proven sound, so that reading it stays inside its buffers.

        Raises:
            CorpusError: there is no such column, or it is damaged.
        """
        if name not in self.table.column_names:
            raise CorpusError(f"{self.path}: no column {name}: import the source with it")
        if self._is_large:
            for chunk in self.table[name].chunks:  # of the longest columns only the offsets
                readahead.will_need_buffers(chunk, but_last=name in ("text", "features"))
        if not self.is_verified and name not in self._sound_columns:
            self._require_sound(name)
            self._sound_columns.add(name)
        return self.table[name]

    def _require_sound(self, name: str) -> None:
        column = self.table[name]
        try:
            for chunk in column.chunks:
                if self._is_large and name == "text":
                    readahead.will_need_buffers(chunk)
                chunk.validate(full=True)
        except pa.ArrowException as error:
            raise CorpusError(f"{self.path}: column {name} is damaged: import the source again") from error
        if name in ("text", "timestamp", "features"):
            is_given = to_numpy(column.is_valid())
            if not np.array_equal(list_lengths(column)[is_given], np.diff(self.message_offsets)[is_given]):
                raise CorpusError(
                    f"{self.path}: column {name} has not one entry a message: import the source again"
                )

    @cached_property
    def _is_large(self) -> bool:
        return _is_large(self.info)

    @cached_property
    def _sound_columns(self) -> set[str]:
        return set()

    @cached_property
    def message_offsets(self) -> npt.NDArray[np.int64]:
        """Where each conversation's messages begin among all messages: (C + 1,)."""
        return np.concatenate([[0], np.cumsum(list_lengths(self.column("authors")))]).astype(np.int64)

    @cached_property
    def chunk_offsets(self) -> npt.NDArray[np.int64]:
        """Where each record batch's messages begin among all messages: (batches + 1,)."""
        rows = np.cumsum([0, *(len(chunk) for chunk in self.table["conversation_id"].chunks)])
        offsets: npt.NDArray[np.int64] = self.message_offsets[rows]
        return offsets

    def require_features(self) -> int:
        """Refuse a corpus that was not encoded.

        Returns:
            Features a message.

        Raises:
            CorpusError: with the way to features.
        """
        if self.info.input_size is None:
            remedy = (
                "encode it first: tenor encode SOURCE DEST"
                if self.has_text
                else "import it with text or features"
            )
            raise CorpusError(f"{self.path}: expected messages with features, found none ({remedy})")
        return self.info.input_size

    @cached_property
    def feature_chunks(self) -> list[npt.NDArray[np.floating[Any]]]:
        """Each record batch's features, (messages, F), as read-only arrays on the memory map.

        Raises:
            CorpusError: the corpus has none.
        """
        input_size = self.require_features()
        vectors = [chunk.flatten() for chunk in self._message_chunks("features")]
        if any(vector.null_count for vector in vectors):
            raise CorpusError(f"{self.path}: features has empty entries: import the source again")
        return [to_numpy(vector).reshape(-1, input_size) for vector in vectors]

    @cached_property
    def features(self) -> MappedRows:
        """All messages' features, (M, F), as they lie on the memory map: gathered by the rows of messages.

        Raises:
            CorpusError: the corpus has none.
        """
        return MappedRows.of(self.feature_chunks)

    def will_need_text(self, chunk: int) -> None:
        """Ask for a record batch's texts to be read into memory; returns at once."""
        if self._is_large:
            readahead.will_need_buffers(self.text_chunks[chunk])

    @cached_property
    def text_chunks(self) -> list[pa.Array]:
        """Each record batch's texts, one entry a message, on the memory map.

        Raises:
            CorpusError: the corpus keeps none.
        """
        if not self.has_text:
            raise CorpusError(
                f"{self.path}: expected messages with text, found none (import the source with its text)"
            )
        return self._message_chunks("text")

    @cached_property
    def text_bytes(self) -> int:
        """Bytes of all texts, as UTF-8."""
        return sum(pc.sum(pc.binary_length(chunk)).as_py() or 0 for chunk in self.text_chunks)

    @cached_property
    def time_chunks(self) -> list[pa.ListArray]:
        """Each record batch's timestamps, a list or null a conversation, on the memory map."""
        chunks: list[pa.ListArray] = self.column("timestamp").chunks
        return chunks

    @cached_property
    def author_chunks(self) -> list[pa.Array]:
        """Each record batch's authors, one entry a message, on the memory map."""
        return self._message_chunks("authors")

    def _message_chunks(self, name: str) -> list[pa.Array]:
        """The entries of a column that must have one a message, for each record batch."""
        column = self.column(name)
        entries = [chunk.flatten() for chunk in column.chunks]
        if column.null_count or any(part.null_count for part in entries):
            raise CorpusError(f"{self.path}: expected {name} for every message: import the source again")
        return entries

    def conversations(self, start: int = 0, stop: int | None = None) -> Iterator[Conversation]:
        """Read conversations one after another, a few in memory at a time.

        Each brings the splits that the corpus gave it, so that a `CorpusWriter` with the same plan keeps
        them.

        Args:
            start: the first row.
            stop: the row after the last; None = to the end.
        """
        columns = [name for name in self.table.column_names if name != "features"]
        for name in columns:
            self.column(name)
        has_features = self.info.input_size is not None
        end = self.num_conversations if stop is None else min(stop, self.num_conversations)
        for first in range(start, end, _ROWS_AT_A_TIME):
            rows = self.table.select(columns).slice(first, min(_ROWS_AT_A_TIME, end - first)).to_pylist()
            for number, row in enumerate(rows, start=first):
                yield self._make_conversation(
                    number, row, self.conversation_features(number) if has_features else None
                )

    def conversation_features(self, row: int) -> npt.NDArray[np.floating[Any]]:
        """One conversation's features, (T, F), as a read-only view on the memory map."""
        start, stop = self.message_offsets[row], self.message_offsets[row + 1]
        chunk = int(np.searchsorted(self.chunk_offsets, start, side="right")) - 1
        base = self.chunk_offsets[chunk]
        return self.feature_chunks[chunk][start - base : stop - base]

    def _make_conversation(
        self, number: int, row: dict[str, Any], features: npt.NDArray[np.floating[Any]] | None
    ) -> Conversation:
        labels = zip(row["participants"], row["participant_labels"], strict=True)
        return Conversation(
            conversation_id=row["conversation_id"],
            authors=row["authors"],
            texts=row.get("text"),
            timestamps=row["timestamp"],
            features=features,
            label=row["label"],
            author_labels={name: label for name, label in labels if label is not None},
            group=row["group"],
            split=row["split"],
            author_splits=dict(zip(row["participants"], row["participant_splits"], strict=True)),
            place=Place(str(self.path), number + 1),
        )


def open_corpus(path: Path | str, *, verify: bool | None = None) -> Corpus:
    """Open a corpus folder.

    Args:
        path: the folder.
        verify: compare all files with their hashes; None = when they are 256 MiB or less. Sizes, structure
            and the columns that are read are checked in any case.

    Raises:
        CorpusError: no corpus, or a damaged one, or one of a newer format version; with the remedy.
    """
    folder = require_path(path, "corpus")
    _require_corpus_folder(folder)
    info = read_info(folder)
    names = read_state(folder)
    if names != [file.name for file in info.files]:
        raise CorpusError(
            f"{folder}: {STATE_NAME} and {INFO_NAME} list different files: import the source again"
        )
    is_verified = (
        verify if verify is not None else sum(file.num_bytes for file in info.files) <= VERIFIED_BYTES
    )
    for file in info.files:
        found = (folder / file.name).stat().st_size
        if found != file.num_bytes:
            raise CorpusError(
                f"{folder / file.name}: expected {file.num_bytes} bytes, found {found}: "
                "truncated or changed, import the source again"
            )
        if is_verified and sha256_file(folder / file.name) != file.sha256:
            raise changed_bytes(folder / file.name)
    tables = [open_table(folder / name, is_read_ahead=_is_large(info)) for name in names]
    _check_columns(folder, info, tables)
    return Corpus(folder, info, pa.concat_tables(tables), is_verified)


def changed_bytes(path: Path) -> CorpusError:
    """The error for a file whose bytes are not those that its corpus has the hash of."""
    return CorpusError(f"{path}: its bytes have changed (checksum): import the source again")


def as_corpus(corpus: Corpus | Path | str) -> Corpus:
    """An open corpus as it is; a folder opened."""
    return corpus if isinstance(corpus, Corpus) else open_corpus(corpus)


def _is_large(info: CorpusInfo) -> bool:
    """Whether the columns lie far apart among features, so that the kernel is not to read around what is missed."""
    return info.input_size is not None and sum(file.num_bytes for file in info.files) >= readahead.LEAST_BYTES


def _require_corpus_folder(folder: Path) -> None:
    typed = shlex.quote(str(folder))
    if folder.is_file():
        found = recognise_file(folder)
        if found is not None:
            raise CorpusError(
                f"{folder}: expected a corpus folder, found {found}: name the corpus that goes with it "
                f"(tenor inspect {typed} says what it holds)"
            )
        raise CorpusError(
            f"{folder}: expected a corpus folder, found a file: a source is imported first: tenor import {typed} CORPUS"
        )
    if not folder.is_dir():
        raise CorpusError(f"{folder}: expected a corpus folder, found none: tenor import SOURCE {typed}")
    if (folder / INFO_NAME).exists() or (folder / INFO_NAME).is_symlink():
        return
    if (folder / DATASET_DICT_NAME).exists():
        raise CorpusError(
            f"{folder}: this is a DatasetDict of Hugging Face datasets, not a corpus: import it first: "
            f"tenor import {typed} DEST"
        )
    if (folder / STATE_NAME).exists():
        raise CorpusError(
            f"{folder}: a folder of Hugging Face datasets without {INFO_NAME}: import it first: "
            f"tenor import {typed} DEST"
        )
    raise CorpusError(f"{folder}: no corpus, {INFO_NAME} is absent: make one with tenor import SOURCE DEST")


def _check_columns(folder: Path, info: CorpusInfo, tables: list[pa.Table]) -> None:
    """Refuse columns other than what the info promises."""
    if not tables:
        raise CorpusError(f"{folder}: no data files: import the source again")
    schema = tables[0].schema
    types = {field.name: field.type for field in schema}
    entries = types.get("participant_labels")
    expected = corpus_schema(
        has_text=info.has_text,
        input_size=info.input_size,
        feature_dtype=info.feature_dtype,
        label_type=pa.string() if types.get("label") == pa.string() else pa.int64(),
        participant_label_type=pa.string() if entries == pa.list_(pa.string()) else pa.int64(),
    )
    for file, table in zip(info.files, tables, strict=True):
        if not table.schema.equals(expected):
            found, wanted = ({field.name: field.type for field in one} for one in (table.schema, expected))
            different = sorted(name for name in found | wanted if found.get(name) != wanted.get(name))
            raise CorpusError(
                f"{folder / file.name}: unexpected columns or types: {', '.join(different)}: import the source again"
            )
        for name in (
            "conversation_id",
            "authors",
            "participants",
            "participant_labels",
            "participant_splits",
        ):
            if table[name].null_count:
                raise CorpusError(f"{folder / file.name}: {name} has empty rows: import the source again")
        names = ("participants", "participant_labels", "participant_splits")
        lengths = [list_lengths(table[name]) for name in names]
        if any(not np.array_equal(lengths[0], other) for other in lengths[1:]):
            raise CorpusError(
                f"{folder / file.name}: {', '.join(names)} differ in length: import the source again"
            )
        if table.num_rows != file.num_conversations:
            raise CorpusError(
                f"{folder / file.name}: expected {file.num_conversations} conversations, "
                f"found {table.num_rows}: import the source again"
            )
