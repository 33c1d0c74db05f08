"""Whether a corpus is an earlier one that has only grown: more conversations, and every split as it was.

Knows nothing of what was made of the earlier corpus.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tenor.arrays import to_numpy
from tenor.corpus.corpus import Corpus
from tenor.corpus.groups import hash_triples, split_triples

#: The columns that a corpus's splits are described by.
_COLUMNS = ["conversation_id", "group", "authors", "participants", "participant_splits", "split"]
_AT_A_TIME = 1 << 14


def has_only_grown(corpus: Corpus, split_hash: str) -> bool:
    """Whether a corpus had this `CorpusInfo.split_hash` once, and nothing has changed its split since.

    A corpus grows by whole files, so that its first file, its first two, ... are what it has been. What came later
    must place none of their groups otherwise, as splits that a source gives may.

    Args:
        corpus: as it is now.
        split_hash: of the earlier one.
    """
    if corpus.info.split_hash == split_hash:
        return True
    if len(corpus.info.files) < 2 or corpus.info.split.strict:  # a strict plan assigns all anew
        return False
    levels = _first_files(corpus)
    for stop in range(1, len(corpus.info.files)):
        held = [triples.filter(pa.array(files < stop)) for triples, files in levels]
        if hash_triples(map(_strings, held)) == split_hash:
            return all(_keeps_groups(triples, files < stop) for triples, files in levels)
    return False


def _first_files(corpus: Corpus) -> list[tuple[pa.ChunkedArray, np.ndarray]]:
    """Each level's distinct (level, group, split) triples, sorted, and the number of the file that has each first."""
    found: list[list[pa.Table]] = [[], []]
    table, start = corpus.table.select(_COLUMNS), 0
    for number, file in enumerate(corpus.info.files):
        part = table.slice(start, file.num_conversations)
        start += file.num_conversations
        for tables, triples in zip(found, split_triples(part, corpus.info.split), strict=True):
            numbers = pa.array(np.full(len(triples), number, dtype=np.int32))
            tables.append(pa.table({"triple": triples, "file": numbers}))
    levels = []
    for tables in found:
        firsts = pa.concat_tables(tables).group_by("triple").aggregate([("file", "min")]).sort_by("triple")
        levels.append((firsts["triple"], to_numpy(firsts["file_min"].combine_chunks())))
    return levels


def _strings(triples: pa.ChunkedArray) -> Iterator[str]:
    """The values, a chunk's part at a time as Python's: all at once would take several times their bytes."""
    for batch in pa.table({"triple": triples}).to_batches(max_chunksize=_AT_A_TIME):
        yield from batch["triple"].to_pylist()


def _keeps_groups(triples: pa.ChunkedArray, is_held: np.ndarray) -> bool:
    """Whether no triple that came later is of a group that stood in another split before."""
    groups = pc.replace_substring_regex(triples, pattern="\x1f[^\x1f]*$", replacement="")
    later = groups.filter(pa.array(~is_held))
    return not pc.any(pc.is_in(later, value_set=groups.filter(pa.array(is_held)))).as_py()
