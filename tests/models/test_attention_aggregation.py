"""Attention over a profile's sequences: the paper's formula by a loop, what it learns, what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tenor.errors import TrainingError, UsageError
from tenor.models.attention_aggregation import AttentionAggregator, Bags, fit_attention, segment_softmax


def random_aggregator(*, gated: bool, num_classes: int = 2, embedding_size: int = 5) -> AttentionAggregator:
    aggregator = AttentionAggregator(embedding_size, hidden_size=3, num_classes=num_classes, gated=gated)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in aggregator.parameters():
            parameter.normal_(generator=generator)
        aggregator.embedding_mean.normal_(generator=generator)
        aggregator.embedding_std.uniform_(0.5, 2.0, generator=generator)
    return aggregator.eval()


def by_loop(aggregator: AttentionAggregator, own: np.ndarray) -> np.ndarray:
    """Equations 8 and 9 for one profile, in numpy."""
    state = {name: tensor.double().numpy() for name, tensor in aggregator.state_dict().items()}
    rows = (own - state["embedding_mean"]) / state["embedding_std"]
    scores = []
    for row in rows:
        hidden = np.tanh(state["hidden.weight"] @ row + state["hidden.bias"])
        if "gate.weight" in state:
            hidden = hidden / (1 + np.exp(-(state["gate.weight"] @ row + state["gate.bias"])))
        scores.append((state["weight.weight"] @ hidden).item())
    weights = np.exp(scores) / np.exp(scores).sum() if scores else np.zeros(0)
    pooled = weights @ rows if len(rows) else np.zeros(rows.shape[1])
    return state["classifier.weight"] @ pooled + state["classifier.bias"]


PROFILES = np.array([2, 0, 2, 0, 0, 3, 2])  # profile 1 has no sequences, profile 3 one


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("num_classes", [2, 3])
def test_logits_are_the_papers_formula(gated: bool, num_classes: int) -> None:
    aggregator = random_aggregator(gated=gated, num_classes=num_classes)
    embeddings = np.random.default_rng(0).normal(size=(7, 5))
    logits = aggregator(torch.from_numpy(embeddings), torch.from_numpy(PROFILES), 4).detach().numpy()
    expected = np.stack([by_loop(aggregator, embeddings[profile == PROFILES]) for profile in range(4)])
    np.testing.assert_allclose(logits.reshape(4, -1), expected, rtol=1e-4, atol=1e-5)


def test_score_is_the_probability_of_the_logits() -> None:
    embeddings = np.random.default_rng(0).normal(size=(7, 5))
    binary = random_aggregator(gated=True)
    expected = [
        1 / (1 + np.exp(-by_loop(binary, embeddings[profile == PROFILES]).item())) for profile in range(4)
    ]
    np.testing.assert_allclose(binary.score(embeddings, PROFILES, 4), expected, rtol=1e-5)
    several = random_aggregator(gated=True, num_classes=3).score(embeddings, PROFILES, 4)
    np.testing.assert_allclose(several.sum(axis=1), 1.0)


def test_attention_sums_to_one_in_each_profile() -> None:
    aggregator = random_aggregator(gated=True)
    embeddings = torch.randn(7, 5, generator=torch.Generator().manual_seed(0))
    weights = aggregator._attend(embeddings, torch.from_numpy(PROFILES), 4).detach().numpy()
    np.testing.assert_allclose(np.bincount(PROFILES, weights, minlength=4), [1, 0, 1, 1], rtol=1e-6)


def test_order_of_sequences_and_neighbouring_profiles_do_not_matter() -> None:
    aggregator = random_aggregator(gated=True)
    embeddings = np.random.default_rng(0).normal(size=(7, 5))
    scores = aggregator.score(embeddings, PROFILES, 4)
    order = np.random.default_rng(1).permutation(7)
    np.testing.assert_allclose(aggregator.score(embeddings[order], PROFILES[order], 4), scores, atol=1e-6)
    alone = aggregator.score(embeddings[PROFILES == 2], np.zeros(3, dtype=np.int64), 1)
    np.testing.assert_allclose(alone, scores[2:3], atol=1e-6)


def test_segment_softmax_of_far_apart_scores() -> None:
    scores = torch.tensor([1000.0, 1000.0, -1000.0, 5.0], dtype=torch.float64)
    weights = segment_softmax(scores, torch.tensor([0, 0, 2, 3]), 4)
    assert weights.tolist() == [0.5, 0.5, 1.0, 1.0]


def test_segment_softmax_gradient_is_that_of_softmax() -> None:
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(4, generator=generator, dtype=torch.float64, requires_grad=True)
    factor = torch.randn(4, generator=generator, dtype=torch.float64)
    found = torch.autograd.grad(
        (segment_softmax(scores, torch.zeros(4, dtype=torch.int64), 1) * factor).sum(), scores
    )
    expected = torch.autograd.grad((scores.softmax(0) * factor).sum(), scores)
    torch.testing.assert_close(found, expected)


def make_bags(seed: int, num_profiles: int = 150) -> Bags:
    """Forty sequences a profile, all noise but one of a guilty profile, whose first feature is high."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, num_profiles)
    profiles = np.repeat(np.arange(num_profiles), 40)
    embeddings = generator.normal(size=(len(profiles), 6))
    embeddings[np.flatnonzero(labels) * 40, 0] += 6.0
    order = generator.permutation(len(profiles))
    return Bags(embeddings[order].astype(np.float32), profiles[order], labels)


