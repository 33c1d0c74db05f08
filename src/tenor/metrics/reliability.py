"""Do probabilities mean what they say? Brier score, log loss, calibration error, and the reliability diagram.

Every row counts, those at exactly 0 and 1 too. Knows nothing of how probabilities are mended (calibration).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from tenor.errors import UsageError
from tenor.metrics.checks import Floats, Integers, check_probs
from tenor.metrics.weighted import WeightedMetrics, divide

Binning = Literal["width", "mass"]

#: Of equal width, over which the calibration error is taken, as in Guo et al. (2017).
ERROR_BINS = 15


@dataclass(frozen=True)
class ReliabilityBins:
    """Rows binned by probability; bins without rows are left out.

    For several classes the probability is that of the predicted class, and the outcome whether it was right.

    Attributes:
        low, high: (K,) the bin's ends; a row belongs to the last bin whose low it reaches, 1 to the last.
        counts: (K,) rows.
        mean_probs: (K,) mean probability of the bin's rows.
        rates: (K,) share of the bin's rows with a positive label (or rightly predicted).
    """

    low: Floats
    high: Floats
    counts: Integers
    mean_probs: Floats
    rates: Floats


def brier_score(labels: npt.ArrayLike, probs: npt.ArrayLike) -> float | None:
    """Mean squared distance of probability and outcome (Brier 1950).

    Two classes: mean of (p - y)^2, in [0, 1]. Several: the sum over the classes, in [0, 2]. None without
    rows.
    """
    return _mean("brier", labels, probs)


def log_loss(labels: npt.ArrayLike, probs: npt.ArrayLike) -> float | None:
    """Mean of -log p(label), p held at 2.2e-16 or more as in scikit-learn. None without rows."""
    return _mean("log_loss", labels, probs)


def _mean(name: str, labels: npt.ArrayLike, probs: npt.ArrayLike) -> float | None:
    codes, values = check_probs(labels, probs)
    if len(codes) == 0:
        return None
    prepared = WeightedMetrics(codes, values, None, metrics=(name,))
    return float(prepared.measure(np.ones((1, 1), dtype=np.int64))[name][0])


def calibration_error(
    labels: npt.ArrayLike, probs: npt.ArrayLike, *, bins: int = ERROR_BINS, binning: Binning = "width"
) -> float | None:
    """Expected calibration error: mean over the rows of |rate - mean probability| of the row's bin.

    Source: Naeini, Cooper and Hauskrecht (2015); 15 bins of equal width as in Guo et al. (2017). Bins of
    equal mass are less biased for few rows or scores that cluster (Nixon et al. 2019). None without rows.

    Raises:
        UsageError: probabilities outside [0, 1]; no bins; unknown binning.
    """
    table = bin_reliability(labels, probs, bins=bins, binning=binning)
    if table.counts.sum() == 0:
        return None
    gaps = np.abs(table.rates - table.mean_probs)
    return float((table.counts * gaps).sum() / table.counts.sum())


def bin_reliability(
    labels: npt.ArrayLike, probs: npt.ArrayLike, *, bins: int = 10, binning: Binning = "width"
) -> ReliabilityBins:
    """Bin rows by probability: the points of a reliability diagram.

    Args:
        labels: (N,) integers.
        probs: (N,), or (N, C): then the predicted class's probability and whether it is right.
        bins: how many at most.
        binning: ``width`` (bins of equal width) or ``mass`` (of about as many rows, ties together).

    Raises:
        UsageError: probabilities outside [0, 1]; no bins; unknown binning.
    """
    codes, values = check_probs(labels, probs)
    if bins < 1 or binning not in get_args(Binning):
        raise UsageError(
            f"bins must be 1 or more and binning one of {get_args(Binning)}: {bins}, {binning!r}"
        )
    outcome = codes.astype(np.float64)
    if values.ndim == 2:
        predicted = values.argmax(axis=1)
        outcome = (predicted == codes).astype(np.float64)
        values = values[np.arange(len(codes)), predicted]
    if binning == "width" or len(values) == 0:
        edges = np.arange(bins + 1) / bins  # not linspace, whose .6 of five bins is above the number 0.6
    else:
        inner = np.quantile(values, np.linspace(0, 1, bins + 1)[1:-1], method="lower")
        edges = np.unique(np.concatenate([[0.0], inner, [1.0]]))
    last = len(edges) - 2
    index = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, last)
    counts = np.bincount(index, minlength=last + 1)
    used = counts > 0
    return ReliabilityBins(
        low=edges[:-1][used],
        high=edges[1:][used],
        counts=counts[used],
        mean_probs=divide(np.bincount(index, weights=values, minlength=last + 1), counts)[used],
        rates=divide(np.bincount(index, weights=outcome, minlength=last + 1), counts)[used],
    )
