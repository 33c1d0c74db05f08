"""Texts to counts of hashed n-grams: the columns of scikit-learn's HashingVectorizer, many times faster.

Words (one or two tokens) and characters inside word boundaries are hashed with MurmurHash3 in numpy, a whole
chunk of texts at once, so no vocabulary is ever made or kept. Knows nothing of weights, fitting or
conversations.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

UInt32Array = npt.NDArray[np.uint32]
Int64Array = npt.NDArray[np.int64]

_WORDS = re.compile(r"(?u)\b\w+\b")
_WORDS_AND_MARKS = re.compile(r"(?u)\w+|[^\w\s]+|\n")
#: Spans longer than this many bytes are hashed one by one, by scikit-learn, which takes a second to load. Links are
#: shorter, as a rule.
_LONG_SPAN_BYTES = 256
#: One chunk holds about this many characters, so that its arrays stay in the processor's cache.
_CHUNK_CHARACTERS = 1 << 17
_CHUNK_ROWS = 1 << 13
#: Of a text longer than a chunk, so many spans are hashed together.
_SPANS_AT_A_TIME = 1 << 18


@dataclass(frozen=True, slots=True)
class NgramSpace:
    """The columns: first the hashed words, then the hashed character n-grams.

    Attributes:
        word_columns: columns for words and pairs of neighbouring words; at most 2**18.
        char_columns: columns for character n-grams, a word having one space at either end; at most 2**18.
        char_sizes: least and greatest length of a character n-gram; the least is 2 or 3.
        marks: whether runs of punctuation and line ends count as words.
    """

    word_columns: int = 1 << 14
    char_columns: int = 1 << 14
    char_sizes: tuple[int, int] = (2, 4)
    marks: bool = False

    @property
    def num_columns(self) -> int:
        """Columns in all."""
        return self.word_columns + self.char_columns

    def find_tokens(self, text: str) -> list[str]:
        """The words of a lower-case text, in order."""
        return (_WORDS_AND_MARKS if self.marks else _WORDS).findall(text)


def count_ngrams(texts: Sequence[str], space: NgramSpace) -> csr_matrix:
    r"""Count each text's hashed n-grams.

    Args:
        texts: N texts in any language; an empty one gives an empty row.
        space: the columns.

    Returns:
        (N, num_columns) float32 CSR counts with sorted indices, equal to those of scikit-learn's
        ``HashingVectorizer(alternate_sign=False, norm=None)`` with ``ngram_range=(1, 2),
        token_pattern=r"(?u)\b\w+\b"`` (with marks ``r"(?u)\w+|[^\w\s]+|\n"``) beside the one with
        ``analyzer="char_wb", ngram_range=char_sizes``.
    """
    return _count(texts, space)[0]


def list_ngrams(text: str, space: NgramSpace) -> list[tuple[str, int, int]]:
    """The n-grams of one text, which count_ngrams hashes and forgets: (n-gram, column, count) of each.

    Words stand before characters, each in the order in which they first occur. N-grams of characters keep the spaces
    that stand for the ends of their word.
    """
    lowered = text.lower()
    tokens = space.find_tokens(lowered)
    words = Counter([*tokens, *map(" ".join, pairwise(tokens))])
    chars = Counter(
        padded[start : start + size]
        for padded in (f" {word} " for word in lowered.split())
        for size in range(space.char_sizes[0], space.char_sizes[1] + 1)
        for start in range(len(padded) - size + 1)
    )
    found: list[tuple[str, int, int]] = []
    for ngrams, width, base in (
        (words, space.word_columns, 0),
        (chars, space.char_columns, space.word_columns),
    ):
        stream = _Stream(list(ngrams))
        columns = base + _columns(stream.hash_chars(stream.first, stream.end), width).astype(np.int64)
        found += zip(ngrams, columns.tolist(), ngrams.values(), strict=True)
    return found


@dataclass(frozen=True, slots=True)
class MessageCounts:
    """The n-grams of N messages, and what line ends between them add: counts of any joined texts are sums of these.

    Joined by line ends, characters and words of messages stay what they are; a line end is a word of its own, and a
    pair with the last word before it and with the first after it.

    Attributes:
        counts: (N, columns) of each message, as of count_ngrams.
        opens: (N,) column of the pair of a line end and the message's first word; -1 = it has no word.
        closes: (N,) column of the pair of its last word and a line end; -1 likewise.
        line_end: column of a line end; `line_ends` that of two, one after the other.
        line_ends: see `line_end`.
    """

    counts: csr_matrix
    opens: Int64Array
    closes: Int64Array
    line_end: int
    line_ends: int


def count_messages(texts: Sequence[str], space: NgramSpace) -> MessageCounts:
    """Count the n-grams of messages, so that those of their joined texts are a matter of adding up.

    Args:
        texts: N messages.
        space: the columns, with marks.
    """
    counts, firsts, lasts = _count(texts, space)
    pairs = [f"\n {first}" for first in firsts] + [f"{last} \n" for last in lasts] + ["\n", "\n \n"]
    stream = _Stream(pairs)
    columns = _columns(stream.hash_chars(stream.first, stream.end), space.word_columns).astype(np.int64)
    has_words = np.fromiter(map(bool, firsts), bool, len(firsts))
    opens, closes = (np.where(has_words, part, -1) for part in np.split(columns[:-2], 2))
    return MessageCounts(counts, opens, closes, int(columns[-2]), int(columns[-1]))


def _count(texts: Sequence[str], space: NgramSpace) -> tuple[csr_matrix, list[str], list[str]]:
    """The counts, and each text's first and last word, "" where it has none."""
    from scipy.sparse import csr_matrix

    columns, counts, row_sizes = [], [], []
    firsts: list[str] = []
    lasts: list[str] = []
    for start, stop in _chunk_ranges(texts):
        lowered = [text.lower() for text in texts[start:stop]]
        tokens = [space.find_tokens(text) for text in lowered]
        firsts += [found[0] if found else "" for found in tokens]
        lasts += [found[-1] if found else "" for found in tokens]
        words = [text.split() for text in lowered]
        keys = np.concatenate([*_word_keys(tokens, space), *_char_keys(words, space)])
        keys.sort()
        first = np.flatnonzero(np.diff(keys, prepend=keys[:1] + np.uint32(1)))  # where a new key begins
        rows, found = np.divmod(keys[first], np.uint32(space.num_columns))
        columns.append(found.astype(np.int32))
        counts.append(np.diff(first, append=len(keys)).astype(np.float32))
        row_sizes.append(np.bincount(rows, minlength=stop - start))
    if not row_sizes:
        return csr_matrix((0, space.num_columns), dtype=np.float32), [], []
    offsets = np.zeros(len(texts) + 1, np.int64)
    np.cumsum(np.concatenate(row_sizes), out=offsets[1:])
    arrays = (np.concatenate(counts), np.concatenate(columns), offsets)
    matrix = csr_matrix(arrays, shape=(len(texts), space.num_columns))
    matrix.has_canonical_format = True
    return matrix, firsts, lasts


