"""Profiles to act on, by the aggregation and the threshold in a model's file: nothing is learned of the sequences.

Knows nothing of files of predictions.
"""

from __future__ import annotations

from dataclasses import replace

from tenor.aggregation.fixed import AGGREGATIONS, LabelRule
from tenor.aggregation.trained import TRAINED
from tenor.errors import UsageError
from tenor.evaluation.aggregation import name_default, profile_predictions
from tenor.models.metadata import ModelMetadata
from tenor.predictions import Predictions


def find_applicable(metadata: ModelMetadata | None, aggregation: str | None) -> str:
    """The aggregation that profiles to act on are made by: the one asked for, or the model's default.

    Args:
        metadata: of the model; None = its file is not at hand.
        aggregation: a fixed one, or ``"trained"``; None = the latter, or where the file has none the mean.

    Raises:
        UsageError: one that has to be fitted, or that the model's file lacks.
    """
    trained = None if metadata is None else metadata.trained_aggregation
    known = AGGREGATIONS if trained is None else (*AGGREGATIONS, TRAINED)
    name = name_default(trained) if aggregation is None else aggregation
    if name not in known:
        raise UsageError(f"profiles are aggregated by {', '.join(known)}, not {name!r}")
    return name


def apply_aggregation(
    sequences: Predictions,
    metadata: ModelMetadata | None,
    aggregation: str | None = None,
    *,
    profile_label: LabelRule = "majority",
) -> Predictions:
    """Profiles to act on, of sequences of any split, labelled or not: nothing is learned of them.

    Args:
        sequences: level author.
        metadata: see find_applicable.
        aggregation: see find_applicable.
        profile_label: see profile_predictions.

    Returns:
        Predictions of level profile, with the threshold that the model's file has for the aggregation, where their
        labels are of the rule that it was chosen for.

    Raises:
        UsageError: as find_applicable and profile_predictions; or scores that were calibrated, beside a model whose
            aggregation and thresholds are of its own.
    """
    name = find_applicable(metadata, aggregation)
    if metadata is not None and sequences.calibration is not None:
        raise UsageError(
            f"profiles are made of scores as the model gives them, found some calibrated by {sequences.calibration} "
            "(predict without --calibrate)"
        )
    trained = None if metadata is None else metadata.trained_aggregation
    found = profile_predictions(
        sequences, (name,), profile_label=profile_label, threshold=None, trained=trained
    )[name]
    if metadata is None or profile_label != "majority":
        return found
    threshold = metadata.profile_thresholds.get(name)
    return replace(
        found, threshold=threshold, threshold_rule=None if threshold is None else metadata.threshold_rule
    )
