"""What decisions cost where a false alarm and a miss have their prices, and how sure that is.

Knows nothing of models, and nothing of how a threshold is chosen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tenor.errors import UsageError
from tenor.metrics.checks import Column, Floats, Integers, check_labels, encode_groups
from tenor.metrics.resampling import (
    LEAST_EFFECTIVE,
    doubt_sameness,
    interval_of_draws,
    resample_groups,
)


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of decisions on N rows.

    Attributes:
        total: of all rows.
        per_row: its mean.
        low: of the 95% interval of `per_row`, by resampling groups; None with too few groups (LEAST_EFFECTIVE).
        high: likewise.
        warning: why not to lean on the interval; None when there is no reason.
    """

    total: float
    per_row: float
    low: float | None
    high: float | None
    warning: str | None = None


def measure_cost(
    labels: npt.ArrayLike,
    decisions: npt.ArrayLike,
    prices: tuple[float, float],
    *,
    groups: Column | None = None,
    replicates: int = 1000,
    seed: int = 0,
) -> Cost:
    """The cost of decisions, and a 95% interval of its mean (expanded percentiles, as of every other metric).

    Args:
        labels: (N,) 0 and 1.
        decisions: (N,) 0 and 1, or bools.
        prices: of a false alarm and of a miss.
        groups: (N,) resampled together; None takes each row by itself.
        replicates: of the bootstrap.
        seed: of the draws.

    Raises:
        UsageError: no rows, columns of different lengths, or labels of several classes.
    """
    truth, decided = check_labels(labels), np.asarray(decisions).astype(np.int64)
    if len(truth) == 0 or decided.shape != truth.shape or truth.max() > 1:
        raise UsageError(
            f"cost: expected labels 0 and 1 and as many decisions, found {len(truth)} and {len(decided)}"
        )
    costs = np.where(truth == 1, prices[1] * (decided == 0), prices[0] * (decided == 1))
    codes, num_groups = encode_groups(np.arange(len(truth)) if groups is None else groups, len(truth))
    sums, sizes = np.bincount(codes, costs), np.bincount(codes)
    total = float(costs.sum())
    # as of an accuracy, see WeightedMetrics.effective_groups
    effective = float(sizes.sum() ** 2 / (sizes**2).sum())
    if effective < LEAST_EFFECTIVE:
        return Cost(total, total / len(truth), None, None)

    def measure(weights: Integers) -> dict[str, Floats]:
        return {"cost": (weights @ sums) / (weights @ sizes)}

    draws = resample_groups(measure, rows=0, num_groups=num_groups, replicates=replicates, seed=seed)
    ends = interval_of_draws(draws["cost"], 0.95, effective)
    low, high = (None, None) if ends is None else (max(0.0, ends[0]), ends[1])
    return Cost(total, total / len(truth), low, high, doubt_sameness(draws["cost"], effective))
