"""What a SequenceClassifier reads: sequences of messages at the level of conversations or of their authors.

A view keeps ids, labels, offsets and group names in memory; texts and features stay on the memory map until
they are gathered. Knows nothing of batches, padding or torch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tenor.arguments import require_rows
from tenor.arrays import make_array, release_memory, to_numpy
from tenor.corpus.corpus import Corpus, as_corpus
from tenor.corpus.groups import flatten, participant_parents
from tenor.corpus.messages import read_texts, read_timestamps
from tenor.corpus.ordering import (
    Codes,
    blocks_of_messages,
    code_type,
    encode_author_groups,
    encode_conversation_groups,
    encode_participants,
    sort_messages,
)
from tenor.corpus.schema import SPLITS, UNLABELLED, Label, Level, Split
from tenor.errors import CorpusError, UsageError
from tenor.strings import Strings

Integers = npt.NDArray[np.int64]

_SPLIT_NAMES = pa.chunked_array([make_array([*SPLITS, ""], pa.string())])

#: Sequences whose texts are read at a time.
_TEXTS_AT_A_TIME = 256
#: Messages whose places are found at a time.
_MESSAGES_AT_A_TIME = 1 << 18


@dataclass(frozen=True, eq=False)
class SequenceView:
    """S sequences of a corpus, in the order of its conversations and of the participants in them.

    Names stand in Arrow columns, once each; a sequence holds their numbers, about 50 bytes in all.

    Attributes:
        corpus: where the messages are.
        level: ``conversation`` or ``author``.
        labels: (S,) int64, index into `classes`; -1 = unlabelled.
        lengths: (S,) int64, messages.
        classes: the labels as the user wrote them; binary is (0, 1); () = the corpus has none at this level.
        starts: (S,) int64, where the sequence begins among all messages, or in `order` where there is one.
        order: (M,) the corpus's messages sorted by sequence; None at level conversation, where they are so
            already.
        rows: (S,) the row of the conversation in the corpus.
        author_codes: (S,) index into `author_names`; None at level conversation.
        group_codes: (S,) index into `group_names`; equal where the groups are.
        split_codes: (S,) int8, index into SPLITS; -1 = in no split.
        author_names: the distinct authors, an Arrow column of strings.
        group_names: the groups, likewise.
    """

    corpus: Corpus
    level: Level
    labels: Integers
    lengths: Integers
    classes: tuple[Label, ...]
    starts: Codes
    order: Codes | None
    rows: Codes
    author_codes: Codes | None
    group_codes: Codes
    split_codes: npt.NDArray[np.int8]
    author_names: pa.ChunkedArray | None
    group_names: pa.ChunkedArray

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        """One line, without texts and names."""
        return f"SequenceView({self.describe()})"

    def describe(self) -> str:
        """In words, such as ``'corpus', level author, 1,458 sequences, 89 labelled``."""
        known = int((self.labels != UNLABELLED).sum())
        return f"{str(self.corpus.path)!r}, level {self.level}, {len(self):,} sequences, {known:,} labelled"

    @property
    def conversation_ids(self) -> Strings:
        """(S,) strings."""
        return Strings(self.corpus.table["conversation_id"], self.rows)

    @property
    def authors(self) -> Strings | None:
        """(S,) strings; None at level conversation."""
        if self.author_codes is None or self.author_names is None:
            return None
        return Strings(self.author_names, self.author_codes)

    @property
    def groups(self) -> Strings:
        """(S,) strings, what splits are made of (see `SplitPlan.by`) and what resampling draws."""
        return Strings(self.group_names, self.group_codes)

    @property
    def splits(self) -> Strings:
        """(S,) ``train``, ``validation``, ``test``, or "" = in no split."""
        return Strings(_SPLIT_NAMES, self.split_codes % np.int8(len(_SPLIT_NAMES)))  # -1 is the last

    def select(self, which: npt.ArrayLike) -> SequenceView:
        """Some of the sequences.

        Args:
            which: (S,) bool, or indices in the wanted order.

        Raises:
            UsageError: neither, such as the name of a split, or a mask of another length.
        """
        index = require_rows(which, len(self))
        if index.dtype == bool and index.all():
            return self  # of a large corpus a copy is a good part of what is held
        arrays: dict[str, Any] = {
            name: getattr(self, name)[index]
            for name in ("labels", "lengths", "starts", "rows", "group_codes", "split_codes")
        }
        authors = None if self.author_codes is None else self.author_codes[index]
        return dataclasses.replace(self, author_codes=authors, **arrays)

    def in_split(self, split: Split) -> SequenceView:
        """The sequences of one split.

        Raises:
            UsageError: no such split.
        """
        if split not in SPLITS:
            raise UsageError(f"split: expected one of {', '.join(SPLITS)}, found {split!r}")
        return self.select(self.split_codes == SPLITS.index(split))

    def cut_order(self) -> SequenceView:
        """The same sequences without the places of messages that none of them has: less memory for a small part."""
        num_messages = int(self.lengths.sum())
        if self.order is None or num_messages >= len(self.order):
            return self
        starts = (np.cumsum(self.lengths) - self.lengths).astype(self.starts.dtype)
        order = np.empty(num_messages, self.order.dtype)
        for block in blocks_of_messages(self.lengths, _MESSAGES_AT_A_TIME):
            rows = self.message_rows(block)
            order[starts[block[0]] :][: len(rows)] = rows
        return dataclasses.replace(self, starts=starts, order=order)

    def labelled(self) -> SequenceView:
        """The sequences that have a label."""
        return self.select(self.labels != UNLABELLED)

    def of_labelled_authors(self) -> SequenceView:
        """The labelled sequences and, of the same authors in the same split, the others: what makes labelled profiles.

        Of conversations the labelled ones.
        """
        known = self.labels != UNLABELLED
        if self.author_codes is None:
            return self.select(known)
        keys = self.author_codes * len(_SPLIT_NAMES) + self.split_codes
        return self.select(np.isin(keys, keys[known]))

    def message_rows(self, indices: npt.ArrayLike) -> Integers:
        """Some sequences' messages, as rows among all messages of the corpus, one sequence after another."""
        index = np.asarray(indices, dtype=np.int64)
        places = _count_on(self.starts[index], self.lengths[index], 1)
        rows: Integers = places if self.order is None else self.order[places].astype(np.int64)
        return rows

    def feature_places(self, indices: npt.ArrayLike) -> Integers:
        """Where the features of the same messages stand among the corpus's (see `MappedRows.find`)."""
        features = self.corpus.features
        if self.order is not None:
            return features.find(self.message_rows(indices))
        index = np.asarray(indices, dtype=np.int64)
        index = index[self.lengths[index] > 0]
        # A conversation lies in one record batch: one place gives those of all its messages.
        return _count_on(features.find(self.starts[index]), self.lengths[index], features.width)

    def conversation_rows(self) -> Codes:
        """The row of each sequence's conversation in the corpus: (S,)."""
        return self.rows

    def gather_features(self, indices: npt.ArrayLike) -> npt.NDArray[np.floating[Any]]:
        """Copy some sequences' features into one array.

        Args:
            indices: (B,) which sequences, in the wanted order; one may occur twice.

        Returns:
            (sum of lengths[indices], F) in the corpus's dtype, messages in order, one sequence after another.

        Raises:
            CorpusError: the corpus has no features.
        """
        features, places = self.corpus.features, self.feature_places(indices)
        if features.is_read_ahead:
            features.will_need(places)
        if len(places) == 0:
            return np.empty((0, features.width), features.dtype)
        return np.lib.stride_tricks.sliding_window_view(features.numbers, features.width)[places]

    def bring(self, indices: npt.ArrayLike) -> None:
        """Have some sequences' features read into memory; returns when they are there."""
        self.corpus.features.bring(self.feature_places(indices))

    def texts(self, indices: npt.ArrayLike | None = None) -> Iterator[list[str]]:
        """Read some sequences' texts, a few sequences in memory at a time.

        Args:
            indices: which sequences; None = all.

        Yields:
            For each sequence its messages' texts, in order.

        Raises:
            CorpusError: the corpus has no text.
        """
        index = np.arange(len(self)) if indices is None else np.asarray(indices, dtype=np.int64)
        for first in range(0, len(index), _TEXTS_AT_A_TIME):
            block = index[first : first + _TEXTS_AT_A_TIME]
            rows = self.message_rows(block)
            texts = np.empty(len(rows), dtype=object)
            for places, found in read_texts(self.corpus, rows):
                texts[places] = found.to_pylist()
            ends = np.cumsum(self.lengths[block])
            for start, end in zip(ends - self.lengths[block], ends, strict=True):
                yield texts[start:end].tolist()

    def timestamps(self, indices: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Some sequences' timestamps, one sequence after another: (sum of lengths,) seconds since 1970 UTC.

        NaN where a message has none.
        """
        return read_timestamps(self.corpus, self.message_rows(indices))


def _count_on(firsts: Integers, counts: Integers, step: int) -> Integers:
    """From each of the first numbers on, `count` numbers, each `step` above the one before: (sum of counts,)."""
    shifts = firsts - (np.cumsum(counts) - counts) * step
    numbers: Integers = np.repeat(shifts, counts)
    numbers += np.arange(0, int(counts.sum()) * step, step)
    return numbers


def view_sequences(corpus: Corpus | Path | str, level: Level, split: Split | None = None) -> SequenceView:
    """The sequences of a corpus.

    Args:
        corpus: an open corpus, analyzed or not, or its folder.
        level: ``conversation``: one sequence a conversation; ``author``: one for each participant with a
            message.
        split: only this split; None = all, those in no split too.

    Raises:
        UsageError: another level or split.
        CorpusError: the columns contradict each other.
    """
    corpus = as_corpus(corpus)
    if level == "conversation":
        view = _view_conversations(corpus)
    elif level == "author":
        view = _view_authors(corpus)
    else:
        raise UsageError(
            f"level: expected conversation or author, found {level!r} (profiles are made of authors)"
        )
    release_memory()  # what telling names apart and sorting messages took
    return view if split is None else view.in_split(split)


def _view_conversations(corpus: Corpus) -> SequenceView:
    for name in ("conversation_id", "authors", "group", "split", "label"):
        corpus.column(name)
    classes = corpus.info.classes["conversation"]
    group_names, group_codes = encode_conversation_groups(corpus.table, corpus.info.split)
    return SequenceView(
        corpus=corpus,
        level="conversation",
        labels=_label_codes(corpus, corpus.table["label"], classes),
        lengths=np.diff(corpus.message_offsets),
        classes=classes,
        starts=corpus.message_offsets[:-1].astype(code_type(corpus.num_messages)),
        order=None,
        rows=np.arange(len(corpus), dtype=code_type(len(corpus))),
        author_codes=None,
        group_codes=group_codes,
        split_codes=_split_codes(corpus, corpus.table["split"]),
        author_names=None,
        group_names=group_names,
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
    names, participant_codes = encode_participants(table)
    parents = participant_parents(table).astype(code_type(len(corpus)))
    try:
        found = sort_messages(table, corpus.message_offsets, parents)
    except ValueError as error:
        raise CorpusError(
            f"{corpus.path}: an author is not among the participants: import the source again"
        ) from error
    # Where each participant has messages, as a rule, nothing is copied.
    rows = slice(None) if len(found.participants) == len(parents) else found.participants
    starts, lengths, order = found.starts, found.lengths, found.order
    del found
    classes = corpus.info.classes["author"]
    authors = participant_codes[rows]
    group_names, group_codes = encode_author_groups(table, corpus.info.split, names, parents[rows], authors)
    return SequenceView(
        corpus=corpus,
        level="author",
        labels=_label_codes(corpus, flatten(table["participant_labels"]), classes)[rows],
        lengths=lengths,
        classes=classes,
        starts=starts,
        order=order,
        rows=parents[rows],
        author_codes=authors,
        group_codes=group_codes,
        split_codes=_split_codes(corpus, flatten(table["participant_splits"]))[rows],
        author_names=names,
        group_names=group_names,
    )


def _split_codes(corpus: Corpus, column: pa.ChunkedArray) -> npt.NDArray[np.int8]:
    known, found = make_array([*SPLITS, None], pa.string()), np.empty(len(column), np.int8)
    for rows, chunk in _numbered_chunks(column):
        codes = pc.index_in(chunk, known)
        if codes.null_count:
            raise CorpusError(
                f"{corpus.path}: a split is none of {', '.join(SPLITS)}: import the source again"
            )
        found[rows] = to_numpy(codes)
    found[found == len(SPLITS)] = -1
    return found


def _label_codes(corpus: Corpus, column: pa.ChunkedArray, classes: Sequence[Label]) -> Integers:
    """Labels as indices into the classes; unlabelled is -1."""
    if not classes:
        return np.full(len(column), UNLABELLED, dtype=np.int64)
    known, found = make_array(classes, column.type), np.empty(len(column), np.int64)
    for rows, chunk in _numbered_chunks(column):
        codes = pc.index_in(chunk, known)
        if codes.null_count != chunk.null_count:
            raise CorpusError(
                f"{corpus.path}: a label is none of the classes {', '.join(map(str, classes))}: import the source again"
            )
        found[rows] = to_numpy(codes, null=UNLABELLED)
    return found


def _numbered_chunks(column: pa.ChunkedArray) -> Iterator[tuple[slice, pa.Array]]:
    """A column's chunks, and which of its rows they are: in memory one chunk's codes are little."""
    first = 0
    for chunk in column.chunks:
        yield slice(first, first + len(chunk)), chunk
        first += len(chunk)
