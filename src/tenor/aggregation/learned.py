"""Aggregations that are fitted: noisy-or, the mean of the k highest, the sum of log odds, regression on a summary.

Fit them on sequence logits that the sequences' own model did not train on (out-of-fold, or validation): on
training logits they would learn what the model has memorised. Knows neither authors nor models nor files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from tenor.aggregation.fixed import FloatArray, GroupedScores, IntArray, check_scores, group_scores
from tenor.errors import TrainingError, UsageError, describe_counts
from tenor.linear import fit_regression
from tenor.logits import log_loss, log_losses, odds_against_rest, to_probs

LearnedAggregationName = Literal["noisy_or", "top_k_mean", "log_odds", "score_summary"]
LEARNED_AGGREGATIONS: tuple[LearnedAggregationName, ...] = get_args(LearnedAggregationName)

TOP_K = (1, 2, 3, 5, 10, 1 << 40)  # the last takes all
EXPONENTS = (0, 25, 50, 75, 100)  # 100 g of ``log_odds``
QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)

_LIMIT = 30.0  # logits are cut at plus and minus this: beyond it a probability is 0 or 1 in all but name
_STRENGTHS = (
    0.1,
    0.01,
    1.0,
)  # C of the regression on summaries: the first where profiles are too few to choose
_NUM_FOLDS = 5
#: What `k` may be, for those that choose one.
_CHOICES: dict[str, tuple[int, ...]] = {"top_k_mean": TOP_K, "log_odds": EXPONENTS}


@dataclass(frozen=True, slots=True)
class LearnedAggregation:
    """A fitted aggregation.

    D numbers summarise a profile's scores; C is 1 for binary labels, else the number of classes.

    Attributes:
        method: one of LEARNED_AGGREGATIONS.
        k: how many scores ``top_k_mean`` takes; 100 g of ``log_odds``; 0 for the others.
        mean, std: (D,) float64, what a summary is standardised by; D is 0 for ``noisy_or``.
        coefficients: (D, C) float64; for ``noisy_or`` (3, C): a, c and g of fit_aggregation.
        intercept: (C,) float64; for ``noisy_or`` b.
    """

    method: LearnedAggregationName
    k: int
    mean: FloatArray
    std: FloatArray
    coefficients: FloatArray
    intercept: FloatArray

    def logits(
        self, sequence_logits: npt.ArrayLike, profile_codes: npt.ArrayLike, num_profiles: int
    ) -> FloatArray:
        """Aggregate sequence logits; the order of the sequences does not change a bit of the result.

        Args:
            sequence_logits: (S,), or (S, C) for several classes.
            profile_codes: (S,) int in [0, num_profiles).
            num_profiles: P.

        Returns:
            (P,) or (P, C) float64. A profile without sequences gets the lowest logit of ``noisy_or``, and from
            the others that of an average profile.

        Raises:
            UsageError: arrays that do not fit each other or the fitted classes.
        """
        groups = _group(sequence_logits, profile_codes, num_profiles)
        if len(groups) != len(self.intercept):
            raise UsageError(f"expected logits of {len(self.intercept)} classes, found {len(groups)}")
        if self.method == "noisy_or":
            parameters = np.concatenate([self.coefficients, self.intercept[None]]).T  # (C, 4)
            scores = np.stack([_noisy_or(*pair)[0] for pair in zip(parameters, groups, strict=True)], axis=1)
        else:
            table = (_summarise(groups, self.method, self.k) - self.mean) / self.std
            table[groups[0].counts == 0] = 0.0
            scores = table @ self.coefficients + self.intercept
        return _as_logits(scores)


def fit_aggregation(
    method: LearnedAggregationName,
    sequence_logits: npt.ArrayLike,
    profile_codes: npt.ArrayLike,
    labels: npt.ArrayLike,
) -> LearnedAggregation:
    r"""Fit an aggregation to labelled profiles.

    With sequence logits :math:`l_i` of one profile:

    * ``noisy_or``: one bad sequence is enough: :math:`P = 1 - \prod_i (1 - \sigma(a l_i + b))` (Pearl 1988,
      sec. 4.3.2). Its log odds are multiplied by c, and the n sequences count as :math:`n^{1-g}`, so that from
      g = 0 and c = 1, the noisy-or, it reaches to means over the sequences (g = 1); a, b, c and g by maximum
      likelihood.
    * ``top_k_mean``: logistic regression on the mean of the k highest logits; k of TOP_K by likelihood.
    * ``log_odds``: sequences are evidence that adds up, as in naive Bayes: :math:`c n^{-g} \sum_i (l_i - b) + d`. n
      sequences that say the same count as :math:`n^{1-g}` independent ones: all at g = 0, at g = 1 the mean of the
      log odds, the logarithmic opinion pool (Genest & Zidek 1986, sec. 3.1); g of EXPONENTS, with b, c and d, by
      likelihood. Several classes read all classes' sums.
    * ``score_summary``: logistic regression on log(1 + count), mean, maximum and QUANTILES of the logits; its
      strength by cross-validated likelihood.

    Several classes: each class's logit becomes its log odds against the rest; noisy-or then fits each class
    against the rest, the others are multinomial.

    Args:
        method: one of LEARNED_AGGREGATIONS.
        sequence_logits: (S,), or (S, C) for several classes; of sequences unseen by their model.
        profile_codes: (S,) int in [0, P).
        labels: (P,) int, -1 = left out, as are profiles without sequences.

    Raises:
        UsageError: an unknown method, arrays that do not fit.
        TrainingError: the labelled profiles are not of every class.
    """
    if method not in LEARNED_AGGREGATIONS:
        raise UsageError(f"aggregation {method!r} is not one of {', '.join(LEARNED_AGGREGATIONS)}")
    targets: npt.NDArray[Any] = np.asarray(labels)
    if targets.ndim != 1 or targets.dtype.kind not in "iu":
        raise UsageError(f"expected integer labels (P,), found {targets.dtype} {targets.shape}")
    groups = _group(sequence_logits, profile_codes, len(targets))
    known = (targets >= 0) & (groups[0].counts > 0)
    num_classes = max(len(groups), 2)
    if len(targets) and targets.max() >= num_classes:
        raise UsageError(f"expected labels below {num_classes}, found {targets.max()}")
    frequencies = np.bincount(targets[known], minlength=num_classes)
    if (frequencies == 0).any():
        raise TrainingError(
            f"fitting {method} needs labelled profiles of every class, found {describe_counts(frequencies)} "
            "(use a fixed aggregation, or label more authors)"
        )
    if method == "noisy_or":
        return _fit_noisy_or(groups, targets.astype(np.int64), known)
    chosen = targets[known].astype(np.int64)
    if method in _CHOICES:
        fits = [_fit_table(groups, method, k, known, chosen, 1.0) for k in _CHOICES[method]]
        return min(fits, key=lambda fit: fit[0])[1]
    table = _standardise(_summarise(groups, method, 0)[known])[0]
    strength = _STRENGTHS[0]
    if frequencies.min() >= 2 * _NUM_FOLDS:
        strength = min(_STRENGTHS, key=lambda candidate: _cross_validate(table, chosen, candidate))
    return _fit_table(groups, method, 0, known, chosen, strength)[1]


def cross_fit(
    method: LearnedAggregationName,
    sequence_logits: npt.ArrayLike,
    profile_codes: npt.ArrayLike,
    labels: npt.ArrayLike,
    folds: npt.ArrayLike,
) -> FloatArray:
    """Aggregate each fold's profiles by a fit to those of the other folds, and all others by a fit to all folds.

    Args:
        method: as for fit_aggregation, like the next three.
        sequence_logits: (S,) or (S, C).
        profile_codes: (S,) int in [0, P).
        labels: (P,) int, -1 = left out of the fits.
        folds: (P,) int; -1 = in no fold, so that no fit sees it.

    Returns:
        (P,) or (P, C) float64.

    Raises:
        UsageError, TrainingError: as fit_aggregation.
    """
    logits, codes = np.asarray(sequence_logits), np.asarray(profile_codes)
    targets, dealt = np.asarray(labels), np.asarray(folds)
    rows = (dealt >= 0)[codes]  # only sequences of what is dealt take part in a fit

    def fit_and_score(fitted_on: npt.NDArray[np.bool_]) -> FloatArray:
        known = np.where(fitted_on, targets, -1)
        return fit_aggregation(method, logits[rows], codes[rows], known).logits(logits, codes, len(targets))

    scores = np.zeros((len(targets), *logits.shape[1:])) if (dealt >= 0).all() else fit_and_score(dealt >= 0)
    for fold in range(int(dealt.max(initial=-1)) + 1):
        scores[dealt == fold] = fit_and_score((dealt >= 0) & (dealt != fold))[dealt == fold]
    return scores


def _group(
    sequence_logits: npt.ArrayLike, profile_codes: npt.ArrayLike, num_profiles: int
) -> list[GroupedScores]:
    """Sorted logits: one entry (binary), or one a class of log odds against the rest."""
    scores, codes = check_scores(sequence_logits, profile_codes, num_profiles)
    if scores.ndim == 1:
        return [group_scores(np.clip(scores, -_LIMIT, _LIMIT), codes, num_profiles)]
    odds = np.clip(odds_against_rest(scores), -_LIMIT, _LIMIT)
    return [group_scores(np.ascontiguousarray(column), codes, num_profiles) for column in odds.T]


def _summarise(groups: list[GroupedScores], method: str, k: int) -> FloatArray:
    """(P, D): what the regression reads; rows of empty profiles are 0."""
    if method == "top_k_mean":
        return np.stack([_top_k_mean(group, k) for group in groups], axis=1)
    if method == "log_odds":
        weights = np.maximum(groups[0].counts, 1.0) ** (-k / 100)
        return np.stack([*(group.sums() * weights for group in groups), groups[0].counts * weights], axis=1)
    columns = [np.log1p(groups[0].counts)]
    for group in groups:
        columns += [group.sums() / np.maximum(group.counts, 1), group.pick(group.counts - 1)]
        columns += [_quantile(group, quantile) for quantile in QUANTILES]
    return np.stack(columns, axis=1)


def _top_k_mean(group: GroupedScores, k: int) -> FloatArray:
    """Mean of the k highest scores of each profile, of all where there are fewer."""
    ends = group.starts + group.counts
    from_end = np.repeat(ends, group.counts) - np.arange(len(group.values))
    return group.sums(np.where(from_end <= k, group.values, 0.0)) / np.clip(group.counts, 1, k)


def _quantile(group: GroupedScores, quantile: float) -> FloatArray:
    """Quantile of each profile's scores, linear between neighbours as numpy's default."""
    place = quantile * np.maximum(group.counts - 1, 0)
    low = np.floor(place).astype(np.int64)
    below, above = group.pick(low), group.pick(np.minimum(low + 1, np.maximum(group.counts - 1, 0)))
    return below + (place - low) * (above - below)


def _standardise(table: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    mean, std = table.mean(axis=0), table.std(axis=0)
    std[std <= 1e-9 * np.maximum(np.abs(mean), 1.0)] = 1.0
    return (table - mean) / std, mean, std


def _fit_table(
    groups: list[GroupedScores],
    method: LearnedAggregationName,
    k: int,
    known: npt.NDArray[np.bool_],
    labels: IntArray,
    strength: float,
) -> tuple[float, LearnedAggregation]:
    """Fit the regression; (its mean negative log likelihood, the aggregation)."""
    table, mean, std = _standardise(_summarise(groups, method, k)[known])
    coefficients, intercept = _fit_logistic(table, labels, strength)
    loss = log_loss(_as_logits(table @ coefficients + intercept), labels)
    return loss, LearnedAggregation(method, k, mean, std, coefficients, intercept)


def _cross_validate(table: FloatArray, labels: IntArray, strength: float) -> float:
    """Mean negative log likelihood out of fold; folds are dealt within each class."""
    folds = np.empty(len(labels), dtype=np.int64)
    folds[np.argsort(labels, kind="stable")] = np.arange(len(labels)) % _NUM_FOLDS
    total = 0.0
    for fold in range(_NUM_FOLDS):
        inside = folds == fold
        coefficients, intercept = _fit_logistic(table[~inside], labels[~inside], strength)
        total += log_loss(_as_logits(table[inside] @ coefficients + intercept), labels[inside]) * inside.sum()
    return total / len(labels)


def _fit_logistic(table: FloatArray, labels: IntArray, strength: float) -> tuple[FloatArray, FloatArray]:
    model = fit_regression(table, labels, strength=strength)
    return np.ascontiguousarray(model.coef_.T), model.intercept_


def _as_logits(scores: FloatArray) -> FloatArray:
    """Of two classes the one column (P, 1) by itself."""
    return scores[:, 0] if scores.shape[1] == 1 else scores


def _noisy_or(parameters: FloatArray, group: GroupedScores) -> tuple[FloatArray, FloatArray]:
    """Log odds (P,) of the noisy-or and their gradient (4, P) by a, c, g and b."""
    scale, power, exponent, shift = parameters.tolist()
    causes = scale * group.values + shift
    bent = to_probs(causes)
    shrink = np.maximum(group.counts, 1.0) ** -exponent
    # Minus the log probability that no sequence is bad; outside the bounds it stands still.
    total = np.clip(shrink * group.sums(np.logaddexp(0.0, causes)), 1e-12, 500.0)
    odds = total + np.log(-np.expm1(-total))
    by_total = power / -np.expm1(-total)
    gradient = np.stack(
        [
            by_total * shrink * group.sums(bent * group.values),
            odds,
            -by_total * total * np.log(np.maximum(group.counts, 1.0)),
            by_total * shrink * group.sums(bent),
        ]
    )
    return power * odds, gradient


NOISY_OR_BOUNDS = ((0.0, 20.0), (0.0, 20.0), (0.0, 1.0), (-60.0, 60.0))  # of a, c, g and b
_NOISY_OR = np.array([1.0, 1.0, 0.0, -1.0])
_NOISY_OR_STARTS = (_NOISY_OR, np.array([0.3, 3.0, 1.0, -1.0]))  # a maximum-like and a mean-like one


def _fit_noisy_or(
    groups: list[GroupedScores], labels: IntArray, known: npt.NDArray[np.bool_]
) -> LearnedAggregation:
    from scipy.optimize import minimize

    parameters = []
    for label, group in enumerate(groups):
        positive = labels == (1 if len(groups) == 1 else label)
        fits = [
            minimize(
                _noisy_or_loss,
                start,
                args=(group, positive, known),
                jac=True,
                method="L-BFGS-B",
                bounds=NOISY_OR_BOUNDS,
            )
            for start in _NOISY_OR_STARTS
        ]
        parameters.append(min(fits, key=lambda fit: fit.fun).x)
    table = np.array(parameters).T  # (4, C)
    empty = np.zeros(0)
    return LearnedAggregation("noisy_or", 0, empty, empty, table[:3].copy(), table[3].copy())


def _noisy_or_loss(
    parameters: FloatArray,
    group: GroupedScores,
    positive: npt.NDArray[np.bool_],
    known: npt.NDArray[np.bool_],
) -> tuple[float, FloatArray]:
    """Mean negative log likelihood and its gradient; a slight pull to the plain noisy-or keeps it finite."""
    odds, gradient = _noisy_or(parameters, group)
    losses = log_losses(odds, positive)
    slopes = (to_probs(odds) - positive) * known / known.sum()
    away = (parameters - _NOISY_OR) * np.array([1e-4, 1e-4, 1e-4, 0.0])
    loss = losses[known].mean() + 0.5 * (away * (parameters - _NOISY_OR)).sum()
    return float(loss), gradient @ slopes + away
