"""From the predictions of author sequences to those of profiles, with a threshold from validation profiles.

Needs no model and no torch: a predictions file of validation and test sequences is enough.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from tenor.aggregation.fixed import AGGREGATIONS, Aggregation, LabelRule, aggregate_all
from tenor.aggregation.profiles import Profiles, build_profiles
from tenor.errors import UsageError
from tenor.metrics.scores import calculate_metrics
from tenor.metrics.thresholds import choose_threshold
from tenor.predictions import Predictions


def profile_predictions(
    sequences: Predictions,
    aggregations: Sequence[Aggregation] = AGGREGATIONS,
    *,
    profile_label: LabelRule = "majority",
) -> dict[str, Predictions]:
    """Aggregate author sequences' predictions to profiles', with a threshold from the validation profiles.

    Needs no model: a predictions file of validation and test sequences is enough.

    Args:
        sequences: level author, with validation rows for the threshold.
        aggregations: which.
        profile_label: see evaluate_profile_classifier.

    Returns:
        aggregation -> predictions of level profile; logits are the scores' log-odds, clipped to ±27.6.
    """
    if sequences.level != "author" or sequences.authors is None:
        raise UsageError(f"profiles need predictions of level 'author', not {sequences.level!r}")
    profiles = build_profiles(
        sequences.authors, sequences.groups, sequences.splits, sequences.labels, label_rule=profile_label
    )
    cut = 0.5 if sequences.threshold is None else sequences.threshold
    scores = aggregate_all(sequences.probs, profiles.codes, len(profiles), cut, methods=aggregations)
    return {name: _as_predictions(sequences, profiles, score) for name, score in scores.items()}


def best_by_validation(tables: Mapping[str, Predictions], metric: str = "average_precision") -> str:
    """The name of the table with the best score on validation; the first of equals, or where it is undefined.

    Args:
        tables: name -> predictions with validation rows.
        metric: of calculate_metrics.
    """

    def score(name: str) -> float:
        known = tables[name].in_split("validation").labelled()
        value = calculate_metrics(known.labels, known.probs, tables[name].threshold)[metric]
        return -1.0 if value is None else value

    return max(tables, key=score)


def _as_predictions(
    sequences: Predictions, profiles: Profiles, scores: npt.NDArray[np.float64]
) -> Predictions:
    """Profiles as a predictions table, their threshold from its validation rows (binary only)."""
    threshold = None
    known = (profiles.splits == "validation") & (profiles.labels >= 0)
    if scores.ndim == 1 and known.any():
        threshold = choose_threshold(profiles.labels[known], scores[known]).value
    inside = np.clip(scores, 1e-12, 1 - 1e-12)
    return Predictions(
        level="profile",
        classes=sequences.classes,
        conversation_ids=None,
        authors=profiles.authors,
        groups=profiles.groups,
        splits=profiles.splits,
        labels=profiles.labels,
        lengths=profiles.lengths,
        logits=np.log(inside) - np.log1p(-inside),
        probs=scores,
        threshold=threshold,
        model=sequences.model,
        model_hash=sequences.model_hash,
    )
