"""Which sequences make a profile: one profile an author and split.

Turns the columns of a predictions table (or of a view) into the profiles' columns and the code that links
each sequence to its profile. Knows neither scores nor files; ``fixed`` and ``learned`` aggregate scores by
these codes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sized
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tenor.aggregation.fixed import IntArray, LabelRule, aggregate_labels
from tenor.errors import UsageError
from tenor.strings import Strings

_SPLIT_ORDER = ("train", "validation", "test")


@dataclass(frozen=True, slots=True)
class Profiles:
    """The profiles' columns; row = profile, sorted by split (train, validation, test, others), then author.

    Attributes:
        authors: (P,) strings.
        groups: (P,) strings; the first in sorted order where an author's sequences have several.
        splits: (P,) strings.
        labels: (P,) int64, -1 = unlabelled.
        lengths: (P,) int64, number of sequences.
        codes: (S,) int64, the profile of each sequence.
    """

    authors: Strings
    groups: Strings
    splits: Strings
    labels: IntArray
    lengths: IntArray
    codes: IntArray

    def __len__(self) -> int:
        return len(self.authors)


def build_profiles(
    authors: Strings,
    groups: Strings,
    splits: Strings,
    labels: npt.NDArray[np.integer],
    *,
    label_rule: LabelRule = "majority",
) -> Profiles:
    """Collect sequences into profiles: one an author, and where an author is in several splits one in each.

    The profiles do not depend on the order of the sequences.

    Args:
        authors: (S,) str.
        groups: (S,) str.
        splits: (S,) str.
        labels: (S,) int, -1 = unlabelled.
        label_rule: how differing labels of an author's sequences make the profile's (see aggregate_labels).

    Raises:
        UsageError: columns of different lengths, a missing value, or labels that break the rule.
    """
    columns: dict[str, Sized] = {"authors": authors, "groups": groups, "splits": splits, "labels": labels}
    if len({len(column) for column in columns.values()}) != 1:
        raise UsageError(
            "expected columns of one length, found "
            + ", ".join(f"{name} {len(column)}" for name, column in columns.items())
        )
    author_ranks, author_names = _rank(authors, "authors")
    group_ranks, group_names = _rank(groups, "groups")
    split_ranks, split_names = _rank(splits, "splits")
    found = split_names.tolist()
    known = [found.index(name) for name in _SPLIT_ORDER if name in found]
    by_use = np.array(known + [rank for rank in range(len(found)) if rank not in known], dtype=np.int64)
    split_names, split_ranks = split_names[by_use], np.argsort(by_use)[split_ranks]

    keys = split_ranks * max(len(author_names), 1) + author_ranks
    profile_keys, codes, lengths = np.unique(keys, return_inverse=True, return_counts=True)
    of_split, of_author = profile_keys // max(len(author_names), 1), profile_keys % max(len(author_names), 1)
    names = author_names[of_author]
    order = np.argsort(codes, kind="stable")
    starts = np.cumsum(lengths) - lengths
    first_groups = np.minimum.reduceat(group_ranks[order], starts) if len(lengths) else group_ranks
    return Profiles(
        authors=names,
        groups=group_names[first_groups],
        splits=split_names[of_split],
        labels=aggregate_labels(labels, codes, len(names), label_rule, names),
        lengths=lengths.astype(np.int64),
        codes=codes.astype(np.int64),
    )


def _rank(values: Strings | Iterable[str], column: str) -> tuple[IntArray, Strings]:
    """Ranks (S,) among the sorted distinct strings, and those."""
    try:
        return Strings.of(values).rank()
    except UsageError as error:
        raise UsageError(f"column {column}: {error}") from error
