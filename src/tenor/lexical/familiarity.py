"""How much of a text a lexical prior can know: the share of its words that training texts had too.

A text in another language is scored like any other, by what little of it is known; this says how little. Knows
nothing of scores.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from tenor.lexical.model import LexicalModel
from tenor.lexical.spoken import SpokenCounts
from tenor.lexical.weighting import SPACE

FloatArray = npt.NDArray[np.float64]


def mark_known_words(models: Iterable[LexicalModel]) -> npt.NDArray[np.bool_]:
    """Which columns of words and pairs of words some model has a coefficient for: (word columns,)."""
    is_known = np.zeros(SPACE.word_columns, dtype=np.bool_)
    for model in models:
        is_known[model.columns[model.columns < SPACE.word_columns]] = True
    return is_known


def share_known_words(spoken: SpokenCounts, is_known: npt.NDArray[np.bool_]) -> FloatArray:
    """The share of the words and pairs of words in each sequence's own messages that are known.

    Known is what the model has a weight for, which two training texts had. Runs of punctuation are words too; what
    stands across messages does not count. Words are hashed, so that an unknown one is taken for a known one as often as
    columns are known: in models of a few thousand texts 6% to 15%.

    Args:
        spoken: what S sequences say, the voice ``own`` among it.
        is_known: of mark_known_words.

    Returns:
        (S,), NaN where no message has a word.
    """
    counts, (messages, owners) = spoken.messages.counts, spoken.voices["own"]
    entries = np.flatnonzero(counts.indices < SPACE.word_columns)
    rows = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))[entries]
    times = counts.data[entries].astype(np.float64)
    words = np.bincount(rows, times, minlength=counts.shape[0])
    known = np.bincount(rows, times * is_known[counts.indices[entries]], minlength=counts.shape[0])
    all_words, all_known = (
        np.bincount(owners, of_message[messages], minlength=spoken.num_sequences)
        for of_message in (words, known)
    )
    shares = np.full(spoken.num_sequences, np.nan)
    np.divide(all_known, all_words, out=shares, where=all_words > 0)
    return shares


def summarize_shares(shares: npt.NDArray[np.floating]) -> dict[str, float] | None:
    """What is usual of some texts' shares; None without a word.

    Returns:
        ``median``; ``low``, the 5% quantile; which part of the shares is lower, ``below``, and which is at most that,
        ``at_most``; ``texts``, how many there are.
    """
    found = shares[~np.isnan(shares)].astype(np.float32)
    if len(found) == 0:
        return None
    low = np.quantile(found, 0.05, method="higher")
    return {
        "median": float(np.median(found)),
        "low": float(low),
        "below": float(np.mean(found < low)),
        "at_most": float(np.mean(found <= low)),
        "texts": len(found),
    }
