"""A part of a view, whole groups of it, for what is fitted in memory: all of a small corpus, a draw of a large one.

Knows nothing of what is fitted.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from tenor.corpus.ordering import blocks_of_messages
from tenor.corpus.schema import UNLABELLED
from tenor.corpus.views import SequenceView
from tenor.errors import UsageError
from tenor.seeding import numpy_generator

logger = logging.getLogger(__name__)

Integers = npt.NDArray[np.int64]

#: A fit of n-grams takes some 170 bytes a character, one of pooled features some 7 KB a sequence.
MAX_FIT_CHARACTERS = 16_000_000
#: A message without text, or a very short one, counts as so many characters.
_LEAST_CHARACTERS = 40
#: Texts read at a time; scoring their n-grams takes some 150 bytes a character.
_BLOCK_CHARACTERS = 128_000


def sample_groups(
    view: SequenceView,
    *,
    seed: int,
    max_characters: int = MAX_FIT_CHARACTERS,
    what: str = "the fit",
    lengths: Integers | None = None,
) -> Integers:
    """The sequences of so many groups, drawn at random, as a fit may take; a warning says when they are not all.

    Where a class would have no labelled sequence in the draw, the groups of its first sequence is added.

    Args:
        view: sequences.
        seed: of the draw.
        max_characters: about so many characters of text in all; without text 40 stand for a message.
        what: is fitted, for the warning.
        lengths: (S,) messages that are read of each sequence; None = its own.

    Returns:
        Rising positions in the view.

    Raises:
        UsageError: max_characters is below 1.
    """
    if max_characters < 1:
        raise UsageError(f"characters to fit on: expected 1 or more, found {max_characters}")
    most = max_characters / mean_characters(view)
    lengths = view.lengths if lengths is None else lengths
    if len(view) == 0 or lengths.sum() <= most:
        return np.arange(len(view))
    groups, codes = np.unique(view.group_codes, return_inverse=True)
    order = numpy_generator(seed, "fit sample").permutation(len(groups))
    sizes = np.bincount(codes, weights=lengths)
    is_drawn = np.zeros(len(groups), dtype=bool)
    is_drawn[order[np.cumsum(sizes[order]) <= most]] = True
    is_drawn[order[0]] = True
    for label in np.unique(view.labels[view.labels != UNLABELLED]):
        own = np.flatnonzero(view.labels == label)
        if not is_drawn[codes[own]].any():
            is_drawn[codes[own[0]]] = True
    rows = np.flatnonzero(is_drawn[codes])
    logger.warning(
        "%s reads %s of %s sequences, a draw of whole groups that holds about %s characters",
        what, f"{len(rows):,}", f"{len(view):,}", f"{max_characters:,}",
    )  # fmt: skip
    return rows


def mean_characters(view: SequenceView) -> float:
    """Characters a message in the view's corpus, 40 at least; bytes stand for characters."""
    if not view.corpus.has_text:
        return float(_LEAST_CHARACTERS)
    return max(float(_LEAST_CHARACTERS), view.corpus.text_bytes / max(1, view.corpus.num_messages))


def blocks_of_texts(view: SequenceView, lengths: Integers | None = None) -> Iterator[Integers]:
    """Positions of all sequences in order, as many at a time as have their n-grams counted at once.

    Args:
        view: sequences.
        lengths: (S,) messages that are read of each; None = its own.
    """
    lengths = view.lengths if lengths is None else lengths
    yield from blocks_of_messages(lengths, max(1, int(_BLOCK_CHARACTERS / mean_characters(view))))


def join_texts(view: SequenceView) -> Iterator[tuple[Integers, list[str]]]:
    """Each sequence's messages, one a line: positions in order and their texts, bounded blocks at a time."""
    for rows in blocks_of_texts(view):
        yield rows, ["\n".join(messages) for messages in view.texts(rows)]
