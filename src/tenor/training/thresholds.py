"""The thresholds that go into a model file: one a level and aggregation, each with how sure it is.

Chosen on the validation sequences, whose groups are resampled for the intervals. Knows nothing of models.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tenor.aggregation.fixed import aggregate_all
from tenor.aggregation.profiles import build_profiles
from tenor.corpus.views import SequenceView
from tenor.metrics.objectives import ThresholdRule
from tenor.metrics.thresholds import Threshold

#: The name of the threshold of sequences; the others are named after their aggregation.
SEQUENCE = "sequence"


def choose_thresholds(
    view: SequenceView, probs: npt.NDArray[np.float64], rule: ThresholdRule, *, seed: int = 0
) -> dict[str, Threshold]:
    """Choose the threshold of sequences and, at level author, that of profiles by each fixed aggregation.

    Args:
        view: the labelled validation sequences.
        probs: (S,) of theirs; several classes, (S, C), have no thresholds.
        rule: what the thresholds are for.
        seed: of the intervals' bootstrap.

    Returns:
        ``sequence`` and, at level author, aggregation -> Threshold. A profile's label is its author's majority.
    """
    if probs.ndim == 2:
        return {}
    chosen = {SEQUENCE: rule.choose(view.labels, probs, groups=view.groups, splits=view.splits, seed=seed)}
    if view.authors is None:
        return chosen
    profiles = build_profiles(view.authors, view.groups, view.splits, view.labels)
    scores = aggregate_all(probs, profiles.codes, len(profiles), chosen[SEQUENCE].value)
    for name, values in scores.items():
        chosen[name] = rule.choose(
            profiles.labels, values, groups=profiles.groups, splits=profiles.splits, seed=seed
        )
    return chosen