def _chunk_ranges(texts: Sequence[str]) -> list[tuple[int, int]]:
    """Row ranges of bounded size; a single long text is a chunk of its own."""
    ends = np.cumsum([len(text) for text in texts], dtype=np.int64)
    ranges, start = [], 0
    while start < len(texts):
        before = int(ends[start - 1]) if start else 0
        stop = int(np.searchsorted(ends, before + _CHUNK_CHARACTERS, side="right"))
        stop = min(max(stop, start + 1), start + _CHUNK_ROWS)
        ranges.append((start, stop))
        start = stop
    return ranges


def _word_keys(tokens: list[list[str]], space: NgramSpace) -> list[UInt32Array]:
    """Keys, row * num_columns + column, one for every occurrence of an n-gram, in no order."""
    stream = _Stream([token for found in tokens for token in found])
    rows = _row_bases(tokens, space)
    paired = rows[:-1] == rows[1:]  # a pair never reaches into the next text
    single = _columns(stream.hash_chars(stream.first, stream.end), space.word_columns)
    pair = _columns(stream.hash_chars(stream.first[:-1][paired], stream.end[1:][paired]), space.word_columns)
    return [rows + single, rows[:-1][paired] + pair]


def _char_keys(words: list[list[str]], space: NgramSpace) -> list[UInt32Array]:
    stream = _Stream([word for found in words for word in found])
    # An n-gram may begin at the space before its word and at each of the word's characters; those places
    # follow on one another through the stream without a gap.
    places = stream.end - stream.first + 1
    rows = np.repeat(_row_bases(words, space) + np.uint32(space.word_columns), places)
    start = np.arange(len(rows))
    limit = np.repeat(stream.end + 1, places)  # the space after the word may end it
    keys = []
    for size in range(space.char_sizes[0], space.char_sizes[1] + 1):
        inside = np.flatnonzero(start + size <= limit)
        hashes = stream.hash_windows(inside, size)
        keys.append(rows[inside] + _columns(hashes, space.char_columns))
    return keys


