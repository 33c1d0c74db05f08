"""Coefficients of weighted columns: logistic regression, plainly or of columns scaled by their log-count ratios.

Knows nothing of texts, folds and hashing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tenor.linear import fit_regression, spread_classes

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix
    from sklearn.linear_model import LogisticRegression

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

#: liblinear holds the intercept to be small like any coefficient. Where positives are rare and the strength is low the
#: words would carry the base rate in its place: long texts would score low for their length, empty ones near .5. So
#: many times larger its column is; more changes nothing.
_FREE_INTERCEPT = 10.0


def fit_logistic(
    weights: csr_matrix,
    labels: IntArray,
    frequencies: IntArray,
    strength: float,
    importance: FloatArray | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Logistic regression, of several classes the multinomial one.

    Args:
        weights: (N, K).
        labels: (N,) of two classes at least.
        frequencies: (C,) texts a class; C = 2 makes one output.
        strength: C of the regression.
        importance: (N,) what each text counts; None = 1.

    Returns:
        Coefficients (K, outputs) and intercept (outputs,). A class without texts gets the intercept of half a text.
    """
    model = _regress(weights, labels, strength, importance, binary=len(frequencies) == 2)
    coefficients, intercept = spread_classes(model.coef_, model.intercept_, frequencies)
    return coefficients.T, intercept


def fit_ratios(
    presence: csr_matrix, labels: IntArray, frequencies: IntArray, strength: float
) -> tuple[FloatArray, FloatArray]:
    """Logistic regression of columns scaled by naive Bayes' log-count ratios.

    What naive Bayes would believe of a word is the size of its column, so that the regression, which holds all
    coefficients to be small, moves along it most easily. Source: Wang & Manning 2012, "Baselines and Bigrams: Simple,
    Good Sentiment and Topic Classification", sec. 2.3, with logistic regression in place of the SVM. Of more than two
    classes each is told from the rest, so their logits are not of one regression.

    Args:
        presence: (N, K) of zeros and ones.
        labels: (N,) of two classes at least.
        frequencies: (C,) texts a class; C = 2 makes one output.
        strength: C of the regressions.

    Returns:
        Coefficients (K, outputs), the ratios multiplied in, and intercept (outputs,), as fit_logistic.
    """
    from scipy.sparse import diags

    present = np.flatnonzero(frequencies)
    found = []
    for name in present[1:] if len(present) == 2 else present:
        is_class = labels == name
        ratios = count_ratios(presence, is_class)
        model = _regress(
            presence @ diags(ratios), is_class, strength, None, binary=True, intercept_scaling=_FREE_INTERCEPT
        )
        found.append((ratios * model.coef_[0], model.intercept_[0]))
    coefficients, intercepts = (np.stack(parts) for parts in zip(*found, strict=True))
    coefficients, intercepts = spread_classes(coefficients, intercepts, frequencies)
    return coefficients.T, intercepts


def count_ratios(presence: csr_matrix, is_class: npt.NDArray[np.bool_]) -> FloatArray:
    """How much more often each column stands in texts of a class than in the others, in logs: (K,).

    Shares of all occurrences are compared, each column counted once more on both sides.
    """
    inside, outside = (1.0 + np.asarray(presence[rows].sum(axis=0)).ravel() for rows in (is_class, ~is_class))
    return np.asarray(np.log(inside / inside.sum()) - np.log(outside / outside.sum()))


def _regress(
    weights: csr_matrix,
    labels: npt.NDArray[np.generic],
    strength: float,
    importance: FloatArray | None,
    *,
    binary: bool,
    intercept_scaling: float = 1.0,
) -> LogisticRegression:
    # For far more columns than rows the dual coordinate descent of liblinear is many times faster than L-BFGS.
    solver: dict[str, Any] = {"solver": "lbfgs"}
    if binary:
        solver = {"solver": "liblinear", "dual": True, "intercept_scaling": intercept_scaling}
    return fit_regression(
        weights,
        labels,
        strength=strength,
        max_iter=200,
        sample_weight=importance,
        tol=1e-3,
        random_state=0,
        **solver,
    )
