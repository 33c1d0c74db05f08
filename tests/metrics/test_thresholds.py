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
        # four alarms with three hits are best, 6 / 7; two with two are within the error, and nearer to 3 / 7
        ("f1", {}, 0.55, 4 / 5),
        ("f_beta", {"beta": 0.5}, 0.75, 1.25 / (0.25 * 3 + 1)),  # nearer to (10 / 11) / 1.25
        ("f_beta", {"beta": 2}, 0.15, 5 * 3 / (4 * 3 + 5)),  # nearer to (15 / 16) / 5
        (
            "cost",
            {"cost_ratio": (1, 1)},
            0.55,
            1 / 6,
        ),  # one miss; .25 costs as much, and is further from 1 / 2
        (
            "cost",
            {"cost_ratio": (1, 20)},
            0.15,
            2 / 6,
        ),  # a false alarm more than at .25, and nearer to 1 / 21
        ("cost", {"cost_ratio": (20, 1)}, 0.75, 2 / 6),
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
        assert found.score == pytest.approx(best)
        metrics = calculate_metrics(labels, probs, found.value)  # the value means what the score says
        if objective == "recall_at_precision":
            assert metrics["recall"] == pytest.approx(found.score)
            assert metrics["precision"] >= 0.6
        if objective == "precision_at_recall":
            assert metrics["precision"] == pytest.approx(found.score)
            assert metrics["recall"] >= 0.6


@pytest.mark.parametrize(
    ("objective", "arguments", "argument"),
    [
        ("f1", {}, 1.0),
        ("f_beta", {"beta": 0.5}, 0.5),
        ("f_beta", {"beta": 3}, 3.0),
        ("f_beta", {"beta": 0}, 0.0),
        ("cost", {"cost_ratio": (1, 3)}, 3.0),
        ("cost", {"cost_ratio": (1, 0.25)}, 0.25),
    ],
)
def test_the_chosen_cut_is_the_expected_one_of_those_within_an_error(
    objective: Any,  # noqa: ANN401
    arguments: dict[str, Any],
    argument: float,
    metric_loop: ModuleType,
) -> None:
    rng = np.random.default_rng(1)
    for round_number in range(200):
        rows = int(rng.integers(2, 40))
        labels = rng.integers(0, 2, rows)
        labels[:2] = 0, 1
        probs = rng.integers(0, 9, rows) / 8
        if round_number % 2:
            probs = 1 / (1 + np.exp(-rng.normal(labels, 2)))
        goal = "cost" if objective == "cost" else "f_beta"
        value, score = metric_loop.chosen_threshold_by_loop(labels.tolist(), probs.tolist(), goal, argument)
        found = choose_threshold(labels, probs, objective, **arguments)
        assert (found.value, found.score) == (pytest.approx(value), pytest.approx(score))
        shuffled = rng.permutation(rows)
        assert choose_threshold(labels[shuffled], probs[shuffled], objective, **arguments) == found
        if objective == "f1":  # the value means what the score says, and there is always an alarm that hits
            assert calculate_metrics(labels, probs, found.value)["f1"] == pytest.approx(found.score)
            assert found.score > 0


def test_a_clean_separation_is_kept() -> None:
    rng = np.random.default_rng(2)
    for positives, negatives in ((1, 1), (1, 30), (30, 1), (40, 60)):
        labels = np.repeat([1, 0], [positives, negatives])
        probs = np.concatenate([0.8 + 0.2 * rng.random(positives), 0.7 + 0.1 * rng.random(negatives)])
        assert choose_threshold(labels, probs).score == 1
        assert choose_threshold(labels, probs**4).score == 1