def _row_bases(parts: list[list[str]], space: NgramSpace) -> UInt32Array:
    """For every part its text's row number times the number of columns: the key of the row's first column."""
    bases = np.arange(len(parts), dtype=np.uint32) * np.uint32(space.num_columns)
    return np.repeat(bases, [len(found) for found in parts])


def _columns(hashes: UInt32Array, num_columns: int) -> UInt32Array:
    """The column of a hash, as scikit-learn's FeatureHasher has it: the signed value's magnitude, modulo."""
    signed = hashes.view(np.int32)
    return np.abs(signed).view(np.uint32) % np.uint32(num_columns)


class _Stream:
    """Parts joined by single spaces, with one at either end, as UTF-8.

    Attributes:
        first, end: (P,) each part's first character and the one after its last, counted in characters.
    """

    def __init__(self, parts: list[str]) -> None:
        joined = f" {' '.join(parts)} "
        # Padding: the last four bytes can then be read as a 32-bit word like all others.
        data = np.frombuffer(joined.encode("utf-8", "surrogatepass") + bytes(4), np.uint8)
        self.data = data
        self.plain = len(data) - 4 == len(joined)  # ASCII only: characters are bytes
        self._byte_of_char = None if self.plain else np.flatnonzero((data & 0xC0) != 0x80)
        sizes = np.fromiter(map(len, parts), np.int64, len(parts))
        self.end = np.cumsum(sizes + 1)
        self.first = self.end - sizes
        # A little-endian 32-bit word beginning at every byte; MurmurHash3 mixes each before it uses it.
        self._words = np.ndarray((len(data) - 3,), "<u4", data, strides=(1,)).astype(np.uint32)
        self._mixed = _mix(self._words)

    def hash_windows(self, start: Int64Array, size: int) -> UInt32Array:
        """Hash `size` characters beginning at each of the `start` characters."""
        if not self.plain or len(start) == 0:
            return self.hash_chars(start, start + size)
        places = len(self._words) - size
        hashes = np.zeros(places, np.uint32)
        for block in range(0, size - 3, 4):
            hashes = _absorb(hashes, self._mixed[block : block + places])
        if size % 4:
            rest = self._words[size - size % 4 :][:places] & np.uint32(256 ** (size % 4) - 1)
            hashes ^= _mix(rest)
        return _finish(hashes ^ np.uint32(size))[start]

    def hash_chars(self, first: Int64Array, end: Int64Array) -> UInt32Array:
        """MurmurHash3 (x86, 32 bits, seed 0; Appleby 2011) of the UTF-8 bytes of character spans."""
        if len(first) > _SPANS_AT_A_TIME:
            parts = [slice(a, a + _SPANS_AT_A_TIME) for a in range(0, len(first), _SPANS_AT_A_TIME)]
            return np.concatenate([self.hash_chars(first[part], end[part]) for part in parts])
        if self._byte_of_char is not None:
            first, end = self._byte_of_char[first], self._byte_of_char[end]
        sizes = end - first
        blocks = np.minimum(sizes, _LONG_SPAN_BYTES) >> 2
        hashes = np.zeros(len(first), np.uint32)
        for block in range(int(blocks.max(initial=0))):
            active = np.flatnonzero(blocks > block)
            hashes[active] = _absorb(hashes[active], self._mixed[first[active] + 4 * block])
        rest = self._words[first + 4 * blocks] & _TAIL_MASKS[sizes & 3]
        hashes = _finish(hashes ^ _mix(rest) ^ sizes.astype(np.uint32))
        long = np.flatnonzero(sizes > _LONG_SPAN_BYTES)
        if len(long):
            from sklearn.utils import murmurhash3_32

            spans = zip(first[long].tolist(), end[long].tolist(), strict=True)
            hashes[long] = [murmurhash3_32(self.data[a:b].tobytes(), positive=True) for a, b in spans]
        return hashes


_TAIL_MASKS = np.array([0, 0xFF, 0xFFFF, 0xFFFFFF], np.uint32)


def _rotate(values: UInt32Array, bits: int) -> UInt32Array:
    return (values << np.uint32(bits)) | (values >> np.uint32(32 - bits))


def _mix(words: UInt32Array) -> UInt32Array:
    return _rotate(words * np.uint32(0xCC9E2D51), 15) * np.uint32(0x1B873593)


def _absorb(hashes: UInt32Array, mixed: UInt32Array) -> UInt32Array:
    return _rotate(hashes ^ mixed, 13) * np.uint32(5) + np.uint32(0xE6546B64)


def _finish(hashes: UInt32Array) -> UInt32Array:
    hashes = (hashes ^ (hashes >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    hashes = (hashes ^ (hashes >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return hashes ^ (hashes >> np.uint32(16))
