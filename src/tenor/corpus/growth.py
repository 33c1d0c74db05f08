"""Whether a corpus divides as an earlier one did: by the same hash, or because it is that one and has only grown.

Knows nothing of what was made of the earlier corpus.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tenor.arrays import make_scalar, to_numpy
from tenor.corpus.corpus import Corpus
from tenor.corpus.groups import flatten, hash_lines, list_lengths, split_triples
from tenor.corpus.plan import split_finder
from tenor.corpus.schema import SPLITS
from tenor.corpus.views import SequenceView

#: The columns that a corpus's splits are described by.
_COLUMNS = ["conversation_id", "group", "authors", "participants", "participant_splits", "split"]


def follows_hash(view: SequenceView) -> bool:
    """Whether each sequence's split is what the plan's hash gives its group; a strict plan assigns otherwise."""
    plan = view.corpus.info.split
    if plan.strict:
        return False
    groups, names = view.groups.rank()
    find_split = split_finder(plan)
    expected = np.array([SPLITS.index(find_split(name)) for name in names], dtype=np.int8)
    is_placed = view.split_codes >= 0
    return not (expected[groups] != view.split_codes)[is_placed].any()


def describe_hash(view: SequenceView) -> dict[str, Any] | None:
    """What decides each sequence's split but an id, the conversation's or the author's; None where more does.

    Of two corpora of which this is the same, no conversation and no author stands in train in one and in test in the
    other. Named groups and whole conversations may take an author along to another split.

    Returns:
        The plan's seed, fractions and by, as JSON values.
    """
    plan = view.corpus.info.split
    named = view.corpus.table["group"]
    is_by_id = plan.by == "author" or (plan.by is None and named.null_count == len(named))
    if not is_by_id or not follows_hash(view):
        return None
    return {"seed": plan.seed, "fractions": list(plan.fractions), "by": plan.by}


def has_only_grown(corpus: Corpus, split_hash: str) -> bool:
    """Whether a corpus had this `CorpusInfo.split_hash` once, and nothing has changed its split since.

    A corpus grows by whole files, so that its first file, its first two, ... are what it has been. What came later
    must place none of their groups otherwise, as splits that a source gives may, and no author, as a named group may.

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
        if hash_lines([lines.filter(pa.array(files < stop)) for lines, files in levels]) == split_hash:
            keeps_groups = all(_keeps_groups(lines, files < stop) for lines, files in levels)
            return keeps_groups and _keeps_authors(corpus, stop)
    return False


def _first_files(corpus: Corpus) -> list[tuple[pa.Array, npt.NDArray[np.int32]]]:
    """Each level's distinct (level, group, split) triples, sorted, as lines; and which file has each first."""
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
        triples = firsts["triple"].combine_chunks()
        end, nothing = (make_scalar(text, triples.type) for text in ("\n", ""))
        lines = pc.binary_join_element_wise(triples, nothing, end)
        levels.append((lines, to_numpy(firsts["file_min"].combine_chunks())))
    return levels


def _keeps_groups(lines: pa.Array, is_held: npt.NDArray[np.bool_]) -> bool:
    """Whether no triple that came later is of a group that stood in another split before."""
    groups = pc.replace_substring_regex(lines, pattern="\x1f[^\x1f]*\n$", replacement="")
    later = groups.filter(pa.array(~is_held))
    return not pc.any(pc.is_in(later, value_set=groups.filter(pa.array(is_held)))).as_py()


def _keeps_authors(corpus: Corpus, num_files: int) -> bool:
    """Whether no author of the first files came to stand in another split too, unless some stood in several before."""
    lists = corpus.table["participants"]
    pairs = pa.table({"name": flatten(lists), "split": flatten(corpus.table["participant_splits"])})
    rows = sum(file.num_conversations for file in corpus.info.files[:num_files])
    stop = int(list_lengths(lists.slice(0, rows)).sum())
    held, later = (
        part.group_by(["name", "split"]).aggregate([]) for part in (pairs.slice(0, stop), pairs.slice(stop))
    )
    if pc.count_distinct(held["name"]).as_py() < len(held):
        return True
    known = later.filter(pc.is_in(later["name"], value_set=held["name"]))
    both = pa.concat_tables([held, known]).group_by(["name", "split"]).aggregate([])
    return len(both) == len(held)
