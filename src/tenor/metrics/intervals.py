"""Every metric with its interval, by resampling groups.

Rows of one author or one conversation resemble each other, so rows are not drawn one by one: whole groups
are. Knows nothing of models or files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tenor.arguments import check_real
from tenor.metrics.checks import Column, Floats, check_scores, encode_groups
from tenor.metrics.resampling import (
    LEAST_EFFECTIVE,
    doubt_sameness,
    interval_of_draws,
    resample_groups,
)
from tenor.metrics.weighted import METRICS, WeightedMetrics

#: With fewer groups an interval carries a warning.
FEW_GROUPS = 30

#: A metric that rests on fewer groups than this, in effect, has an interval with a warning.
FEW_EFFECTIVE = 10

#: With a larger share of undefined replicates an interval carries a warning.
_MANY_UNDEFINED = 0.05


@dataclass(frozen=True)
class Interval:
    """A number with its interval.

    Attributes:
        value: on the rows themselves; None when undefined.
        low, high: ends of the interval; None when `value` is, or where it rests on too few groups to have one
            (tenor.metrics.resampling.LEAST_EFFECTIVE).
        groups: how many groups the rows are of.
        warning: why not to lean on it; None when there is no reason.
    """

    value: float | None
    low: float | None
    high: float | None
    groups: int
    warning: str | None


def bootstrap_metrics(
    labels: npt.ArrayLike,
    probs: npt.ArrayLike,
    groups: Column,
    threshold: float | None = 0.5,
    *,
    metrics: Sequence[str] = METRICS,
    replicates: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    threads: int | None = None,
) -> dict[str, Interval]:
    """Measure metrics with intervals by a cluster bootstrap; all of them on the same replicates.

    Args:
        labels: (N,) integers, every row labelled.
        probs: (N,), or (N, C) for several classes.
        groups: (N,) what is resampled.
        threshold: for two classes; held fixed over the replicates.
        metrics: which, of METRICS and MORE_METRICS (tenor.metrics.weighted).
        replicates: how many times the groups are drawn.
        level: of the interval, between 0 and 1.
        seed: of the draws.
        threads: None uses every core; the numbers do not depend on it.

    Returns:
        Metric -> Interval.

    Raises:
        UsageError: shapes that differ, unlabelled rows, an unknown metric or none; or a threshold, replicates, level or
            seed outside their values.
    """
    level = check_real("level", level, 0.0, False, 1.0, False)
    codes, scores = check_scores(labels, probs)
    group_codes, num_groups = encode_groups(groups, len(codes))
    prepared = WeightedMetrics(
        codes, scores, threshold, codes=group_codes, num_groups=num_groups, metrics=metrics
    )
    values = prepared.measure(np.ones((1, num_groups), dtype=np.int64))
    if num_groups == 0:
        return {name: Interval(None, None, None, 0, "there is no labelled row") for name in metrics}
    draws = resample_groups(
        prepared.measure,
        rows=len(codes),
        num_groups=num_groups,
        replicates=replicates,
        seed=seed,
        threads=threads,
    )
    effective = prepared.effective_groups()
    return {
        name: make_interval(values[name][0], draws[name], num_groups, level, effective=effective[name])
        for name in metrics
    }


def doubt_groups(groups: int) -> str:
    """The warning of all that comes from so few groups."""
    return f"only {groups} groups, fewer than {FEW_GROUPS}"


def make_interval(
    value: float,
    draws: Floats,
    groups: int,
    level: float = 0.95,
    *,
    effective: float | None = None,
    extrapolate: bool = False,
) -> Interval:
    """An Interval from a value and its replicates (R,); NaN = undefined.

    The interval is the expanded percentile one (tenor.metrics.resampling.expanded_tail) for as many groups as
    the metric rests on. In 3,000 simulations of 100 groups of 10 rows (ICC .3, 10% and 30% positive) 94.2% to
    95.4% of the intervals of each of METRICS held the true value; plain percentile intervals 93.1% to 95.0%.

    Args:
        value: on the rows themselves.
        draws: (R,) the replicates.
        groups: how many there are.
        level: of the interval.
        effective: how many groups the metric rests on (WeightedMetrics.effective_groups); None = all.
        extrapolate: see tenor.metrics.resampling.interval_of_draws; for differences, which have no bound nearby.
    """
    if np.isnan(value):
        return Interval(None, None, None, groups, "undefined on these rows")
    if groups < 2:
        return Interval(float(value), None, None, groups, "one group only: there is nothing to resample")
    rests_on = groups if effective is None else effective
    warnings = []
    if groups < FEW_GROUPS:
        warnings.append(doubt_groups(groups))
    if rests_on < (LEAST_EFFECTIVE if groups < FEW_GROUPS else FEW_EFFECTIVE):
        warnings.append(f"rests on about {rests_on:.0f} group{'' if rests_on < 1.5 else 's'} of {groups}")
    undefined = float(np.isnan(draws).mean())
    if undefined > _MANY_UNDEFINED:
        warnings.append(f"undefined in {undefined:.0%} of the replicates")
    ends = None
    if rests_on >= LEAST_EFFECTIVE:
        # a difference of 0 in every replicate is of two models that decide alike, not a bound that was reached
        doubt = None if extrapolate else doubt_sameness(draws, rests_on)
        warnings += [] if doubt is None else [doubt]
        ends = interval_of_draws(draws, level, rests_on, extrapolate=extrapolate)
    low, high = (None, None) if ends is None else ends
    return Interval(float(value), low, high, groups, "; ".join(warnings) if warnings else None)
