"""The strongest message: one model scores every message, and a sequence has the score of its highest.

Where one message in many decides (a slur, a demand for money), the n-grams of the whole text drown it. The model is
fitted on single messages that all bear their sequence's label, and read out by the maximum: the plain instance-space
form of multiple-instance learning (Ray & Craven 2005, "Supervised versus multiple instance learning"). Knows nothing
of corpora.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tenor.lexical.fitting import assign_folds, fit_lexical
from tenor.lexical.model import LexicalModel
from tenor.lexical.weighting import count_texts
from tenor.seeding import numpy_generator

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

#: What a fit reads, about; of a longer corpus each sequence gives the same share of its messages. Where single
#: messages decide they are short (in-game chat: 0.4 million characters in all); on long talk the fit would take half a
#: minute for a part that then weighs nothing.
MAX_FIT_CHARACTERS = 1_000_000


def fit_peaks(
    sequences: Sequence[Sequence[str]],
    labels: IntArray,
    groups: npt.ArrayLike,
    *,
    seed: int,
    num_classes: int = 2,
    folds: int = 5,
    max_characters: int = MAX_FIT_CHARACTERS,
) -> tuple[LexicalModel, FloatArray]:
    """Fit on messages, each sequence counting the same, and score every sequence, all of it, out of fold.

    Args:
        sequences: the texts of N sequences.
        labels: (N,) int in [0, num_classes).
        groups: (N,) str; a group stands in one fold.
        seed: chooses the folds (see assign_folds).
        num_classes: 2 gives one logit a sequence, more give one a class.
        folds: how many.
        max_characters: about so much is fitted on.

    Returns:
        The model of messages, and the peaks out of fold: (N,) or (N, C).
    """
    lengths = np.fromiter(map(len, sequences), np.int64, len(sequences))
    texts = [text for texts in sequences for text in texts]
    counts = count_texts(texts)
    owners = np.repeat(np.arange(len(lengths)), lengths)
    share = max_characters / max(1, sum(map(len, texts)))
    is_drawn = _draw_share(lengths, share, seed)
    drawn = np.bincount(owners[is_drawn], minlength=len(lengths))
    importance = (max(1.0, float(drawn.mean())) / np.maximum(drawn, 1))[owners] if len(owners) else None
    folds_of_messages = assign_folds(labels, groups, seed=seed, folds=folds)[owners]

    def fit(wanted: npt.NDArray[np.bool_]) -> LexicalModel:
        rows = np.flatnonzero(wanted & is_drawn)
        shares = None if importance is None else importance[rows]
        return fit_lexical(counts[rows], labels[owners][rows], num_classes=num_classes, importance=shares)

    scores = np.zeros((len(owners),) if num_classes == 2 else (len(owners), num_classes))
    base = np.zeros((len(lengths), *scores.shape[1:]))
    for fold in range(folds):
        held = np.flatnonzero(folds_of_messages == fold)
        if len(held):
            scores[held] = fit(folds_of_messages != fold).logits(counts[held])
    model = fit(np.ones(len(owners), dtype=bool))
    base[:] = model.intercept[0] if num_classes == 2 else model.intercept
    return model, take_peaks(scores, lengths, base)


def _draw_share(lengths: IntArray, share: float, seed: int) -> npt.NDArray[np.bool_]:
    """Which messages are drawn, (M,): of each sequence so large a share at random, and one at least."""
    places = numpy_generator(seed, "peak sample").random(int(lengths.sum()))
    if share >= 1:
        return np.ones(len(places), dtype=bool)
    starts = np.cumsum(lengths) - lengths
    filled = np.flatnonzero(lengths)
    lowest = np.minimum.reduceat(places, starts[filled]) if len(filled) else places
    is_drawn: npt.NDArray[np.bool_] = (places < share) | (places == np.repeat(lowest, lengths[filled]))
    return is_drawn


def score_peaks(
    model: LexicalModel, counts: csr_matrix, positions: IntArray, owners: IntArray, num_sequences: int
) -> FloatArray:
    """The highest of the messages' logits, (N,) or (N, C) for each class; the intercept where there are none.

    Args:
        model: of messages.
        counts: (D, columns) n-grams of distinct messages.
        positions: (M,) which of those each message is, one sequence's after another.
        owners: (M,) whose it is, as positions among the sequences, rising.
        num_sequences: N.
    """
    scores = model.logits(counts)[positions]
    base = np.zeros((num_sequences, *scores.shape[1:]))
    base[:] = model.intercept[0] if scores.ndim == 1 else model.intercept
    return take_peaks(scores, np.bincount(owners, minlength=num_sequences), base)


def take_peaks(scores: FloatArray, lengths: IntArray, base: FloatArray) -> FloatArray:
    """The maximum over each sequence's messages.

    Args:
        scores: (M,) or (M, C) of all messages.
        lengths: (N,) messages a sequence.
        base: (N,) or (N, C) for sequences without any.
    """
    filled = np.flatnonzero(lengths)
    peaks = base.copy()
    if len(filled):
        starts = (np.cumsum(lengths) - lengths)[filled]
        peaks[filled] = np.maximum.reduceat(scores, starts, axis=0)
    return peaks
