"""Profiles against a plain loop and against the numpy definition."""

from __future__ import annotations

import statistics

import numpy as np
import pytest
import torch

from tenor.aggregation.fixed import AGGREGATIONS, Aggregation, aggregate_scores
from tenor.errors import UsageError
from tenor.models.profile import ProfileClassifier, aggregate_probs
from tenor.models.sequence import SequenceClassifier


def by_loop(
    probs: list[float], profiles: list[int], count: int, method: str, threshold: float
) -> list[float]:
    results = []
    for profile in range(count):
        own = [prob for prob, code in zip(probs, profiles, strict=True) if code == profile]
        votes = sum(prob >= threshold for prob in own)
        results.append(
            {
                "mean": statistics.fmean(own) if own else 0.0,
                "median": statistics.median(own) if own else 0.0,
                "mean_vote": votes / len(own) if own else 0.0,
                "total_vote": float(votes),
            }[method]
        )
    return results


PROBS = [0.9, 0.2, 0.5, 0.5, 0.7, 0.1, 0.4]
PROFILES = [2, 0, 2, 3, 0, 2, 2]  # profile 1 has no sequences


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("mean", [0.45, 0.0, 0.475, 0.5]),
        ("median", [0.45, 0.0, 0.45, 0.5]),
        ("mean_vote", [0.5, 0.0, 0.5, 1.0]),
        ("total_vote", [1.0, 0.0, 2.0, 1.0]),
    ],
)
def test_hand_computed(method: Aggregation, expected: list[float]) -> None:
    scores = aggregate_probs(torch.tensor(PROBS).double(), torch.tensor(PROFILES), 4, method, 0.5)
    assert scores.tolist() == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("method", AGGREGATIONS)
@pytest.mark.parametrize("seed", range(3))
def test_equals_the_loop_and_the_numpy_definition(method: Aggregation, seed: int) -> None:
    generator = np.random.default_rng(seed)
    probs = generator.integers(0, 11, 200) / 10  # ties, and some at the threshold
    profiles = generator.integers(0, 40, 200)
    scores = aggregate_probs(torch.from_numpy(probs), torch.from_numpy(profiles), 41, method, 0.3)
    loop = by_loop(probs.tolist(), profiles.tolist(), 41, method, 0.3)
    np.testing.assert_allclose(scores.numpy(), loop, rtol=0, atol=1e-12)
    np.testing.assert_allclose(scores.numpy(), aggregate_scores(probs, profiles, 41, method, 0.3), atol=1e-12)


@pytest.mark.parametrize("method", AGGREGATIONS)
def test_several_classes_equal_the_numpy_definition(method: Aggregation) -> None:
    generator = np.random.default_rng(0)
    probs = generator.dirichlet([0.5, 1.0, 2.0], 60)
    profiles = generator.integers(0, 15, 60)
    scores = aggregate_probs(torch.from_numpy(probs), torch.from_numpy(profiles), 17, method)
    np.testing.assert_allclose(scores.numpy(), aggregate_scores(probs, profiles, 17, method), atol=1e-12)


@pytest.mark.parametrize("method", AGGREGATIONS)
def test_order_of_sequences_does_not_matter(method: Aggregation) -> None:
    generator = torch.Generator().manual_seed(0)
    probs = torch.rand(50, generator=generator, dtype=torch.float64)
    profiles = torch.randint(0, 9, (50,), generator=generator)
    order = torch.randperm(50, generator=generator)
    first = aggregate_probs(probs, profiles, 9, method)
    assert torch.equal(first, aggregate_probs(probs[order], profiles[order], 9, method))


def test_gradients_flow_through_mean_and_median() -> None:
    for method, expected in (("mean", [0.25] * 4), ("median", [0.0, 0.5, 0.0, 0.5])):
        probs = torch.tensor([0.9, 0.5, 0.1, 0.4], dtype=torch.float64, requires_grad=True)
        aggregate_probs(probs, torch.zeros(4, dtype=torch.int64), 1, method).sum().backward()  # type: ignore[arg-type]
        assert probs.grad is not None
        assert probs.grad.tolist() == pytest.approx(expected)


@pytest.fixture(scope="module")
def sequence_model() -> SequenceClassifier:
    return SequenceClassifier(4, 8, 1, 2, num_classes=2).eval()


def test_forward_aggregates_the_probabilities(sequence_model: SequenceClassifier) -> None:
    features = torch.randn(5, 3, 4, generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([[True] * 3] * 3 + [[True, False, False]] + [[False] * 3])
    profiles = torch.tensor([1, 0, 1, 1, 0])
    scores = ProfileClassifier(sequence_model, aggregation="median")(features, mask, profiles)
    probs = sequence_model(features, mask).sigmoid().tolist()
    expected = [(probs[1] + probs[4]) / 2, statistics.median([probs[0], probs[2], probs[3]])]
    assert scores.shape == (2,)
    assert scores.tolist() == pytest.approx(expected, abs=1e-6)


def test_without_profiles_all_sequences_are_one_profile(sequence_model: SequenceClassifier) -> None:
    features = torch.randn(5, 3, 4, generator=torch.Generator().manual_seed(0))
    model = ProfileClassifier(sequence_classifier=sequence_model, threshold=0.5, aggregation="mean")
    assert model(features).tolist() == pytest.approx([sequence_model(features).sigmoid().mean().item()])
    assert model(features[:0]).tolist() == [0.0]
    assert model(features[:0], profiles=torch.zeros(0, dtype=torch.int64)).shape == (0,)


def test_threshold_counts_from_itself_on() -> None:
    probs = torch.tensor([0.3, 0.3, 0.7], dtype=torch.float64)
    scores = aggregate_probs(probs, torch.zeros(3, dtype=torch.int64), 1, "total_vote", threshold=0.3)
    assert scores.tolist() == [3.0]


def test_several_classes_give_a_row_a_profile() -> None:
    model = ProfileClassifier(SequenceClassifier(4, 8, 1, 2, num_classes=3).eval())
    scores = model(torch.randn(4, 3, 4), profiles=torch.tensor([0, 0, 2, 1]))
    assert scores.shape == (3, 3)
    assert scores.sum(dim=1).tolist() == pytest.approx([1.0] * 3)


def test_prior_is_passed_on() -> None:
    model = ProfileClassifier(SequenceClassifier(4, 8, 1, 2, has_prior=True).eval())
    prior = torch.tensor([1000.0, -1000.0])
    assert model(torch.randn(2, 3, 4), prior=prior).tolist() == [0.5]


def test_what_does_not_fit_raises(sequence_model: SequenceClassifier) -> None:
    with pytest.raises(
        UsageError, match="aggregation 'max' is not one of mean, median, mean_vote, total_vote"
    ):
        ProfileClassifier(sequence_model, aggregation="max")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"threshold must be in \[0, 1\], found 1.5"):
        ProfileClassifier(sequence_model, threshold=1.5)
    model, features = ProfileClassifier(sequence_model), torch.zeros(2, 3, 4)
    with pytest.raises(
        UsageError, match=r"profiles must be torch.int64 of shape \(2,\), found torch.int64 of shape \(3,\)"
    ):
        model(features, profiles=torch.zeros(3, dtype=torch.int64))
    with pytest.raises(UsageError, match="found torch.float32"):
        model(features, profiles=torch.zeros(2))
    with pytest.raises(UsageError, match=r"reach from -1 to 0, outside \[0, 1\)"):
        model(features, profiles=torch.tensor([-1, 0]))
