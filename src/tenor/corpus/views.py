"""What a SequenceClassifier reads: sequences of messages at the level of conversations or of their authors.

A view keeps ids, labels, offsets and group names in memory; texts and features stay on the memory map until
they are gathered. Knows nothing of batches, padding or torch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tenor.corpus.corpus import Corpus
from tenor.corpus.groups import conversation_groups, flatten, participant_groups, participant_parents
from tenor.corpus.schema import SPLITS, UNLABELLED, Label, Level, Split
from tenor.errors import CorpusError, UsageError

Strings = npt.NDArray[np.object_]
Integers = npt.NDArray[np.int64]

#: Sequences whose texts are read at a time.
_TEXTS_AT_A_TIME = 256


@dataclass(frozen=True, eq=False)
class SequenceView:
    """S sequences of a corpus, in the order of its conversations and of the participants in them.

    Attributes:
        corpus: where the messages are.
        level: ``conversation`` or ``author``.
        conversation_ids: (S,) str.
        authors: (S,) str; None at level conversation.
        groups: (S,) str, what splits are made of (see `SplitPlan.by`) and what resampling draws.
        splits: (S,) ``train``, ``validation``, ``test``, or "" = in no split.
        labels: (S,) int64, index into `classes`; -1 = unlabelled.
        lengths: (S,) int64, messages.
        classes: the labels as the user wrote them; binary is (0, 1); () = the corpus has none at this level.
        starts: (S,) int64, where the sequence begins among all messages, or in `order` where there is one.
        order: (M,) the corpus's messages sorted by sequence; None at level conversation, where they are so
            already.
    """

    corpus: Corpus
    level: Level
    conversation_ids: Strings
    authors: Strings | None
    groups: Strings
    splits: Strings
    labels: Integers
    lengths: Integers
    classes: tuple[Label, ...]
    starts: Integers
    order: npt.NDArray[np.int32] | npt.NDArray[np.int64] | None

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, which: npt.ArrayLike) -> SequenceView:
        """Some of the sequences.

        Args:
            which: (S,) bool, or indices in the wanted order.

        Raises:
            UsageError: a mask of another length.
        """
        index = np.asarray(which)
        if index.dtype == bool and index.shape != self.labels.shape:
            raise UsageError(f"select: expected a mask of {len(self)} entries, found {index.shape}")
        if index.dtype != bool:
            index = index.astype(np.int64)
        return dataclasses.replace(
            self,
            conversation_ids=self.conversation_ids[index],
            authors=None if self.authors is None else self.authors[index],
            groups=self.groups[index],
            splits=self.splits[index],
            labels=self.labels[index],
            lengths=self.lengths[index],
            starts=self.starts[index],
        )

    def in_split(self, split: Split) -> SequenceView:
        """The sequences of one split.

        Raises:
            UsageError: no such split.
        """
        if split not in SPLITS:
            raise UsageError(f"split: expected one of {', '.join(SPLITS)}, found {split!r}")
        return self.select(self.splits == split)

    def labelled(self) -> SequenceView:
        """The sequences that have a label."""
        return self.select(self.labels != UNLABELLED)

    def message_rows(self, indices: npt.ArrayLike) -> Integers:
        """Some sequences' messages, as rows among all messages of the corpus, one sequence after another."""
        index = np.asarray(indices, dtype=np.int64)
        lengths = self.lengths[index]
        shifts = self.starts[index] - (np.cumsum(lengths) - lengths)
        places = np.arange(lengths.sum()) + np.repeat(shifts, lengths)
        rows: Integers = places if self.order is None else self.order[places].astype(np.int64)
        return rows

    def conversation_rows(self) -> Integers:
        """The row of each sequence's conversation in the corpus: (S,)."""
        first = self.starts if self.order is None else self.order[self.starts]
        rows: Integers = np.searchsorted(self.corpus.message_offsets, first, side="right") - 1
        return rows

    def gather_features(
        self, indices: npt.ArrayLike, out: npt.NDArray[np.floating[Any]] | None = None
    ) -> npt.NDArray[np.floating[Any]]:
        """Copy some sequences' features into one packed array.

        Args:
            indices: which sequences, in the wanted order; one may occur twice.
            out: where to put them, (sum of lengths, F) in the corpus's dtype; None = a new array.

        Returns:
            (sum of lengths[indices], F), messages in order, one sequence after another.

        Raises:
            CorpusError: the corpus has no features.
            UsageError: `out` has another shape or dtype.
        """
        chunks = self.corpus.feature_chunks
        rows = self.message_rows(indices)
        shape, dtype = (len(rows), chunks[0].shape[1]), chunks[0].dtype
        if out is None:
            out = np.empty(shape, dtype)
        elif out.shape != shape or out.dtype != dtype:
            raise UsageError(f"out: expected {shape} {dtype}, found {out.shape} {out.dtype}")
        for chunk, places, inside in _by_chunk(self.corpus, rows):
            if len(places) == len(rows):
                np.take(chunks[chunk], inside, axis=0, out=out, mode="clip")
            else:
                out[places] = chunks[chunk][inside]
        return out

    def texts(self, indices: npt.ArrayLike | None = None) -> Iterator[list[str]]:
        """Read some sequences' texts, a few sequences in memory at a time.

        Args:
            indices: which sequences; None = all.

        Yields:
            For each sequence its messages' texts, in order.

        Raises:
            CorpusError: the corpus has no text.
        """
        chunks = self.corpus.text_chunks
        index = np.arange(len(self)) if indices is None else np.asarray(indices, dtype=np.int64)
        for first in range(0, len(index), _TEXTS_AT_A_TIME):
            block = index[first : first + _TEXTS_AT_A_TIME]
            rows = self.message_rows(block)
            texts = np.empty(len(rows), dtype=object)
            for chunk, places, inside in _by_chunk(self.corpus, rows):
                texts[places] = chunks[chunk].take(pa.array(inside)).to_pylist()
            ends = np.cumsum(self.lengths[block])
            for start, end in zip(ends - self.lengths[block], ends, strict=True):
                yield texts[start:end].tolist()

    def timestamps(self, index: int) -> npt.NDArray[np.float64]:
        """One sequence's timestamps in seconds since 1970 UTC, (T,) float64; NaN where a message has none."""
        rows = self.message_rows([index])
        if len(rows) == 0:
            return np.empty(0)
        conversation = int(np.searchsorted(self.corpus.message_offsets, rows[0], side="right")) - 1
        values = self.corpus.column("timestamp")[conversation].values
        if values is None:
            return np.full(len(rows), np.nan)
        times: npt.NDArray[np.float64] = np.array(values.to_numpy(zero_copy_only=False), dtype=np.float64)
        inside: npt.NDArray[np.float64] = times[rows - self.corpus.message_offsets[conversation]]
        return inside


