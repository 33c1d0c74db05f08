from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tenor.errors import UsageError
from tenor.metrics.scores import calculate_metrics
from tenor.metrics.thresholds import OBJECTIVES, choose_threshold

LABELS = [0, 0, 1, 0, 1, 1]
PROBS = [0.1, 0.2, 0.3, 0.5, 0.6, 0.9]


@pytest.mark.parametrize(
    ("objective", "arguments", "value", "score"),
    [
        ("f1", {}, 0.25, 6 / 7),  # four alarms, three hits; two alarms give 4 / 5
        ("f_beta", {"beta": 0.5}, 0.55, 1.25 * 2 / (0.25 * 3 + 2)),
        ("f_beta", {"beta": 2}, 0.25, 5 * 3 / (4 * 3 + 4)),
        (
            "cost",
            {"cost_ratio": (1, 1)},
            0.55,
            1 / 6,
        ),  # one miss; the cut at .25 costs one false alarm: fewer alarms win
        ("cost", {"cost_ratio": (1, 20)}, 0.25, 1 / 6),
        ("cost", {"cost_ratio": (20, 1)}, 0.55, 1 / 6),
        ("recall_at_precision", {"floor": 0.9}, 0.55, 2 / 3),
        ("recall_at_precision", {"floor": 0.7}, 0.25, 1.0),
        ("precision_at_recall", {"floor": 0.9}, 0.25, 3 / 4),
        ("precision_at_recall", {"floor": 0.5}, 0.55, 1.0),
        ("alarms_per_thousand", {"alarms_per_thousand": 500}, 0.4, 500),
        ("alarms_per_thousand", {"alarms_per_thousand": 499}, 0.55, 1000 / 3),
        ("alarms_per_thousand", {"alarms_per_thousand": 0}, 0.95, 0),
        ("alarms_per_thousand", {"alarms_per_thousand": 1000}, 0.05, 1000),
    ],
)
def test_by_hand(objective: Any, arguments: dict[str, Any], value: float, score: float) -> None:  # noqa: ANN401
    threshold = choose_threshold(LABELS, PROBS, objective, **arguments)
    assert threshold.value == pytest.approx(value)
    assert threshold.score == pytest.approx(score)
    assert threshold.objective == objective
    assert (threshold.low, threshold.high, threshold.warning) == (None, None, None)


def test_parameters_are_kept() -> None:
    assert choose_threshold(LABELS, PROBS, "cost", cost_ratio=(1, 20)).parameters == (1.0, 20.0)
    assert choose_threshold(LABELS, PROBS, "recall_at_precision", floor=0.9).parameters == (0.9,)
    assert choose_threshold(LABELS, PROBS).parameters == ()


@pytest.mark.parametrize(
    ("objective", "name", "parameter", "argument"),
    [
        ("f_beta", "beta", 0.7, 0.7),
        ("cost", "cost_ratio", (1, 3), 3),
        ("recall_at_precision", "floor", 0.6, 0.6),
        ("precision_at_recall", "floor", 0.6, 0.6),
        ("alarms_per_thousand", "alarms_per_thousand", 300, 300),
    ],
)
def test_no_cut_beats_the_chosen_one(
    objective: Any,  # noqa: ANN401
    name: str,
    parameter: Any,  # noqa: ANN401
    argument: float,
    metric_loop: ModuleType,
) -> None:
    rng = np.random.default_rng(0)
    for _ in range(60):
        rows = int(rng.integers(2, 25))
        labels = rng.integers(0, 2, rows)
        labels[:2] = 0, 1
        probs = rng.integers(0, 9, rows) / 8
        best = metric_loop.best_threshold_by_loop(labels.tolist(), probs.tolist(), objective, argument)
        found = choose_threshold(labels, probs, objective, **{name: parameter})
        if best == -np.inf:
            assert "no threshold reaches precision 0.6" in found.warning
            continue
        score = -found.score if objective == "cost" else found.score
        assert score == pytest.approx(best)
        metrics = calculate_metrics(labels, probs, found.value)  # the value means what the score says
        if objective == "recall_at_precision":
            assert metrics["recall"] == pytest.approx(found.score)
            assert metrics["precision"] >= 0.6
        if objective == "precision_at_recall":
            assert metrics["precision"] == pytest.approx(found.score)
            assert metrics["recall"] >= 0.6


