"""Weights for classes of unequal frequency.

Knows nothing of losses: the numbers go to ``BCEWithLogitsLoss(pos_weight=...)`` or ``CrossEntropyLoss(weight=...)``.
"""

from __future__ import annotations

import math
from numbers import Real
from typing import Literal

import numpy as np
import numpy.typing as npt

from tenor.errors import TrainingError, UsageError

ImbalanceMethod = Literal["balanced", "effective", "focal", "sqrt"]
IMBALANCE_METHODS: tuple[ImbalanceMethod, ...] = ("balanced", "effective", "focal", "sqrt")


def estimate_pos_weight(
    labels: npt.ArrayLike, method: str = "balanced", *, beta: float = 0.999, gamma: float = 2.0
) -> float:
    """The weight of a positive against a negative of weight 1.

    With n₊ and n₋ the counts and π = n₊ / (n₊ + n₋):

    - ``balanced``: n₋ / n₊ (inverse class frequency; King & Zeng 2001, "Logistic Regression in Rare Events Data").
    - ``effective``: (1 − β^n₋) / (1 − β^n₊), the ratio of inverse effective numbers of samples (Cui et al. 2019,
      "Class-Balanced Loss Based on Effective Number of Samples", eq. 2). β → 0 gives 1, β → 1 gives ``balanced``.
    - ``focal``: (n₋ / n₊) · (1 − π)^γ, inverse frequency as α times the modulating factor of the focal loss (Lin et
      al. 2017, "Focal Loss for Dense Object Detection", eq. 5) at p = π, what one who knows only the base rate
      predicts. γ = 0 gives ``balanced``; the factor nears 1 as positives grow rare.
    - ``sqrt``: √(n₋ / n₊) (Mahajan et al. 2018, "Exploring the Limits of Weakly Supervised Pretraining", sec. 2.2).

    Args:
        labels: (N,) of 0 and 1; -1 (unlabelled) is left out.
        method: one of the above.
        beta: of ``effective``, in [0, 1).
        gamma: of ``focal``, at least 0.

    Raises:
        UsageError: an unknown method or a parameter out of range.
        TrainingError: labels of one class only, or of more than two.
    """
    _require_method(method, beta, gamma)
    values = _read_labels(labels)
    values = values[values >= 0]
    if values.max(initial=0) > 1:
        raise TrainingError(
            "pos_weight is for binary labels (0, 1); use estimate_class_weights for several classes"
        )
    positives, negatives = int((values == 1).sum()), int((values == 0).sum())
    if positives == 0 or negatives == 0:
        raise TrainingError(
            f"expected labels of both classes, found {negatives} negatives and {positives} positives "
            "(a classifier cannot be trained on one class only)"
        )
    ratio = negatives / positives
    if method == "balanced":
        return ratio
    if method == "effective":
        return (
            float(np.expm1(negatives * np.log(beta)) / np.expm1(positives * np.log(beta)))
            if beta > 0
            else 1.0
        )
    if method == "focal":
        return float(ratio * (negatives / len(values)) ** gamma)
    return float(np.sqrt(ratio))


def estimate_class_weights(
    labels: npt.ArrayLike,
    num_classes: int,
    method: str = "balanced",
    *,
    beta: float = 0.999,
    gamma: float = 2.0,
) -> npt.NDArray[np.float64]:
    """The weight of each of several classes; the mean weight over the labels is 1.

    The formulas of estimate_pos_weight, with each class in the positives' place: 1/n_c, 1/(1 − β^n_c),
    (1 − π_c)^γ / n_c and 1/√n_c.

    Args:
        labels: (N,) class indices; -1 (unlabelled) is left out.
        num_classes: C.
        method: as in estimate_pos_weight.
        beta: of ``effective``, in [0, 1).
        gamma: of ``focal``, at least 0.

    Returns:
        (C,) float64.

    Raises:
        UsageError: an unknown method or a parameter out of range.
        TrainingError: a class without a label.
    """
    _require_method(method, beta, gamma)
    values = _read_labels(labels)
    counts = np.bincount(values[values >= 0], minlength=num_classes)
    if (counts == 0).any():
        missing = ", ".join(map(str, np.flatnonzero(counts == 0)))
        raise TrainingError(
            f"expected labels of all {num_classes} classes, found none of class index {missing}"
        )
    if method == "balanced":
        weights = 1 / counts
    elif method == "effective":
        weights = 1 / (1 - beta**counts)
    elif method == "focal":
        weights = (1 - counts / counts.sum()) ** gamma / counts
    else:
        weights = 1 / np.sqrt(counts)
    return np.asarray(weights * counts.sum() / (weights * counts).sum())


def _require_method(method: str, beta: float, gamma: float) -> None:
    if method not in IMBALANCE_METHODS:
        raise UsageError(f"expected a method of {', '.join(IMBALANCE_METHODS)}, found {method!r}")
    for name, value in (("beta", beta), ("gamma", gamma)):
        given: object = value
        is_number = not isinstance(given, bool) and isinstance(given, Real) and math.isfinite(value)
        if not is_number or value < 0 or (name == "beta" and value >= 1):
            bounds = "in [0, 1)" if name == "beta" else "at least 0"
            raise UsageError(f"{name} must be {bounds}, not {value!r:.80}")


def _read_labels(labels: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Labels as integers (N,).

    Raises:
        UsageError: no whole numbers, such as names of classes.
    """
    values = np.asarray(labels)
    if values.ndim != 1 or values.dtype.kind not in "iubf" or not (values == np.round(values)).all():
        raise UsageError(
            f"labels: expected whole numbers of shape (N,), -1 where unlabelled, found {values.dtype} of shape "
            f"{values.shape}"
        )
    return values.astype(np.int64)
