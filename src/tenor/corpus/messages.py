"""Single messages, given as rows among all of a corpus: which record batch each lies in, text, author, time.

Knows nothing of sequences.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tenor.arrays import number_array, to_numpy
from tenor.corpus.corpus import Corpus

Integers = npt.NDArray[np.int64]


def share_out(corpus: Corpus, rows: Integers) -> Iterator[tuple[int, Integers, Integers]]:
    """Share out message rows over record batches: (batch, places in `rows`, rows inside the batch)."""
    if len(corpus.chunk_offsets) == 2 and len(rows):  # one batch only
        yield 0, np.arange(len(rows)), rows
        return
    chunk_of = np.searchsorted(corpus.chunk_offsets, rows, side="right") - 1
    for chunk in np.unique(chunk_of):
        places = np.flatnonzero(chunk_of == chunk)
        yield int(chunk), places, rows[places] - corpus.chunk_offsets[chunk]


def read_texts(corpus: Corpus, rows: Integers) -> Iterator[tuple[Integers, pa.Array]]:
    """Some messages' texts, given as rows among all of the corpus: (places in `rows`, their texts), all in all.

    Raises:
        CorpusError: the corpus has no text.
    """
    chunks = corpus.text_chunks
    for chunk, places, inside in share_out(corpus, rows):
        corpus.will_need_text(chunk)
        yield places, chunks[chunk].take(number_array(inside))


def read_authors(corpus: Corpus, rows: Integers) -> npt.NDArray[np.object_]:
    """Who wrote some messages, given as rows among all of the corpus: (M,) str."""
    names = np.empty(len(rows), dtype=object)
    for chunk, places, inside in share_out(corpus, rows):
        names[places] = corpus.author_chunks[chunk].take(number_array(inside)).to_pylist()
    return names


def read_timestamps(corpus: Corpus, rows: Integers) -> npt.NDArray[np.float64]:
    """When some messages were written, given as rows among all of the corpus: (M,) seconds, NaN where not known."""
    times = np.full(len(rows), np.nan)
    lists = corpus.time_chunks
    firsts = np.cumsum([0, *map(len, lists)])
    conversations = np.searchsorted(corpus.message_offsets, rows, side="right") - 1
    inside = rows - corpus.message_offsets[conversations]
    chunk_of = np.searchsorted(firsts, conversations, side="right") - 1
    for chunk in np.unique(chunk_of).tolist():
        at = np.flatnonzero(chunk_of == chunk)
        local = conversations[at] - firsts[chunk]
        is_known = to_numpy(lists[chunk].is_valid())[local]  # not: a list without times
        at, local = at[is_known], local[is_known]
        places = to_numpy(lists[chunk].offsets)[local] + inside[at]
        times[at] = to_numpy(lists[chunk].values.take(number_array(places)), null=np.nan)
    return times
