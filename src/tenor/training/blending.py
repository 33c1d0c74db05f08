"""Adding up the logits of several models: the weights that are most probable for scores out of fold.

Stacked generalisation (Wolpert 1992) with weights that are not negative, held towards equal ones. Knows nothing of what
the models are, nor of torch.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

#: How firmly the parts' weights are held to be equal before any label is seen: the precision of a normal prior. It
#: decides where labels are few and nothing where they are many (docs/results.md has what 5 did).
EQUALITY = 20.0

#: How firmly the folds' shifts are held to be none, likewise.
SAMENESS = 5.0

#: Unless two classes have so many groups the parts weigh the same: what a handful of groups would choose is chance.
FEWEST = 10

#: The least standard deviation of the sum over rows, in logits. Of few labels, or few groups, scores out of fold may
#: tell the wrong way by chance, and weights of 0 would give everybody one score.
LEAST = 0.05


def blend_weights(
    parts: list[FloatArray], labels: IntArray, groups: IntArray, folds: IntArray | None = None
) -> tuple[FloatArray, float]:
    """The weights, none negative, and the shift of a sum of logits that are most probable a posteriori.

    The weights' prior is normal around equal ones, with the precision EQUALITY: chosen by the labels alone they would
    be mostly chance where positives are few. They are equal where fewer than two classes have FEWEST groups, and where
    their sum tells the rows apart by less than LEAST.

    Scores out of fold know the other folds' base rate: where a fold has more positives they are lower, for its models
    were fitted on fewer, and where one group has most of them the best of models would seem to tell the wrong way
    (Parker et al. 2007, "Stratification bias in low signal microarray studies"). So each fold has a shift of its own,
    likewise held to be none, of which nothing else is made.

    The loss is taken against smoothed labels, so that scores which separate few labels without an error do not run off
    to infinity: n₊ positives are held to be (n₊ + 1) / (n₊ + C) certain, and the rest is shared among the other classes
    (Platt 1999, "Probabilistic Outputs for Support Vector Machines", sec. 2.2, for C classes).

    Args:
        parts: each (N,), or (N, C) with one weight for all classes.
        labels: (N,).
        groups: (N,) codes; rows of one group may all say the same.
        folds: (N,) from 0, of the rows; None = all scores are of one model a part.

    Returns:
        (weights (V,), shift); the shift is 0 for several classes, where adding it would change nothing.
    """
    from scipy.optimize import minimize

    binary = parts[0].ndim == 1
    stacked = np.stack([_with_reference(part) if binary else part for part in parts])  # (V, N, C)
    num_parts, num_rows, num_classes = stacked.shape
    codes = np.zeros(num_rows, dtype=np.int64) if folds is None else folds
    num_folds = 0 if folds is None else int(codes.max(initial=0)) + 1
    shifted = range(1 if binary else 0, num_classes)  # the classes that have a shift in each fold
    # the weights, the shift of all, and the folds' one after another
    first = np.zeros(num_parts + 1 + num_folds * len(shifted))
    first[:num_parts] = 1 / num_parts
    precision = np.full(len(first), SAMENESS)
    precision[:num_parts], precision[num_parts] = EQUALITY, 0.0
    targets = _smooth_labels(labels, num_classes)  # (N, C)

    def loss(values: FloatArray) -> tuple[float, FloatArray]:
        logits = np.tensordot(values[:num_parts], stacked, axes=1)  # (N, C)
        logits[:, 1] += values[num_parts] if binary else 0.0
        if num_folds:
            logits[:, shifted.start :] += values[num_parts + 1 :].reshape(num_folds, -1)[codes]
        normaliser = np.logaddexp.reduce(logits, axis=1)
        slope = np.exp(logits - normaliser[:, None]) - targets  # (N, C)
        gradient = precision * (values - first)
        gradient[:num_parts] += np.tensordot(stacked, slope, axes=2)
        gradient[num_parts] += slope[:, 1].sum() if binary else 0.0
        if num_folds:
            sums = [np.bincount(codes, slope[:, column], num_folds) for column in shifted]
            gradient[num_parts + 1 :] += np.stack(sums, axis=1).ravel()
        total = float((normaliser - (targets * logits).sum(axis=1)).sum())
        total += float((precision * np.square(values - first)).sum()) / 2
        return total / num_rows, gradient / num_rows

    def minimize_within(low: float, high: float | None) -> FloatArray:
        bounds = [(low, high)] * num_parts + [(None, None)] * (len(first) - num_parts)
        return np.asarray(minimize(loss, first, jac=True, method="L-BFGS-B", bounds=bounds).x)

    num_groups = sorted(len(np.unique(groups[labels == label])) for label in range(num_classes))
    if num_groups[-2] < FEWEST:
        found = minimize_within(1 / num_parts, 1 / num_parts)  # for the shift that goes with them
    else:
        found = minimize_within(0.0, None)
    if _spread(np.tensordot(found[:num_parts], stacked, axes=1)) < LEAST:
        equal = LEAST / max(LEAST, _spread(stacked.sum(axis=0)))
        found = minimize_within(equal, equal)
    return found[:num_parts], float(found[num_parts]) if binary else 0.0


def _spread(logits: FloatArray) -> float:
    """By how much logits (N, C) tell rows apart: the standard deviation of those of a class beside the first one's."""
    return float((logits - logits[:, :1]).std(axis=0).max())


def _with_reference(logits: FloatArray) -> FloatArray:
    """One logit a row as those of two classes, (N, 2)."""
    return np.stack([np.zeros_like(logits), logits], axis=1)


def _smooth_labels(labels: IntArray, num_classes: int) -> FloatArray:
    """(N, C) probabilities that stand for labels (N,); see blend_weights."""
    counts = np.bincount(labels, minlength=num_classes)
    certain = (counts + 1) / (counts + num_classes)  # (C,)
    table = np.tile(((1 - certain) / (num_classes - 1))[:, None], (1, num_classes))
    np.fill_diagonal(table, certain)
    return np.asarray(table[labels])
