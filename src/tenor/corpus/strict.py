"""One joint assignment of conversations and authors in which neither is shared between splits.

Works on the graph whose nodes are authors and conversations (or named groups of conversations) and whose
edges are participations. Knows nothing of files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tenor.corpus.plan import SplitPlan, split_finder
from tenor.corpus.schema import SPLITS
from tenor.seeding import fraction_hash

Strings = npt.NDArray[np.object_]
Integers = npt.NDArray[np.int64]

_SPLIT_NAMES = np.array([*SPLITS, ""], dtype=object)  # code -1 = in no split
_NONE = -1


@dataclass(frozen=True)
class StrictAssignment:
    """Who is in which split.

    Attributes:
        conversation_splits: (C,) split names; "" = left out at the conversation level.
        participant_splits: (P,) split names; "" = left out at the author level.
    """

    conversation_splits: Strings
    participant_splits: Strings


def assign_strict(
    units: Strings,
    participants: Strings,
    parents: Integers,
    plan: SplitPlan,
    *,
    is_named: npt.NDArray[np.bool_] | None = None,
) -> StrictAssignment:
    """Split authors and conversations jointly.

    A connected component of the graph shares nothing with another, so it goes as a whole to the split of its
    first author's hash (first in the alphabet, so when added rows join two components one of both moves).
    Only a component that holds a larger share of the conversations than the smallest fraction is cut: its
    authors go by their hashes, a conversation's home is where most of its participants are (ties by the hash
    of its id), a participant who is elsewhere is left out of it, and a conversation is left out at the
    conversation level unless all its participants are at home. So a kept author sequence has its author and
    its conversation in one split, and a kept conversation has all its authors in it.

    Args:
        units: (C,) id of each conversation, or of its named group, which then stays together.
        participants: (P,) author of each participation.
        parents: (P,) row of its conversation.
        plan: seed and fractions.
        is_named: (C,) whether a unit is a named group: an author of the same name elsewhere is left out where their
            splits differ, for at level author both are groups of that name. None = none is.
    """
    _, unit_codes = np.unique(units, return_inverse=True)
    author_names, author_codes = np.unique(participants, return_inverse=True)
    num_units, unit_of = int(unit_codes.max()) + 1, unit_codes[parents]
    components, of_author = find_components(unit_of, author_codes, num_units, len(author_names))
    shares = np.bincount(components[unit_codes], minlength=components.max() + 1) / len(units)

    first_author = np.full(len(shares), len(author_names), dtype=np.int64)
    np.minimum.at(first_author, of_author, np.arange(len(author_names)))
    is_cut = shares > min(fraction for fraction in plan.fractions if fraction > 0)
    find_split = split_finder(plan)
    whole = np.array([SPLITS.index(find_split(author_names[first])) for first in first_author])
    author_splits = whole[of_author]
    for author in np.flatnonzero(is_cut[of_author]):
        author_splits[author] = SPLITS.index(find_split(author_names[author]))

    homes = _find_homes(unit_of, author_splits[author_codes], num_units, units, unit_codes, plan)
    at_home = author_splits[author_codes] == homes[unit_of]
    participant_codes = np.where(at_home, homes[unit_of], _NONE)
    if is_named is not None:
        named = dict(zip(units[is_named], homes[unit_codes[is_named]], strict=True))
        others = np.array([named.get(name, _NONE) for name in author_names])[author_codes]
        participant_codes[~is_named[parents] & (others != _NONE) & (others != participant_codes)] = _NONE
    strangers = np.bincount(parents, weights=~at_home, minlength=len(units))
    conversation_codes = np.where(strangers == 0, homes[unit_codes], _NONE)
    return StrictAssignment(
        conversation_splits=_SPLIT_NAMES[conversation_codes],
        participant_splits=_SPLIT_NAMES[participant_codes],
    )


def find_components(
    unit_of: Integers, author_codes: Integers, num_units: int, num_authors: int
) -> tuple[Any, Any]:
    """What is linked by participations (P,) of an author in a unit: the component of each unit (U,) and author (A,)."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    size = num_units + num_authors
    edges = coo_matrix(
        (np.ones(len(unit_of), np.int8), (unit_of, author_codes + num_units)), shape=(size, size)
    )
    _, labels = connected_components(edges, directed=False)
    return labels[:num_units], labels[num_units:]


def _find_homes(
    unit_of: Integers,
    splits: Integers,
    num_units: int,
    units: Strings,
    unit_codes: Integers,
    plan: SplitPlan,
) -> Integers:
    """The split of each unit (U,): that of most of its participants; ties by the hash of its id."""
    votes = np.zeros((num_units, len(SPLITS)), dtype=np.int64)
    np.add.at(votes, (unit_of, splits), 1)
    best = votes == votes.max(axis=1, keepdims=True)
    homes: Integers = best.argmax(axis=1)
    names = np.empty(num_units, dtype=object)
    names[unit_codes] = units
    fraction = fraction_hash(plan.seed)
    for unit in np.flatnonzero(best.sum(axis=1) > 1):
        tied = np.flatnonzero(best[unit])
        homes[unit] = tied[int(fraction(names[unit]) * len(tied))]
    return homes
