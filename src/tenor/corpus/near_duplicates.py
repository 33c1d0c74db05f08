"""Texts that stand, nearly the same, in two splits: MinHash candidates, each proven by the exact similarity.

Knows nothing of what follows from them.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
import numpy.typing as npt

from tenor.corpus.schema import SPLITS, Split
from tenor.corpus.views import SequenceView
from tenor.errors import MissingExtraError, UsageError

#: A word: letters, digits and underscores, or one character of a script written without spaces (kana, Han, Thai).
_UNSPACED = "\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_WORD = re.compile(f"[{_UNSPACED}]|[^\\W{_UNSPACED}]+")

#: Candidates come from an index for a lower threshold than asked for, so that few true pairs are missed.
_INDEX_SLACK = 0.2
#: Of candidates, so many are compared exactly: those whose sketches are most alike.
_MAX_CANDIDATES = 32
#: MinHash needs 1 KB for each of them.
_SHINGLES_AT_A_TIME = 8192


@dataclass(frozen=True, slots=True)
class DuplicateRules:
    """What counts as a near-duplicate.

    Attributes:
        threshold: Jaccard similarity of the two sets of shingles, |A ∩ B| / |A ∪ B|, from which on they are.
        shingle_words: words in a row that make a shingle.
        min_words: sequences of fewer words are left out: short talk repeats itself innocently.
        num_permutations: of MinHash (Broder 1997, "On the resemblance and containment of documents").
    """

    threshold: float = 0.8
    shingle_words: int = 3
    min_words: int = 20
    num_permutations: int = 128

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1:
            raise UsageError(f"threshold: expected a number above 0 and up to 1, found {self.threshold!r}")
        if not 1 <= self.shingle_words <= self.min_words:
            raise UsageError(
                f"shingle_words: expected 1 to min_words ({self.min_words}), found {self.shingle_words!r}"
            )


@dataclass(frozen=True, slots=True)
class DuplicatePair:
    """A sequence, a reference sequence in another split (both rows of the view), and their similarity."""

    sequence: int
    reference: int
    similarity: float


@dataclass(frozen=True, slots=True)
class DuplicateSearch:
    """What a search found.

    Attributes:
        pairs: (split, reference split) -> at most one pair for each sequence of the first.
        num_compared: sequences that were compared.
        num_skipped: sequences with too few words.
    """

    pairs: dict[tuple[Split, Split], list[DuplicatePair]]
    num_compared: int
    num_skipped: int


def find_near_duplicates(view: SequenceView, rules: DuplicateRules) -> DuplicateSearch:
    """Find validation and test sequences with a near-duplicate in train, test ones also in validation.

    Takes about 2 KB of memory a sequence of the split that is looked in.

    Args:
        view: sequences of one level; those in no split are left alone.
        rules: what a near-duplicate is.

    Raises:
        MissingExtraError: datasketch is not installed.
        CorpusError: the corpus keeps no text.
    """
    minhash, index_of = _load_datasketch()
    sketches: dict[int, Any] = {}
    num_skipped = 0
    splits = view.splits.tolist()
    rows = np.flatnonzero(view.split_codes >= 0)
    for row, shingles in zip(rows.tolist(), _shingle_sets(view, rows, rules), strict=True):
        if shingles is None:
            num_skipped += 1
            continue
        sketch = minhash(num_perm=rules.num_permutations, seed=1, hashfunc=int)
        for first in range(0, len(shingles), _SHINGLES_AT_A_TIME):
            sketch.update_batch(shingles[first : first + _SHINGLES_AT_A_TIME].tolist())
        sketches[row] = sketch
    pairs: dict[tuple[Split, Split], list[DuplicatePair]] = {}
    for place, reference in enumerate(SPLITS[:-1]):
        index = index_of(threshold=rules.threshold * (1 - _INDEX_SLACK), num_perm=rules.num_permutations)
        for row, sketch in sketches.items():
            if splits[row] == reference:
                index.insert(row, sketch)
        for split in SPLITS[place + 1 :]:
            found = (
                _best_pair(view, row, _choose_nearest(row, index.query(sketch), sketches), rules)
                for row, sketch in sketches.items()
                if splits[row] == split
            )
            pairs[split, reference] = [pair for pair in found if pair is not None]
    return DuplicateSearch(pairs, len(sketches), num_skipped)


def find_equal_texts(view: SequenceView, rules: DuplicateRules) -> DuplicateSearch:
    """As `find_near_duplicates`, but only sequences of the same words in the same order; linear.

    Raises:
        CorpusError: the corpus keeps no text.
    """
    rows = np.flatnonzero(view.split_codes >= 0)
    words = np.zeros((len(rows), 2), dtype="<u8")  # (N, 2) the two halves of each text's hash
    is_long = np.zeros(len(rows), dtype=bool)
    for place, messages in enumerate(view.texts(rows)):
        found = _WORD.findall("\n".join(messages).lower())
        is_long[place] = len(found) >= rules.min_words
        digest = blake2b(" ".join(found).encode(), digest_size=16).digest()
        words[place] = np.frombuffer(digest, "<u8")
    rows, words = rows[is_long], words[is_long]
    order = np.lexsort((words[:, 1], words[:, 0]))  # rows of one text follow one another, the first one first
    is_new = np.ones(len(rows), dtype=bool)
    is_new[1:] = (words[order[1:]] != words[order[:-1]]).any(axis=1)
    texts = np.empty(len(rows), dtype=np.int64)  # (N,) which text each row has
    texts[order] = np.cumsum(is_new) - 1
    codes = view.split_codes[rows]
    pairs: dict[tuple[Split, Split], list[DuplicatePair]] = {}
    for place, reference in enumerate(SPLITS[:-1]):
        first = np.full(len(rows), -1, dtype=np.int64)  # the first row of each text in the reference split
        of_reference = np.flatnonzero(codes == place)[::-1]
        first[texts[of_reference]] = rows[of_reference]
        for other, split in enumerate(SPLITS[place + 1 :], start=place + 1):
            inside = np.flatnonzero((codes == other) & (first[texts] >= 0))
            pairs[split, reference] = [
                DuplicatePair(int(rows[each]), int(first[texts[each]]), 1.0) for each in inside
            ]
    return DuplicateSearch(pairs, len(rows), len(is_long) - len(rows))


def _load_datasketch() -> tuple[Any, Any]:
    try:
        from datasketch import MinHash, MinHashLSH
    except ImportError as error:
        raise MissingExtraError("audit", "datasketch") from error
    return MinHash, MinHashLSH


def _choose_nearest(row: int, candidates: list[int], sketches: dict[int, Any]) -> npt.NDArray[np.int64]:
    """Those of the candidates that are most like a row, by their sketches; of equals the first."""
    found = np.array(sorted(candidates), dtype=np.int64)
    if len(found) <= _MAX_CANDIDATES:
        return found
    shared = [
        np.count_nonzero(sketches[each].hashvalues == sketches[row].hashvalues) for each in found.tolist()
    ]
    return found[np.argsort(-np.array(shared), kind="stable")[:_MAX_CANDIDATES]]


def _best_pair(
    view: SequenceView, row: int, references: npt.NDArray[np.int64], rules: DuplicateRules
) -> DuplicatePair | None:
    """The most similar reference, by the exact similarity, when it reaches the threshold."""
    if len(references) == 0:
        return None
    own, *others = _shingle_sets(view, np.concatenate([[row], references]), rules)
    similarities = np.array([_jaccard(own, other) for other in others])
    best = int(similarities.argmax())
    if similarities[best] < rules.threshold:
        return None
    return DuplicatePair(row, int(references[best]), float(similarities[best]))


def _shingle_sets(
    view: SequenceView, rows: npt.NDArray[np.int64], rules: DuplicateRules
) -> Iterator[npt.NDArray[np.uint32] | None]:
    """Each sequence's distinct shingles as sorted 32-bit hashes; None for one with too few words."""
    for messages in view.texts(rows):
        words = [word.encode() for word in _WORD.findall("\n".join(messages).lower())]
        if len(words) < rules.min_words:
            yield None
            continue
        runs = zip(*(words[start:] for start in range(rules.shingle_words)), strict=False)
        yield np.unique(np.array([zlib.crc32(b" ".join(run)) for run in runs], dtype=np.uint32))


def _jaccard(one: npt.NDArray[np.uint32] | None, other: npt.NDArray[np.uint32] | None) -> float:
    if one is None or other is None:
        return 0.0
    shared = len(np.intersect1d(one, other, assume_unique=True))
    return shared / (len(one) + len(other) - shared)
