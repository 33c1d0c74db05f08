from __future__ import annotations

import numpy as np
import pytest

from tenor.errors import UsageError
from tenor.metrics.intervals import bootstrap_metrics
from tenor.metrics.scores import calculate_metrics
from tenor.metrics.subgroups import (
    FEW_ROWS,
    LEAST_GROUPS,
    MISSING,
    SUBGROUP_METRICS,
    bin_lengths,
    measure_subgroups,
)


def make_rows(rows: int = 900, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Labels, probs, groups, languages; scores in French carry no signal."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, rows)
    languages = rng.choice(np.array(["de", "en", "fr"], dtype=object), rows)
    signal = np.where(languages == "fr", 0.0, 1.2)
    probs = 1 / (1 + np.exp(-(signal * (2 * labels - 1) + rng.normal(size=rows))))
    return labels, probs, rng.integers(0, 150, rows), languages


def test_each_subgroup_is_measured_by_itself() -> None:
    labels, probs, groups, languages = make_rows()
    report = measure_subgroups(labels, probs, groups, languages, 0.45, replicates=200)
    assert list(report.metrics) == ["de", "en", "fr"]
    assert sum(report.counts.values()) == 900
    for name, metrics in report.metrics.items():
        rows = languages == name
        assert report.counts[name] == rows.sum()
        assert list(metrics) == list(SUBGROUP_METRICS)
        expected = calculate_metrics(labels[rows], probs[rows], 0.45)
        alone = bootstrap_metrics(labels[rows], probs[rows], groups[rows], 0.45, replicates=400)
        for metric in ("accuracy", "f1", "roc_auc"):
            interval = metrics[metric]
            assert interval.value == pytest.approx(expected[metric])
            assert interval.groups == len(np.unique(groups[rows]))
            width = alone[metric].high - alone[metric].low
            assert interval.high - interval.low == pytest.approx(width, rel=0.35)


def test_gaps_are_fairlearns() -> None:
    fairlearn = pytest.importorskip("fairlearn.metrics")
    from sklearn.metrics import accuracy_score, recall_score

    labels, probs, groups, languages = make_rows()
    report = measure_subgroups(labels, probs, groups, languages, replicates=20)
    called = (probs >= 0.5).astype(int)
    frame = fairlearn.MetricFrame(
        metrics={
            "accuracy": accuracy_score,
            "recall": recall_score,
            "selection_rate": fairlearn.selection_rate,
            "false_positive_rate": fairlearn.false_positive_rate,
        },
        y_true=labels,
        y_pred=called,
        sensitive_features=languages.astype(str),
    )
    difference = frame.difference(method="between_groups")
    for metric in difference.index:
        gap = report.gaps[metric]
        assert gap.difference == pytest.approx(difference[metric])
        assert report.metrics[gap.highest][metric].value == pytest.approx(frame.by_group[metric].max())
        assert report.metrics[gap.lowest][metric].value == pytest.approx(frame.by_group[metric].min())
    parity = fairlearn.demographic_parity_difference(labels, called, sensitive_features=languages.astype(str))
    assert report.gaps["selection_rate"].difference == pytest.approx(parity)
    odds = fairlearn.equalized_odds_difference(labels, called, sensitive_features=languages.astype(str))
    gaps = [report.gaps[metric].difference for metric in ("recall", "false_positive_rate")]
    assert max(gaps) == pytest.approx(odds)


def test_a_real_gap_is_off_0_and_a_random_one_is_not() -> None:
    labels, probs, groups, languages = make_rows()
    gap = measure_subgroups(labels, probs, groups, languages).gaps["roc_auc"]
    assert gap.lowest == "fr"
    assert 0.2 < gap.low < gap.difference < gap.high
    assert gap.warning is None
    # the largest of ten random gaps is picked, and still rarely off 0
    found = 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        colours = rng.integers(0, 5, 900)
        gap = measure_subgroups(
            labels, probs, np.arange(900), colours, metrics=("accuracy",), replicates=1000, seed=seed
        ).gaps["accuracy"]
        assert gap.difference > 0
        found += gap.low > 0
    assert found <= 4


def test_many_gaps_that_are_none_raise_no_alarm() -> None:
    """Of 45 pairs in two metrics and six columns: ends lie far beyond what 200 replicates show."""
    alarms = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        labels = rng.integers(0, 2, 1200)
        report = measure_subgroups(
            labels,
            np.clip(0.3 * labels + 0.7 * rng.random(1200), 0, 1),
            np.arange(1200),
            rng.integers(0, 10, 1200),
            metrics=("accuracy", "recall"),
            comparisons=12,
            replicates=200,
            seed=seed,
            threads=1,
        )
        alarms += any(gap.low > 0 for gap in report.gaps.values())
    assert alarms <= 1


def test_subgroups_without_a_metric_are_left_out_of_its_gap() -> None:
    labels, probs = [0, 1, 0, 0], [0.2, 0.8, 0.9, 0.3]
    report = measure_subgroups(labels, probs, [1, 2, 3, 4], ["a", "a", None, None], replicates=50)
    assert list(report.metrics) == [MISSING, "a"]
    assert report.metrics[MISSING]["roc_auc"].value is None
    assert report.gaps["roc_auc"].difference is None
    assert report.gaps["roc_auc"].warning == "fewer than two subgroups have this metric"
    assert report.gaps["accuracy"].difference == pytest.approx(0.5)
    assert (report.gaps["accuracy"].highest, report.gaps["accuracy"].lowest) == ("a", MISSING)
    assert "only 2 groups" in report.gaps["accuracy"].warning


def test_subgroups_of_few_rows_are_measured_and_left_out_of_gaps() -> None:
    labels, probs, groups, languages = make_rows()
    languages[:9] = "it"
    probs[:9] = 1.0 - labels[:9]  # all wrong
    report = measure_subgroups(labels, probs, groups, languages, replicates=50, least_rows=FEW_ROWS)
    assert report.counts["it"] == 9 and report.metrics["it"]["accuracy"].value == 0
    gap = report.gaps["accuracy"]
    values = {name: metrics["accuracy"].value for name, metrics in report.metrics.items() if name != "it"}
    assert gap.lowest == min(values, key=values.__getitem__) == "fr"
    assert gap.difference == pytest.approx(max(values.values()) - values["fr"])
    assert measure_subgroups(labels, probs, groups, languages, replicates=50).gaps["accuracy"].lowest == "it"


def test_subgroups_of_few_groups_are_measured_and_left_out_of_gaps() -> None:
    """Eleven rows of one person say no more of a language than one row does."""
    labels, probs, groups, languages = make_rows()
    languages[:11], groups[:11], probs[:11] = "it", 999, 1.0 - labels[:11]  # all wrong
    found = measure_subgroups(labels, probs, groups, languages, replicates=50, least_rows=FEW_ROWS)
    assert found.gaps["accuracy"].lowest == "it"
    found = measure_subgroups(labels, probs, groups, languages, replicates=50, least_groups=LEAST_GROUPS)
    assert found.counts["it"] == 11 and found.metrics["it"]["accuracy"].value == 0
    assert found.gaps["accuracy"].lowest == "fr"
    groups[:11] = 990 + np.arange(11) % 10  # of ten people
    found = measure_subgroups(labels, probs, groups, languages, replicates=50, least_groups=LEAST_GROUPS)
    assert found.gaps["accuracy"].lowest == "it"


def test_without_a_positive_row_there_is_no_f1() -> None:
    labels, probs, groups, languages = make_rows()
    labels[languages == "de"] = 0  # and alarms all the same
    found = measure_subgroups(labels, probs, groups, languages, replicates=50)
    assert found.metrics["de"]["f1"].value is None and found.metrics["de"]["recall"].value is None
    assert found.metrics["de"]["f1"].low is None
    assert found.metrics["de"]["precision"].value == 0.0
    assert {found.gaps["f1"].highest, found.gaps["f1"].lowest} == {"en", "fr"}
    assert {found.gaps["recall"].highest, found.gaps["recall"].lowest} == {"en", "fr"}


def test_lengths_are_binned_evenly_and_named() -> None:
    assert (
        bin_lengths([1, 2, 3, 4, 5, 6, 7, 8], bins=4).tolist()
        == ["1-2"] * 2 + ["3-4"] * 2 + ["5-6"] * 2 + ["7+"] * 2
    )
    assert bin_lengths([1, 1, 1, 5]).tolist() == ["1", "1", "1", "2+"]
    assert bin_lengths([3, 3]).tolist() == ["3+", "3+"]
    assert bin_lengths([], bins=2).tolist() == []
    assert bin_lengths([0, 9, 4], bins=1).tolist() == ["0+"] * 3
    lengths = np.random.default_rng(0).poisson(20, 1000)
    names, counts = np.unique(bin_lengths(lengths, bins=5).astype(str), return_counts=True)
    assert len(names) == 5
    assert counts.min() > 100
    with pytest.raises(UsageError, match="bins must be 1 or more"):
        bin_lengths([1], bins=0)


def test_length_bins_come_in_the_order_of_their_numbers() -> None:
    lengths = np.array([2, 9, 10, 11, 100, 120] * 30)
    labels, probs = np.tile([0, 1], 90), np.random.default_rng(0).random(180)
    report = measure_subgroups(labels, probs, np.arange(180), bin_lengths(lengths, 3), replicates=20)
    assert list(report.metrics) == ["2-9", "10-11", "12+"]


def test_wrong_use_is_refused() -> None:
    with pytest.raises(UsageError, match=r"one label a row.*found \(1,\)"):
        measure_subgroups([0, 1], [0.1, 0.9], [1, 2], ["a"])
    with pytest.raises(UsageError, match="there is no labelled row"):
        measure_subgroups([], [], [], [])
