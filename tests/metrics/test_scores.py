from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

from tenor.errors import UsageError
from tenor.metrics.scores import calculate_metrics, calculate_metrics_threshold, explain_undefined

NAMES = ["accuracy", "precision", "recall", "f1", "roc_auc", "average_precision"]


def test_by_hand() -> None:
    # alarms at >= .5: .9 (1), .5 (0), .7 (1); missed: .4 (1)
    metrics = calculate_metrics([1, 0, 1, 1, 0], [0.9, 0.5, 0.7, 0.4, 0.1], 0.5)
    assert metrics == {
        "accuracy": 3 / 5,
        "precision": 2 / 3,
        "recall": 2 / 3,
        "f1": 2 / 3,
        "roc_auc": 5 / 6,  # of six pairs only (.4, .5) is in the wrong order
        "average_precision": pytest.approx((1 + 1 + 3 / 4) / 3),
        "threshold": 0.5,
        "count": 5,
        "positives": 3,
    }


def test_a_score_at_the_threshold_is_an_alarm() -> None:
    assert calculate_metrics([1], [0.5], 0.5)["recall"] == 1
    assert calculate_metrics([1], [np.nextafter(0.5, 0)], 0.5)["recall"] == 0


def test_no_rows() -> None:
    metrics = calculate_metrics([], [], 0.3)
    assert [metrics[name] for name in NAMES] == [None] * 6
    assert (metrics["threshold"], metrics["count"], metrics["positives"]) == (0.3, 0, 0)
    assert explain_undefined(metrics) == dict.fromkeys(NAMES, "there is no labelled row")
    several = calculate_metrics([], np.zeros((0, 3)))
    assert several["roc_auc"] is None
    assert several["count"] == 0


@pytest.mark.parametrize(
    ("labels", "probs", "reasons"),
    [
        (
            [0, 0],
            [0.1, 0.2],
            {
                "precision": "no row reaches the threshold",
                "recall": "no row is labelled positive",
                "f1": "no row is labelled positive",
                "roc_auc": "no row is labelled positive",
                "average_precision": "no row is labelled positive",
            },
        ),
        ([1, 1], [0.1, 0.9], dict.fromkeys(("roc_auc", "average_precision"), "every label is of one class")),
        ([0, 1], [0.1, 0.2], {"precision": "no row reaches the threshold"}),
        ([0, 1], [0.1, 0.9], {}),
    ],
)
def test_undefined_metrics_are_none_with_the_reason(
    labels: list[int], probs: list[float], reasons: dict[str, str]
) -> None:
    metrics = calculate_metrics(labels, probs, 0.5)
    assert {name for name in NAMES if metrics[name] is None} == set(reasons)
    assert explain_undefined(metrics) == reasons


def test_several_classes_are_macro_means_as_in_sklearn() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 200)
    probs = rng.dirichlet(np.ones(4), 200)
    predicted = probs.argmax(axis=1)
    metrics = calculate_metrics(labels, probs)
    assert metrics["accuracy"] == pytest.approx(sk.accuracy_score(labels, predicted))
    assert metrics["precision"] == pytest.approx(sk.precision_score(labels, predicted, average="macro"))
    assert metrics["recall"] == pytest.approx(sk.recall_score(labels, predicted, average="macro"))
    assert metrics["f1"] == pytest.approx(sk.f1_score(labels, predicted, average="macro"))
    assert metrics["roc_auc"] == pytest.approx(sk.roc_auc_score(labels, probs, multi_class="ovr"))
    assert metrics["average_precision"] == pytest.approx(sk.average_precision_score(np.eye(4)[labels], probs))
    assert metrics["threshold"] is None
    assert metrics["positives"] is None
    assert explain_undefined(metrics) == dict.fromkeys(
        ["threshold", "positives"], "there are more than two classes"
    )


def test_the_metrics_of_several_classes_in_a_model_file_have_no_threshold() -> None:
    metrics = calculate_metrics([0, 1, 2], np.eye(3))
    del metrics["threshold"]
    assert explain_undefined(metrics)["positives"] == "there are more than two classes"


def test_a_class_without_rows_is_left_out_of_the_macro_mean() -> None:
    # class 2 has no row and no prediction; 0 and 1 are told apart perfectly
    probs = [[0.8, 0.1, 0.1], [0.2, 0.7, 0.1]]
    metrics = calculate_metrics([0, 1], probs)
    assert [metrics[name] for name in NAMES] == [1.0] * 6
    one = calculate_metrics([0, 0], probs)
    assert one["roc_auc"] is None
    assert explain_undefined(one)["roc_auc"] == "every label is of one class"


def test_threshold_given_or_found() -> None:
    labels, probs = [0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]
    metrics, threshold = calculate_metrics_threshold(labels, probs, 0.5)
    assert threshold == 0.5
    assert metrics["recall"] == 0.5
    metrics, threshold = calculate_metrics_threshold(labels, probs)
    assert threshold == pytest.approx((0.1 + 0.35) / 2)  # F1 4/5 with three alarms, against 2/3 with one
    assert metrics["f1"] == pytest.approx(0.8)
    assert metrics["threshold"] == threshold
    assert calculate_metrics_threshold([0, 0], [0.1, 0.4])[1] == 0.5
    assert calculate_metrics_threshold([0, 1, 2], np.eye(3))[1] is None


def test_two_classes_need_a_threshold() -> None:
    with pytest.raises(UsageError, match="two classes need a threshold"):
        calculate_metrics([0, 1], [0.1, 0.9], None)
