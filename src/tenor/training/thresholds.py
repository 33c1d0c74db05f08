"""The thresholds that go into a model file: one a level and aggregation, each with how sure it is.

Chosen on the validation sequences, whose groups are resampled for the intervals. Knows nothing of models.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tenor.aggregation.fixed import aggregate_all
from tenor.aggregation.profiles import Profiles, build_profiles
from tenor.corpus.schema import UNLABELLED
from tenor.corpus.views import SequenceView
from tenor.metrics.objectives import ThresholdRule
from tenor.metrics.thresholds import Threshold
from tenor.strings import concatenate_strings

#: The name of the threshold of sequences; the others are named after their aggregation.
SEQUENCE = "sequence"


#: Validation's unlabelled sequences, with their probabilities, (S,) or (S, C); None where there are none.
Others = tuple[SequenceView, npt.NDArray[np.float64]] | None


def choose_thresholds(
    view: SequenceView,
    probs: npt.NDArray[np.float64],
    rule: ThresholdRule,
    *,
    others: Others = None,
    seed: int = 0,
) -> dict[str, Threshold]:
    """Choose the threshold of sequences and, at level author, that of profiles by each fixed aggregation.

    Args:
        view: the labelled validation sequences.
        probs: (S,) of theirs; several classes, (S, C), have no thresholds.
        rule: what the thresholds are for.
        others: unlabelled ones, which are part of the profiles.
        seed: of the intervals' bootstrap.

    Returns:
        ``sequence`` and, at level author, aggregation -> Threshold. A profile's label is its author's majority.
    """
    if probs.ndim == 2:
        return {}
    chosen = {SEQUENCE: rule.choose(view.labels, probs, groups=view.groups, splits=view.splits, seed=seed)}
    if view.authors is None:
        return chosen
    profiles, probs = collect_profiles(view, probs, others)
    known = profiles.labels != UNLABELLED
    labels, groups, splits = profiles.labels[known], profiles.groups[known], profiles.splits[known]
    scores = aggregate_all(probs, profiles.codes, len(profiles), chosen[SEQUENCE].value)
    for name, values in scores.items():
        chosen[name] = rule.choose(labels, values[known], groups=groups, splits=splits, seed=seed)
    return chosen


def collect_profiles(
    view: SequenceView, scores: npt.NDArray[np.float64], others: Others = None
) -> tuple[Profiles, npt.NDArray[np.float64]]:
    """The profiles of labelled sequences and of unlabelled ones beside them, and the scores of both, in order."""
    views, found = ([view], [scores]) if others is None else ([view, others[0]], [scores, others[1]])
    authors = [part.authors for part in views if part.authors is not None]
    if len(authors) < len(views):
        raise ValueError("profiles are of authors, found conversations")
    profiles = build_profiles(
        concatenate_strings(authors),
        concatenate_strings([part.groups for part in views]),
        concatenate_strings([part.splits for part in views]),
        np.concatenate([part.labels for part in views]),
    )
    return profiles, np.concatenate(found)
