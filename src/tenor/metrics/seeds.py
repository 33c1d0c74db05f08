"""What several training seeds say: mean and spread.

The interval here is about training noise: what another seed would give on the same rows. What other rows
would give is in tenor.metrics.intervals. Knows nothing of training.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tenor.errors import UsageError
from tenor.metrics.weighted import METRICS


@dataclass(frozen=True)
class SeedSummary:
    """One metric over seeds.

    Attributes:
        mean: over the seeds for which the metric is defined; None when there is none.
        std: sample standard deviation (n - 1); None for fewer than two seeds.
        low, high: 95% interval of the mean by Student's t; None for fewer than two seeds.
        count: seeds with the metric.
        undefined: seeds without it.
    """

    mean: float | None
    std: float | None
    low: float | None
    high: float | None
    count: int
    undefined: int


def summarize_seeds(runs: Sequence[Mapping[str, float | None]]) -> dict[str, SeedSummary]:
    """Mean and spread of every metric over runs that differ in their seed.

    Args:
        runs: one mapping of metrics a seed; all with the same names.

    Raises:
        UsageError: no runs, or runs with different metrics.
    """
    if not runs:
        raise UsageError("no runs to summarize: pass the metrics of one seed or more")
    _require_same_names(runs)
    return {name: _summarize(name, [run[name] for run in runs]) for name in runs[0]}


def _require_same_names(runs: Sequence[Mapping[str, float | None]]) -> None:
    for number, run in enumerate(runs):
        if set(run) != set(runs[0]):
            different = sorted(set(run) ^ set(runs[0]))
            raise UsageError(f"run {number} has other metrics than run 0: {', '.join(different)}")


def _summarize(name: str, values: Sequence[float | None]) -> SeedSummary:
    defined = [value for value in values if value is not None]
    count, undefined = len(defined), len(values) - len(defined)
    if count == 0:
        return SeedSummary(None, None, None, None, 0, undefined)
    mean = statistics.fmean(defined)
    if count == 1:
        return SeedSummary(mean, None, None, None, 1, undefined)
    from scipy.special import stdtrit

    std = statistics.stdev(defined)
    half = float(stdtrit(count - 1, 0.975)) * std / math.sqrt(count)
    low, high = mean - half, mean + half
    if name in METRICS:  # shares: a few seeds' interval would reach beyond what there is
        low, high = max(low, 0.0), min(high, 1.0)
    return SeedSummary(mean, std, low, high, count, undefined)