def view_sequences(corpus: Corpus, level: Level, split: Split | None = None) -> SequenceView:
    """The sequences of a corpus.

    Args:
        corpus: an open corpus, analyzed or not.
        level: ``conversation``: one sequence a conversation; ``author``: one for each participant with a
            message.
        split: only this split; None = all, those in no split too.

    Raises:
        UsageError: another level or split.
        CorpusError: the columns contradict each other.
    """
    if level == "conversation":
        view = _view_conversations(corpus)
    elif level == "author":
        view = _view_authors(corpus)
    else:
        raise UsageError(
            f"level: expected conversation or author, found {level!r} (profiles are made of authors)"
        )
    return view if split is None else view.in_split(split)


def _view_conversations(corpus: Corpus) -> SequenceView:
    for name in ("conversation_id", "authors", "group", "split", "label"):
        corpus.column(name)
    classes = corpus.info.classes["conversation"]
    return SequenceView(
        corpus=corpus,
        level="conversation",
        conversation_ids=corpus.table["conversation_id"].to_numpy(),
        authors=None,
        groups=conversation_groups(corpus.table, corpus.info.split).to_numpy(),
        splits=_split_names(corpus, corpus.table["split"]),
        labels=_label_codes(corpus, corpus.table["label"], classes),
        lengths=np.diff(corpus.message_offsets),
        classes=classes,
        starts=corpus.message_offsets[:-1].copy(),
        order=None,
    )


