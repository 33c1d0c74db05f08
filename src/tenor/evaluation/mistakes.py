"""The rows that a model is most wrong about.

Needs predictions alone. Knows nothing of why (``tenor.explain``).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tenor.logits import log_losses
from tenor.predictions import Predictions, find_predicted

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


def find_errors(rows: Predictions, count: int) -> Predictions:
    """The `count` rows that the model decides wrongly and is most wrong about, worst first.

    How wrong: the log loss, which is by the probability of the true class, so that a threshold near 0 or 1 hides no
    kind of error. Scores that are no probabilities (counts of votes) go by their distance from the threshold, of
    several classes by the highest. Of equals, the first by id.

    Args:
        rows: labelled.
        count: at most so many.
    """
    wrong = np.flatnonzero(predict_classes(rows) != rows.labels)
    ids, _ = rows.ids[wrong].rank()
    order = np.lexsort((ids, -_measure_wrongness(rows)[wrong]))[: max(0, count)]
    return rows.select(wrong[order])


def describe_ranking(rows: Predictions) -> str:
    """By what find_errors ranks these rows, to stand behind "by"."""
    if _are_probabilities(rows):
        return "the probability that the model gave to the true class"
    return "the highest score" if rows.probs.ndim == 2 else "the distance of the score from the threshold"


def predict_classes(rows: Predictions) -> Integers:
    """(N,) the index of the class that each row gets."""
    found = find_predicted(rows)
    return (rows.probs >= _threshold(rows)).astype(np.int64) if found is None else found


def _measure_wrongness(rows: Predictions) -> Floats:
    """(N,) higher is worse; for wrong rows."""
    if rows.level != "profile":
        return log_losses(rows.logits, rows.labels)
    if _are_probabilities(rows):  # of profiles these alone are sure to be their score
        if rows.probs.ndim == 2:
            return -rows.probs[np.arange(len(rows)), rows.labels]
        return -np.where(rows.labels == 1, rows.probs, 1 - rows.probs)
    if rows.probs.ndim == 2:
        return np.asarray(rows.probs.max(axis=1))
    return np.abs(rows.probs - _threshold(rows))


def _are_probabilities(rows: Predictions) -> bool:
    return bool((rows.probs <= 1).all())


def _threshold(rows: Predictions) -> float:
    return 0.5 if rows.threshold is None else rows.threshold
