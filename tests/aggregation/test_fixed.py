"""Hand-computed aggregations, empty profiles, errors."""

from __future__ import annotations

import numpy as np
import pytest

from tenor.aggregation.fixed import (
    AGGREGATIONS,
    aggregate_all,
    aggregate_labels,
    aggregate_scores,
    group_scores,
)
from tenor.errors import UsageError

# Profile 0: .2 .9 .4 (odd count), 1: .5 .7 (even count), 2: empty, 3: one sequence, 4: empty at the end.
PROBS = [0.2, 0.5, 0.9, 0.1, 0.4, 0.7]
CODES = [0, 1, 0, 3, 0, 1]


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("mean", [0.5, 0.6, 0.0, 0.1, 0.0]),
        ("median", [0.4, 0.6, 0.0, 0.1, 0.0]),
        ("mean_vote", [1 / 3, 1.0, 0.0, 0.0, 0.0]),
        ("total_vote", [1.0, 2.0, 0.0, 0.0, 0.0]),
    ],
)
def test_binary_values(method: str, expected: list[float]) -> None:
    result = aggregate_scores(PROBS, CODES, 5, method)
    assert result.dtype == np.float64
    np.testing.assert_allclose(result, expected, rtol=1e-15)


def test_vote_counts_a_score_on_the_threshold() -> None:
    assert aggregate_scores([0.3, 0.3, 0.2], [0, 0, 0], 1, "total_vote", threshold=0.3).tolist() == [2.0]


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        # Profile 0 has three rows, profile 1 none, profile 2 one.
        ("mean", [[0.5, 0.3, 0.2], [1 / 3, 1 / 3, 1 / 3], [0.1, 0.1, 0.8]]),
        ("median", [[0.6 / 1.0, 0.2 / 1.0, 0.2 / 1.0], [1 / 3, 1 / 3, 1 / 3], [0.1, 0.1, 0.8]]),
        ("mean_vote", [[2 / 3, 1 / 3, 0.0], [1 / 3, 1 / 3, 1 / 3], [0.0, 0.0, 1.0]]),
        ("total_vote", [[2.0, 1.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 1.0]]),
    ],
)
def test_multi_class_values(method: str, expected: list[list[float]]) -> None:
    probs = [[0.7, 0.1, 0.2], [0.1, 0.1, 0.8], [0.6, 0.2, 0.2], [0.2, 0.6, 0.2]]
    np.testing.assert_allclose(aggregate_scores(probs, [0, 2, 0, 0], 3, method), expected, rtol=1e-14)


def test_median_of_classes_that_all_vanish_is_uniform() -> None:
    np.testing.assert_array_equal(aggregate_scores(np.eye(4), [0, 0, 0, 0], 1, "median"), [[0.25] * 4])


def test_mean_stays_within_the_scores() -> None:
    for count in range(1, 50):
        score = np.nextafter(0.7, 1)
        assert aggregate_scores([score] * count, [0] * count, 1, "mean").tolist() == [score]


def test_no_sequences_and_no_profiles() -> None:
    for method in AGGREGATIONS:
        assert aggregate_scores([], [], 2, method).tolist() == [0.0, 0.0]
        assert aggregate_scores([], [], 0, method).shape == (0,)
        assert aggregate_scores(np.zeros((0, 3)), [], 2, method).shape == (2, 3)


def test_all_methods_at_once_equal_one_by_one() -> None:
    together = aggregate_all(PROBS, CODES, 5, 0.45)
    assert tuple(together) == AGGREGATIONS
    for method in AGGREGATIONS:
        np.testing.assert_array_equal(together[method], aggregate_scores(PROBS, CODES, 5, method, 0.45))