def draw_rows(rng: np.random.Generator, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels and calibrated probabilities."""
    probs = 1 / (1 + np.exp(-rng.normal(-0.5, 1.5, rows)))
    return (rng.random(rows) < probs).astype(np.int64), probs


@pytest.mark.parametrize(
    ("objective", "arguments"), [("f1", {}), ("f_beta", {"beta": 2}), ("cost", {"cost_ratio": (1, 5)})]
)
def test_few_rows_choose_better_than_by_their_best_cut(objective: Any, arguments: dict[str, Any]) -> None:  # noqa: ANN401
    rng = np.random.default_rng(4)
    labels, probs = draw_rows(rng, 100_000)

    def loss(cut: float) -> float:
        """On all rows: 1 - F, or cost."""
        alarms = probs >= cut
        hits = int(labels[alarms].sum())
        if objective == "cost":
            return float((alarms.sum() - hits + 5 * (labels.sum() - hits)) / len(labels))
        square = arguments.get("beta", 1) ** 2
        return 1 - (1 + square) * hits / (square * int(labels.sum()) + int(alarms.sum()))

    excess = []
    for _ in range(60):
        few, scores = draw_rows(rng, 45)
        found = choose_threshold(few, scores, objective, **arguments)
        best = choose_threshold(few, 1 + scores, objective, **arguments)  # no probabilities: the best cut
        assert best.score is not None and found.score is not None
        assert found.score >= best.score if objective == "cost" else found.score <= best.score
        excess.append([loss(found.value), loss(best.value - 1)])
    least = min(loss(cut) for cut in np.linspace(0.02, 0.8, 79))
    chosen, by_best = np.mean(excess, axis=0) - least
    assert 0 < chosen < 0.75 * by_best  # what is lost to having few rows is less by a quarter or more


def test_many_rows_outweigh_scores_that_are_far_from_calibrated() -> None:
    labels, probs = draw_rows(np.random.default_rng(5), 30_000)
    wanted = choose_threshold(labels, probs)
    found = choose_threshold(labels, probs**6)
    assert wanted.score is not None and found.score is not None
    assert abs(found.score - wanted.score) < 0.005
    assert abs(found.value ** (1 / 6) - wanted.value) < 0.05
    counts = choose_threshold(labels, 20 * probs)
    assert counts.score is not None and counts.score >= max(wanted.score, found.score)


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
        ("cost", {"cost_ratio": 3}, r"cost_ratio must be 2 number\(s\) from 0.0 to .*, not all 0, found 3"),
        ("cost", {"cost_ratio": (1, "a")}, r"cost_ratio must be 2 number\(s\) .* found \(1, 'a'\)"),
        ("cost", {"cost_ratio": "12"}, r"cost_ratio must be 2 number\(s\) .* found '12'"),
        ("f_beta", {"beta": "2"}, r"beta must be 1 number\(s\) .* found '2'"),
        ("f_beta", {"beta": True}, r"beta must be 1 number\(s\) .* found True"),
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


def test_a_floor_that_is_met_exactly_is_met() -> None:
    """14 of 25 is .56, though .56 * 25 is 14.000000000000002."""
    labels = np.array([0] * 11 + [1] * 14 + [0] * 40)
    scores = np.linspace(0.99, 0.01, len(labels))
    chosen = choose_threshold(labels, scores, "recall_at_precision", floor=0.56)
    assert chosen.warning is None
    assert int((scores >= chosen.value).sum()) == 25
    half = np.array([1] * 11 + [0] * 5 + [1] * 9)  # 11 of 20 are .55
    chosen = choose_threshold(half, np.linspace(0.9, 0.1, 25), "precision_at_recall", floor=0.55)
    assert (chosen.score, int((np.linspace(0.9, 0.1, 25) >= chosen.value).sum())) == (1.0, 11)


def test_a_threshold_of_two_positives_is_said_to_be_unsure() -> None:
    labels = np.array([1, 1] + [0] * 81)
    probs = np.concatenate([[0.9, 0.85], np.random.default_rng(0).random(81) * 0.2])
    chosen = choose_threshold(labels, probs, groups=np.arange(83))
    assert chosen.warning == (
        "only 2 groups with positive rows, fewer than 10: it may be far off, whatever its interval"
    )
    turned = choose_threshold(1 - labels, 1 - probs, groups=np.arange(83))
    assert turned.warning == (
        "only 2 groups with negative rows, fewer than 10: it may be far off, whatever its interval"
    )
    alone = choose_threshold(labels[1:], probs[1:], groups=np.arange(82))
    assert alone.warning is not None and alone.warning.startswith("only 1 group with positive rows, ")
    many = choose_threshold(np.repeat([1, 0], [10, 73]), probs, groups=np.arange(83))
    assert many.warning is None
    assert (
        choose_threshold(
            labels, probs, "alarms_per_thousand", alarms_per_thousand=5, groups=np.arange(83)
        ).warning
        is None
    )
