"""Split conformal prediction: sets that hold the true class as often as promised, and when to abstain.

The promise is about new rows exchangeable with the calibration rows, and rows of one author are not
exchangeable with those of another: one row a group calibrates. Knows nothing of models or files.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tenor.arguments import check_seed
from tenor.errors import UsageError
from tenor.metrics.checks import (
    Column,
    Floats,
    Integers,
    as_floats,
    check_labels,
    check_probs,
    count_test_rows,
    encode_groups,
)
from tenor.seeding import numpy_generator

#: The decision where no single class is in the set.
ABSTAIN = -1


@dataclass(frozen=True)
class Conformal:
    """A fitted rule: class y is in a row's set when 1 - p_y is at most the quantile of y.

    Attributes:
        alpha: the share of sets that may miss the true class.
        quantiles: one a class, in [0, 1]; 1 puts the class into every set.
        counts: calibration units of each class.
        class_conditional: whether the promise holds for each class by itself, not only over all.
        warning: which classes had too few units; None when none had.
    """

    alpha: float
    quantiles: tuple[float, ...]
    counts: tuple[int, ...]
    class_conditional: bool
    warning: str | None

    def predict_sets(self, probs: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Which classes are in each row's set: probs (N,) or (N, C) -> bool (N, C)."""
        scores = 1 - _by_class(as_floats(probs, "probs"))
        if scores.shape[1] != len(self.quantiles):
            raise UsageError(f"fitted on {len(self.quantiles)} classes, found {scores.shape[1]}")
        return np.asarray(scores <= np.array(self.quantiles))

    def decide(self, probs: npt.ArrayLike) -> Integers:
        """The one class in the set, or ABSTAIN where there is none or several: (N,) int64."""
        sets = self.predict_sets(probs)
        return np.where(sets.sum(axis=1) == 1, sets.argmax(axis=1), ABSTAIN).astype(np.int64)

    def to_json(self) -> dict[str, Any]:
        """Plain numbers and strings, for the metadata of a predictions file."""
        return {
            "alpha": self.alpha,
            "quantiles": list(self.quantiles),
            "counts": list(self.counts),
            "class_conditional": self.class_conditional,
            "warning": self.warning,
        }


def check_alpha(alpha: float) -> None:
    """Refuse an alpha that is no share.

    Raises:
        UsageError: it is not between 0 and 1.
    """
    if not isinstance(alpha, int | float | np.floating) or not 0 < alpha < 1:
        raise UsageError(f"alpha must be between 0 and 1, found {alpha}")


def fit_conformal(
    labels: npt.ArrayLike,
    probs: npt.ArrayLike,
    *,
    alpha: float = 0.1,
    class_conditional: bool = True,
    groups: Column | None = None,
    splits: Column | None = None,
    names: Sequence[object] | None = None,
    seed: int = 0,
) -> Conformal:
    """Fit on calibration rows that the model and its calibrator have not seen.

    The quantile of a class is the ceil((n + 1)(1 - alpha))-th smallest of its n scores 1 - p_y; then a new
    row's set holds its class with probability at least 1 - alpha and, without ties, at most 1 - alpha + 1 /
    (n + 1). Sources: Vovk, Gammerman and Shafer (2005), section 4.5 (class-conditional); Papadopoulos et al.
    (2002) (split); Dunn, Wasserman and Ramdas (2023) (one row a group).

    Args:
        labels: (N,) integers.
        probs: (N,) or (N, C).
        alpha: in (0, 1).
        class_conditional: promise for each class by itself (Mondrian), which rare classes need.
        groups: (N,) authors, say: of each group (and class) one row, drawn by the seed, is a calibration
            unit. None takes every row as a unit.
        splits: (N,) the rows' splits, to make sure none is test.
        names: of the classes, for the warning; None = their numbers.
        seed: of the draw within groups.

    Raises:
        UsageError: alpha out of range, rows of split test or splits that are no (N,) names of splits,
            probabilities outside [0, 1].
    """
    check_alpha(alpha)
    seed = check_seed(seed)
    alpha = float(alpha)  # numpy's have no form in JSON
    codes, values = check_probs(labels, probs)
    if count_test_rows(splits, len(codes)):
        raise UsageError("a conformal rule is fitted on validation: pass predictions.in_split('validation')")
    columns = _by_class(values)
    classes = columns.shape[1]
    units = np.arange(len(codes))
    if groups is not None:
        units = _one_row_each(codes, groups, class_conditional=class_conditional, seed=seed)
    codes = codes[units]
    scores = 1 - columns[units, codes]
    counts = tuple(int(n) for n in np.bincount(codes, minlength=classes))
    if class_conditional:
        quantiles = tuple(_quantile(scores[codes == c], alpha) for c in range(classes))
        few = [c for c in range(classes) if _rank(counts[c], alpha) > counts[c]]
    else:
        quantiles = (_quantile(scores, alpha),) * classes
        few = list(range(classes)) if _rank(len(scores), alpha) > len(scores) else []
    needed = math.ceil(round(1 / alpha, 9)) - 1
    words = ", ".join(str(c if names is None else names[c]) for c in few)
    warning = f"fewer than {needed} units of class {words}: in every set" if few else None
    return Conformal(alpha, quantiles, counts, class_conditional, warning)


@dataclass(frozen=True)
class Coverage:
    """How a conformal rule did on labelled rows.

    Attributes:
        coverage: share of sets that hold the true class; None without rows.
        by_class: the same for the rows of each class.
        abstained: share of rows without a decision.
        error: share of wrong decisions among the decided; None where nothing was decided.
        count: rows.
    """

    coverage: float | None
    by_class: tuple[float | None, ...]
    abstained: float | None
    error: float | None
    count: int


def measure_coverage(rule: Conformal, labels: npt.ArrayLike, probs: npt.ArrayLike) -> Coverage:
    """Coverage, abstention and error of a rule on labelled rows (N,)."""
    codes = check_labels(labels)
    sets, decided = rule.predict_sets(probs), rule.decide(probs)
    if len(codes) != len(sets):
        raise UsageError(f"labels and probs must be of the same rows, found {len(codes)} and {len(sets)}")
    held = sets[np.arange(len(codes)), codes]

    def share(values: npt.NDArray[np.bool_]) -> float | None:
        return float(values.mean()) if values.size else None

    taken = decided != ABSTAIN
    return Coverage(
        coverage=share(held),
        by_class=tuple(share(held[codes == c]) for c in range(sets.shape[1])),
        abstained=share(~taken),
        error=share(decided[taken] != codes[taken]),
        count=len(codes),
    )


def _by_class(probs: Floats) -> Floats:
    return np.stack([1 - probs, probs], axis=1) if probs.ndim == 1 else probs


def _rank(count: int, alpha: float) -> int:
    # rounded first: (n + 1)(1 - alpha) may come out a hair above a whole number
    return math.ceil(round((count + 1) * (1 - alpha), 9))


def _quantile(scores: Floats, alpha: float) -> float:
    rank = _rank(len(scores), alpha)
    return float(np.sort(scores)[rank - 1]) if rank <= len(scores) else 1.0


def _one_row_each(codes: Integers, groups: Column, *, class_conditional: bool, seed: int) -> Integers:
    """Indices of one row, drawn evenly, of each group (of each group and class)."""
    group_codes, _ = encode_groups(groups, len(codes))
    key = group_codes * (codes.max(initial=0) + 1) + codes if class_conditional else group_codes
    shuffled = numpy_generator(seed, "conformal").permutation(len(codes))
    _, first = np.unique(key[shuffled], return_index=True)
    return np.asarray(shuffled[first])
