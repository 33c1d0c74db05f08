from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
from sklearn import metrics as sk

from tenor.errors import UsageError
from tenor.metrics.reliability import bin_reliability, brier_score, calibration_error, log_loss


def test_by_hand() -> None:
    assert brier_score([1, 0], [0.75, 0.5]) == pytest.approx((0.0625 + 0.25) / 2)
    assert log_loss([1, 0], [0.75, 0.5]) == pytest.approx(-(np.log(0.75) + np.log(0.5)) / 2)
    # two bins: [0, .5) holds .2 (0) and .4 (1); [.5, 1] holds .5 (1) and 1 (1)
    error = calibration_error([0, 1, 1, 1], [0.2, 0.4, 0.5, 1.0], bins=2)
    assert error == pytest.approx(0.5 * abs(0.5 - 0.3) + 0.5 * abs(1 - 0.75))


def test_proper_scores_equal_sklearn() -> None:
    rng = np.random.default_rng(0)
    labels, probs = rng.integers(0, 2, 200), rng.random(200)
    assert brier_score(labels, probs) == pytest.approx(sk.brier_score_loss(labels, probs))
    assert log_loss(labels, probs) == pytest.approx(sk.log_loss(labels, probs))
    several, by_class = rng.integers(0, 3, 200), rng.dirichlet(np.ones(3), 200)
    assert brier_score(several, by_class) == pytest.approx(sk.brier_score_loss(several, by_class))
    assert log_loss(several, by_class) == pytest.approx(sk.log_loss(several, by_class))
    assert log_loss([1], [0.0]) == pytest.approx(-np.log(np.finfo(np.float64).eps))


@pytest.mark.parametrize("bins", [1, 2, 5, 10, 15])
def test_every_row_counts_those_at_0_and_1_too(bins: int, metric_loop: ModuleType) -> None:
    rng = np.random.default_rng(1)
    probs = np.concatenate([[0.0, 0.0, 1.0, 1.0], rng.integers(0, 16, 60) / 16, rng.random(40)])
    labels = rng.integers(0, 2, len(probs))
    expected = metric_loop.calibration_error_by_loop(labels.tolist(), probs.tolist(), bins)
    assert calibration_error(labels, probs, bins=bins) == pytest.approx(expected)
    for binning in ("width", "mass"):
        assert bin_reliability(labels, probs, bins=bins, binning=binning).counts.sum() == len(probs)
    assert calibration_error([1, 1], [0.0, 0.0]) == 1.0
    assert calibration_error([0, 0], [1.0, 1.0]) == 1.0


def test_bins_of_equal_mass_keep_ties_together() -> None:
    probs = np.array([0.1] * 6 + [0.2, 0.3, 0.4, 0.9])
    table = bin_reliability(np.zeros(10, dtype=int), probs, bins=5, binning="mass")
    assert table.counts.tolist() == [7, 3]  # the quantiles are .1, .1, .1 and .3
    assert table.low.tolist() == [0.1, 0.3]
    assert table.high.tolist() == [0.3, 1.0]
    assert table.mean_probs == pytest.approx([0.8 / 7, 1.6 / 3])
    even = bin_reliability(np.zeros(100, dtype=int), np.linspace(0, 1, 100), bins=4, binning="mass")
    assert even.counts.min() >= 24


def test_empty_bins_are_left_out_and_rates_are_shares() -> None:
    table = bin_reliability([0, 1, 1, 0], [0.0, 1.0, 1.0, 0.05], bins=10)
    assert table.low.tolist() == [0.0, 0.9]
    assert table.high.tolist() == [0.1, 1.0]
    assert table.counts.tolist() == [2, 2]
    assert table.rates.tolist() == [0, 1]
    assert table.mean_probs == pytest.approx([0.025, 1.0])


def test_several_classes_are_binned_by_the_predicted_one() -> None:
    probs = [[0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.1, 0.2, 0.7]]
    table = bin_reliability([0, 1, 0], probs, bins=5)
    assert table.counts.tolist() == [3]  # .6, .7, .7 are in [.6, .8)
    assert table.rates == pytest.approx([2 / 3])
    assert calibration_error([0, 1, 0], probs, bins=5) == pytest.approx(0.0, abs=1e-12)


def test_no_rows_and_wrong_use() -> None:
    assert brier_score([], []) is None
    assert log_loss([], []) is None
    assert calibration_error([], [], binning="mass") is None
    with pytest.raises(UsageError, match=r"in \[0, 1\]"):
        calibration_error([1], [2.0])
    with pytest.raises(UsageError, match="bins must be 1 or more"):
        bin_reliability([1], [0.5], bins=0)
    with pytest.raises(UsageError, match="binning"):
        bin_reliability([1], [0.5], binning="equal")
