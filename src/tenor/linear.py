"""Logistic regression of a table: standardise, fit, score out of fold, choose how strongly it is held.

Knows nothing of what the columns are.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tenor.errors import UsageError
from tenor.logits import log_loss

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Table = npt.NDArray[np.floating]

#: C of the logistic regression: columns are many and alike, so it is held tightly; the first is the default.
STRENGTHS = (0.003, 0.0003, 0.03)

#: The relative precision of float16, in which features are stored unless told otherwise.
_RESOLUTION = 2.0**-11


@dataclass(frozen=True, slots=True)
class LinearModel:
    """Logits that are linear in the columns of a table.

    Attributes:
        coefficients: (D, K) float64 for the table as it is (not standardised); K = 1 for two classes, else C.
        intercept: (K,) float64.
    """

    coefficients: FloatArray
    intercept: FloatArray

    def logits(self, table: Table) -> FloatArray:
        """(S,) logits of a table (S, D) for two classes, (S, C) for more."""
        # Not a product of BLAS, whose last bits depend on how many rows are scored at a time.
        products = np.einsum("sd,dk->sk", table.astype(np.float64), self.coefficients)
        scores: FloatArray = products + self.intercept
        return scores[:, 0] if scores.shape[1] == 1 else scores

    def scale(self, weight: float) -> LinearModel:
        """The model whose logits are so many times as large."""
        return LinearModel(weight * self.coefficients, weight * self.intercept)

    def shift(self, amount: float) -> LinearModel:
        """The model whose logits are so much higher."""
        return LinearModel(self.coefficients, self.intercept + amount)

    def to_tensors(self) -> dict[str, npt.NDArray[np.generic]]:
        """The state as named arrays; from_tensors takes them back."""
        return {"coefficients": self.coefficients, "intercept": self.intercept}

    @classmethod
    def from_tensors(cls, tensors: dict[str, npt.NDArray[np.generic]]) -> LinearModel:
        """Take back what to_tensors gave.

        Raises:
            UsageError: a tensor is missing, unknown, misshapen, of another dtype or not finite.
        """
        names = ("coefficients", "intercept")
        if sorted(tensors) != sorted(names):
            raise UsageError(f"expected the tensors {', '.join(names)}, found {', '.join(sorted(tensors))}")
        for name in names:
            if tensors[name].dtype != np.float64:
                raise UsageError(f"{name}: expected float64, found {tensors[name].dtype}")
            if not np.isfinite(tensors[name].astype(np.float64)).all():
                raise UsageError(f"{name}: expected finite numbers, found others")
        shape = tensors["coefficients"].shape
        if len(shape) != 2 or shape[1] < 1 or tensors["intercept"].shape != shape[1:]:
            raise UsageError(
                f"expected coefficients (D, K) and intercept (K,), found {shape} and {tensors['intercept'].shape}"
            )
        return cls(tensors["coefficients"].astype(np.float64), tensors["intercept"].astype(np.float64))


def fit_regression(
    table: Any,  # noqa: ANN401 - scipy has no types
    labels: npt.ArrayLike,
    *,
    strength: float = 1.0,
    max_iter: int = 1000,
    sample_weight: FloatArray | None = None,
    **options: Any,  # noqa: ANN401 - handed on
) -> LogisticRegression:
    """scikit-learn's logistic regression, which says nothing where it has not converged: what is left does not matter.

    Args:
        table: (N, D), an array or a sparse matrix.
        labels: (N,) of two classes or more.
        strength: C, the inverse of the regularisation; infinity = none.
        max_iter: rounds at most.
        sample_weight: (N,) what each row counts; None = 1.
        options: others of LogisticRegression.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=strength, max_iter=max_iter, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(table, labels, sample_weight=sample_weight)


