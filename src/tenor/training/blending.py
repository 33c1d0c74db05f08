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
#: decides where positives are few and nothing where they are many; values of 2 to 50 differed by thousandths.
EQUALITY = 5.0


def blend_weights(parts: list[FloatArray], labels: IntArray) -> tuple[FloatArray, float]:
    """The weights, none negative, and the shift of a sum of logits that are most probable a posteriori.

    The weights' prior is normal around equal ones, with the precision EQUALITY: chosen by the labels alone they would
    be mostly chance where positives are few. The loss is taken against smoothed labels, so that scores which separate
    few labels without an error do not run off to infinity: n₊ positives are held to be (n₊ + 1) / (n₊ + C) certain,
    and the rest is shared among the other classes (Platt 1999, "Probabilistic Outputs for Support Vector Machines",
    sec. 2.2, for C classes).

    Args:
        parts: each (N,), or (N, C) with one weight for all classes.
        labels: (N,).

    Returns:
        (weights (V,), shift); the shift is 0 for several classes, where adding it would change nothing.
    """
    from scipy.optimize import minimize

    stacked = np.stack(parts)  # (V, N) or (V, N, C)
    binary = stacked.ndim == 2
    first = np.append(np.full(len(parts), 1 / len(parts)), 0.0)
    targets = _smooth_labels(labels, 2 if binary else stacked.shape[2])  # (N, C)

    def loss(values: FloatArray) -> float:
        logits = np.tensordot(values[:-1], stacked, axes=1) + (values[-1] if binary else 0.0)
        if binary:
            logits = np.stack([np.zeros_like(logits), logits], axis=1)
        losses = np.logaddexp.reduce(logits, axis=1) - (targets * logits).sum(axis=1)
        distance = float(np.square(values[:-1] - first[:-1]).sum())
        return (float(losses.sum()) + EQUALITY / 2 * distance) / len(labels)

    bounds = [(0.0, None)] * len(parts) + [(None, None)]
    found = minimize(loss, first, method="L-BFGS-B", bounds=bounds)
    return np.asarray(found.x[:-1]), float(found.x[-1]) if binary else 0.0


def _smooth_labels(labels: IntArray, num_classes: int) -> FloatArray:
    """(N, C) probabilities that stand for labels (N,); see blend_weights."""
    counts = np.bincount(labels, minlength=num_classes)
    certain = (counts + 1) / (counts + num_classes)  # (C,)
    table = np.tile(((1 - certain) / (num_classes - 1))[:, None], (1, num_classes))
    np.fill_diagonal(table, certain)
    return np.asarray(table[labels])
