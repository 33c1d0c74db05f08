"""Who hears the same words: groups that must not be told apart where a model reads what others say to an author.

Of two who talk, each hears the other, and no message is heard by two. Of three, A and B both hear C: with A in training
and B in test, or in two folds, B would be known by what C said to A. Knows nothing of models.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from tenor.corpus.schema import SPLITS
from tenor.corpus.strict import find_components
from tenor.corpus.views import SequenceView

Integers = npt.NDArray[np.int64]

#: Of the sequences, at most such a share in one joined group: the others have to say something of it.
LARGEST_JOINED = 0.5


def join_hearers(view: SequenceView) -> SequenceView:
    """The same sequences, with the groups of all who hear one message together as one group.

    A joined group has the name of the first of its groups, by code points; other groups stay as they are.

    Args:
        view: sequences of level author. Messages of authors who are not among them are heard too.
    """
    num_conversations = view.corpus.num_conversations
    hearers = np.bincount(view.rows, minlength=num_conversations)
    spoken = np.bincount(view.rows, weights=view.lengths, minlength=num_conversations)
    has_third = (hearers > 2) | ((hearers == 2) & (spoken < np.diff(view.corpus.message_offsets)))
    is_joined = has_third[view.rows]
    if not is_joined.any():
        return view
    groups, names = view.groups.rank()
    joined = find_first_linked(groups[is_joined], view.rows[is_joined].astype(np.int64), len(names))[groups]
    if np.array_equal(joined, groups):
        return view
    return dataclasses.replace(view, group_codes=joined, group_names=names.values)


def find_first_linked(groups: Integers, links: Integers, num_groups: int) -> Integers:
    """For each group the first that it is linked to: (G,).

    Args:
        groups: (S,) the group of each sequence.
        links: (S,) what it has in common with others, such as its conversation.
        num_groups: G.
    """
    distinct, of_sequence = np.unique(links, return_inverse=True)
    _, components = find_components(of_sequence, groups, len(distinct), num_groups)
    first = np.full(int(components.max()) + 1, num_groups, np.int64)
    np.minimum.at(first, components, np.arange(num_groups))
    return np.asarray(first[components])


def count_torn(view: SequenceView) -> int:
    """How many sequences, all of them in splits, are of a group that stands in more than one."""
    is_in = np.zeros((int(view.group_codes.max(initial=-1)) + 1, len(SPLITS)), dtype=bool)
    is_in[view.group_codes, view.split_codes] = True
    return int((is_in.sum(axis=1) > 1)[view.group_codes].sum())
