"""The aggregation in a model's file: the same bits back, and nothing that does not fit."""

from __future__ import annotations

import json
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
    with pytest.raises(UsageError, match="numbers, found another shape"):
        from_json(to_json(fitted), num_classes + 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "mean"}, "method: expected one of noisy_or, .*, found another value"),
        ({"method": []}, "method: expected one of"),
        ({"k": 1.5}, "k: expected a whole number from 0 to 100 for log_odds"),
        ({"k": True}, "k: expected a whole number"),
        ({"k": 101}, "k: expected a whole number"),
        ({"mean": [0.0]}, "mean: expected 2 numbers, found another shape"),
        ({"std": [1.0, 0.0]}, "std: expected numbers from 1e-12 on"),
        ({"mean": "ab"}, "mean: expected 2 numbers, found another shape"),
        ({"mean": [[0.0], [1.0]]}, "mean: expected numbers within .*, found another value"),
        ({"mean": ["1", "2"]}, "mean: expected numbers"),
        ({"mean": [True, False]}, "mean: expected numbers"),
        ({"mean": [10**400, 0]}, "mean: expected numbers within"),
        ({"coefficients": [[1.0]]}, "coefficients: expected 2 by 1 numbers"),
        ({"coefficients": [[1.0], [2.0, 3.0]]}, "coefficients: expected 2 by 1 numbers"),
        ({"coefficients": [[1e308], [0.0]]}, "coefficients: expected numbers within"),
        ({"intercept": [float("nan")]}, "intercept: expected numbers within"),
        ({"intercept": [None]}, "intercept: expected numbers within"),
        ({"code": "import os"}, "expected the keys method, k, .*, found others"),
        ({"method": "top_k_mean", "k": 0}, "k: expected a whole number from 1 to"),
        ({"method": "top_k_mean", "k": 1}, "mean: expected 1 numbers"),
        ({"method": "score_summary", "k": 0}, "mean: expected 8 numbers"),
        (
            {"method": "noisy_or", "k": 0, "mean": [], "std": [], "coefficients": [[1.0], [1.0], [2.0]]},
            "noisy_or: expected parameters from 0 to 1, found others",
        ),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, Any], message: str) -> None:
    assert from_json(FORMAT, 2).k == 50
    with pytest.raises(UsageError, match=message):
        from_json(FORMAT | change, 2)


def test_a_missing_key_is_refused() -> None:
    left = {key: value for key, value in FORMAT.items() if key != "std"}
    with pytest.raises(UsageError, match="expected the keys method, .*, found others"):
        from_json(left, 2)
