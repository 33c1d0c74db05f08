"""Logits to probabilities and back, and what they lose: each formula once, accurate in both tails.

Logits are (N,) of two classes, the log odds of the second, or (N, C) of more. Knows nothing of models.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
#: Class indices; of two classes also whether it is the second.
Labels = npt.NDArray[np.int64] | npt.NDArray[np.bool_]

#: Probabilities are held off 0 and 1 by this where their log odds are taken, so that those are finite (within ±27.6).
_LEAST = 1e-12


def to_probs(logits: FloatArray) -> FloatArray:
    """Probabilities from logits, of the same shape: the logistic function of (N,), the softmax of (N, C).

    No logit overflows, and none above -708 gives 0: a power is taken of what is negative alone.
    """
    if logits.ndim == 1:
        small = np.exp(-np.abs(logits))
        return np.where(logits >= 0, 1.0, small) / (1.0 + small)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def log_odds(probs: npt.ArrayLike) -> FloatArray:
    """log(p / (1 - p)) of each probability, of any shape; those nearer to 0 or 1 than 1e-12 count as 1e-12 from it."""
    inside = np.clip(probs, _LEAST, 1 - _LEAST)
    return np.asarray(np.log(inside) - np.log1p(-inside))


def odds_against_rest(logits: FloatArray) -> FloatArray:
    """Each class's log odds against all others, from logits (N, C): (N, C).

    That is log(p / (1 - p)) of the softmax's p, but from the logits, so that a p next to 1 loses nothing.
    """
    rest = [np.logaddexp.reduce(np.delete(logits, c, axis=1), axis=1) for c in range(logits.shape[1])]
    return np.asarray(logits - np.stack(rest, axis=1))


def log_losses(logits: FloatArray, labels: Labels) -> FloatArray:
    """The negative log likelihood of each row's label: (N,).

    Args:
        logits: (N,) or (N, C).
        labels: (N,).
    """
    if logits.ndim == 1:
        return np.asarray(np.logaddexp(0.0, np.where(labels == 1, -logits, logits)))
    return np.asarray(np.logaddexp.reduce(logits, axis=1) - logits[np.arange(len(labels)), labels])


def log_loss(logits: FloatArray, labels: Labels) -> float:
    """The mean of log_losses; 0 without rows."""
    return float(log_losses(logits, labels).mean()) if len(labels) else 0.0
