"""The aggregation that an author model learned in its training, and its form in the model's file.

It needs no validation profiles where it is used, so it also scores authors of whom nothing is known. Knows nothing
of files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tenor.aggregation.learned import (
    LEARNED_AGGREGATIONS,
    NOISY_OR_BOUNDS,
    QUANTILES,
    LearnedAggregation,
    LearnedAggregationName,
)
from tenor.errors import UsageError

#: What it is called beside the other aggregations.
TRAINED = "trained"

#: What `k` may be.
_K: dict[LearnedAggregationName, tuple[int, int]] = {
    "noisy_or": (0, 0),
    "top_k_mean": (1, 1 << 40),
    "log_odds": (0, 100),
    "score_summary": (0, 0),
}
#: Bounds that no fit comes near, and within which no score overflows.
_LARGEST, _LEAST_STD = 1e12, 1e-12


@dataclass(frozen=True)
class TrainedAggregation:
    """An aggregation with the threshold that was chosen for its profiles.

    Attributes:
        fitted: turns sequences' logits into profiles'.
        threshold: of a profile's probability; None for several classes.
        rule: that the threshold was chosen by (tenor.metrics.objectives.FORMS).
    """

    fitted: LearnedAggregation
    threshold: float | None
    rule: str


def to_json(fitted: LearnedAggregation) -> dict[str, Any]:
    """A fitted aggregation as JSON values; what from_json reads back to the same bits."""
    return {
        "method": fitted.method,
        "k": fitted.k,
        "mean": fitted.mean.tolist(),
        "std": fitted.std.tolist(),
        "coefficients": fitted.coefficients.tolist(),
        "intercept": fitted.intercept.tolist(),
    }


def from_json(values: Mapping[str, Any], num_classes: int) -> LearnedAggregation:
    """Check JSON values and build the aggregation.

    Args:
        values: of to_json.
        num_classes: of the model.

    Raises:
        UsageError: other keys, an unknown method, or numbers that are none, too large, or of another shape.
    """
    expected = ("method", "k", "mean", "std", "coefficients", "intercept")
    if set(values) != set(expected):
        raise UsageError(f"expected the keys {', '.join(expected)}, found others")
    method = next((name for name in LEARNED_AGGREGATIONS if name == values["method"]), None)
    if method is None:
        raise UsageError(f"method: expected one of {', '.join(LEARNED_AGGREGATIONS)}, found another value")
    k, (least, most) = values["k"], _K[method]
    if not isinstance(k, int) or isinstance(k, bool) or not least <= k <= most:
        raise UsageError(
            f"k: expected a whole number from {least} to {most} for {method}, found another value"
        )
    outputs = 1 if num_classes == 2 else num_classes
    columns = {"noisy_or": 0, "top_k_mean": outputs, "log_odds": outputs + 1}.get(
        method, 1 + outputs * (2 + len(QUANTILES))
    )
    mean, std = (_read_numbers(name, values[name], (columns,)) for name in ("mean", "std"))
    if (std < _LEAST_STD).any():
        raise UsageError(f"std: expected numbers from {_LEAST_STD:g} on")
    rows = 3 if method == "noisy_or" else columns
    coefficients = _read_numbers("coefficients", values["coefficients"], (rows, outputs))
    intercept = _read_numbers("intercept", values["intercept"], (outputs,))
    if method == "noisy_or":  # outside of them a power overflows
        for row, (low, high) in zip([*coefficients, intercept], NOISY_OR_BOUNDS, strict=True):
            if (row < low).any() or (row > high).any():
                raise UsageError(f"noisy_or: expected parameters from {low:g} to {high:g}, found others")
    return LearnedAggregation(method, k, mean, std, coefficients, intercept)


def _read_numbers(name: str, value: object, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """An array of numbers of this shape, one or two dimensions."""
    rows: list[Any] = value if len(shape) == 2 and isinstance(value, list) else [value]
    fits = len(rows) == (shape[0] if len(shape) == 2 else 1)
    if not fits or any(not isinstance(row, list) or len(row) != shape[-1] for row in rows):
        raise UsageError(f"{name}: expected {' by '.join(map(str, shape))} numbers, found another shape")
    for number in (number for row in rows for number in row):
        if not isinstance(number, int | float) or isinstance(number, bool) or not abs(number) <= _LARGEST:
            raise UsageError(f"{name}: expected numbers within ±{_LARGEST:g}, found another value")
    return np.array(value, dtype=np.float64).reshape(shape)
