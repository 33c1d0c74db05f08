"""The numbers of an author model over whole profiles, by one aggregation or by each.

Knows nothing of how an aggregation is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tenor.aggregation.fixed import AGGREGATIONS, Aggregation, LabelRule
from tenor.corpus.corpus import open_corpus
from tenor.devices import start_runtime
from tenor.errors import UsageError
from tenor.evaluation.aggregation import profile_predictions
from tenor.evaluation.scoring import Scorer
from tenor.metrics.scores import calculate_metrics
from tenor.predictions import Predictions

Metrics = dict[str, Any]


def evaluate_profile_classifier(
    author_model_path: str | Path,
    dataset_path: str | Path,
    aggregation: str = "mean",
    *,
    profile_label: LabelRule = "majority",
    device: str | None = None,
    progress: bool = False,
) -> Metrics:
    """Evaluate profiles: each author's sequence scores aggregated to one.

    Args:
        author_model_path: a model file of ``train_model("author", ...)``.
        dataset_path: the analyzed corpus.
        aggregation: ``"mean"``, ``"median"``, ``"mean_vote"`` or ``"total_vote"``.
        profile_label: how an author's differing sequence labels make the profile's: ``"any"``, ``"majority"`` (ties go
            to the higher class) or ``"constant"`` (differing ones are an error).
        device: where to compute; None = the best there is.
        progress: show a bar.

    Returns:
        As test_model, over test profiles; the threshold is the one with the best F1 on validation profiles.

    Raises:
        ModelFileError: the file is no sound author model, or of another encoder.
        SplitError: the validation or the test split is empty.
        UsageError: an unknown aggregation, or labels that differ under ``"constant"``.
    """
    if aggregation not in AGGREGATIONS:
        raise UsageError(f"aggregation must be one of {', '.join(AGGREGATIONS)}, not {aggregation!r}")
    evaluated = evaluate_profiles(
        author_model_path,
        dataset_path,
        (aggregation,),
        profile_label=profile_label,
        device=device,
        progress=progress,
    )
    return evaluated[aggregation].metrics


def compare_aggregation_methods(
    author_model_path: str | Path,
    dataset_path: str | Path,
    *,
    profile_label: LabelRule = "majority",
    device: str | None = None,
    progress: bool = False,
) -> dict[str, Metrics]:
    """Evaluate every aggregation on the same scores, each with its own threshold from validation.

    Returns:
        aggregation -> metrics as of evaluate_profile_classifier. The test split is read once for all of them.
    """
    evaluated = evaluate_profiles(
        author_model_path,
        dataset_path,
        AGGREGATIONS,
        profile_label=profile_label,
        device=device,
        progress=progress,
    )
    return {name: result.metrics for name, result in evaluated.items()}


@dataclass(frozen=True)
class ProfileResult:
    """One aggregation's profiles: their scores in validation and test, and the test metrics."""

    predictions: Predictions
    metrics: Metrics


def evaluate_profiles(
    author_model_path: str | Path,
    dataset_path: str | Path,
    aggregations: Sequence[Aggregation] = AGGREGATIONS,
    *,
    profile_label: LabelRule = "majority",
    device: str | None = None,
    progress: bool = False,
) -> dict[str, ProfileResult]:
    """Score validation and test authors once, aggregate in each way; see evaluate_profile_classifier."""
    scorer = Scorer.open(author_model_path, start_runtime(device), progress=progress)
    scorer.require_level("author")
    corpus = open_corpus(dataset_path)
    sequences = scorer.score(corpus, ("validation", "test"), labelled=True)
    test_reads = scorer.count_read(corpus, "profile")
    results = {}
    for name, profiles in profile_predictions(sequences, aggregations, profile_label=profile_label).items():
        test = profiles.in_split("test")
        metrics: Metrics = dict(calculate_metrics(test.labels, test.probs, profiles.threshold))
        results[name] = ProfileResult(profiles, {**metrics, "test_reads": test_reads})
    return results
