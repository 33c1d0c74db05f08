from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from tenor.errors import UsageError
from tenor.metrics.conformal import ABSTAIN, Conformal, fit_conformal, measure_coverage


def test_by_hand() -> None:
    # class 1 scores 1 - p: .1 .2 .3 .4 .5; ceil(6 x .8) = 5th; class 0 scores p: .1 .2 .3 .6; ceil(5 x .8) = 4th
    labels = [1, 1, 1, 1, 1, 0, 0, 0, 0]
    probs = [0.9, 0.8, 0.7, 0.6, 0.5, 0.1, 0.2, 0.3, 0.6]
    rule = fit_conformal(labels, probs, alpha=0.2)
    assert rule.quantiles == pytest.approx((0.6, 0.5))
    assert rule.counts == (4, 5)
    assert rule.warning is None
    # class 1 is in the set at p >= .5, class 0 at p <= .6
    assert rule.predict_sets([0.4, 0.55, 0.7]).tolist() == [[True, False], [True, True], [False, True]]
    assert rule.decide([0.4, 0.55, 0.7]).tolist() == [0, ABSTAIN, 1]
    pooled = fit_conformal(labels, probs, alpha=0.2, class_conditional=False)
    assert pooled.quantiles == pytest.approx((0.5, 0.5))  # ceil(10 x .8) = 8th of nine


def test_the_set_may_be_empty_and_then_nothing_is_decided() -> None:
    rule = Conformal(0.1, (0.2, 0.2), (50, 50), True, None)
    assert rule.predict_sets([0.5]).tolist() == [[False, False]]
    assert rule.decide([0.5, 0.95]).tolist() == [ABSTAIN, 1]


def test_too_few_units_put_the_class_into_every_set() -> None:
    rule = fit_conformal([0, 0, 1], [0.1, 0.2, 0.9], alpha=0.1)
    assert rule.quantiles == (1.0, 1.0)
    assert rule.predict_sets([0.0, 1.0]).all()
    assert rule.warning == "fewer than 9 units of class 0, 1: in every set"
    nine = fit_conformal([0] * 9 + [1] * 8, [0.3] * 9 + [0.7] * 8, alpha=0.1)
    assert nine.quantiles == pytest.approx((0.3, 1.0))
    assert nine.warning == "fewer than 9 units of class 1: in every set"
    named = fit_conformal([0] * 9 + [1] * 8, [0.3] * 9 + [0.7] * 8, alpha=0.1, names=("calm", "rude"))
    assert named == dataclasses.replace(nine, warning="fewer than 9 units of class rude: in every set")
    assert fit_conformal([], []).predict_sets([0.5]).all()


def test_one_unit_a_group() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), 5)
    labels = np.repeat(rng.integers(0, 2, 40), 5)
    probs = rng.random(200)
    rule = fit_conformal(labels, probs, groups=groups)
    assert sum(rule.counts) == 40
    assert fit_conformal(labels, probs, groups=groups) == rule
    assert fit_conformal(labels, probs, groups=groups, seed=1) != rule
    mixed = rng.integers(0, 2, 200)
    both = fit_conformal(mixed, probs, groups=groups)
    assert both.counts == tuple(
        len({g for g, y in zip(groups, mixed, strict=True) if y == c}) for c in (0, 1)
    )
    assert sum(fit_conformal(mixed, probs, groups=groups, class_conditional=False).counts) == 40


def test_coverage_by_hand() -> None:
    rule = Conformal(0.1, (0.6, 0.5), (50, 50), True, None)
    found = measure_coverage(rule, [0, 1, 1, 0, 0], [0.4, 0.55, 0.7, 0.9, 0.1])
    assert found.coverage == pytest.approx(4 / 5)
    assert found.by_class == pytest.approx((2 / 3, 1.0))
    assert found.abstained == pytest.approx(1 / 5)
    assert found.error == pytest.approx(1 / 4)
    assert found.count == 5
    none = measure_coverage(rule, [], [])
    assert (none.coverage, none.by_class, none.error) == (None, (None, None), None)


def simulate_coverage(repeats: int, *, authors: int, classes: int, seed: int) -> np.ndarray:
    """Mean coverage over repeats: of all rows, then of each class; calibrated on authors of five rows each."""
    rng = np.random.default_rng(seed)

    def draw(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        names = np.repeat(np.arange(count), 5)
        labels = (rng.random(count) < 0.3).astype(int) if classes == 2 else rng.integers(0, classes, count)
        labels = labels[names]
        effect = rng.normal(size=(count, classes))[names]
        z = 1.5 * np.eye(classes)[labels] + effect + rng.normal(size=(len(names), classes))
        probs = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
        return labels, probs[:, 1] if classes == 2 else probs, names

    found = []
    for repeat in range(repeats):
        labels, probs, names = draw(authors)
        rule = fit_conformal(labels, probs, groups=names, seed=repeat)
        labels, probs, _ = draw(600)
        measured = measure_coverage(rule, labels, probs)
        found.append([measured.coverage, *measured.by_class])
    return np.mean(found, axis=0)


@pytest.mark.parametrize("classes", [2, 3])
def test_coverage_is_within_a_point_of_nominal_over_200_repeats(classes: int) -> None:
    coverage = simulate_coverage(200, authors=1000, classes=classes, seed=1)
    assert coverage == pytest.approx(0.9, abs=0.01)


def test_state_is_plain_json() -> None:
    rule = fit_conformal([0] * 20 + [1] * 5, np.linspace(0, 1, 25))
    state = json.loads(json.dumps(rule.to_json(), allow_nan=False))
    state |= {"quantiles": tuple(state["quantiles"]), "counts": tuple(state["counts"])}
    assert Conformal(**state) == rule


def test_wrong_use_is_refused() -> None:
    with pytest.raises(UsageError, match="alpha must be between 0 and 1, found 1"):
        fit_conformal([0, 1], [0.1, 0.9], alpha=1)
    with pytest.raises(UsageError, match=r"in_split\('validation'\)"):
        fit_conformal([0, 1], [0.1, 0.9], splits=np.array(["test", "test"], dtype=object))
    rule = fit_conformal([0, 1], [0.1, 0.9])
    with pytest.raises(UsageError, match="fitted on 2 classes, found 3"):
        rule.predict_sets(np.zeros((1, 3)))
    with pytest.raises(UsageError, match="of the same rows, found 1 and 2"):
        measure_coverage(rule, [0], [0.1, 0.2])
