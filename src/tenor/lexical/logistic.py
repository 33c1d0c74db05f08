"""Coefficients of weighted columns: logistic regression, plainly or of columns scaled by their log-count ratios.

Knows nothing of texts, folds and hashing.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix
    from sklearn.linear_model import LogisticRegression

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


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
    if len(frequencies) == 2:
        return model.coef_.T, model.intercept_
    present = model.classes_
    if len(present) == 2:  # scikit-learn then gives one logit, for the second
        coefficients = np.concatenate([-model.coef_, model.coef_]) / 2
        intercepts = np.concatenate([-model.intercept_, model.intercept_]) / 2
    else:
        coefficients, intercepts = model.coef_, model.intercept_
    all_coefficients = np.zeros((weights.shape[1], len(frequencies)))
    all_coefficients[:, present] = coefficients.T
    mean_of_present = np.log(frequencies[present]).mean()
    all_intercepts = np.full(len(frequencies), intercepts.mean() + np.log(0.5) - mean_of_present)
    all_intercepts[present] = intercepts
    return all_coefficients, all_intercepts


def fit_ratios(
    presence: csr_matrix, labels: IntArray, frequencies: IntArray, strength: float
) -> tuple[FloatArray, FloatArray]:
    """Logistic regression of columns scaled by naive Bayes' log-count ratios.

    What naive Bayes would believe of a word is the size of its column, so that the regression, which holds all
    coefficients to be small, moves along it most easily. Source: Wang & Manning 2012, "Baselines and Bigrams: Simple,
    Good Sentiment and Topic Classification", sec. 2.3, with logistic regression in place of the SVM. Several classes
    are told each from the rest.

    Args:
        presence: (N, K) of zeros and ones.
        labels: as for fit_logistic, and so for what follows.
        frequencies: see there.
        strength: see there.

    Returns:
        As fit_logistic, the ratios multiplied in.
    """
    from scipy.sparse import diags

    classes = [1] if len(frequencies) == 2 else list(range(len(frequencies)))
    coefficients = np.zeros((presence.shape[1], len(classes)))
    intercepts = np.log(frequencies[classes] + 0.5) - np.log(frequencies.sum() - frequencies[classes] + 0.5)
    for column, name in enumerate(classes):
        if frequencies[name]:
            is_class = labels == name
            ratios = count_ratios(presence, is_class)
            model = _regress(presence @ diags(ratios), is_class, strength, None, binary=True)
            coefficients[:, column], intercepts[column] = ratios * model.coef_[0], model.intercept_[0]
    return coefficients, intercepts


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
) -> LogisticRegression:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    # For far more columns than rows the dual coordinate descent of liblinear is many times faster than L-BFGS.
    solver = {"solver": "liblinear", "dual": True} if binary else {"solver": "lbfgs"}
    model = LogisticRegression(C=strength, tol=1e-3, max_iter=200, random_state=0, **solver)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # after 200 rounds what is left does not matter
        return model.fit(weights, labels, sample_weight=importance)