def test_equal_scores_stay_together() -> None:
    threshold = choose_threshold([1, 0, 1, 0], [0.5, 0.5, 0.5, 0.2])
    assert threshold.value == pytest.approx(0.35)
    assert threshold.score == pytest.approx(2 * 2 / (3 + 2))
    assert choose_threshold([0, 1], [0.4, 0.4]).value == pytest.approx(0.2)


def test_a_threshold_separates_neighbouring_floats_and_the_ends() -> None:
    low = 0.3
    high = np.nextafter(low, 1)
    assert choose_threshold([0, 1], [low, high]).value == high
    assert choose_threshold([1, 0], [0.0, 0.0]).value == 0.0  # all rows are alarms
    never = choose_threshold([0, 1], [1.0, 0.2], "cost", cost_ratio=(5, 1))
    assert never.value == np.nextafter(1.0, 2.0)
    assert never.score == 0.5
    counts = choose_threshold([0, 0, 1], [0.0, 2.0, 7.0])
    assert counts.value == 4.5


def test_an_unreachable_precision_takes_the_highest_and_says_so() -> None:
    threshold = choose_threshold([0, 1, 0, 1], [0.9, 0.8, 0.7, 0.1], "recall_at_precision", floor=0.9)
    assert threshold.value == pytest.approx(0.75)
    assert threshold.score == 0.5
    assert threshold.warning == "no threshold reaches precision 0.9: the one of the highest, 0.500, is taken"


@pytest.mark.parametrize(
    ("labels", "reason"), [([], "no labelled row"), ([0, 0], "one class"), ([1, 1], "one class")]
)
def test_rows_that_teach_nothing_give_the_fallback(labels: list[int], reason: str) -> None:
    threshold = choose_threshold(labels, [0.2, 0.7][: len(labels)])
    assert threshold.value == 0.5
    assert threshold.score is None
    assert reason in threshold.warning


def test_test_rows_are_refused() -> None:
    splits = np.array(["validation"] * 4 + ["test"] * 2, dtype=object)
    with pytest.raises(UsageError, match=r"2 rows are of split test.*in_split\('validation'\)"):
        choose_threshold(LABELS, PROBS, splits=splits)
    assert choose_threshold(LABELS[:4], PROBS[:4], splits=splits[:4]).value > 0


@pytest.mark.parametrize(
    ("objective", "arguments", "message"),
    [
        ("accuracy", {}, "objective must be one of f1, f_beta"),
        ("f_beta", {}, "f_beta needs beta"),
        ("cost", {}, "cost needs cost_ratio"),
        ("f1", {"beta": 2}, "f1 takes no beta"),
        ("recall_at_precision", {"floor": 1.2}, r"floor must be 1 number\(s\) from 0.0 to 1.0"),
        ("cost", {"cost_ratio": (1,)}, r"cost_ratio must be 2 number\(s\)"),
        ("cost", {"cost_ratio": (0, 0)}, "not all 0"),
        ("alarms_per_thousand", {"alarms_per_thousand": -1}, "alarms_per_thousand must be"),
    ],
)
def test_wrong_arguments_are_refused(objective: Any, arguments: dict[str, Any], message: str) -> None:  # noqa: ANN401
    with pytest.raises(UsageError, match=message):
        choose_threshold(LABELS, PROBS, objective, **arguments)
    with pytest.raises(UsageError, match="several classes have no threshold"):
        choose_threshold([0, 1, 2], np.eye(3))


def test_uncertainty_comes_from_groups_and_shrinks_with_them() -> None:
    rng = np.random.default_rng(3)

    def width(groups: int, objective: Any, arguments: dict[str, Any]) -> float:  # noqa: ANN401
        labels = rng.integers(0, 2, groups * 4)
        probs = 1 / (1 + np.exp(-(2 * labels - 1 + rng.normal(size=groups * 4))))
        names = np.repeat(np.arange(groups), 4)
        found = choose_threshold(labels, probs, objective, groups=names, replicates=200, **arguments)
        assert found.low <= found.value <= found.high
        again = choose_threshold(labels, probs, objective, groups=names, replicates=200, **arguments)
        assert again == found
        return found.high - found.low

    given: dict[str, dict[str, Any]] = {"f_beta": {"beta": 2}, "cost": {"cost_ratio": (1, 2)}}
    given |= dict.fromkeys(("recall_at_precision", "precision_at_recall"), {"floor": 0.8})
    given["alarms_per_thousand"] = {"alarms_per_thousand": 300}
    for objective in OBJECTIVES:
        arguments = given.get(objective, {})
        assert 0 < width(1000, objective, arguments) < width(20, objective, arguments)
