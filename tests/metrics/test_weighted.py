from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest

from tenor.errors import UsageError
from tenor.metrics.weighted import METRICS, MORE_METRICS, WeightedMetrics


def test_weights_mean_repeated_rows(metric_loop: ModuleType) -> None:
    """A replicate equals the plain loop over the rows that it draws, ties and empty draws included."""
    rng = np.random.default_rng(0)
    labels, codes = rng.integers(0, 2, 30), rng.integers(0, 8, 30)
    probs = rng.integers(0, 6, 30) / 5
    names = tuple(n for n in METRICS + MORE_METRICS if n != "log_loss")
    prepared = WeightedMetrics(labels, probs, 0.4, codes=codes, num_groups=8, metrics=names)
    weights = rng.integers(0, 3, (40, 8))
    weights[0], weights[1] = 0, np.eye(8, dtype=np.int64)[3]
    measured = prepared.measure(weights)
    for r, weight in enumerate(weights):
        drawn = np.repeat(np.arange(30), weight[codes])
        expected = metric_loop.metrics_by_loop(labels[drawn].tolist(), probs[drawn].tolist(), 0.4)
        for name in names:
            value = np.nan if expected[name] is None else expected[name]
            assert measured[name][r] == pytest.approx(value, nan_ok=True, abs=1e-12), (r, name)


def test_several_classes_under_weights_equal_repeated_rows() -> None:
    rng = np.random.default_rng(1)
    labels, codes = rng.integers(0, 3, 40), rng.integers(0, 6, 40)
    probs = rng.dirichlet(np.ones(3), 40).round(1)
    metrics = (*METRICS, "brier", "log_loss")
    prepared = WeightedMetrics(labels, probs, None, codes=codes, num_groups=6, metrics=metrics)
    weights = rng.integers(0, 3, (10, 6))
    measured = prepared.measure(weights)
    for r, weight in enumerate(weights):
        drawn = np.repeat(np.arange(40), weight[codes])
        plain = WeightedMetrics(labels[drawn], probs[drawn], None, metrics=metrics).measure(
            np.ones((1, 1), np.int64)
        )
        for name in metrics:
            assert measured[name][r] == pytest.approx(plain[name][0])


def test_effective_groups_count_what_a_metric_rests_on() -> None:
    labels = np.array([1, 1, 0, 0, 0, 0, 0, 1])
    probs = np.array([0.9, 0.9, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1])
    prepared = WeightedMetrics(labels, probs, 0.5, codes=np.array([0, 0, 1, 1, 2, 2, 3, 3]), num_groups=4)
    effective = prepared.effective_groups()
    assert effective["accuracy"] == 4
    assert effective["recall"] == pytest.approx(9 / 5)  # positives 2, 0, 0, 1
    assert effective["precision"] == 1  # every alarm is in one group
    assert effective["roc_auc"] == pytest.approx(
        9 / 5
    )  # the rarer side: negatives 0, 2, 2, 1 would be 25 / 9


def test_wrong_use_is_refused() -> None:
    labels, probs = np.array([0, 1]), np.array([0.0, 2.0])
    with pytest.raises(UsageError, match="unknown metric 'auc': choose from accuracy"):
        WeightedMetrics(labels, probs, 0.5, metrics=("auc",))
    with pytest.raises(UsageError, match=r"need probabilities in \[0, 1\]"):
        WeightedMetrics(labels, probs, 0.5, metrics=("brier",))
