"""Metrics, thresholds and calibration error by plain loops: what the vectorised ones must equal."""

from __future__ import annotations

import math
from itertools import pairwise


def metrics_by_loop(labels: list[int], probs: list[float], threshold: float) -> dict[str, float | None]:
    """Binary metrics from counts and pairs; None where undefined."""
    pairs = list(zip(labels, probs, strict=True))
    hits = sum(y == 1 and p >= threshold for y, p in pairs)
    alarms = sum(p >= threshold for p in probs)
    positives, rows = sum(labels), len(labels)
    right = sum((p >= threshold) == (y == 1) for y, p in pairs)
    above = 0.0
    for y, p in pairs:
        for z, q in pairs:
            if y == 1 and z == 0:
                above += 1.0 if p > q else 0.5 if p == q else 0.0
    gain = 0.0
    for y, p in pairs:
        if y == 1:
            called = [z for z, q in pairs if q >= p]
            gain += sum(called) / len(called)

    def ratio(a: float, b: float) -> float | None:
        return a / b if b else None

    return {
        "accuracy": ratio(right, rows),
        "precision": ratio(hits, alarms),
        "recall": ratio(hits, positives),
        "f1": ratio(2 * hits, alarms + positives),
        "roc_auc": ratio(above, positives * (rows - positives)),
        "average_precision": ratio(gain, positives if positives < rows else 0),
        "selection_rate": ratio(alarms, rows),
        "false_positive_rate": ratio(alarms - hits, rows - positives),
        "brier": ratio(math.fsum((p - y) ** 2 for y, p in pairs), rows),
    }


def best_threshold_by_loop(labels: list[int], probs: list[float], goal: str, parameter: float) -> float:
    """The best score that any cut between the sorted scores reaches; -inf where no cut is allowed."""
    cuts = [math.inf, *sorted(set(probs), reverse=True)]
    best = -math.inf
    for cut in cuts:
        hits = sum(y == 1 and p >= cut for y, p in zip(labels, probs, strict=True))
        alarms = sum(p >= cut for p in probs)
        positives, rows = sum(labels), len(labels)
        precision = hits / alarms if alarms else -math.inf
        recall = hits / positives
        if goal == "f_beta":
            score = (1 + parameter**2) * hits / (parameter**2 * positives + alarms)
        elif goal == "cost":
            score = -((alarms - hits) + parameter * (positives - hits)) / rows
        elif goal == "recall_at_precision":
            score = recall if precision >= parameter else -math.inf
        elif goal == "precision_at_recall":
            score = precision if recall >= parameter else -math.inf
        else:
            score = alarms * 1000 / rows if alarms * 1000 <= parameter * rows else -math.inf
        best = max(best, score)
    return best


def chosen_threshold_by_loop(
    labels: list[int], probs: list[float], goal: str, parameter: float
) -> tuple[float, float]:
    """The threshold by F or by cost (1, parameter), and its F or cost: every cut against the best, row by row."""
    distinct = sorted(set(probs), reverse=True)
    edges = [1.0 if distinct[0] < 1 else math.nextafter(1.0, 2.0), *distinct, min(0.0, distinct[-1])]
    middles = [(high, low, low + (high - low) / 2) for high, low in pairwise(edges)]
    cuts = [high if middle == low else middle for high, low, middle in middles]  # neighbours have no middle
    square = parameter**2

    def shares(cut: float) -> tuple[list[float], list[float]]:
        """What each row has in the numerator and the denominator of F."""
        found = [(y, p >= cut) for y, p in zip(labels, probs, strict=True)]
        return [(1 + square) * (y and a) for y, a in found], [square * y + a for y, a in found]

    def costs(cut: float) -> list[float]:
        return [
            parameter if y > (p >= cut) else float(y < (p >= cut)) for y, p in zip(labels, probs, strict=True)
        ]

    def value(cut: float) -> float:
        if goal == "cost":
            return -math.fsum(costs(cut)) / len(labels)
        above, below = shares(cut)
        return math.fsum(above) / max(1.0, math.fsum(below))

    best = max(cuts, key=value)  # the first, of the fewest alarms

    def error(cut: float) -> float:
        if goal == "cost":
            pairs = zip(costs(cut), costs(best), strict=True)
            return math.sqrt(math.fsum((one - other) ** 2 for one, other in pairs)) / len(labels)
        influences = []
        for each in (cut, best):
            above, below = shares(each)
            total, f = max(1.0, math.fsum(below)), value(each)
            influences.append([(over - f * under) / total for over, under in zip(above, below, strict=True)])
        return math.sqrt(math.fsum((one - other) ** 2 for one, other in zip(*influences, strict=True)))

    expected = 1 / (1 + parameter) if goal == "cost" else value(best) / (1 + square)
    close = [cut for cut in cuts if value(best) - value(cut) <= error(cut) * (1 + 1e-9)]
    chosen = min(close, key=lambda cut: abs(cut - expected))
    return chosen, abs(value(chosen))


def calibration_error_by_loop(labels: list[int], probs: list[float], bins: int) -> float:
    """Equal-width bins [i / bins, (i + 1) / bins), the last one closed."""
    total = 0.0
    for i in range(bins):
        low, high = i / bins, (i + 1) / bins
        inside = [
            (y, p)
            for y, p in zip(labels, probs, strict=True)
            if low <= p < high or (i == bins - 1 and p == 1)
        ]
        if inside:
            total += abs(math.fsum(y for y, _ in inside) - math.fsum(p for _, p in inside))
    return total / len(labels)