@pytest.mark.parametrize("gated", [False, True])
def test_rare_evidence_is_found_better_than_by_the_mean(gated: bool) -> None:
    from sklearn.metrics import roc_auc_score

    test = make_bags(2)
    aggregator = fit_attention(make_bags(0), make_bags(1), gated=gated, learning_rate=1e-2, num_epochs=40)
    scores = aggregator.score(test.embeddings, test.profiles, len(test.labels))
    means = np.bincount(test.profiles, test.embeddings[:, 0]) / 40
    assert roc_auc_score(test.labels, means) < 0.85
    assert roc_auc_score(test.labels, scores) > 0.95
    standardized = aggregator._standardize(torch.from_numpy(test.embeddings))
    weights = aggregator._attend(standardized, torch.from_numpy(test.profiles), 150)
    evidence = test.embeddings[:, 0] > 4
    assert weights[torch.from_numpy(evidence)].mean() > 3 * weights[torch.from_numpy(~evidence)].mean()


def test_the_seed_decides_every_bit_and_nothing_else_does() -> None:
    before = torch.get_rng_state()
    fits = [fit_attention(make_bags(0, 30), make_bags(1, 30), seed=seed, num_epochs=3) for seed in (5, 5, 6)]
    first, second, third = (fit.state_dict() for fit in fits)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["hidden.weight"], third["hidden.weight"])
    assert torch.equal(before, torch.get_rng_state())


def test_the_best_weights_by_validation_are_kept() -> None:
    """Labels that contradict validation: every epoch is worse than the base rate that the fit starts from."""
    generator = np.random.default_rng(0)
    labels, profiles = np.arange(40) % 2, np.arange(40)
    embeddings = labels[:, None] + 0.1 * generator.normal(size=(40, 1))
    train, validation = Bags(embeddings, profiles, labels), Bags(embeddings, profiles, 1 - labels)
    aggregator = fit_attention(train, validation, learning_rate=1e-2, num_epochs=50, patience=3)
    assert aggregator.score(embeddings, profiles, 40).tolist() == [0.5] * 40
    again = fit_attention(train, train, learning_rate=1e-2, num_epochs=50, patience=3)
    assert (again.score(embeddings, profiles, 40) > 0.5).tolist() == labels.astype(bool).tolist()


def test_several_classes_can_be_fitted() -> None:
    generator = np.random.default_rng(0)
    labels = np.arange(90) % 3
    profiles = np.repeat(np.arange(90), 2)
    bags = Bags(generator.normal(size=(180, 3)) * 0.3 + np.eye(3)[labels[profiles]] * 2, profiles, labels)
    aggregator = fit_attention(bags, bags, num_classes=3, learning_rate=1e-2, num_epochs=40)
    assert (aggregator.score(bags.embeddings, profiles, 90).argmax(axis=1) == labels).mean() > 0.95


def test_bags_that_do_not_fit_raise() -> None:
    embeddings, labels = np.zeros((2, 3)), np.array([0, 1])
    with pytest.raises(UsageError, match=r"found \(2, 3\) and int64 \(3,\)"):
        Bags(embeddings, np.zeros(3, dtype=np.int64), labels)
    with pytest.raises(UsageError, match=r"reach from 0 to 2, outside \[0, 2\)"):
        Bags(embeddings, np.array([0, 2]), labels)
    with pytest.raises(UsageError, match="leave out unlabelled profiles"):
        Bags(embeddings, np.array([0, 1]), np.array([0, -1]))


def test_fits_that_cannot_start_raise() -> None:
    bags = make_bags(0, 10)
    empty = Bags(np.zeros((0, 6)), np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))
    with pytest.raises(TrainingError, match="with sequences in validation, found none"):
        fit_attention(bags, empty)
    with pytest.raises(UsageError, match="labels must be below num_classes=2, found 2"):
        fit_attention(Bags(bags.embeddings, bags.profiles, bags.labels * 2), bags)
