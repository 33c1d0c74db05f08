"""A linear model of pooled features: mean and maximum over a sequence's messages, and its log length.

Beside the n-gram model this is the other simple view of a sequence that is hard to beat; as a baseline it stands by
itself, and in a SequenceClassifier it is where the network's correction starts. Knows nothing of texts or of torch.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tenor.corpus.views import SequenceView

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Table = npt.NDArray[np.float32]

#: C of the logistic regression: features are many and alike, so it is held tightly; the first is the default.
STRENGTHS = (0.003, 0.0003, 0.03)

#: The relative precision of float16, in which features are stored unless told otherwise.
_RESOLUTION = 2.0**-11

_CHUNK_BYTES = 4 << 20  # of features gathered at a time, in float32


@dataclass(frozen=True, slots=True)
class PooledModel:
    """Logistic regression on a table of pooled features.

    Attributes:
        coefficients: (D, K) float64 for the table as it is (not standardised); K = 1 for two classes, else C.
        intercept: (K,) float64.
    """

    coefficients: FloatArray
    intercept: FloatArray

    def logits(self, table: npt.NDArray[np.floating]) -> FloatArray:
        """(S,) logits of a table (S, D) for two classes, (S, C) for more."""
        scores: FloatArray = table.astype(np.float64) @ self.coefficients + self.intercept
        return scores[:, 0] if scores.shape[1] == 1 else scores


def pool_features(view: SequenceView) -> Table:
    """(S, 2F + 1): mean and maximum of each feature over the messages, and log(1 + messages).

    A sequence without messages has zeros.
    """
    num_features = view.corpus.info.input_size
    width = 0 if num_features is None else num_features
    table = np.zeros((len(view), 2 * width + 1), dtype=np.float32)
    for indices in _chunks(view.lengths, max(1, _CHUNK_BYTES // (4 * max(1, width)))):
        lengths = view.lengths[indices]
        features = view.gather_features(indices).astype(np.float32, copy=False)  # (M, F)
        starts = np.cumsum(lengths) - lengths
        table[indices, :width] = np.add.reduceat(features, starts, axis=0) / lengths[:, None]
        table[indices, width:-1] = np.maximum.reduceat(features, starts, axis=0)
    table[:, -1] = np.log1p(view.lengths)
    return table


def _chunks(lengths: IntArray, num_messages: int) -> Iterator[IntArray]:
    """Numbers of the sequences with messages, in order, about so many messages at a time."""
    filled = np.flatnonzero(lengths > 0)
    ends = np.cumsum(lengths[filled])
    cuts = np.flatnonzero(np.diff((ends - 1) // num_messages)) + 1
    yield from (part for part in np.split(filled, cuts) if len(part))


def fit_pooled(
    table: npt.NDArray[np.floating], labels: IntArray, *, num_classes: int = 2, strength: float = STRENGTHS[0]
) -> PooledModel:
    """Fit on the labelled rows of training sequences.

    Args:
        table: (S, D), standardised inside; columns that vary by less than half precision can show get no weight.
        labels: (S,) class indices of two classes or more.
        num_classes: 2 gives one logit a row, more give one a class (a class without rows that of half a row).
        strength: C, the inverse of the regularisation.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    values = table.astype(np.float64)
    mean, std = values.mean(axis=0), values.std(axis=0)
    # Standardised, rounding would count as much as any feature: of a mean that is fixed by its nature (a message's
    # place in the conversation is the middle on average), or of what a transformer never uses (some hold 1e-33).
    std[std <= np.maximum(_RESOLUTION * np.abs(mean), 1e-12 * np.abs(values).max(initial=0.0))] = np.inf
    model = LogisticRegression(C=strength, max_iter=200)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # what is left after 200 rounds does not matter
        model.fit((values - mean) / std, labels)
    coefficients, intercept = spread_classes(
        model.coef_, model.intercept_, model.classes_, labels, num_classes
    )
    coefficients = coefficients.T / std[:, None]
    return PooledModel(coefficients, intercept - mean @ coefficients)


def spread_classes(
    coefficients: FloatArray, intercept: FloatArray, present: IntArray, labels: IntArray, num_classes: int
) -> tuple[FloatArray, FloatArray]:
    """scikit-learn's coefficients (K, D) of the classes seen, as those of all classes."""
    if num_classes == 2:
        return coefficients, intercept
    if len(present) == 2:  # scikit-learn then gives one logit, for the second
        coefficients = np.concatenate([-coefficients, coefficients]) / 2
        intercept = np.concatenate([-intercept, intercept]) / 2
    frequencies = np.bincount(labels, minlength=num_classes)[present]
    spread = np.zeros((num_classes, coefficients.shape[1]))
    spread[present] = coefficients
    shift = np.full(num_classes, intercept.mean() + np.log(0.5) - np.log(frequencies).mean())
    shift[present] = intercept
    return spread, shift


def out_of_fold_pooled(
    table: npt.NDArray[np.floating], labels: IntArray, folds: IntArray, *, num_classes: int, strength: float
) -> FloatArray:
    """Score each row by a model that saw no row of its fold; a fold whose rest has one class scores 0.

    Args:
        table: (S, D).
        labels: (S,) class indices.
        folds: (S,) from lexical.assign_folds.
        num_classes: C.
        strength: as for fit_pooled.
    """
    logits = np.zeros(len(labels) if num_classes == 2 else (len(labels), num_classes))
    for fold in np.unique(folds).tolist():
        held, rest = folds == fold, folds != fold
        if len(np.unique(labels[rest])) > 1:
            model = fit_pooled(table[rest], labels[rest], num_classes=num_classes, strength=strength)
            logits[held] = model.logits(table[held])
    return logits


def log_loss(logits: FloatArray, labels: IntArray) -> float:
    """The mean negative log likelihood of (N,) or (N, C) logits; 0 without labels."""
    if len(labels) == 0:
        return 0.0
    if logits.ndim == 1:
        return float(np.mean(np.logaddexp(0.0, np.where(labels == 1, -logits, logits))))
    return float(np.mean(np.logaddexp.reduce(logits, axis=1) - logits[np.arange(len(labels)), labels]))
