"""The metrics of a table: accuracy, precision, recall, F1, ROC AUC, average precision.

Equal to scikit-learn's where those are defined, and None with a reason where they are not. Knows nothing of
intervals, splits or models.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tenor.metrics.checks import check_scores, check_threshold
from tenor.metrics.thresholds import find_best_f1
from tenor.metrics.weighted import METRICS, WeightedMetrics


def calculate_metrics(
    labels: npt.ArrayLike, probs: npt.ArrayLike, threshold: float | None = 0.5
) -> dict[str, float | None]:
    """Measure scores against labels.

    Two classes: a row is positive at probs >= threshold. Several: a row's class is the one of highest score,
    and precision, recall, F1, ROC AUC (one against the rest) and average precision are macro means over the
    classes for which they are defined.

    Args:
        labels: (N,) integers, every row labelled; N may be 0.
        probs: (N,), or (N, C) for several classes; finite.
        threshold: for two classes; ignored for several.

    Returns:
        accuracy, precision, recall, f1, roc_auc, average_precision, threshold, count, positives. None where a
        metric is undefined (explain_undefined says why); threshold and positives are None for several
        classes.

    Raises:
        UsageError: shapes that differ, unlabelled rows, scores that are not finite, no threshold.
    """
    codes, scores = check_scores(labels, probs)
    measured = WeightedMetrics(codes, scores, threshold).measure(np.ones((1, 1), dtype=np.int64))
    values: dict[str, float | None] = {}
    for name in METRICS:
        value = float(measured[name][0])
        values[name] = None if np.isnan(value) else value
    binary = scores.ndim == 1
    values["threshold"] = threshold if binary else None
    values["count"] = len(codes)
    values["positives"] = int(codes.sum()) if binary else None
    return values


def explain_undefined(metrics: dict[str, float | None]) -> dict[str, str]:
    """Say why each metric that calculate_metrics left None is undefined: metric -> reason.

    The threshold may be missing: a model file keeps it beside its validation metrics.
    """
    count, positives = metrics["count"], metrics["positives"]
    reasons: dict[str, str] = {}
    for name in METRICS:
        if metrics[name] is not None:
            continue
        if count == 0:
            reasons[name] = "there is no labelled row"
        elif positives is None or (name in ("roc_auc", "average_precision") and positives > 0):
            reasons[name] = "every label is of one class"
        elif name == "precision":
            reasons[name] = "no row reaches the threshold"
        else:
            reasons[name] = "no row is labelled positive"
    if positives is None and metrics.get("threshold") is None:
        reasons["threshold"] = reasons["positives"] = "there are more than two classes"
    return reasons


def calculate_metrics_threshold(
    labels: npt.ArrayLike, probs: npt.ArrayLike, threshold: float | None = None
) -> tuple[dict[str, float | None], float | None]:
    """Measure at a given threshold, or at the one that is best for F1 on these very rows.

    A threshold found here belongs to these rows; for decisions on others take choose_threshold's on validation.

    Args:
        labels: (N,) integers.
        probs: (N,), or (N, C) for several classes.
        threshold: None looks for the F1-optimal one (0.5 when no row is positive).

    Returns:
        The metrics of calculate_metrics, and the threshold; None for several classes, which have none.

    Raises:
        UsageError: a threshold that is no number; or as calculate_metrics.
    """
    threshold = check_threshold(threshold)
    codes, scores = check_scores(labels, probs)
    if scores.ndim == 2:
        return calculate_metrics(codes, scores, None), None
    used = find_best_f1(codes, scores) if threshold is None else threshold
    return calculate_metrics(codes, scores, used), used
