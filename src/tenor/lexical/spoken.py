"""The n-grams of what is said in a block of sequences: each message is counted once, and voices are sums.

An author's sequence is read as its own text, as what the others say beside it, and message by message; in a
conversation of three authors each message stands in nine such texts. Knows nothing of models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from tenor.corpus.messages import read_texts
from tenor.corpus.views import SequenceView
from tenor.corpus.voices import Voice, lay_out_authors, lay_out_voices
from tenor.lexical.weighting import SPACE
from tenor.ngrams import MessageCounts, count_messages

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Integers = npt.NDArray[np.int64]

#: Whose text: a voice's of each sequence, or that of each author in a conversation.
Speaker = Voice | Literal["authors"]


@dataclass(frozen=True, slots=True)
class SpokenCounts:
    """Counts of S sequences' messages.

    Attributes:
        messages: of each distinct message.
        voices: voice -> for each of its messages, one sequence's after another, which of the distinct it is and
            whose: (M,) and (M,) positions in the view; of ``authors`` whose among A authors.
        num_sequences: S.
        conversations: (A,) the sequence that each author speaks in, rising; A is 0 where they are not told apart.
    """

    messages: MessageCounts
    voices: dict[Speaker, tuple[Integers, Integers]]
    num_sequences: int
    conversations: Integers

    @classmethod
    def of(cls, view: SequenceView, voices: Sequence[Voice], *, with_authors: bool = False) -> SpokenCounts:
        """Count what a view's sequences say in some voices, all of it at a time.

        Args:
            view: sequences.
            voices: whole texts of which are wanted.
            with_authors: tell the authors of conversations apart too.

        Raises:
            CorpusError: the corpus has no text.
        """
        laid_out: dict[Speaker, tuple[Integers, Integers]] = dict(lay_out_voices(view, voices).items())
        conversations = np.empty(0, np.int64)
        if with_authors:
            found_rows, authors, conversations = lay_out_authors(view)
            laid_out["authors"] = found_rows, authors
        rows = np.concatenate([found for found, _ in laid_out.values()])
        distinct, positions = np.unique(rows, return_inverse=True)
        texts = np.empty(len(distinct), dtype=object)
        for places, found in read_texts(view.corpus, distinct):
            texts[places] = found.to_pylist()
        ends = np.cumsum([len(found) for found, _ in laid_out.values()])
        parts = np.split(positions, ends[:-1])
        named = {
            voice: (part, owners) for (voice, (_, owners)), part in zip(laid_out.items(), parts, strict=True)
        }
        return cls(count_messages(texts.tolist(), SPACE), named, len(view), conversations)

    def count(self, voice: Speaker) -> csr_matrix:
        """The n-grams of each sequence's, or author's, texts, joined by line ends: (S or A, columns) float32."""
        from scipy.sparse import csr_matrix

        found, (positions, owners) = self.messages, self.voices[voice]
        num = len(found.opens)
        is_first = np.diff(owners, prepend=-1) != 0
        is_last = np.diff(owners, append=-1) != 0
        has_words = found.opens[positions] >= 0
        opens, closes = has_words & ~is_first, has_words & ~is_last
        silent = ~has_words & ~is_first & ~is_last  # between two line ends nothing but them
        parts = [  # the rows of `_terms` that add up to a text's, and whose text it is
            (positions, owners),
            (num + positions[opens], owners[opens]),
            (2 * num + positions[closes], owners[closes]),
            (np.full(np.count_nonzero(~is_first), 3 * num), owners[~is_first]),
            (np.full(np.count_nonzero(silent), 3 * num + 1), owners[silent]),
        ]
        columns, rows = (np.concatenate(part) for part in zip(*parts, strict=True))
        num_texts = len(self.conversations) if voice == "authors" else self.num_sequences
        shape = (num_texts, 3 * num + 2)
        total = csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape=shape) @ self._terms()
        total.sort_indices()
        return total

    def _terms(self) -> csr_matrix:
        """(3 N + 2, columns): the messages, the pair that each opens, the one that it closes, a line end, and two."""
        from scipy.sparse import csr_matrix

        found = self.messages
        singles = np.concatenate([found.opens, found.closes, [found.line_end, found.line_ends]])
        is_there = singles >= 0
        indptr = np.append(found.counts.indptr, found.counts.nnz + np.cumsum(is_there))
        indices = np.append(found.counts.indices, singles[is_there].astype(np.int32))
        data = np.append(found.counts.data, np.ones(np.count_nonzero(is_there), np.float32))
        return csr_matrix((data, indices, indptr), shape=(len(indptr) - 1, SPACE.num_columns))
