"""Points of curves and tables of counts, small enough for a page and true to the eye.

Curves are thinned to the points that can be seen; counts are exact at every threshold that is kept. Knows
nothing of figures or of HTML.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

#: Curves are thinned to within this share of an axis: a sixth of a pixel in the report's figures.
TOLERANCE = 5e-4

#: How many thresholds a class contributes to the slider at most.
MAX_CUTS = 200


def thin_curve(x: Floats, y: Floats, tolerance: float = TOLERANCE) -> tuple[Floats, Floats]:
    """Drop the points that lie within `tolerance` of the line that remains.

    The algorithm of Ramer (1972) and of Douglas and Peucker (1973).

    Args:
        x: (N,) the curve in drawing order, in units in which the axis is about 1 long.
        y: (N,) the same of the other axis.
        tolerance: the largest distance from a dropped point to the thinned curve.

    Returns:
        x and y of the points kept; the first and the last always are.
    """
    points = np.column_stack([x, y]).astype(np.float64)
    keep = np.zeros(len(points), dtype=bool)
    keep[[0, -1]] = True
    waiting = [(0, len(points) - 1)]
    while waiting:
        first, last = waiting.pop()
        if last - first < 2:
            continue
        distances = _distances(points[first + 1 : last], points[first], points[last])
        furthest = int(distances.argmax())
        if distances[furthest] > tolerance:
            middle = first + 1 + furthest
            keep[middle] = True
            waiting += [(first, middle), (middle, last)]
    return points[keep, 0], points[keep, 1]


def _distances(points: Floats, start: Floats, end: Floats) -> Floats:
    """Distance of each point (N, 2) to the segment from start to end."""
    chord = end - start
    squared = float(chord @ chord)
    offsets = points - start
    along = np.zeros(len(points)) if squared == 0.0 else np.clip(offsets @ chord / squared, 0.0, 1.0)
    return np.asarray(np.linalg.norm(offsets - along[:, None] * chord, axis=1))


def roc_points(labels: Integers, scores: Floats) -> tuple[Floats, Floats] | None:
    """False and true positive rates, thinned; None when one of the classes is missing.

    Args:
        labels: (N,) 0 or 1.
        scores: (N,) higher = more positive.
    """
    from sklearn.metrics import roc_curve

    if len(np.unique(labels)) < 2:
        return None
    false_rate, true_rate, _ = roc_curve(labels, scores)
    return thin_curve(false_rate, true_rate)


def precision_recall_points(labels: Integers, scores: Floats) -> tuple[Floats, Floats] | None:
    """Recall and precision as the staircase under which the area is the average precision, thinned.

    None when one of the classes is missing.

    Args:
        labels: (N,) 0 or 1.
        scores: (N,) higher = more positive.
    """
    from sklearn.metrics import precision_recall_curve

    if len(np.unique(labels)) < 2:
        return None
    precision, recall, _ = precision_recall_curve(labels, scores)
    recall, precision = recall[::-1], precision[::-1]  # from recall 0 upwards
    corners_x = np.repeat(recall, 2)[:-1]
    corners_y = np.repeat(precision, 2)[1:]  # the step to recall[i] is at precision[i]
    return thin_curve(corners_x[1:], corners_y[1:])


@dataclass(frozen=True, eq=False)
class ThresholdTable:
    """What happens at each of K thresholds, for the page's slider.

    Attributes:
        cuts: (K,) rising thresholds; a row is an alarm at score >= cut. The chosen one is among them.
        chosen: its index.
        counts: split -> rows of that split: positives and negatives.
        hits: split -> (K,) positives that are alarms.
        false_alarms: split -> (K,) negatives that are alarms.
    """

    cuts: Floats
    chosen: int
    counts: dict[str, tuple[int, int]]
    hits: dict[str, Integers]
    false_alarms: dict[str, Integers]


def threshold_table(
    splits: dict[str, tuple[Integers, Floats]], threshold: float, max_cuts: int = MAX_CUTS
) -> ThresholdTable:
    """Count hits and false alarms at thresholds that are scores of the rows, exactly.

    When there are more scores than can be shown, those kept are quantiles of each class's scores and the
    highest few one by one, so that rare positives and small numbers of alarms stay in reach.

    Args:
        splits: split -> labels (N,) 0 or 1, and scores (N,).
        threshold: the chosen one.
        max_cuts: thresholds taken from each class of each split, and from the top.
    """
    candidates = [np.array([threshold])]
    sorted_scores: dict[str, tuple[Floats, Floats]] = {}
    for split, (labels, scores) in splits.items():
        sorted_scores[split] = (np.sort(scores[labels == 1]), np.sort(scores[labels == 0]))
        candidates += [_spread(part, max_cuts) for part in sorted_scores[split]]
        candidates.append(np.sort(scores)[-(max_cuts // 2) :])
    cuts = np.unique(np.concatenate(candidates))
    counts, hits, false_alarms = {}, {}, {}
    for split, (positives, negatives) in sorted_scores.items():
        counts[split] = (len(positives), len(negatives))
        hits[split] = len(positives) - np.searchsorted(positives, cuts, side="left")
        false_alarms[split] = len(negatives) - np.searchsorted(negatives, cuts, side="left")
    chosen = int(np.searchsorted(cuts, threshold))
    return ThresholdTable(cuts=cuts, chosen=chosen, counts=counts, hits=hits, false_alarms=false_alarms)


def _spread(ordered: Floats, count: int) -> Floats:
    unique = np.unique(ordered)
    if len(unique) <= count:
        return unique
    return unique[np.linspace(0, len(unique) - 1, count).round().astype(np.int64)]


def confusion_matrix(labels: Integers, predicted: Integers, num_classes: int) -> Integers:
    """(C, C) counts: rows are the true class, columns the predicted one."""
    flat = np.bincount(labels * num_classes + predicted, minlength=num_classes * num_classes)
    return flat.reshape(num_classes, num_classes).astype(np.int64)


def wilson_interval(successes: Floats, counts: Floats) -> tuple[Floats, Floats]:
    """95% intervals of proportions (Wilson 1927), for rows taken as independent.

    Args:
        successes: (K,) how many.
        counts: (K,) of how many, at least 1.
    """
    z = 1.959963984540054
    share = successes / counts
    centre = (share + z * z / (2 * counts)) / (1 + z * z / counts)
    half = z / (1 + z * z / counts) * np.sqrt(share * (1 - share) / counts + z * z / (4 * counts**2))
    return centre - half, centre + half