def _view_authors(corpus: Corpus) -> SequenceView:
    for name in (
        "conversation_id",
        "authors",
        "participants",
        "participant_labels",
        "participant_splits",
        "group",
    ):
        corpus.column(name)
    table = corpus.table
    names, participant_codes, message_codes = _encode_authors(table)
    parents = participant_parents(table)
    conversations = np.repeat(np.arange(len(table)), np.diff(corpus.message_offsets))
    keys = conversations * len(names) + message_codes  # one number for each (conversation, author)
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    starts = np.flatnonzero(np.diff(keys, prepend=-1))
    rows = _find_rows(corpus, parents * len(names) + participant_codes, keys[starts])
    lengths = np.diff(np.append(starts, len(keys)))
    sort = np.argsort(rows)
    rows = rows[sort]
    classes = corpus.info.classes["author"]
    return SequenceView(
        corpus=corpus,
        level="author",
        conversation_ids=table["conversation_id"].to_numpy()[parents[rows]],
        authors=names[participant_codes[rows]],
        groups=participant_groups(table, corpus.info.split).to_numpy()[rows],
        splits=_split_names(corpus, flatten(table["participant_splits"]))[rows],
        labels=_label_codes(corpus, flatten(table["participant_labels"]), classes)[rows],
        lengths=lengths[sort],
        classes=classes,
        starts=starts[sort],
        order=order.astype(np.int32) if len(order) < 1 << 31 else order,
    )


def _encode_authors(table: pa.Table) -> tuple[Strings, Integers, Integers]:
    """Distinct names (A,), and for each participant (P,) and each message (M,) the number of its name."""
    participants, authors = flatten(table["participants"]), flatten(table["authors"])
    both = pa.chunked_array([*participants.chunks, *authors.chunks], type=pa.string())
    encoded = both.dictionary_encode().unify_dictionaries().combine_chunks()
    codes = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    names = encoded.dictionary.to_numpy(zero_copy_only=False)
    return names, codes[: len(participants)], codes[len(participants) :]


def _find_rows(corpus: Corpus, participant_keys: Integers, wanted: Integers) -> Integers:
    """The participant row of each wanted (conversation, author) key."""
    sort = np.argsort(participant_keys)
    places = np.searchsorted(participant_keys, wanted, sorter=sort)
    rows = sort[np.minimum(places, len(sort) - 1)]
    if not np.array_equal(participant_keys[rows], wanted):
        raise CorpusError(f"{corpus.path}: an author is not among the participants: import the source again")
    return rows


def _split_names(corpus: Corpus, column: pa.ChunkedArray) -> Strings:
    codes = pc.index_in(column, pa.array([*SPLITS, None], pa.string()))
    if codes.null_count:
        raise CorpusError(f"{corpus.path}: a split is none of {', '.join(SPLITS)}: import the source again")
    names: Strings = np.array([*SPLITS, ""], dtype=object)[codes.to_numpy()]
    return names


def _label_codes(corpus: Corpus, column: pa.ChunkedArray, classes: Sequence[Label]) -> Integers:
    """Labels as indices into the classes; unlabelled is -1."""
    if not classes:
        return np.full(len(column), UNLABELLED, dtype=np.int64)
    found = pc.index_in(column, pa.array(list(classes), column.type))
    if found.null_count != column.null_count:
        raise CorpusError(
            f"{corpus.path}: a label is none of the classes {list(classes)}: import the source again"
        )
    return np.array(pc.fill_null(found, UNLABELLED).to_numpy(), dtype=np.int64)


def _by_chunk(corpus: Corpus, rows: Integers) -> Iterator[tuple[int, Integers, Integers]]:
    """Share out message rows over record batches: (batch, places in `rows`, rows inside the batch)."""
    chunk_of = np.searchsorted(corpus.chunk_offsets, rows, side="right") - 1
    for chunk in np.unique(chunk_of):
        places = np.flatnonzero(chunk_of == chunk)
        yield int(chunk), places, rows[places] - corpus.chunk_offsets[chunk]
