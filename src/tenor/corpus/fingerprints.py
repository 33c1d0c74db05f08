"""What a conversation's scores follow from, as one number: it changes when any of its messages does.

Knows nothing of models, nor of the encoder that made features of texts.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tenor.corpus.corpus import Corpus
from tenor.corpus.messages import read_timestamps

Integers = npt.NDArray[np.int64]
Fingerprints = npt.NDArray[np.uint64]

#: Conversations whose times are read at once.
_AT_A_TIME = 4096


def fingerprint_conversations(corpus: Corpus, rows: Integers) -> Fingerprints:
    """A hash (BLAKE2b, 64 bits) of who wrote what and when in some conversations, (N,) for rows (N,) of the corpus.

    Features are read where texts do not say them: in a corpus without text, or whose features were made elsewhere.
    """
    distinct, places = np.unique(rows, return_inverse=True)
    found = np.empty(len(distinct), np.uint64)
    reads_features = corpus.info.input_size is not None and (
        corpus.info.encoder is None or not corpus.has_text
    )
    columns = [corpus.author_chunks, corpus.text_chunks] if corpus.has_text else [corpus.author_chunks]
    chunk_of = np.searchsorted(corpus.chunk_offsets, corpus.message_offsets[distinct], side="right") - 1
    for chunk in np.unique(chunk_of).tolist():
        strings = [_Strings.of(column[chunk]) for column in columns]
        inside = np.flatnonzero(chunk_of == chunk)
        for first in range(0, len(inside), _AT_A_TIME):
            some = inside[first : first + _AT_A_TIME]
            digests = _hash_block(corpus, distinct[some], strings, int(corpus.chunk_offsets[chunk]))
            if reads_features:
                for digest, row in zip(digests, distinct[some].tolist(), strict=True):
                    digest.update(np.ascontiguousarray(corpus.conversation_features(row)).data)
            found[some] = [int.from_bytes(digest.digest(), "little") for digest in digests]
    return found[places]


@dataclass(frozen=True, slots=True)
class _Strings:
    """A record batch's strings as bytes: where each begins, and the end; and all of them, one after another."""

    offsets: Integers
    data: memoryview

    @classmethod
    def of(cls, array: pa.Array) -> _Strings:
        kind = np.int64 if pa.types.is_large_string(array.type) else np.int32
        _, offsets, data = array.buffers()
        begins = np.frombuffer(offsets, kind)[array.offset : array.offset + len(array) + 1]
        return cls(begins.astype(np.int64), memoryview(b"" if data is None else data))


def _hash_block(
    corpus: Corpus, rows: Integers, columns: list[_Strings], chunk_begin: int
) -> list[hashlib.blake2b]:
    """The hashes of neighbouring conversations of one record batch, after their strings and times."""
    begins, ends = corpus.message_offsets[rows], corpus.message_offsets[rows + 1]
    counts = ends - begins
    starts = np.cumsum(counts) - counts
    times = None
    if corpus.info.has_timestamps:
        messages = np.repeat(begins - starts, counts) + np.arange(counts.sum())
        times = read_timestamps(corpus, messages)
    digests = []
    for begin, end, start in zip(
        (begins - chunk_begin).tolist(), (ends - chunk_begin).tolist(), starts.tolist(), strict=True
    ):
        digest = hashlib.blake2b(digest_size=8)
        for strings in columns:
            offsets = strings.offsets[begin : end + 1]
            digest.update((offsets - offsets[0]).data)
            digest.update(strings.data[offsets[0] : offsets[-1]])
        if times is not None:
            digest.update(times[start : start + end - begin].data)
        digests.append(digest)
    return digests
