"""Every metric as a function of row weights: the definitions, once, for a number and for its replicates.

A bootstrap replicate draws groups with replacement, so a row counts as often as its group was drawn. All
metrics here take such weights, (R, G) for R replicates of G groups, and cost one gather and one cumulative
sum of rows that were sorted once. With a weight of 1 for all they are the usual metrics, equal to
scikit-learn's.

Knows nothing of intervals or of how weights are drawn. NaN stands for "undefined" (0/0) in this module.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tenor.arguments import require_list
from tenor.errors import UsageError
from tenor.metrics.checks import Floats, Integers, check_threshold

#: The metrics of every table, in their order.
METRICS = ("accuracy", "precision", "recall", "f1", "roc_auc", "average_precision")

#: What can be asked for beside them: shares of alarms (fairlearn's names) and proper scores.
MORE_METRICS = ("selection_rate", "false_positive_rate", "brier", "log_loss")

_TALLIED = ("accuracy", "precision", "recall", "f1", "selection_rate", "false_positive_rate")


@dataclass(frozen=True)
class Ranking:
    """Rows in descending order of score, with the blocks of equal scores that hold a positive row.

    Attributes:
        codes: (N,) group of each row.
        starts, ends: (K,) the block is the rows [start, end).
        positive_codes: (P,) group of each positive row.
        positive_ends: (K,) how many positive rows stand before the block's end.
    """

    codes: Integers
    starts: Integers
    ends: Integers
    positive_codes: Integers
    positive_ends: Integers


def rank_scores(positive: npt.NDArray[np.bool_], scores: Floats, codes: Integers) -> Ranking:
    """Sort once: positive (N,), scores (N,), group codes (N,)."""
    order = np.argsort(-scores, kind="stable")
    sorted_scores, sorted_positive, sorted_codes = scores[order], positive[order], codes[order]
    new = np.ones(len(order) + 1, dtype=bool)
    new[1:-1] = sorted_scores[1:] != sorted_scores[:-1]
    edges = np.flatnonzero(new)  # block k is the rows edges[k]:edges[k + 1]
    before = np.concatenate([[0], np.cumsum(sorted_positive)])[edges]
    holds = np.diff(before) > 0
    return Ranking(
        codes=sorted_codes,
        starts=edges[:-1][holds],
        ends=edges[1:][holds],
        positive_codes=sorted_codes[sorted_positive],
        positive_ends=before[1:][holds],
    )


def measure_ranking(ranking: Ranking, weights: Integers) -> tuple[Floats, Floats]:
    """ROC AUC and average precision of weighted rows.

    AUC is the share of (positive, negative) pairs in the right order, ties half (Mann and Whitney); average
    precision is the sum over thresholds of (R_k - R_{k-1}) P_k, as in scikit-learn, without interpolation.

    Args:
        ranking: of N rows in G groups.
        weights: (R, G) how often each group counts.

    Returns:
        AUC (R,) and average precision (R,); NaN where there is no positive or no negative row.
    """
    if len(ranking.positive_codes) == 0:
        return np.full(len(weights), np.nan), np.full(len(weights), np.nan)
    rows = _running_count(weights, ranking.codes)
    above = rows[:, ranking.ends - 1]  # (R, K) rows at or above the block
    before = rows[:, ranking.starts - 1]
    before[:, ranking.starts == 0] = 0
    found = _running_count(weights, ranking.positive_codes)[:, ranking.positive_ends - 1]
    block = np.diff(found, axis=1, prepend=0)  # positive rows in the block
    positives, negatives = found[:, -1], rows[:, -1] - found[:, -1]
    # negatives below the block, and half of those inside it; twice that number is whole
    twice = 2 * (negatives[:, None] - above + found) + (above - before - block)
    pairs = np.einsum("rk,rk->r", block, twice)
    gain = np.einsum("rk,rk->r", block.astype(np.float64), found / np.maximum(above, 1))
    return divide(pairs, 2.0 * positives * negatives), divide(gain, np.where(negatives > 0, positives, 0))


def _running_count(weights: Integers, codes: Integers) -> Integers:
    """How much the rows up to each one weigh: weights (R, G), groups of the rows (N,) -> (R, N)."""
    counts = np.take(weights, codes, axis=1)
    return np.cumsum(counts, axis=1, out=counts)


def divide(numerator: npt.NDArray[np.number], denominator: npt.NDArray[np.number]) -> Floats:
    """Elementwise quotient; NaN where the denominator is 0."""
    result = np.full(np.broadcast_shapes(numerator.shape, denominator.shape), np.nan)
    np.divide(numerator, denominator, out=result, where=denominator != 0)
    return result


def mean_defined(values: Floats) -> Floats:
    """Mean over axis 0 of the values that are defined; NaN where none is."""
    defined = ~np.isnan(values)
    return divide(np.where(defined, values, 0.0).sum(axis=0), defined.sum(axis=0))


class WeightedMetrics:
    """Labels and scores prepared once, measured under any number of weights.

    Several classes: precision, recall, f1, roc_auc (one against the rest), average_precision and the rates
    are macro means over the classes for which they are defined; a row's class is the one of highest score.
    """

    def __init__(
        self,
        labels: Integers,
        probs: Floats,
        threshold: float | None,
        *,
        codes: Integers | None = None,
        num_groups: int = 1,
        metrics: Sequence[str] = METRICS,
    ) -> None:
        """Prepare N rows; arrays as check_scores returns them.

        Args:
            labels: (N,) int64.
            probs: (N,) or (N, C) float64.
            threshold: positive at probs >= threshold; not used for several classes.
            codes: (N,) group of each row; None puts all rows into one group.
            num_groups: G.
            metrics: which to measure, of METRICS and MORE_METRICS.

        Raises:
            UsageError: no metric or an unknown one; a threshold that is no number; two classes and no threshold; a
                Brier score of what is no probability.
        """
        metrics = require_list(metrics, "metrics")
        if not metrics:
            raise UsageError(f"metrics: expected some of {', '.join(METRICS + MORE_METRICS)}, found none")
        unknown = [name for name in metrics if name not in METRICS + MORE_METRICS]
        if unknown:
            raise UsageError(
                f"unknown metric {unknown[0]!r}: choose from {', '.join(METRICS + MORE_METRICS)}"
            )
        if ("brier" in metrics or "log_loss" in metrics) and ((probs < 0) | (probs > 1)).any():
            raise UsageError("brier and log_loss need probabilities in [0, 1], found scores outside")
        if codes is None:
            codes = np.zeros(len(labels), dtype=np.int64)
        self.metrics = tuple(metrics)
        if probs.ndim == 1:
            threshold = check_threshold(threshold)
            if threshold is None and any(name in _TALLIED for name in metrics):
                raise UsageError("two classes need a threshold: choose one on validation (choose_threshold)")
            predicted = (probs >= (np.inf if threshold is None else threshold)).astype(np.int64)
            columns, classes = probs[:, None], [1]
        else:
            predicted = probs.argmax(axis=1) if len(probs) else np.zeros(0, dtype=np.int64)
            columns, classes = probs, list(range(probs.shape[1]))
        self._rankings: list[Ranking] = []
        if "roc_auc" in metrics or "average_precision" in metrics:
            self._rankings = [rank_scores(labels == c, columns[:, i], codes) for i, c in enumerate(classes)]
        hits, alarms, true = [], [], []
        for c in classes:
            alarms.append(predicted == c)
            true.append(labels == c)
            hits.append(alarms[-1] & true[-1])
        rows = [np.ones(len(labels)), predicted == labels, *hits, *alarms, *true]
        rows += [_proper_score(name, labels, probs) for name in ("brier", "log_loss") if name in metrics]
        sums = [np.bincount(codes, weights=row, minlength=num_groups) for row in rows]
        self._sums = np.stack(sums)  # (2 + 3 C + proper scores, G)
        self._classes = len(classes)

    def measure(self, weights: Integers) -> dict[str, Floats]:
        """Every metric asked for under weights (R, G): name -> (R,), NaN where undefined."""
        sums = np.einsum(
            "rg,kg->rk", weights.astype(np.float64), self._sums
        )  # BLAS would start its own threads
        count, correct = sums[:, 0], sums[:, 1]
        c = self._classes
        hits, alarms, true = (sums[:, 2 + i * c : 2 + (i + 1) * c].T for i in range(3))  # (C, R)
        values: dict[str, Floats] = {}
        for name, column in zip(
            (n for n in ("brier", "log_loss") if n in self.metrics), sums[:, 2 + 3 * c :].T, strict=True
        ):
            values[name] = divide(column, count)
        values["accuracy"] = divide(correct, count)
        values["precision"] = mean_defined(divide(hits, alarms))
        values["recall"] = mean_defined(divide(hits, true))
        values["f1"] = mean_defined(divide(2 * hits, alarms + true))
        values["selection_rate"] = mean_defined(divide(alarms, np.broadcast_to(count, alarms.shape)))
        values["false_positive_rate"] = mean_defined(divide(alarms - hits, count - true))
        if self._rankings:
            measured = [measure_ranking(ranking, weights) for ranking in self._rankings]
            values["roc_auc"] = mean_defined(np.stack([auc for auc, _ in measured]))
            values["average_precision"] = mean_defined(np.stack([ap for _, ap in measured]))
        return {name: values[name] for name in self.metrics}

    def effective_groups(self) -> dict[str, float]:
        """How many groups of one size would say as much of each metric as these do: name -> number.

        A recall rests on the positive rows alone: where three groups hold most of them, it rests on three
        groups. The number is (sum of w)^2 / sum of w^2 over the groups, w the rows of a group that enter
        the metric's denominator (Kish 1965; for clusters Carter, Schnepel and Steigerwald 2017), the least
        over the classes.
        """
        c = self._classes
        count = self._sums[:1]
        alarms, true = self._sums[2 + c : 2 + 2 * c], self._sums[2 + 2 * c : 2 + 3 * c]  # (C, G)
        sizes = {name: count for name in METRICS + MORE_METRICS}
        sizes |= {
            "precision": alarms,
            "recall": true,
            "f1": alarms + true,
            "false_positive_rate": count - true,
        }
        sizes |= {"roc_auc": np.concatenate([true, count - true]), "average_precision": true}
        effective = {}
        for name in self.metrics:
            numbers = divide(sizes[name].sum(axis=1) ** 2, (sizes[name] ** 2).sum(axis=1))
            defined = numbers[~np.isnan(numbers)]
            effective[name] = float(defined.min()) if defined.size else 0.0
        return effective


def _proper_score(name: str, labels: Integers, probs: Floats) -> Floats:
    """Brier score or log loss of each row (N,); see tenor.metrics.reliability for the definitions."""
    outcome = labels.astype(np.float64) if probs.ndim == 1 else np.eye(probs.shape[1])[labels]
    if name == "brier":
        error = (probs - outcome) ** 2
        return error if probs.ndim == 1 else np.asarray(error.sum(axis=1))
    if probs.ndim == 1:
        of_label = np.where(labels == 1, probs, 1 - probs)
    else:
        of_label = probs[np.arange(len(labels)), labels]
    return np.asarray(-np.log(np.clip(of_label, np.finfo(np.float64).eps, 1.0)))
