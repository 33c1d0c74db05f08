from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tenor.errors import UsageError
from tenor.metrics.calibration import fit_calibrator
from tenor.metrics.checks import (
    as_floats,
    check_labels,
    check_probs,
    check_scores,
    check_threshold,
    count_test_rows,
    encode_groups,
)
from tenor.metrics.conformal import fit_conformal
from tenor.metrics.intervals import bootstrap_metrics
from tenor.metrics.scores import calculate_metrics
from tenor.metrics.thresholds import choose_threshold
from tenor.strings import Strings


def test_whole_numbers_of_any_type_are_labels() -> None:
    for labels in ([0, 1, 1], [False, True, True], [0.0, 1.0, 1.0], np.array([0, 1, 1], dtype=np.uint8)):
        found = check_labels(labels)
        assert found.dtype == np.int64
        assert found.tolist() == [0, 1, 1]
    assert check_labels([]).shape == (0,)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([[0, 1]], r"shape \(N,\), found \(1, 2\)"),
        (["a", "b"], "pass codes, not class names"),
        ([0.5, 1], "whole numbers"),
        ([np.nan, 1], "whole numbers"),
        ([0, -1, -1], r"2 of 3 rows are unlabelled: drop them first \(predictions.labelled"),
    ],
)
def test_other_labels_are_refused(labels: list[object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check_labels(labels)


@pytest.mark.parametrize(
    ("labels", "probs", "message"),
    [
        ([0, 1], [0.5], r"must have shape \(2,\) or \(2, C\) with C >= 2, found \(1,\)"),
        ([0, 1], [[0.5], [0.5]], r"found \(2, 1\)"),
        ([0, 1], [0.5, np.nan], "1 scores are not finite"),
        ([0, 2], [0.5, 0.5], "labels must be 0 to 1 for these scores, found 2"),
        ([0, 3], np.zeros((2, 3)), "labels must be 0 to 2"),
    ],
)
def test_scores_that_do_not_fit_are_refused(labels: list[int], probs: object, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check_scores(labels, probs)


def test_scores_may_be_counts_and_probabilities_may_not() -> None:
    assert check_scores([0, 1], [3.0, 0.0])[1].tolist() == [3.0, 0.0]
    with pytest.raises(UsageError, match="not logits or counts"):
        check_probs([0, 1], [3.0, 0.0])


def test_groups_are_coded_in_sorted_order() -> None:
    codes, count = encode_groups(np.array(["b", "a", "b", "c"], dtype=object), 4)
    assert codes.tolist() == [1, 0, 1, 2]
    assert count == 3
    codes, count = encode_groups(np.array([30, 10, 30]), 3)
    assert codes.tolist() == [1, 0, 1]
    assert count == 2
    assert encode_groups([], 0)[1] == 0
    with pytest.raises(UsageError, match=r"groups must have shape \(3,\), found \(2,\)"):
        encode_groups(["a", "b"], 3)


def test_test_rows_are_counted_in_whatever_holds_the_names() -> None:
    names = ["train", "validation", "test", "test"]
    for splits in (names, tuple(names), np.array(names), np.array(names, dtype=object), Strings.of(names)):
        assert count_test_rows(splits, 4) == 2
    assert count_test_rows(None, 4) == 0
    assert count_test_rows([], 0) == 0


@pytest.mark.parametrize(
    ("splits", "found"),
    [
        ("test", "found str 'test'"),
        (3, "found int"),
        (["Test"] * 4, "found 'Test'"),
        (["validation"] * 3, r"found shape \(3,\)"),
        (Strings.of(["validation"] * 5), r"found shape \(5,\)"),
        (Strings.of(["validation"] * 3 + ["dev"]), "found 'dev'"),
        (["validation", "validation", "validation", None], "found None"),
        ([["test"]] * 4, r"found shape \(4, 1\)"),
        ([2, 2, 2, 2], "found 2"),
    ],
)
def test_the_guard_of_test_rows_cannot_be_passed_by_accident(splits: Any, found: str) -> None:  # noqa: ANN401
    message = (
        rf"splits: expected a list of 4 names, one a row, out of train, validation, test, {found} \(such as"
    )
    for fit in (choose_threshold, fit_calibrator, fit_conformal):
        with pytest.raises(UsageError, match=message):
            fit([0, 1, 0, 1], [0.1, 0.9, 0.2, 0.8], splits=splits)


def test_numbers_of_any_type_are_scores() -> None:
    for scores in (
        [0, 1],
        [False, True],
        np.array([0, 1], dtype=object),
        np.array([0.0, 1.0], dtype=np.float16),
    ):
        found = as_floats(scores, "probs")
        assert found.dtype == np.float64
        assert found.tolist() == [0.0, 1.0]
    own = np.array([0.25, 0.5])
    assert np.shares_memory(as_floats(own, "probs"), own)
    assert as_floats(torch.tensor([0.25, 0.5]), "probs").tolist() == [0.25, 0.5]


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (["0.1", "0.9"], "probs must be real numbers, found text: convert them to floats first"),
        ([0.1 + 1j, 0.9], "probs must be real numbers, found complex numbers"),
        (np.array([0.1, "0.9"], dtype=object), "probs must be real numbers, found str"),
        ([None, 0.5], "probs must be real numbers, found NoneType"),
        (
            [[0.1, 0.9], [0.1]],
            r"probs: expected an array of numbers, found list .* \(rows must be of one length\)",
        ),
        (
            torch.tensor([0.1, 0.9], dtype=torch.bfloat16),
            r"found Tensor .* \(pass probs.detach\(\).float\(\).cpu",
        ),
        (
            torch.tensor([0.1, 0.9], requires_grad=True),
            r"found Tensor .* \(pass probs.detach\(\).float\(\).cpu",
        ),
    ],
)
def test_what_is_no_number_is_no_score(scores: Any, message: str) -> None:  # noqa: ANN401
    with pytest.raises(UsageError, match=message):
        check_scores([0, 1], scores)
    with pytest.raises(UsageError, match=message.replace("probs", "logits")):
        fit_calibrator([0, 1], scores)


def test_labels_that_numpy_cannot_read_are_named() -> None:
    with pytest.raises(UsageError, match=r"labels: expected an array of numbers, found Tensor"):
        check_labels(torch.tensor([0, 1], dtype=torch.bfloat16))


@pytest.mark.parametrize("threshold", ["f1", np.nan, True, np.True_, [0.5], 0.5j])
def test_a_threshold_is_a_number(threshold: Any) -> None:  # noqa: ANN401
    message = "threshold: expected a number or None, found .*choose_threshold takes a rule, such as f1"
    with pytest.raises(UsageError, match=message):
        check_threshold(threshold)
    with pytest.raises(UsageError, match=message):
        calculate_metrics([0, 1], [0.1, 0.9], threshold)
    with pytest.raises(UsageError, match=message):
        bootstrap_metrics([0, 1], [0.1, 0.9], ["a", "b"], threshold)
    assert [check_threshold(given) for given in (None, 1, np.float32(0.5))] == [None, 1.0, 0.5]
