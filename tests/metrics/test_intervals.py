from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tenor.errors import UsageError
from tenor.metrics.intervals import Interval, bootstrap_metrics
from tenor.metrics.scores import calculate_metrics
from tenor.metrics.weighted import METRICS, MORE_METRICS

Rows = tuple[np.ndarray, np.ndarray, np.ndarray]
MakeRows = Callable[..., Rows]


def test_values_are_the_metrics_and_lie_inside(clustered: MakeRows) -> None:
    labels, probs, groups = clustered(np.random.default_rng(0), 60, 5)
    metrics = calculate_metrics(labels, probs, 0.5)
    intervals = bootstrap_metrics(labels, probs, groups, 0.5, replicates=300)
    assert list(intervals) == list(METRICS)
    for name, interval in intervals.items():
        assert interval.value == pytest.approx(metrics[name], abs=1e-15)
        assert interval.low < interval.value < interval.high
        assert interval.groups == 60
        assert interval.warning is None


def test_replicates_equal_metrics_of_the_drawn_rows(clustered: MakeRows) -> None:
    """The whole of it once by hand: draw rows of drawn groups, measure, take the quantiles."""
    from tenor.metrics.resampling import interval_of_draws, resample_groups

    labels, probs, groups = clustered(np.random.default_rng(1), 100, 3)
    found = bootstrap_metrics(labels, probs, groups, 0.5, replicates=50, seed=9, metrics=("accuracy",))[
        "accuracy"
    ]
    weights = resample_groups(lambda w: {"w": w.copy()}, rows=300, num_groups=100, replicates=50, seed=9)["w"]
    draws = []
    for weight in weights:
        drawn = np.repeat(np.arange(300), weight[groups])
        draws.append(np.mean((probs[drawn] >= 0.5) == labels[drawn]))
    assert (found.low, found.high) == pytest.approx(interval_of_draws(np.array(draws), 0.95, 100))


def test_more_rows_of_one_group_tell_nothing_new(clustered: MakeRows) -> None:
    labels, probs, _ = clustered(np.random.default_rng(2), 50, 1)
    alone = bootstrap_metrics(labels, probs, np.arange(50), replicates=500)
    copies = bootstrap_metrics(
        np.tile(labels, 20), np.tile(probs, 20), np.tile(np.arange(50), 20), replicates=500
    )
    naive = bootstrap_metrics(np.tile(labels, 20), np.tile(probs, 20), np.arange(1000), replicates=500)
    for name in ("accuracy", "roc_auc", "f1"):
        assert (copies[name].low, copies[name].high) == pytest.approx((alone[name].low, alone[name].high))
        width = copies[name].high - copies[name].low
        assert naive[name].high - naive[name].low < 0.4 * width


def test_rows_in_any_order_and_any_number_of_threads_give_the_same(clustered: MakeRows) -> None:
    rng = np.random.default_rng(3)
    labels, probs, codes = clustered(rng, 40, 4)
    groups = np.array([f"author {c}" for c in codes], dtype=object)
    one = bootstrap_metrics(labels, probs, groups, replicates=60, threads=1)
    order = rng.permutation(len(labels))
    assert bootstrap_metrics(labels[order], probs[order], groups[order], replicates=60, threads=3) == one
    assert bootstrap_metrics(labels, probs, groups, replicates=60, seed=1) != one


def test_few_groups_carry_a_warning(clustered: MakeRows) -> None:
    labels, probs, groups = clustered(np.random.default_rng(4), 29, 10)
    few = bootstrap_metrics(labels, probs, groups, replicates=50)["accuracy"]
    assert few.groups == 29
    assert few.warning == "only 29 groups, fewer than 30"
    labels, probs, groups = clustered(np.random.default_rng(4), 30, 10)
    assert bootstrap_metrics(labels, probs, groups, replicates=50)["accuracy"].warning is None


def test_a_metric_that_rests_on_few_groups_says_so() -> None:
    labels = np.zeros(100, dtype=np.int64)
    labels[[0, 1, 2]] = 1
    probs = np.linspace(0, 1, 100)
    found = bootstrap_metrics(labels, probs, np.arange(100), 0.5, replicates=200)
    assert found["accuracy"].warning is None
    assert found["roc_auc"].warning.startswith("rests on about 3 groups of 100")
    rare = bootstrap_metrics(labels, probs, np.minimum(np.arange(100), 97), 0.5, replicates=200, seed=1)
    assert "rests on about" in rare["recall"].warning


def test_undefined_metrics_have_no_interval() -> None:
    found = bootstrap_metrics([0, 0, 0], [0.1, 0.9, 0.2], [1, 2, 3], replicates=20)
    assert found["roc_auc"] == Interval(None, None, None, 3, "undefined on these rows")
    assert found["accuracy"].value == pytest.approx(2 / 3)
    none = bootstrap_metrics([], [], [])
    assert none["f1"] == Interval(None, None, None, 0, "there is no labelled row")
    one = bootstrap_metrics([0, 1], [0.1, 0.9], ["a", "b"], replicates=100)["roc_auc"]
    assert "undefined in" in one.warning  # half of the draws hold one class


