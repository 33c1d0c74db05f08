"""Metrics by subgroup (a language, a channel, a length), with intervals and the gaps between them.

The gaps are fairlearn's, "between groups": difference = highest - lowest. The gap in selection_rate is the
demographic parity difference; the larger of the gaps in recall and false_positive_rate is the equalized odds
difference. Knows nothing of columns or files.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tenor.errors import UsageError
from tenor.metrics.checks import Column, Floats, Integers, check_scores, encode_groups
from tenor.metrics.intervals import Interval, make_interval
from tenor.metrics.resampling import resample_groups
from tenor.metrics.weighted import METRICS, WeightedMetrics

SUBGROUP_METRICS = (*METRICS, "selection_rate", "false_positive_rate")

#: Of a subgroup with fewer rows one row moves a share by more than a tenth, so that the widest of all gaps would be
#: those of such subgroups, and of chance.
FEW_ROWS = 10

#: Of a subgroup with fewer groups (people, say) an interval tells nothing, for it comes from resampling these.
LEAST_GROUPS = 10

#: The name of rows that have no value.
MISSING = "(missing)"


@dataclass(frozen=True)
class Gap:
    """How far a metric differs between the subgroups where it is highest and lowest.

    Attributes:
        difference: highest - lowest; None when fewer than two subgroups have the metric.
        highest, lowest: names of those subgroups.
        low, high: interval of the difference of these two. They were picked for being far apart, so the level
            is raised for all pairs and comparisons (Bonferroni): an interval off 0 is a gap at the 5% level over
            all of them.
        warning: why not to lean on it; None when there is no reason.
    """

    difference: float | None
    highest: str | None
    lowest: str | None
    low: float | None
    high: float | None
    warning: str | None


@dataclass(frozen=True)
class SubgroupReport:
    """Metrics of each subgroup and the gaps.

    Attributes:
        metrics: subgroup -> metric -> Interval, numbers in names in their order.
        counts: subgroup -> rows.
        gaps: metric -> Gap.
    """

    metrics: dict[str, dict[str, Interval]]
    counts: dict[str, int]
    gaps: dict[str, Gap]


def measure_subgroups(
    labels: npt.ArrayLike,
    probs: npt.ArrayLike,
    groups: Column,
    subgroups: npt.NDArray[Any] | Sequence[Any],
    threshold: float | None = 0.5,
    *,
    metrics: Sequence[str] = SUBGROUP_METRICS,
    comparisons: int = 1,
    least_rows: int = 1,
    least_groups: int = 1,
    replicates: int = 2000,
    seed: int = 0,
    threads: int | None = None,
) -> SubgroupReport:
    """Measure each subgroup by itself, all on the same draws of groups.

    Of two classes a subgroup without a positive row has no recall and no F1: nothing could have been found there.

    Args:
        labels: (N,) integers, every row labelled.
        probs: (N,) or (N, C).
        groups: (N,) what is resampled; a group may have rows in several subgroups.
        subgroups: (N,) any labels; None stands for MISSING.
        threshold: for two classes.
        metrics: of METRICS and MORE_METRICS (tenor.metrics.weighted).
        comparisons: how many gaps are looked at together (metrics times columns, say): the gaps' intervals are
            as much wider (Bonferroni).
        least_rows: a subgroup with fewer is measured, and has no part in the gaps; see FEW_ROWS.
        least_groups: the same of groups; see LEAST_GROUPS.
        replicates: of the bootstrap.
        seed: of the draws.
        threads: None uses every core.

    Raises:
        UsageError: shapes that differ, unlabelled rows, an unknown metric, no rows.
    """
    codes, scores = check_scores(labels, probs)
    group_codes, num_groups = encode_groups(groups, len(codes))
    if num_groups == 0:
        raise UsageError("no subgroup can be measured: there is no labelled row")
    rows_of = _find_rows(subgroups, len(codes))
    shared: dict[str, Any] = {"num_groups": num_groups, "metrics": metrics}
    prepared = {
        name: WeightedMetrics(codes[rows], scores[rows], threshold, codes=group_codes[rows], **shared)
        for name, rows in rows_of.items()
    }

    def measure(weights: Integers) -> dict[str, Floats]:
        stacked = [np.stack(list(part.measure(weights).values()), axis=1) for part in prepared.values()]
        return {"all": np.stack(stacked, axis=1)}  # (R, subgroups, metrics)

    values = measure(np.ones((1, num_groups), dtype=np.int64))["all"][0]
    draws = resample_groups(
        measure, rows=len(codes), num_groups=num_groups, replicates=replicates, seed=seed, threads=threads
    )["all"]
    effective = [part.effective_groups() for part in prepared.values()]
    if scores.ndim == 1 and "f1" in metrics:
        without = [i for i, rows in enumerate(rows_of.values()) if not codes[rows].any()]
        values[without, list(metrics).index("f1")] = np.nan
    measured: dict[str, dict[str, Interval]] = {}
    for i, (name, rows) in enumerate(rows_of.items()):
        own = len(np.unique(group_codes[rows]))
        measured[name] = {
            metric: make_interval(values[i, j], draws[:, i, j], own, effective=effective[i][metric])
            for j, metric in enumerate(metrics)
        }
    counts = {name: int(rows.sum()) for name, rows in rows_of.items()}
    few = [
        counts[name] < least_rows or len(np.unique(group_codes[rows])) < least_groups
        for name, rows in rows_of.items()
    ]
    values[few] = np.nan  # so that no gap takes them
    gaps = {
        metric: _gap(
            values[:, j], draws[:, :, j], measured, metric, [e[metric] for e in effective], comparisons
        )
        for j, metric in enumerate(metrics)
    }
    return SubgroupReport(measured, counts, gaps)


def _find_rows(subgroups: npt.NDArray[Any] | Sequence[Any], rows: int) -> dict[str, npt.NDArray[np.bool_]]:
    """Each subgroup's mask (N,), the names in their order."""
    values = np.asarray(subgroups, dtype=object)
    if values.shape != (rows,):
        raise UsageError(f"subgroups must be one label a row, shape ({rows},), found {values.shape}")
    names = np.array([MISSING if value is None else str(value) for value in values], dtype=object)
    return {name: names == name for name in sorted(set(names.tolist()), key=_natural_key)}


