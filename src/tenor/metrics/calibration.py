"""Turning logits into probabilities that mean what they say: temperature, Platt, isotonic.

Fitted and chosen on validation rows. Knows nothing of models or files.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from tenor.arguments import check_seed, check_whole
from tenor.errors import UsageError, describe_counts
from tenor.linear import fit_regression
from tenor.logits import log_losses, odds_against_rest, to_probs
from tenor.metrics.checks import (
    Column,
    Floats,
    Integers,
    as_floats,
    check_labels,
    count_test_rows,
    encode_groups,
)
from tenor.seeding import numpy_generator

Method = Literal["identity", "temperature", "platt", "isotonic"]
METHODS: tuple[Method, ...] = get_args(Method)

#: With fewer rows of a class isotonic regression is not among the candidates (it overfits them).
_ISOTONIC_ROWS = 50

#: Calibrating never turns scores round and never makes different ones equal, so that no decision changes by it: Platt's
#: slope is at least this, and as much of isotonic's step function is the logistic one.
_LEAST_SLOPE, _SLANT = 1e-3, 1e-6

_LEAST_PROB = np.finfo(np.float64).eps  # as scikit-learn's log loss holds probabilities

_LARGEST_LOGIT = 60.0  # sigmoid(60) is 1 - 1e-26: logits are held here, so that infinite ones can be fitted


@dataclass(frozen=True)
class Calibrator:
    """A fitted map from logits to probabilities.

    Attributes:
        method: one of METHODS.
        parameters: one row for two classes, one a class for several. identity: (); temperature: (T,) in one
            row, p = sigmoid(z / T) or softmax(z / T); platt: (slope, intercept), p = sigmoid(slope z +
            intercept), slope > 0;
            isotonic: the knots' logits and then their probabilities, straight lines between, of which a millionth
            is sigmoid(z) instead, so that the whole rises. For several classes platt and isotonic read each
            class's logit against the rest, and the results are scaled to sum to 1.
        log_losses: method -> cross-validated log loss of every candidate; empty where none was chosen
            between.
        warning: why nothing could be fitted; None when it was.
    """

    method: Method
    parameters: tuple[tuple[float, ...], ...]
    log_losses: Mapping[str, float]
    warning: str | None = None

    def apply(self, logits: npt.ArrayLike) -> Floats:
        """Calibrated probabilities of logits (N,) or (N, C), of the same shape."""
        z = _check_logits(logits)
        if self.method in ("identity", "temperature"):
            scaled = z if self.method == "identity" else z / self.parameters[0][0]
            return to_probs(scaled)
        columns = [z] if z.ndim == 1 else list(odds_against_rest(z).T)
        if len(columns) != len(self.parameters):
            raise UsageError(
                f"the calibrator was fitted on {len(self.parameters)} classes, found {len(columns)}"
            )
        probs = [self._apply_one(column, row) for column, row in zip(columns, self.parameters, strict=True)]
        if z.ndim == 1:
            return probs[0]
        stacked = np.stack(probs, axis=1)
        return np.asarray(stacked / stacked.sum(axis=1, keepdims=True))

    def _apply_one(self, z: Floats, row: tuple[float, ...]) -> Floats:
        if self.method == "platt":
            return to_probs(row[0] * z + row[1])
        half = len(row) // 2
        return np.asarray((1 - _SLANT) * np.interp(z, row[:half], row[half:]) + _SLANT * to_probs(z))


def fit_calibrator(
    labels: npt.ArrayLike,
    logits: npt.ArrayLike,
    method: Method | Literal["auto"] = "auto",
    *,
    groups: Column | None = None,
    splits: Column | None = None,
    folds: int = 5,
    seed: int = 0,
) -> Calibrator:
    """Fit a calibrator on validation rows.

    ``auto`` takes the simplest method whose log loss in cross-validation by group is within one standard error of the
    least (Breiman et al. 1984, sec. 3.4.3), among identity (as it is), temperature (Guo et al. 2017), Platt (1999) and,
    with 50 rows of each class, isotonic (Zadrozny and Elkan 2002), in that order.

    Args:
        labels: (N,) integers.
        logits: (N,) or (N, C).
        method: one of METHODS, or ``auto``.
        groups: (N,) kept together in the folds; None takes each row by itself.
        splits: (N,) the rows' splits, to make sure none is test.
        folds: of the cross-validation, 2 or more.
        seed: of the folds.

    Returns:
        The calibrator; identity with a warning where ``auto`` has nothing to learn from.

    Raises:
        UsageError: rows of split test, or splits that are no (N,) names of splits; a class without rows, for a method
            that was asked for; an unknown method.
    """
    folds, seed = check_whole("folds", folds, 2, 10**9), check_seed(seed)
    codes, z = check_labels(labels), _check_logits(logits)
    if len(codes) != len(z):
        raise UsageError(f"labels and logits must be of the same rows, found {len(codes)} and {len(z)}")
    if count_test_rows(splits, len(codes)):
        raise UsageError("a calibrator is fitted on validation: pass predictions.in_split('validation')")
    if method != "auto" and method not in METHODS:
        raise UsageError(f"method must be auto or one of {', '.join(METHODS)}, not {method!r}")
    classes = 2 if z.ndim == 1 else z.shape[1]
    counts = np.bincount(codes, minlength=classes)
    if len(counts) > classes:
        raise UsageError(f"labels must be 0 to {classes - 1} for these logits, found {int(codes.max())}")
    if method != "auto":
        if counts.min() == 0 and method != "identity":
            raise UsageError(f"{method} needs rows of every class, found {describe_counts(counts)}")
        return Calibrator(method, _fit(method, codes, z), {})
    fold = _assign_folds(codes, groups, folds, seed)
    if counts.min() == 0 or not _folds_hold_every_class(codes, fold, classes):
        return Calibrator("identity", (), {}, f"too few rows to calibrate: {describe_counts(counts)}")
    candidates: list[Method] = [m for m in METHODS if m != "isotonic" or counts.min() >= _ISOTONIC_ROWS]
    by_row = {candidate: _cross_validate(candidate, codes, z, fold) for candidate in candidates}
    losses: dict[str, float] = {candidate: float(found.mean()) for candidate, found in by_row.items()}
    names = np.arange(len(codes)) if groups is None else groups
    chosen = _choose_simplest(by_row, encode_groups(names, len(codes))[0])
    return Calibrator(chosen, _fit(chosen, codes, z), losses)


def _choose_simplest(losses: Mapping[Method, Floats], group_codes: Integers) -> Method:
    """The first method that is no worse than the best by more than a standard error of their difference, by group."""
    best = min(losses, key=lambda method: losses[method].sum())
    for method, found in losses.items():
        lost = np.bincount(group_codes, weights=found - losses[best])
        if lost.sum() <= np.sqrt(np.square(lost).sum()):
            return method
    return best


def _assign_folds(codes: Integers, groups: Column | None, folds: int, seed: int) -> Integers:
    """A fold 0..folds-1 for each row (N,); rows of a group share it."""
    names = np.arange(len(codes)) if groups is None else groups
    group_codes, num_groups = encode_groups(names, len(codes))
    shuffled = numpy_generator(seed, "calibration").permutation(num_groups)
    return np.asarray((shuffled % folds)[group_codes])


def _folds_hold_every_class(codes: Integers, fold: Integers, classes: int) -> bool:
    present = np.unique(fold)
    return len(present) > 1 and all(len(np.unique(codes[fold != f])) == classes for f in present)


def _cross_validate(method: Method, codes: Integers, z: Floats, fold: Integers) -> Floats:
    """The log loss of each row by a fit without its fold, (N,)."""
    probs = np.empty_like(z)
    for f in np.unique(fold):
        fitted = Calibrator(method, _fit(method, codes[fold != f], z[fold != f]), {})
        probs[fold == f] = fitted.apply(z[fold == f])
    own = np.where(codes == 1, probs, 1 - probs) if probs.ndim == 1 else probs[np.arange(len(codes)), codes]
    return np.asarray(-np.log(np.clip(own, _LEAST_PROB, 1)))


def _fit(method: Method, codes: Integers, z: Floats) -> tuple[tuple[float, ...], ...]:
    if method == "identity":
        return ()
    if method == "temperature":
        return ((_fit_temperature(codes, z),),)
    fit = _fit_platt if method == "platt" else _fit_isotonic
    if z.ndim == 1:
        return (fit(codes == 1, z),)
    return tuple(fit(codes == c, column) for c, column in enumerate(odds_against_rest(z).T))


def _fit_temperature(codes: Integers, z: Floats) -> float:
    """The T > 0 of least log loss; the loss is convex in 1 / T.

    Where T is below 1, and probabilities are moved towards 0 and 1, it is that of Platt's smoothed labels, and at most
    1: where validation's classes are apart, labels of 0 and 1 have no least loss, and all probabilities would be such.
    """
    counts = np.bincount(codes, minlength=2 if z.ndim == 1 else z.shape[1])
    rows = np.eye(len(counts))
    temperature = _search_temperature(rows[codes], z)
    if temperature >= 1:
        return temperature
    # of a row of class c (n_c + 1) / (n_c + C) for c itself, 1 / (n_c + C) for each other: Platt's, for C classes
    smoothed = (rows * counts + 1) / (counts + len(counts))[:, None]  # (C, C)
    return min(1.0, _search_temperature(smoothed[codes], z))


def _search_temperature(targets: Floats, z: Floats) -> float:
    """The T of least cross-entropy with targets (N, C)."""
    from scipy.optimize import minimize_scalar

    def loss(log_temperature: float) -> float:
        scaled = z / math.exp(log_temperature)
        by_class = [log_losses(scaled, np.full(len(z), c)) for c in range(targets.shape[1])]
        return float((np.stack(by_class, axis=1) * targets).sum(axis=1).mean())

    return math.exp(float(minimize_scalar(loss, bounds=(-5.0, 5.0), method="bounded").x))


def _fit_platt(positive: npt.NDArray[np.bool_], z: Floats) -> tuple[float, float]:
    """Slope and intercept of Platt's fit; his smoothed labels keep it finite where the classes are apart.

    Where validation would turn the scores round, which of a model that learned nothing is a coin's throw, the slope is
    the least there is, and all get about the share of positives.
    """
    from scipy.optimize import brentq

    ups, downs = int(positive.sum()), int((~positive).sum())
    target = np.where(positive, (ups + 1) / (ups + 2), 1 / (downs + 2))
    fitted = fit_regression(
        np.concatenate([z, z])[:, None],
        np.repeat([1, 0], len(z)),
        strength=np.inf,
        sample_weight=np.concatenate([target, 1 - target]),
    )
    slope, intercept = float(fitted.coef_[0, 0]), float(fitted.intercept_[0])
    if slope < _LEAST_SLOPE:
        slope, flat = _LEAST_SLOPE, _LEAST_SLOPE * z
        intercept = brentq(lambda shift: float((to_probs(flat + shift) - target).mean()), -100.0, 100.0)
    return slope, float(intercept)


def _fit_isotonic(positive: npt.NDArray[np.bool_], z: Floats) -> tuple[float, ...]:
    """Knots of the isotonic fit, held off 0 and 1 by Laplace's rule: n rows cannot show a p of 0."""
    from sklearn.isotonic import IsotonicRegression

    fitted = IsotonicRegression().fit(z, positive.astype(np.float64))
    least = 1 / (len(z) + 2)
    knots = np.clip(fitted.y_thresholds_, least, 1 - least)
    return tuple(map(float, (*fitted.X_thresholds_, *knots)))


def _check_logits(logits: npt.ArrayLike) -> Floats:
    z = as_floats(logits, "logits")
    if z.ndim not in (1, 2) or np.isnan(z).any():
        raise UsageError(f"logits must be numbers of shape (N,) or (N, C), found {z.shape} or NaN")
    return np.clip(z, -_LARGEST_LOGIT, _LARGEST_LOGIT)