def test_several_classes_and_more_metrics(clustered: MakeRows) -> None:
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 3, 200)
    probs = rng.dirichlet(np.ones(3) + 3 * np.eye(3)[0], 200)
    found = bootstrap_metrics(
        labels, probs, np.arange(200) // 4, metrics=METRICS + MORE_METRICS, replicates=50
    )
    assert list(found) == [*METRICS, *MORE_METRICS]
    assert found["selection_rate"].value == pytest.approx(1 / 3)  # each row is of one class
    found.pop("selection_rate")
    assert all(interval.low < interval.value < interval.high for interval in found.values())
    with pytest.raises(UsageError, match="unknown metric"):
        bootstrap_metrics(labels, probs, np.arange(200), metrics=("auc",))


def test_shuffled_labels_give_auc_intervals_that_hold_a_half(clustered: MakeRows) -> None:
    rng = np.random.default_rng(6)
    labels, probs, groups = clustered(rng, 200, 3)
    held = 0
    for seed in range(20):
        auc = bootstrap_metrics(
            rng.permutation(labels), probs, groups, metrics=("roc_auc",), replicates=200, seed=seed
        )["roc_auc"]
        held += auc.low <= 0.5 <= auc.high
    assert held >= 18


def measure_coverage(
    clustered: MakeRows, simulations: int, replicates: int, rate: float, size: int
) -> dict[str, float]:
    labels, probs, _ = clustered(np.random.default_rng(10**6), 100_000, size, rate)
    truth = calculate_metrics(labels, probs, 0.5)
    rng = np.random.default_rng(11)
    held = dict.fromkeys(METRICS, 0)
    for seed in range(simulations):
        labels, probs, groups = clustered(rng, 100, size, rate)
        found = bootstrap_metrics(labels, probs, groups, 0.5, replicates=replicates, seed=seed, threads=1)
        for name in METRICS:
            held[name] += found[name].low <= truth[name] <= found[name].high
    return {name: count / simulations for name, count in held.items()}


def test_intervals_hold_the_truth_as_often_as_promised(clustered: MakeRows) -> None:
    coverage = measure_coverage(clustered, 150, 300, rate=0.3, size=5)
    assert all(0.90 <= share <= 0.99 for share in coverage.values()), coverage


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("rate", [0.1, 0.3])
def test_coverage_over_a_thousand_simulations(rate: float, clustered: MakeRows) -> None:
    coverage = measure_coverage(clustered, 1000, 1000, rate, size=10)
    assert all(0.93 <= share <= 0.97 for share in coverage.values()), coverage


def test_what_rests_on_one_or_two_groups_has_no_interval() -> None:
    labels = np.zeros(100, dtype=np.int64)
    labels[:2] = 1
    probs = np.linspace(0, 1, 100)
    found = bootstrap_metrics(labels, probs, np.arange(100), 0.5, replicates=200)
    for metric in ("recall", "roc_auc", "average_precision"):
        assert found[metric].value is not None and (found[metric].low, found[metric].high) == (None, None)
        assert found[metric].warning.startswith("rests on about 2 groups of 100")
    assert found["accuracy"].low < 0.48 == found["accuracy"].value < found["accuracy"].high
    few = bootstrap_metrics(labels[:20], probs[:20], np.arange(20), 0.1, replicates=200)
    assert few["accuracy"].warning == "only 20 groups, fewer than 30"
    assert few["recall"].warning.startswith("only 20 groups, fewer than 30; rests on about 2 groups of 20")
    assert (few["recall"].low, few["recall"].high) == (None, None)


def test_what_no_group_shows_is_not_taken_for_impossible() -> None:
    labels = np.array([0, 1] * 30)
    found = bootstrap_metrics(labels, 0.1 + 0.8 * labels, np.arange(60), 0.5, replicates=200)
    expected = dict.fromkeys(METRICS, (30, "10%")) | {"accuracy": (60, "5%")}
    for metric, (groups, share) in expected.items():
        assert (found[metric].low, found[metric].high) == (1.0, 1.0)
        assert found[metric].warning == (  # 1 - .05^(1/30) = .095, 1 - .05^(1/60) = .049
            f"no replicate differs, for none of about {groups} groups does; up to {share} of all groups may"
        ), metric
    wrong = bootstrap_metrics(labels, 0.9 - 0.8 * labels, np.arange(60), 0.5, replicates=200)
    assert (wrong["recall"].low, wrong["recall"].high) == (0.0, 0.0)
    assert wrong["recall"].warning == found["recall"].warning
    alike = bootstrap_metrics(labels, np.full(60, 0.3), np.arange(60), 0.5, replicates=200)["roc_auc"]
    assert (alike.value, alike.low, alike.high, alike.warning) == (0.5, 0.5, 0.5, None)  # by definition


def test_one_group_has_no_interval() -> None:
    labels, probs = np.array([0, 1, 0, 1, 1, 0]), np.array([0.1, 0.8, 0.4, 0.6, 0.3, 0.2])
    found = bootstrap_metrics(labels, probs, ["g"] * 6, 0.5, metrics=("roc_auc",))["roc_auc"]
    assert found.value is not None and (found.low, found.high) == (None, None)
    assert found.warning == "one group only: there is nothing to resample"
