"""Texts to weighted columns: hashed n-grams and their TF-IDF, or which of them occur.

Words (one and two; runs of punctuation and line ends are words too) and characters inside word boundaries (two
to four) are hashed to columns, so there is no vocabulary to keep. A sequence's text is its messages, one a line.
Knows nothing of labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeGuard, get_args

import numpy as np
import numpy.typing as npt

from tenor.ngrams import NgramSpace, count_ngrams

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

#: ``tfidf``: see weigh_counts; ``presence``: 1 for each column that occurs, whatever the text's length.
Weighting = Literal["tfidf", "presence"]
#: Which of a text's n-grams are meant.
Ngrams = Literal["all", "words", "characters"]

# Words without marks and characters up to five, equally long, had an AUC out of fold .000 to .012 lower (four
# tasks on three corpora) and a quarter more n-grams.
SPACE = NgramSpace(word_columns=1 << 18, char_columns=1 << 18, char_sizes=(2, 4), marks=True)

_WORD_LENGTH = 1.5  # of the vector of words, where that of characters has length 1


def count_texts(texts: Sequence[str]) -> csr_matrix:
    """Count hashed n-grams once, for functions that otherwise would each do it: (N, columns) float32."""
    return count_ngrams(texts, SPACE)


def describe_space(weighting: Weighting = "tfidf") -> npt.NDArray[np.int64]:
    """What a column and its weight mean, (6,): a model file holds it, so that no other version misreads it.

    Word columns, character columns, least and greatest length of a character n-gram, whether marks are words, and
    the length of the vector of words in hundredths; by presence there is no length, 0.
    """
    length = round(100 * _WORD_LENGTH) if weighting == "tfidf" else 0
    sizes = (SPACE.word_columns, SPACE.char_columns, *SPACE.char_sizes)
    return np.array([*sizes, int(SPACE.marks), length], dtype=np.int64)


def find_weighting(space: npt.NDArray[np.generic]) -> Weighting | None:
    """The weighting that a model file's ``space`` describes; None = none that this version knows."""
    # by presence words alone could be counted, and so said the files of 0.1 until characters could too
    only_words = np.array([SPACE.word_columns, 0, 0, 0, int(SPACE.marks), 0])
    if np.array_equal(space, only_words):
        return "presence"
    for weighting in get_args(Weighting):
        if np.array_equal(space, describe_space(weighting)):
            found: Weighting = weighting
            return found
    return None


def is_counts(texts: Sequence[str] | csr_matrix) -> TypeGuard[csr_matrix]:
    """Whether these are counts, not texts."""
    return hasattr(texts, "indptr")


def as_counts(texts: Sequence[str] | csr_matrix) -> csr_matrix:
    """Count texts, or take counts as they are."""
    return texts if is_counts(texts) else count_texts(texts)


def are_in(columns: npt.NDArray[np.integer[Any]], ngrams: Ngrams) -> npt.NDArray[np.bool_]:
    """Which columns are of such n-grams: (K,)."""
    is_word = columns < SPACE.word_columns
    return {"all": np.ones_like(is_word), "words": is_word, "characters": ~is_word}[ngrams]


def keep_ngrams(counts: csr_matrix, ngrams: Ngrams) -> csr_matrix:
    """Counts without the n-grams that are not meant; columns keep their numbers."""
    if ngrams == "all":
        return counts
    from scipy.sparse import csr_matrix

    kept = are_in(counts.indices, ngrams)
    ends = np.append(0, np.cumsum(kept))[counts.indptr]
    return csr_matrix((counts.data[kept], counts.indices[kept], ends), shape=counts.shape)


def weigh(
    counts: csr_matrix, columns: npt.NDArray[np.int64], idf: npt.NDArray[np.float32], weighting: Weighting
) -> csr_matrix:
    """The weights of the kept columns, (N, K) float64; `idf` is of no account by presence."""
    if weighting == "tfidf":
        return weigh_counts(counts, columns, idf)
    from scipy.sparse import csr_matrix

    kept, kept_columns = _keep_columns(counts, columns)
    ends = np.append(0, np.cumsum(kept))[counts.indptr]
    return csr_matrix((np.ones(len(kept_columns)), kept_columns, ends), shape=(len(ends) - 1, len(columns)))


def _keep_columns(
    counts: csr_matrix, columns: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int32]]:
    """Which of the counts' entries stand in kept columns, and in which of those."""
    place = np.full(SPACE.num_columns, -1, dtype=np.int32)
    place[columns] = np.arange(len(columns), dtype=np.int32)
    kept_columns = place[counts.indices]
    kept = kept_columns >= 0
    return kept, kept_columns[kept]


def weigh_counts(
    counts: csr_matrix, columns: npt.NDArray[np.int64], idf: npt.NDArray[np.float32]
) -> csr_matrix:
    """TF-IDF over the kept columns, (N, K) float64: 1 + ln(count), times idf.

    The words and the characters of a text are each brought to a length of their own, so that the far more
    numerous character n-grams do not drown the words. Columns are sorted, so both are runs without a gap.
    """
    from scipy.sparse import csr_matrix

    kept, kept_columns = _keep_columns(counts, columns)
    times = counts.data[kept].astype(np.int64)
    values = (1.0 + np.log(np.arange(1, times.max(initial=0) + 1)))[times - 1] * idf[kept_columns]

    num_texts = counts.shape[0]
    ends = np.append(0, np.cumsum(kept))[counts.indptr]
    char_ends = np.append(0, np.cumsum(kept & (counts.indices >= SPACE.word_columns)))[counts.indptr]
    num_chars = np.diff(char_ends)
    sizes = np.stack(
        [np.diff(ends) - num_chars, num_chars], axis=1
    ).ravel()  # (2N,) words, characters, words, ...
    lengths = np.tile([_WORD_LENGTH, 1.0], num_texts)
    filled = sizes > 0
    starts = np.cumsum(sizes) - sizes
    if filled.any():
        lengths[filled] /= np.sqrt(np.add.reduceat(values * values, starts[filled]))
    values *= np.repeat(lengths, sizes)
    return csr_matrix((values, kept_columns, ends), shape=(num_texts, len(columns)))