@pytest.mark.parametrize("num_profiles", [1, 2, 65_536, 65_537, 200_000])
def test_scores_are_sorted_inside_their_profiles(num_profiles: int) -> None:
    generator = np.random.default_rng(num_profiles)
    special = [0.0, -0.0, 5e-324, -5e-324, 1.0, -1.0, 1e308, -1e308, 0.1, 0.1]
    scores = np.concatenate(
        [special, generator.normal(size=50_000) * 10.0 ** generator.integers(-300, 300, 50_000)]
    )
    codes = generator.integers(0, num_profiles, len(scores))
    groups = group_scores(scores, codes, num_profiles)
    np.testing.assert_array_equal(groups.values, scores[np.lexsort((scores, codes))])
    np.testing.assert_array_equal(groups.counts, np.bincount(codes, minlength=num_profiles))


def test_order_of_sequences_changes_no_bit() -> None:
    generator = np.random.default_rng(0)
    probs = generator.random(5000) ** 4
    codes = generator.integers(0, 40, 5000)
    before = aggregate_all(probs, codes, 41)
    order = generator.permutation(5000)
    after = aggregate_all(probs[order], codes[order], 41)
    for method in AGGREGATIONS:
        assert before[method].tobytes() == after[method].tobytes()


@pytest.mark.parametrize(
    ("probs", "codes", "method", "message"),
    [
        ([0.5], [0], "max", "aggregation 'max' is not one of mean, median, mean_vote, total_vote"),
        ([0.5, np.nan], [0, 0], "mean", "expected finite scores, found 1 that are not"),
        ([0.5], [2], "mean", "from 2 to 2, outside [0, 2)"),
        ([0.5], [-1], "mean", "from -1 to -1, outside [0, 2)"),
        ([0.5], [0.0], "mean", "expected integer profile codes (1,), found float64 (1,)"),
        ([0.5, 0.5], [0], "mean", "expected integer profile codes (2,), found int64 (1,)"),
        ([[[0.5]]], [0], "mean", "expected scores of shape (S,) or (S, C), found (1, 1, 1)"),
    ],
)
def test_bad_scores_raise(probs: list, codes: list, method: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        aggregate_scores(probs, codes, 2, method)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [("any", [1, 1, 0, -1, -1]), ("majority", [0, 1, 0, -1, -1])],
)
def test_label_rules(rule: str, expected: list[int]) -> None:
    # Profile 0: 0 1 0, 1: a tie, 2: 0 and unlabelled, 3: unlabelled, 4: no sequence.
    labels = [0, 1, 0, 1, 0, 0, -1, -1]
    codes = [0, 0, 0, 1, 1, 2, 2, 3]
    assert aggregate_labels(labels, codes, 5, rule).tolist() == expected


def test_majority_of_several_classes() -> None:
    labels = [2, 0, 2, 3, 1, 3, 1, 0]
    assert aggregate_labels(labels, [0, 0, 0, 1, 1, 1, 1, 1], 2, "majority").tolist() == [2, 3]


def test_constant_label() -> None:
    assert aggregate_labels([1, 1, 0, -1], [0, 0, 1, 1], 2, "constant").tolist() == [1, 0]


def test_constant_names_the_authors_that_differ() -> None:
    with pytest.raises(UsageError) as caught:
        aggregate_labels([1, 0, 0, 1, 1], [0, 0, 1, 2, 2], 3, "constant", ["ann", "bob", "cy"])
    assert "1 profiles have sequences with different labels, such as 'ann'" in str(caught.value)
    assert "'majority' or 'any'" in str(caught.value)


@pytest.mark.parametrize(
    ("labels", "rule", "message"),
    [
        ([2, 0], "any", "'any' is for labels 0 and 1"),
        ([1, 0], "first", "profile label rule 'first' is not one of any, majority, constant"),
        ([1, -2], "any", "of at least -1"),
        ([1.0, 0.0], "any", "found float64 (2,)"),
    ],
)
def test_bad_labels_raise(labels: list, rule: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        aggregate_labels(labels, [0, 0], 1, rule)
    assert message in str(caught.value)
