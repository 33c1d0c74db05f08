"""From one level to the next: the authors in some conversations.

Knows nothing of what either level is asked.
"""

from __future__ import annotations

import dataclasses

import numpy as np

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
