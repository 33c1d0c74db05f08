"""Metrics equal scikit-learn's and plain loops, and hold what they must hold whatever the scores."""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from tenor.metrics.intervals import bootstrap_metrics
from tenor.metrics.reliability import calibration_error
from tenor.metrics.scores import calculate_metrics, calculate_metrics_threshold, explain_undefined
from tenor.metrics.thresholds import choose_threshold
from tenor.metrics.weighted import METRICS, WeightedMetrics


def load_reference() -> ModuleType:
    path = Path(__file__).parents[1] / "reference" / "metric_loop.py"
    spec = importlib.util.spec_from_file_location("metric_loop", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


reference = load_reference()

# Few distinct values make ties; the others fill [0, 1].
PROB = st.one_of(st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.floats(0, 1))
BINARY_ROWS = st.lists(st.tuples(st.integers(0, 1), PROB, st.integers(0, 4)), max_size=40)


def columns(rows: list[tuple[int, float, int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return (
        np.array([row[0] for row in rows], dtype=np.int64),
        np.array([row[1] for row in rows], dtype=np.float64),
        np.array([row[2] for row in rows], dtype=np.int64),
    )


@given(BINARY_ROWS, PROB)
def test_binary_metrics_equal_the_loop_and_sklearn(
    rows: list[tuple[int, float, int]], threshold: float
) -> None:
    labels, probs, _ = columns(rows)
    metrics = calculate_metrics(labels, probs, threshold)
    expected = reference.metrics_by_loop(labels.tolist(), probs.tolist(), threshold)
    for name in METRICS:
        assert metrics[name] == (None if expected[name] is None else pytest.approx(expected[name]))
    assert {name for name in METRICS if metrics[name] is None} == set(explain_undefined(metrics))
    if len(set(labels.tolist())) == 2:
        called = (probs >= threshold).astype(int)
        precision = sk.precision_score(labels, called, zero_division=np.nan)
        assert metrics["precision"] == (None if np.isnan(precision) else pytest.approx(precision))
        assert metrics["recall"] == pytest.approx(sk.recall_score(labels, called))
        assert metrics["f1"] == pytest.approx(sk.f1_score(labels, called))
        assert metrics["accuracy"] == pytest.approx(sk.accuracy_score(labels, called))
        assert metrics["roc_auc"] == pytest.approx(sk.roc_auc_score(labels, probs))
        assert metrics["average_precision"] == pytest.approx(sk.average_precision_score(labels, probs))


@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(3, 5))
def test_macro_metrics_equal_sklearn(seed: int, rows: int, classes: int) -> None:
    rng = np.random.default_rng(seed)
    labels, probs = rng.integers(0, classes, rows), rng.dirichlet(np.ones(classes), rows)
    metrics = calculate_metrics(labels, probs)
    called, names = probs.argmax(axis=1), list(range(classes))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns of the classes that are left out
        for name, function in (
            ("precision", sk.precision_score),
            ("recall", sk.recall_score),
            ("f1", sk.f1_score),
        ):
            expected = function(labels, called, labels=names, average="macro", zero_division=np.nan)
            assert metrics[name] == pytest.approx(expected)
    if len(set(labels.tolist())) == classes:
        assert metrics["roc_auc"] == pytest.approx(
            sk.roc_auc_score(labels, probs, multi_class="ovr", labels=names)
        )
        expected = sk.average_precision_score(np.eye(classes)[labels], probs)
        assert metrics["average_precision"] == pytest.approx(expected)


@given(BINARY_ROWS)
def test_auc_is_unchanged_by_increasing_transforms(rows: list[tuple[int, float, int]]) -> None:
    labels, probs, _ = columns(rows)
    ranks = np.unique(probs, return_inverse=True)[1]  # the strictly increasing transform that floats allow
    metrics, transformed = calculate_metrics(labels, probs), calculate_metrics(labels, ranks**3 - 5.0)
    for name in ("roc_auc", "average_precision"):
        assert transformed[name] == metrics[name]


@given(BINARY_ROWS, PROB, PROB)
def test_raising_the_threshold_never_raises_recall(
    rows: list[tuple[int, float, int]], a: float, b: float
) -> None:
    labels, probs, _ = columns(rows)
    low, high = (calculate_metrics(labels, probs, t)["recall"] for t in sorted((a, b)))
    assert low is None if high is None else high <= low


@given(BINARY_ROWS, st.integers(1, 4))
def test_sharded_equals_pooled(rows: list[tuple[int, float, int]], shards: int) -> None:
    """Rows in any order, cut anywhere and put together again, measure the same."""
    labels, probs, _ = columns(rows)
    parts = [slice(shard, None, shards) for shard in range(shards)]
    joined = [np.concatenate([array[part] for part in parts]) for array in (labels, probs)]
    assert calculate_metrics(*joined, 0.5) == calculate_metrics(labels, probs, 0.5)


@given(BINARY_ROWS.filter(len), st.lists(st.integers(0, 3), min_size=5, max_size=5))
def test_weights_equal_repeated_rows(rows: list[tuple[int, float, int]], weight: list[int]) -> None:
    labels, probs, groups = columns(rows)
    prepared = WeightedMetrics(labels, probs, 0.5, codes=groups, num_groups=5)
    measured = prepared.measure(np.array([weight]))
    drawn = np.repeat(np.arange(len(labels)), np.array(weight)[groups])
    expected = reference.metrics_by_loop(labels[drawn].tolist(), probs[drawn].tolist(), 0.5)
    for name in METRICS:
        value = np.nan if expected[name] is None else expected[name]
        assert measured[name][0] == pytest.approx(value, nan_ok=True)


@given(BINARY_ROWS)
def test_no_threshold_has_a_better_f1_than_the_one_of_the_very_rows(
    rows: list[tuple[int, float, int]],
) -> None:
    labels, probs, _ = columns(rows)
    metrics, threshold = calculate_metrics_threshold(labels, probs)
    if len(set(labels.tolist())) < 2:
        assert threshold == 0.5
        return
    best = reference.best_threshold_by_loop(labels.tolist(), probs.tolist(), "f_beta", 1.0)
    assert metrics["f1"] == pytest.approx(best)


@given(BINARY_ROWS)
def test_the_threshold_is_the_one_found_by_trying_every_cut(rows: list[tuple[int, float, int]]) -> None:
    labels, probs, _ = columns(rows)
    chosen = choose_threshold(labels, probs)
    if chosen.score is None:
        assert len(set(labels.tolist())) < 2
        return
    value, score = reference.chosen_threshold_by_loop(labels.tolist(), probs.tolist(), "f_beta", 1.0)
    assert (chosen.value, chosen.score) == (pytest.approx(value), pytest.approx(score))
    assert calculate_metrics(labels, probs, chosen.value)["f1"] == pytest.approx(score)


@given(BINARY_ROWS.filter(len), st.integers(1, 12))
def test_calibration_error_counts_every_row(rows: list[tuple[int, float, int]], bins: int) -> None:
    labels, probs, _ = columns(rows)
    probs = np.round(probs * 2 * bins) / (2 * bins)  # every second value is an edge
    expected = reference.calibration_error_by_loop(labels.tolist(), probs.tolist(), bins)
    assert calibration_error(labels, probs, bins=bins) == pytest.approx(expected)
    assert 0 <= calibration_error(labels, probs, bins=bins, binning="mass") <= 1


@given(BINARY_ROWS.filter(len), st.integers(0, 2**32 - 1))
def test_intervals_hold_for_any_rows(rows: list[tuple[int, float, int]], seed: int) -> None:
    labels, probs, groups = columns(rows)
    metrics = calculate_metrics(labels, probs, 0.5)
    for name, interval in bootstrap_metrics(labels, probs, groups, 0.5, replicates=20, seed=seed).items():
        assert interval.value == (None if metrics[name] is None else pytest.approx(metrics[name]))
        if interval.value is not None and interval.low is not None:
            assert 0 <= interval.low <= interval.high <= 1
        assert interval.warning is not None  # five groups are few
