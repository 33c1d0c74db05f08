"""The classifier of profiles: one score for all sequences of a person, from a trained sequence classifier.

The torch face of ``tenor.aggregation.fixed``, which defines the aggregations.
Knows nothing of authors: a profile is an integer.
"""

from __future__ import annotations

from numbers import Real

import torch
from torch import Tensor, nn

from tenor.aggregation.fixed import AGGREGATIONS, Aggregation
from tenor.errors import UsageError
from tenor.models.sequence import SequenceClassifier


class ProfileClassifier(nn.Module):
    """Scores sequences and aggregates their probabilities, all profiles in one pass."""

    def __init__(
        self,
        sequence_classifier: SequenceClassifier,
        threshold: float = 0.5,
        aggregation: Aggregation = "mean",
    ) -> None:
        """Wrap a trained sequence classifier.

        Args:
            sequence_classifier: scores each sequence.
            threshold: the probability from which on a sequence votes, for ``mean_vote`` and ``total_vote`` of
                two classes.
            aggregation: ``mean``, ``median``, ``mean_vote`` or ``total_vote``, see aggregate_probs.

        Raises:
            UsageError: an unknown aggregation, a threshold outside [0, 1], or something else than a classifier.
        """
        super().__init__()
        _check_aggregation(aggregation)
        given: tuple[object, object] = (sequence_classifier, threshold)
        if not isinstance(given[0], nn.Module):
            raise UsageError(
                f"sequence_classifier: expected a SequenceClassifier, found {type(given[0]).__name__}"
            )
        if not isinstance(given[1], Real) or not 0.0 <= threshold <= 1.0:
            raise UsageError(f"threshold must be in [0, 1], found {threshold!r}")
        self.sequence_classifier = sequence_classifier
        self.threshold = threshold
        self.aggregation: Aggregation = aggregation

    def forward(
        self,
        features: Tensor,
        mask: Tensor | None = None,
        profiles: Tensor | None = None,
        prior: Tensor | None = None,
    ) -> Tensor:
        """Score profiles.

        Args:
            features: (S, T, F), see SequenceClassifier.forward.
            mask: (S, T) bool, True = a real message; None = all are real.
            profiles: (S,) int64 from 0: which profile each sequence belongs to; None = all to one.
            prior: as SequenceClassifier.forward takes it.

        Returns:
            Scores, not logits: (P,) float64 for two classes, (P, C) for more; P = 1 + the highest profile.
            Probabilities or shares in [0, 1], for ``total_vote`` counts.

        Raises:
            UsageError: shapes or dtypes that do not fit.
        """
        logits: Tensor = self.sequence_classifier(features, mask, prior)
        probs = logits.double().sigmoid() if logits.ndim == 1 else logits.double().softmax(dim=1)
        if profiles is None:
            profiles = torch.zeros(len(probs), dtype=torch.int64, device=probs.device)
            return aggregate_probs(probs, profiles, 1, self.aggregation, self.threshold)
        num_profiles = int(profiles.max()) + 1 if len(profiles) else 0
        return aggregate_probs(probs, profiles, num_profiles, self.aggregation, self.threshold)


def aggregate_probs(
    probs: Tensor,
    profiles: Tensor,
    num_profiles: int,
    aggregation: Aggregation = "mean",
    threshold: float = 0.5,
) -> Tensor:
    """Aggregate as tenor.aggregation.fixed.aggregate_scores does, with tensors and gradients.

    Args:
        probs: (S,) or (S, C) float64.
        profiles: (S,) int64 in [0, num_profiles).
        num_profiles: P.
        aggregation: ``mean``, ``median``, ``mean_vote`` (share of sequences at or over the threshold; with
            several classes the shares of the most probable class) or ``total_vote`` (their counts).
        threshold: of a sequence's vote, for two classes.

    Returns:
        (P,) or (P, C) float64; a profile without sequences has 0, of several classes 1 / C but for counts.

    Raises:
        UsageError: an unknown aggregation, or profiles that do not fit.
    """
    _check_aggregation(aggregation)
    _check_profiles(profiles, len(probs), num_profiles)
    if probs.ndim == 1:
        return _aggregate_column(probs, profiles, num_profiles, aggregation, threshold)
    if aggregation in ("mean_vote", "total_vote"):
        voted = torch.nn.functional.one_hot(probs.argmax(dim=1), probs.shape[1]).to(probs.dtype)
        votes = probs.new_zeros(num_profiles, probs.shape[1]).index_add(0, profiles, voted)
        return votes if aggregation == "total_vote" else _normalize_rows(votes)
    columns = [
        _aggregate_column(column, profiles, num_profiles, aggregation, threshold)
        for column in probs.unbind(1)
    ]
    return _normalize_rows(torch.stack(columns, dim=1))


def _aggregate_column(
    probs: Tensor, profiles: Tensor, num_profiles: int, aggregation: Aggregation, threshold: float
) -> Tensor:
    order = probs.argsort()
    order = order[profiles[order].argsort(stable=True)]  # by profile, and by probability inside it
    values, profiles = probs[order], profiles[order]
    counts = torch.bincount(profiles, minlength=num_profiles)  # (P,)
    if aggregation == "median":
        starts = counts.cumsum(0) - counts
        filled = counts > 0
        low = (starts + (counts - 1) // 2)[filled]
        high = (starts + counts // 2)[filled]
        medians = probs.new_zeros(num_profiles)
        medians[filled] = 0.5 * (values[low] + values[high])
        return medians
    summed = values if aggregation == "mean" else (values >= threshold).to(values.dtype)
    sums = probs.new_zeros(num_profiles).index_add(0, profiles, summed)
    return sums if aggregation == "total_vote" else sums / counts.clamp(min=1)


def _normalize_rows(values: Tensor) -> Tensor:
    """Divide rows (P, C) by their sum; a row of zeros becomes 1 / C."""
    sums = values.sum(dim=1, keepdim=True)
    return torch.where(sums > 0, values / sums.where(sums > 0, 1.0), 1.0 / values.shape[1])


def _check_aggregation(aggregation: str) -> None:
    if aggregation not in AGGREGATIONS:
        raise UsageError(f"aggregation {aggregation!r} is not one of {', '.join(AGGREGATIONS)}")


def _check_profiles(profiles: Tensor, num_sequences: int, num_profiles: int) -> None:
    if profiles.dtype != torch.int64 or profiles.shape != (num_sequences,):
        raise UsageError(
            f"profiles must be torch.int64 of shape ({num_sequences},), found {profiles.dtype} of shape "
            f"{tuple(profiles.shape)}"
        )
    if num_sequences and not 0 <= int(profiles.min()) <= int(profiles.max()) < num_profiles:
        raise UsageError(
            f"profiles reach from {int(profiles.min())} to {int(profiles.max())}, outside [0, {num_profiles})"
        )
