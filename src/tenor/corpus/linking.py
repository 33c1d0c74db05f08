"""From one level to the next: the authors in some conversations.

Knows nothing of what either level is asked.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from tenor.corpus.hearing import LARGEST_JOINED, find_first_linked
from tenor.corpus.views import SequenceView, view_sequences


def view_authors_in(conversations: SequenceView) -> SequenceView:
    """The author sequences of some conversations, in the conversations' groups and splits.

    So what is fitted on authors' labels stays on the conversations' side of every split and fold, whichever split the
    author level has put the authors in.

    Args:
        conversations: a view of level conversation, in the corpus's order.

    Returns:
        A view of level author, labelled or not; `rows` are still those of the corpus.
    """
    authors = view_sequences(conversations.corpus, "author")
    authors = authors.select(np.isin(authors.rows, conversations.rows)).cut_order()
    places = np.searchsorted(conversations.rows, authors.rows)
    return dataclasses.replace(
        authors,
        group_codes=conversations.group_codes[places],
        group_names=conversations.group_names,
        split_codes=conversations.split_codes[places],
    )


def hold_authors_together(authors: SequenceView) -> SequenceView:
    """The same sequences in groups none of which shares an author with another.

    In folds of them an author is never known by another conversation, as those of strict splits, or of times to
    come, are not. Groups that share an author become one, by the first one's name; where that would join most of them,
    each author is a group.

    Args:
        authors: a view of level author.
    """
    if authors.author_codes is None or authors.author_names is None:
        return authors
    groups, names = authors.groups.rank()
    joined = find_first_linked(groups, authors.author_codes.astype(np.int64), len(names))[groups]
    if np.array_equal(joined, groups):
        return authors
    if np.bincount(joined).max() > LARGEST_JOINED * len(authors):
        return dataclasses.replace(
            authors, group_codes=authors.author_codes, group_names=authors.author_names
        )
    return dataclasses.replace(authors, group_codes=joined, group_names=names.values)
