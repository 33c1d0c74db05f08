"""The rows that a model is surest of and wrong about.

Needs predictions alone. Knows nothing of why (``tenor.explain``).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tenor.logits import log_odds
from tenor.predictions import Predictions, find_predicted

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


def find_errors(rows: Predictions, count: int) -> Predictions:
    """The `count` wrong rows that the model is surest of, worst first.

    How sure: for two classes the distance of the logit from that of the threshold (at level profile of the score
    from the threshold), for several the probability of the predicted class; of equals, the first by id.

    Args:
        rows: labelled.
        count: at most so many.
    """
    wrong = np.flatnonzero(predict_classes(rows) != rows.labels)
    ids, _ = rows.ids[wrong].rank()
    order = np.lexsort((ids, -_confidence(rows)[wrong]))[: max(0, count)]
    return rows.select(wrong[order])


def predict_classes(rows: Predictions) -> Integers:
    """(N,) the index of the class that each row gets."""
    found = find_predicted(rows)
    return (rows.probs >= _threshold(rows)).astype(np.int64) if found is None else found


def _confidence(rows: Predictions) -> Floats:
    if rows.probs.ndim == 2:
        return np.asarray(rows.probs.max(axis=1))
    if rows.level == "profile":  # scores such as counts of votes have no logit
        return np.abs(rows.probs - _threshold(rows))
    return np.asarray(np.abs(rows.logits - log_odds(_threshold(rows))))


def _threshold(rows: Predictions) -> float:
    return 0.5 if rows.threshold is None else rows.threshold