def fit_linear(
    table: Table, labels: IntArray, *, num_classes: int = 2, strength: float = STRENGTHS[0]
) -> LinearModel:
    """Fit on the labelled rows of training sequences.

    Args:
        table: (S, D), standardised inside; columns that vary by less than half precision can show get no weight.
        labels: (S,) class indices of two classes or more.
        num_classes: 2 gives one logit a row, more give one a class (a class without rows that of half a row).
        strength: C, the inverse of the regularisation.
    """
    values = table.astype(np.float64)
    mean, std = values.mean(axis=0), values.std(axis=0)
    # Standardised, rounding would count as much as any feature: of a mean that is fixed by its nature (a message's
    # place in the conversation is the middle on average), or of what a transformer never uses (some hold 1e-33).
    std[std <= np.maximum(_RESOLUTION * np.abs(mean), 1e-12 * np.abs(values).max(initial=0.0))] = np.inf
    model = fit_regression((values - mean) / std, labels, strength=strength, max_iter=200)
    coefficients, intercept = spread_classes(
        model.coef_, model.intercept_, np.bincount(labels, minlength=num_classes)
    )
    coefficients = coefficients.T / std[:, None]
    return LinearModel(coefficients, intercept - mean @ coefficients)


def spread_classes(
    coefficients: FloatArray, intercept: FloatArray, frequencies: IntArray
) -> tuple[FloatArray, FloatArray]:
    """scikit-learn's coefficients (P, D) and intercepts (P,) of the classes that have rows as those of all.

    Of two classes one logit is given, for the second. Where they are two of more it is shared out: half for it, half
    against the other.

    Args:
        coefficients: of one or P outputs.
        intercept: likewise.
        frequencies: (C,) rows a class.

    Returns:
        (K, D) and (K,), K = 1 for two classes, else C; a class without rows has the intercept of half a row.
    """
    if len(frequencies) == 2:
        return coefficients, intercept
    present = np.flatnonzero(frequencies)
    if len(present) == 2:
        coefficients = np.concatenate([-coefficients, coefficients]) / 2
        intercept = np.concatenate([-intercept, intercept]) / 2
    spread = np.zeros((len(frequencies), coefficients.shape[1]))
    spread[present] = coefficients
    half_a_row = intercept.mean() + np.log(0.5) - np.log(frequencies[present]).mean()
    shift = np.full(len(frequencies), half_a_row)
    shift[present] = intercept
    return spread, shift


def score_linear(
    table: Table, labels: IntArray, folds: IntArray, *, num_classes: int, strength: float
) -> FloatArray:
    """Score each row by a model that saw no row of its fold; a fold whose rest has one class scores 0.

    Args:
        table: (S, D).
        labels: (S,) class indices.
        folds: (S,) of the rows; a group's stand in one fold.
        num_classes: C.
        strength: as for fit_linear.

    Returns:
        (S,) for two classes, else (S, C).
    """
    logits = np.zeros(len(labels) if num_classes == 2 else (len(labels), num_classes))
    for fold in np.unique(folds).tolist():
        held, rest = folds == fold, folds != fold
        if len(np.unique(labels[rest])) > 1:
            model = fit_linear(table[rest], labels[rest], num_classes=num_classes, strength=strength)
            logits[held] = model.logits(table[held])
    return logits


def fit_best_strength(
    table: Table,
    labels: IntArray,
    folds: IntArray,
    *,
    num_classes: int,
    judge: tuple[Table, IntArray] | None = None,
    strengths: Sequence[float] = STRENGTHS,
) -> tuple[LinearModel, FloatArray]:
    """Choose among strengths by log loss, then fit on all rows.

    Args:
        table: as for score_linear.
        labels: as for score_linear.
        folds: as for score_linear.
        num_classes: as for score_linear.
        judge: other rows (J, D) and their labels (J,), whose loss counts; None = the rows themselves, out of fold.
        strengths: to choose among; of equal losses the first one's is taken.

    Returns:
        The model, and the logits out of fold that models of the same strength gave.
    """
    scored = {
        strength: score_linear(table, labels, folds, num_classes=num_classes, strength=strength)
        for strength in strengths
    }
    if judge is None:
        best = min(strengths, key=lambda strength: log_loss(scored[strength], labels))
        return fit_linear(table, labels, num_classes=num_classes, strength=best), scored[best]
    models = {
        strength: fit_linear(table, labels, num_classes=num_classes, strength=strength)
        for strength in strengths
    }
    best = min(strengths, key=lambda strength: log_loss(models[strength].logits(judge[0]), judge[1]))
    return models[best], scored[best]
