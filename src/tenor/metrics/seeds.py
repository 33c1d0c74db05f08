"""What several training seeds say: mean, spread, and differences of two models trained on the same seeds.

The interval here is about training noise: what another seed would give on the same rows. What other rows
would give is in tenor.metrics.intervals. Knows nothing of training.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tenor.errors import UsageError


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
    return {name: _summarize([run[name] for run in runs]) for name in runs[0]}


def compare_seeds(
    a: Sequence[Mapping[str, float | None]], b: Sequence[Mapping[str, float | None]]
) -> dict[str, SeedSummary]:
    """Summaries of a - b over paired seeds: a[i] and b[i] were trained with one seed.

    Raises:
        UsageError: no runs, different numbers of them, or runs with different metrics.
    """
    if len(a) != len(b) or not a:
        raise UsageError(
            f"paired seeds need as many runs of each model, one or more: found {len(a)} and {len(b)}"
        )
    _require_same_names([*a, *b])
    differences = [{name: _subtract(x[name], y[name]) for name in x} for x, y in zip(a, b, strict=True)]
    return summarize_seeds(differences)


def _subtract(x: float | None, y: float | None) -> float | None:
    return None if x is None or y is None else x - y


def _require_same_names(runs: Sequence[Mapping[str, float | None]]) -> None:
    for number, run in enumerate(runs):
        if set(run) != set(runs[0]):
            different = sorted(set(run) ^ set(runs[0]))
            raise UsageError(f"run {number} has other metrics than run 0: {', '.join(different)}")


def _summarize(values: Sequence[float | None]) -> SeedSummary:
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
    return SeedSummary(mean, std, mean - half, mean + half, count, undefined)
