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

from tenor.aggregation.learned import LEARNED_AGGREGATIONS, LearnedAggregation
from tenor.errors import UsageError

#: What it is called beside the other aggregations.
TRAINED = "trained"

_MOST_NUMBERS = 1 << 24  # of one array in a file


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
        UsageError: other keys, an unknown method, or numbers that are none, not finite, or of another shape.
    """
    expected = ("method", "k", "mean", "std", "coefficients", "intercept")
    if set(values) != set(expected):
        raise UsageError(f"expected {', '.join(expected)}, found {', '.join(map(repr, sorted(values)))}")
    method = next((name for name in LEARNED_AGGREGATIONS if name == values["method"]), None)
    if method is None:
        raise UsageError(
            f"method: expected one of {', '.join(LEARNED_AGGREGATIONS)}, found {values['method']!r}"
        )
    k = values["k"]
    if not isinstance(k, int) or isinstance(k, bool) or not 0 <= k <= 1 << 40:
        raise UsageError(f"k: expected a whole number from 0 to {1 << 40}, found {k!r}")
    outputs = 1 if num_classes == 2 else num_classes
    mean = _read_numbers("mean", values["mean"], (None,))
    std = _read_numbers("std", values["std"], (len(mean),))
    if (std <= 0).any():
        raise UsageError("std: expected numbers above 0")
    coefficients = _read_numbers("coefficients", values["coefficients"], (None, outputs))
    if len(coefficients) != (3 if method == "noisy_or" else len(mean)):
        raise UsageError(f"coefficients: expected a row for each number of mean, found {len(coefficients)}")
    return LearnedAggregation(
        method, k, mean, std, coefficients, _read_numbers("intercept", values["intercept"], (outputs,))
    )


def _read_numbers(name: str, value: object, shape: tuple[int | None, ...]) -> npt.NDArray[np.float64]:
    """An array of finite numbers; None in `shape` stands for any length."""
    wanted = " by ".join("some" if size is None else str(size) for size in shape)
    try:
        numbers = np.array(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{name}: expected {wanted} numbers, found other values") from error
    fits = numbers.ndim == len(shape) and all(
        size in (None, found) for size, found in zip(shape, numbers.shape, strict=True)
    )
    if not fits or numbers.size > _MOST_NUMBERS:
        raise UsageError(f"{name}: expected {wanted} numbers, found the shape {numbers.shape}")
    if not np.isfinite(numbers).all():
        raise UsageError(f"{name}: expected finite numbers")
    return numbers
