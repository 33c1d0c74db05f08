"""Which features of an earlier analyzed corpus still hold, so that only new conversations need encoding.

Knows nothing of encoders: the caller sees to it that the encoder is the same.
"""

from __future__ import annotations

import pyarrow as pa

from tenor.corpus.corpus import Corpus
from tenor.corpus.groups import flatten


def count_reusable_files(corpus: Corpus, analyzed: Corpus) -> int:
    """How many of an analyzed corpus's files begin with the very conversations that a corpus begins with.

    Every column but the features is compared, entry by entry. Where the analyzed corpus keeps no text, the files
    that both were imported from, by their hashes, stand for it.

    Args:
        corpus: the source, which may have grown since.
        analyzed: what was encoded from it earlier.
    """
    if corpus.has_text and not analyzed.has_text and not _has_sources_of(corpus, analyzed):
        return 0
    columns = [name for name in analyzed.table.column_names if name != "features"]
    for name in columns:
        corpus.column(name)
        analyzed.column(name)
    first = 0
    for number, file in enumerate(analyzed.info.files):
        rows = file.num_conversations
        for name in columns:
            one, other = (each.table[name].slice(first, rows) for each in (corpus, analyzed))
            if not _are_equal(one, other):
                return number
        first += rows
    return len(analyzed.info.files)


def _has_sources_of(corpus: Corpus, analyzed: Corpus) -> bool:
    known = analyzed.info.sources
    return len(known) > 0 and corpus.info.sources[: len(known)] == known


def _are_equal(one: pa.ChunkedArray, other: pa.ChunkedArray) -> bool:
    """Whether two columns hold the same; labels may be of two types as long as there are none."""
    if len(one) != len(other):
        return False
    if one.type == other.type:
        return bool(one.equals(other))
    if pa.types.is_list(one.type):
        one, other = flatten(one), flatten(other)
    return bool(len(one) == len(other) == one.null_count == other.null_count)
