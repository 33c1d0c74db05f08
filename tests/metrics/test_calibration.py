from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression

from tenor.errors import UsageError
from tenor.logits import to_probs
from tenor.metrics.calibration import METHODS, fit_calibrator
from tenor.metrics.reliability import calibration_error, log_loss


def make_logits(
    rows: int, slope: float = 1.0, shift: float = 0.0, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Labels and logits z of a model for which the right probability is sigmoid(slope z + shift)."""
    rng = np.random.default_rng(seed)
    z = 2 * rng.normal(size=rows)
    return (rng.random(rows) < to_probs(slope * z + shift)).astype(np.int64), z


def make_several(rows: int, temperature: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    z = 3 * rng.normal(size=(rows, 3))
    probs = to_probs(z / temperature)
    return (probs.cumsum(axis=1) > rng.random((rows, 1))).argmax(axis=1), z


def test_temperature_and_platt_find_what_was_planted() -> None:
    labels, z = make_logits(20_000, slope=0.5)
    assert fit_calibrator(labels, z, "temperature").parameters[0][0] == pytest.approx(2, rel=0.05)
    labels, z = make_logits(20_000, slope=1.5, shift=-1)
    slope, intercept = fit_calibrator(labels, z, "platt").parameters[0]
    assert slope == pytest.approx(1.5, rel=0.05)
    assert intercept == pytest.approx(-1, abs=0.05)
    labels, z = make_several(20_000, temperature=2.5)
    assert fit_calibrator(labels, z, "temperature").parameters[0][0] == pytest.approx(2.5, rel=0.05)


def test_temperature_has_the_least_log_loss() -> None:
    labels, z = make_logits(300, slope=0.7)
    temperature = fit_calibrator(labels, z, "temperature").parameters[0][0]
    best = log_loss(labels, to_probs(z / temperature))
    grid = [log_loss(labels, to_probs(z / t)) for t in np.geomspace(0.1, 10, 400)]
    assert best <= min(grid) + 1e-9


def test_isotonic_is_sklearns_held_off_0_and_1() -> None:
    labels, z = make_logits(400)
    probs = fit_calibrator(labels, z, "isotonic").apply(z)
    expected = IsotonicRegression(out_of_bounds="clip").fit(z, labels).predict(z)
    assert probs == pytest.approx(np.clip(expected, 1 / 402, 401 / 402), abs=1e-6)
    ends = fit_calibrator(labels, z, "isotonic").apply([-1000.0, 1000.0])
    assert 0 < ends[0] < ends[1] < 1


@pytest.mark.parametrize("method", ["temperature", "platt", "isotonic"])
@pytest.mark.parametrize("signal", [-1.0, 0.0, 1.0])
def test_calibrating_turns_nothing_round_and_makes_nothing_equal(method: Any, signal: float) -> None:  # noqa: ANN401
    """Whatever validation says: decisions are made by order."""
    generator = np.random.default_rng(1)
    z = np.sort(generator.normal(-2, 1, 300))
    labels = (generator.random(300) < 1 / (1 + np.exp(2 - signal * (z + 2)))).astype(int)
    fitted = fit_calibrator(labels, z, method)
    probs = fitted.apply(np.concatenate([z, [z[-1] + 5]]))
    assert (np.diff(probs) > 0).all()
    assert fitted.apply(z).mean() == pytest.approx(labels.mean(), abs=0.02) or method == "temperature"


@pytest.mark.parametrize(("slope", "shift", "best"), [(0.4, 0.0, "temperature"), (0.6, -1.5, "platt")])
def test_auto_chooses_what_fits(slope: float, shift: float, best: str) -> None:
    labels, z = make_logits(4000, slope, shift, seed=2)
    calibrator = fit_calibrator(labels, z, groups=np.arange(4000) // 4)
    assert calibrator.method == best
    assert set(calibrator.log_losses) == set(METHODS)
    assert calibrator.log_losses[best] == min(calibrator.log_losses.values())
    assert calibrator.log_losses["identity"] == pytest.approx(log_loss(labels, to_probs(z)))


def test_auto_leaves_good_probabilities_nearly_alone() -> None:
    labels, z = make_logits(4000)
    calibrator = fit_calibrator(labels, z)
    assert np.abs(calibrator.apply(z) - to_probs(z)).max() < 0.05
    assert calibrator.log_losses["identity"] - calibrator.log_losses[calibrator.method] < 1e-3


def test_auto_takes_the_simplest_within_a_standard_error_of_the_least() -> None:
    """By group: what one odd group gains no method is believed for."""
    chosen, least = [], []
    for seed in range(30):
        labels, z = make_logits(200, seed=seed)
        calibrator = fit_calibrator(labels, z)
        chosen.append(calibrator.method)
        least.append(min(calibrator.log_losses, key=lambda method: calibrator.log_losses[method]))
        assert calibrator.log_losses[chosen[-1]] >= calibrator.log_losses[least[-1]]
    assert chosen.count("identity") == 28 > least.count("identity") == 25
    labels, z = make_logits(400, 1.0, 0.0, seed=3)
    odd = np.arange(400) < 60
    labels = np.where(odd, 1, labels)  # one group of 60 rows, all positive, would shift all
    grouped = fit_calibrator(labels, z, groups=np.where(odd, 0, np.arange(400)))
    alone = fit_calibrator(labels, z)
    assert (grouped.method, alone.method) == ("identity", "platt")


def test_auto_chooses_isotonic_where_no_curve_fits() -> None:
    rng = np.random.default_rng(0)
    z = rng.uniform(-3, 3, 6000)
    labels = (rng.random(6000) < np.where(z < -1, 0.05, np.where(z < 2, 0.5, 0.95))).astype(int)
    assert fit_calibrator(labels, z).method == "isotonic"


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_calibrated_probabilities_are_better_on_new_rows(method: Any, several: bool) -> None:  # noqa: ANN401
    def make(seed: int) -> tuple[np.ndarray, np.ndarray]:
        return make_several(4000, 3.0, seed) if several else make_logits(4000, 0.3, seed=seed)

    calibrator = fit_calibrator(*make(0), method)
    labels, z = make(1)
    probs, raw = calibrator.apply(z), to_probs(z)
    assert probs.shape == z.shape
    if several:
        assert probs.sum(axis=1) == pytest.approx(1)
    if method == "identity":
        assert np.array_equal(probs, raw)
    else:
        assert log_loss(labels, probs) < log_loss(labels, raw) - 0.05
        assert calibration_error(labels, probs) < 0.06 < calibration_error(labels, raw)


def test_classes_that_are_apart_and_infinite_logits_stay_finite() -> None:
    labels, z = np.array([0] * 30 + [1] * 30), np.concatenate([np.full(30, -np.inf), np.full(30, np.inf)])
    for method in METHODS:
        probs = fit_calibrator(labels, z, method).apply([-np.inf, 0.0, np.inf])
        assert np.isfinite(probs).all()
        assert probs[0] < 0.1
        assert probs[2] > 0.9


@pytest.mark.parametrize(("rows", "share"), [(62, 0.18), (120, 0.1)])
def test_a_validation_without_errors_does_not_make_others_certain(rows: int, share: float) -> None:
    """Classes apart on validation, not on other rows; the logits are half of what is right."""

    def make(seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(seed)
        labels = (rng.random(count) < share).astype(int)
        log_odds = 5 * (5 * labels + rng.normal(size=count) - 2.5) + np.log(share / (1 - share))
        return labels, log_odds / 2

    apart = 0
    for seed in range(10):
        labels, z = make(seed, rows)
        others, new = make(seed + 100, 3000)
        apart += bool(z[labels == 1].min() > z[labels == 0].max())
        for method in ("temperature", "auto"):
            probs = fit_calibrator(labels, z, method).apply(new)
            assert log_loss(others, probs) <= log_loss(others, to_probs(new)) + 1e-12
            assert len(np.unique(probs)) == len(new)
    assert apart >= 7
    several = np.repeat([0, 1, 2], 30)
    calibrator = fit_calibrator(several, 3 * np.eye(3)[several] - 1, "temperature")
    assert calibrator.apply([[2.0, -1.0, -1.0]])[0] == pytest.approx([31 / 33, 1 / 33, 1 / 33], abs=1e-4)


def test_too_few_rows_leave_the_scores_as_they_are_and_say_so() -> None:
    few = fit_calibrator([0, 0, 1], [0.1, 0.2, 0.3])
    assert few.method == "identity"
    assert few.warning == "too few rows to calibrate: 2 of class 0, 1 of class 1"
    assert fit_calibrator([], []).method == "identity"
    with pytest.raises(UsageError, match="platt needs rows of every class, found 2 of class 0, 0 of class 1"):
        fit_calibrator([0, 0], [0.1, 0.2], "platt")


def test_wrong_use_is_refused() -> None:
    labels, z = make_logits(40)
    with pytest.raises(UsageError, match=r"in_split\('validation'\)"):
        fit_calibrator(labels, z, splits=np.array(["validation"] * 39 + ["test"], dtype=object))
    with pytest.raises(UsageError, match="method must be auto or one of identity"):
        fit_calibrator(labels, z, "beta")
    for folds in (1, 0, 2.0, True, None):
        with pytest.raises(
            UsageError, match=f"folds must be a whole number from 2 to 1000000000, not {folds!r}"
        ):
            fit_calibrator(labels, z, folds=folds)
    with pytest.raises(UsageError, match="seed must be a whole number"):
        fit_calibrator(labels, z, seed=None)
    with pytest.raises(UsageError, match="of the same rows, found 40 and 39"):
        fit_calibrator(labels, z[1:])
    with pytest.raises(UsageError, match="or NaN"):
        fit_calibrator([0, 1], [np.nan, 1.0])
    with pytest.raises(UsageError, match="labels must be 0 to 1"):
        fit_calibrator([0, 2], [0.0, 1.0])
    with pytest.raises(UsageError, match="fitted on 1 classes, found 3"):
        fit_calibrator(labels, z, "platt").apply(np.zeros((2, 3)))
