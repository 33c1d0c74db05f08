"""What labels, scores and groups must look like before a metric sees them.

Knows nothing of files, levels or models: arrays come in, checked arrays go out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt

from tenor.arguments import describe_found
from tenor.errors import UsageError
from tenor.strings import Strings

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
#: A value a row: groups, splits.
Column = Strings | npt.NDArray[Any] | Sequence[Any]

_SPLITS = ("train", "validation", "test")


def _read_array(values: npt.ArrayLike, what: str) -> npt.NDArray[Any]:
    """An array of whatever numpy reads."""
    try:
        return np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:  # by tensors of any kind, and by ragged lists
        is_tensor = hasattr(values, "detach")
        remedy = f"pass {what}.detach().float().cpu().numpy()" if is_tensor else "rows must be of one length"
        raise UsageError(
            f"{what}: expected an array of numbers, found {type(values).__name__} that numpy cannot read ({remedy})"
        ) from error


def as_floats(values: npt.ArrayLike, what: str) -> Floats:
    """Real numbers as float64, of any shape.

    Raises:
        UsageError: text, which numpy would parse, complex numbers, whose other half it would drop, or another object.
    """
    array = _read_array(values, what)
    wrong: list[str] = []
    if array.dtype.kind == "O":
        wrong = [type(value).__name__ for value in array.flat if not isinstance(value, Real)]
    elif array.dtype.kind not in "biuf":
        wrong = [{"U": "text", "S": "bytes", "c": "complex numbers"}.get(array.dtype.kind, str(array.dtype))]
    if wrong:
        raise UsageError(f"{what} must be real numbers, found {wrong[0]}: convert them to floats first")
    return array.astype(np.float64, copy=False)


def check_threshold(threshold: object) -> float | None:
    """A threshold that a score can reach, or None.

    Raises:
        UsageError: no number, a flag, or nan, which no score reaches.
    """
    if threshold is None:
        return None
    if isinstance(threshold, bool) or not isinstance(threshold, Real) or math.isnan(threshold):
        raise UsageError(
            f"threshold: expected a number or None, found {threshold!r:.80} (choose_threshold takes a rule, such as f1)"
        )
    return float(threshold)


def check_labels(labels: npt.ArrayLike) -> Integers:
    """Labels as (N,) int64; numbers that are whole are taken as integers.

    Raises:
        UsageError: another shape, fractions, or unlabelled rows (-1).
    """
    array = _read_array(labels, "labels")
    if array.ndim != 1:
        raise UsageError(f"labels must have shape (N,), found {array.shape}")
    if array.dtype.kind not in "biuf":
        raise UsageError(f"labels must be integers from 0, found {array.dtype}: pass codes, not class names")
    if array.dtype.kind == "f" and not (np.isfinite(array) & (array == np.floor(array))).all():
        raise UsageError("labels must be whole numbers, found fractions or values that are not finite")
    codes = array.astype(np.int64)
    if (codes < 0).any():
        count = int((codes < 0).sum())
        raise UsageError(
            f"{count} of {codes.size} rows are unlabelled: drop them first (predictions.labelled())"
        )
    return codes


def check_scores(labels: npt.ArrayLike, probs: npt.ArrayLike) -> tuple[Integers, Floats]:
    """Labels (N,) int64 and scores (N,) or (N, C) float64 that belong together.

    Scores need not be probabilities (vote counts are scores too), only finite numbers.

    Raises:
        UsageError: shapes that differ, scores that are no real numbers or not finite, labels outside the classes.
    """
    codes = check_labels(labels)
    scores = as_floats(probs, "probs")
    if scores.ndim not in (1, 2) or len(scores) != len(codes) or (scores.ndim == 2 and scores.shape[1] < 2):
        expected = f"({len(codes)},) or ({len(codes)}, C) with C >= 2"
        raise UsageError(f"probs must have shape {expected}, found {scores.shape}")
    if not np.isfinite(scores).all():
        raise UsageError(f"{int((~np.isfinite(scores)).sum())} scores are not finite")
    classes = 2 if scores.ndim == 1 else scores.shape[1]
    if (codes >= classes).any():
        raise UsageError(f"labels must be 0 to {classes - 1} for these scores, found {int(codes.max())}")
    return codes, scores


def check_probs(labels: npt.ArrayLike, probs: npt.ArrayLike) -> tuple[Integers, Floats]:
    """Like check_scores, and the scores are probabilities.

    Raises:
        UsageError: also when a score is outside [0, 1] (logits or vote counts, say).
    """
    codes, scores = check_scores(labels, probs)
    if ((scores < 0) | (scores > 1)).any():
        raise UsageError("probs must be in [0, 1], found others: pass probabilities, not logits or counts")
    return codes, scores


def encode_groups(groups: Column, rows: int) -> tuple[Integers, int]:
    """Group names as codes 0..G-1 in sorted order, so that the order of the rows does not matter.

    Args:
        groups: (N,) strings or integers.
        rows: the N expected.

    Returns:
        Codes (N,) int64 and the number of groups G.

    Raises:
        UsageError: another shape.
    """
    column = groups if isinstance(groups, Strings) else np.asarray(groups)
    if column.shape != (rows,):
        raise UsageError(f"groups must have shape ({rows},), found {column.shape}")
    if isinstance(column, np.ndarray) and column.dtype.kind in "iu":
        names, codes = np.unique(column, return_inverse=True)
        return codes.astype(np.int64), len(names)
    ranks, distinct = Strings.of(map(str, column) if isinstance(column, np.ndarray) else column).rank()
    return ranks, len(distinct)


def count_test_rows(splits: Column | None, rows: int) -> int:
    """How many rows are of split test.

    Args:
        splits: (N,) strings; None where it is not known.
        rows: the N expected.

    Raises:
        UsageError: one name for all, another length, or a name of no split: none of them would show a test row.
    """
    if splits is None:
        return 0
    expected = f"splits: expected a list of {rows} names, one a row, out of {', '.join(_SPLITS)}"
    remedy = "(such as predictions.splits)"
    column = splits if isinstance(splits, Strings) else np.asarray(splits, dtype=object)
    if column.shape != (rows,):
        found = f"shape {column.shape}" if len(column.shape) else describe_found(splits)
        raise UsageError(f"{expected}, found {found} {remedy}")
    names = column.rank()[1] if isinstance(column, Strings) else column
    for name in names:
        if not isinstance(name, str) or name not in _SPLITS:
            raise UsageError(f"{expected}, found {name!r:.80} {remedy}")
    return int((column == "test").sum())
