"""What a run has of one level, and how its threshold and its aggregation came to be, in sentences.

Knows nothing of files, and nothing of how a report looks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tenor.aggregation.trained import TrainedAggregation
from tenor.evaluation.aggregation import REFERENCE, best_by_validation, can_validation_choose
from tenor.models.metadata import ModelMetadata
from tenor.predictions import Predictions

LEVELS = ("conversation", "author", "profile")

#: By it thresholds are chosen here where it is not known what the model's were chosen by.
DEFAULT_RULE = "f1"


@dataclass(frozen=True)
class ScoredLevel:
    """What a run has of one level.

    Attributes:
        predictions: of validation and test.
        name: what tables call the model; at level profile the aggregation.
        model_path: the model's file, where it is at hand.
        metadata: what the file says of itself.
        baselines: name -> predictions of the same rows.
        aggregations: name -> predictions of the same profiles.
        notes: what to know of the numbers.
    """

    predictions: Predictions
    name: str
    model_path: Path | None = None
    metadata: ModelMetadata | None = None
    baselines: Mapping[str, Predictions] = field(default_factory=dict)
    aggregations: Mapping[str, Predictions] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def known_rule(self) -> str | None:
        """The rule that the threshold was chosen by; None = neither the predictions nor the model's file say."""
        own = self.predictions.threshold_rule
        return own if own is not None or self.metadata is None else self.metadata.threshold_objective

    @property
    def threshold_rule(self) -> str:
        """The rule by which thresholds beside the level's own are chosen; f1 where its own is not known."""
        return DEFAULT_RULE if self.known_rule is None else self.known_rule


def describe_rule(author: ScoredLevel) -> tuple[str, ...]:
    """By what the thresholds of profiles are chosen, where nothing says what the model's was chosen by."""
    if author.known_rule is not None or len(author.predictions.classes) > 2:
        return ()
    return (
        f"The thresholds of profiles are chosen here on validation by {DEFAULT_RULE}, for it is not known by what the "
        "model's were.",
    )


def describe_aggregation(
    tables: Mapping[str, Predictions], trained: TrainedAggregation | None, *, is_model_known: bool
) -> str:
    """Why one of the aggregations is the level's own."""
    if trained is not None:
        return (
            f"The aggregation shown is the model's own: {trained.fitted.method}, learned on training authors, whose "
            "sequences were scored out of fold."
        )
    shown = f"The aggregation shown is the {REFERENCE}, by which tenor makes profiles where a model has none of its own"
    if not is_model_known:
        shown = (
            f"The aggregation shown is the {REFERENCE}: a predictions file does not hold the model's own (report the "
            "model's file with --data to have it)"
        )
    if not can_validation_choose(tables):
        return f"{shown}."
    best = best_by_validation(tables)
    other = "it" if best == REFERENCE else best
    return f"{shown}; {other} has the best average precision on validation."