def _gap(
    values: Floats,
    draws: Floats,
    measured: dict[str, dict[str, Interval]],
    metric: str,
    effective: list[float],
    comparisons: int,
) -> Gap:
    """The gap of one metric: values (subgroups,), draws (R, subgroups)."""
    names = list(measured)
    defined = np.flatnonzero(~np.isnan(values))
    if len(defined) < 2:
        return Gap(None, None, None, None, None, "fewer than two subgroups have this metric")
    top, bottom = defined[values[defined].argmax()], defined[values[defined].argmin()]
    pairs = len(defined) * (len(defined) - 1) // 2
    groups = min(measured[names[k]][metric].groups for k in (top, bottom))
    interval = make_interval(
        values[top] - values[bottom],
        draws[:, top] - draws[:, bottom],
        groups,
        1 - 0.05 / (pairs * comparisons),
        effective=min(effective[top], effective[bottom]),
        extrapolate=True,
    )
    return Gap(interval.value, names[top], names[bottom], interval.low, interval.high, interval.warning)


def bin_lengths(lengths: npt.ArrayLike, bins: int = 4) -> npt.NDArray[np.object_]:
    """Subgroups by sequence length: names of bins of about as many rows each, such as "1-4", "5", "6+".

    Args:
        lengths: (N,) whole numbers.
        bins: at most so many; equal lengths share a bin.

    Returns:
        (N,) strings.

    Raises:
        UsageError: no bins, or lengths of another shape.
    """
    values = np.asarray(lengths)
    if bins < 1 or values.ndim != 1 or (values.size and values.dtype.kind not in "iu"):
        raise UsageError(
            f"bins must be 1 or more and lengths whole numbers of shape (N,), found {bins}, {values.shape}"
        )
    names = np.empty(len(values), dtype=object)
    if len(values) == 0:
        return names
    inner = np.quantile(values, np.linspace(0, 1, bins + 1)[1:-1], method="lower").astype(np.int64)
    ends = np.unique(inner[inner < values.max()])
    starts, ends = np.append(values.min(), ends + 1), np.append(ends, -1)
    texts = [
        f"{a}+" if b < 0 else str(a) if a == b else f"{a}-{b}" for a, b in zip(starts, ends, strict=True)
    ]
    names[:] = np.array(texts, dtype=object)[np.searchsorted(starts, values, side="right") - 1]
    return names


def _natural_key(name: str) -> list[str | int]:
    """Sorts "5-9" before "10+": odd places of the list are numbers, even ones text."""
    return [int(part) if i % 2 else part for i, part in enumerate(re.split(r"([0-9]+)", name))]
