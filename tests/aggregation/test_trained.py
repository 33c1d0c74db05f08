"""The aggregation in a model's file: the same bits back, and nothing that does not fit."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pytest

from tenor.aggregation.learned import LEARNED_AGGREGATIONS, LearnedAggregationName, fit_aggregation
from tenor.aggregation.trained import from_json, to_json
from tenor.errors import UsageError

FORMAT: dict[str, Any] = {
    "method": "log_odds",
    "k": 50,
    "mean": [0.0, 1.0],
    "std": [1.0, 2.0],
    "coefficients": [[1.5], [0.25]],
    "intercept": [-1.0],
}


def draw(num_classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    labels, codes = np.arange(60) % num_classes, np.repeat(np.arange(60), 4)
    if num_classes == 2:
        return generator.normal(labels[codes], 1.0), codes, labels
    return generator.normal(np.eye(num_classes)[labels[codes]], 1.0), codes, labels


@pytest.mark.parametrize("method", LEARNED_AGGREGATIONS)
@pytest.mark.parametrize("num_classes", [2, 3])
def test_what_was_written_comes_back_to_the_bit(method: LearnedAggregationName, num_classes: int) -> None:
    logits, codes, labels = draw(num_classes)
    fitted = fit_aggregation(method, logits, codes, labels)
    read = from_json(json.loads(json.dumps(to_json(fitted))), num_classes)
    assert read.logits(logits, codes, 60).tolist() == fitted.logits(logits, codes, 60).tolist()
    with pytest.raises(UsageError, match="numbers, found the shape"):
        from_json(to_json(fitted), num_classes + 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "mean"}, "method: expected one of noisy_or, .*, found 'mean'"),
        ({"method": []}, r"method: expected one of .*, found \[\]"),
        ({"k": 1.5}, "k: expected a whole number from 0 to 1099511627776, found 1.5"),
        ({"k": True}, "k: expected a whole number"),
        ({"k": -1}, "k: expected a whole number"),
        ({"mean": [0.0]}, r"std: expected 1 numbers, found the shape \(2,\)"),
        ({"std": [1.0, 0.0]}, "std: expected numbers above 0"),
        ({"mean": "ab"}, "mean: expected some numbers, found other values"),
        ({"mean": [[0.0, 1.0]]}, r"mean: expected some numbers, found the shape \(1, 2\)"),
        ({"coefficients": [[1.0]]}, "coefficients: expected a row for each number of mean, found 1"),
        (
            {"coefficients": [[1.0], [2.0, 3.0]]},
            "coefficients: expected some by 1 numbers, found other values",
        ),
        ({"intercept": [float("nan")]}, "intercept: expected finite numbers"),
        ({"intercept": [None]}, "intercept: expected finite numbers"),
        ({"code": "import os"}, "expected method, k, .*, found 'code', "),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, Any], message: str) -> None:
    assert from_json(FORMAT, 2).k == 50
    with pytest.raises(UsageError, match=message):
        from_json(FORMAT | change, 2)


def test_a_missing_key_is_refused() -> None:
    left = {key: value for key, value in FORMAT.items() if key != "std"}
    with pytest.raises(UsageError, match=re.escape("'intercept', 'k', 'mean', 'method'")):
        from_json(left, 2)
