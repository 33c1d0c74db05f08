"""Learned aggregations: formulas by hand, gradients by differences, and who wins where."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import check_grad
from sklearn.metrics import average_precision_score, roc_auc_score

from tenor.aggregation import learned
from tenor.aggregation.fixed import aggregate_scores
from tenor.aggregation.learned import LEARNED_AGGREGATIONS, LearnedAggregation, cross_fit, fit_aggregation
from tenor.errors import TrainingError, UsageError
from tenor.logits import to_probs

EMPTY = np.zeros(0)
#: A sum of log odds reads all sequences alike.
FOR_RARE_EVIDENCE = [method for method in LEARNED_AGGREGATIONS if method != "log_odds"]


def simulate(num_profiles: int, *, bad_share: float | None, seed: int) -> tuple[np.ndarray, ...]:
    """Sequence logits of profiles, a quarter guilty: all their sequences shifted, or a share of them badly."""
    generator = np.random.default_rng(seed)
    labels = (generator.random(num_profiles) < 0.25).astype(np.int64)
    counts = generator.integers(10, 40, num_profiles)
    codes = np.repeat(np.arange(num_profiles), counts)
    logits = generator.normal(-2, 1, len(codes))
    guilty = labels[codes] == 1
    if bad_share is None:
        logits += 0.35 * guilty
    else:
        logits += 5 * (guilty & (generator.random(len(codes)) < bad_share))
    return logits, codes, labels


def test_noisy_or_by_hand() -> None:
    plain = np.array([[0.5], [1.0], [0.0]])
    model = LearnedAggregation("noisy_or", 0, EMPTY, EMPTY, plain, np.array([-1.0]))
    logits = np.array([2.0, 0.0, -1.0, 3.0])
    own = to_probs(0.5 * logits - 1)
    expected = [1 - (1 - own[0]) * (1 - own[2]), 1 - (1 - own[1]), 1 - (1 - own[3])]
    np.testing.assert_allclose(to_probs(model.logits(logits, [0, 1, 0, 2], 4))[:3], expected, rtol=1e-12)
    assert to_probs(model.logits(logits, [0, 1, 0, 2], 4))[3] < 1e-9  # nothing was written, nothing bad
    other = LearnedAggregation("noisy_or", 0, EMPTY, EMPTY, np.array([[0.5], [2.0], [1.0]]), np.array([-1.0]))
    shared = 1 - np.sqrt((1 - own[0]) * (1 - own[2]))
    np.testing.assert_allclose(other.logits(logits, [0, 1, 0, 2], 4)[0], 2 * np.log(shared / (1 - shared)))


def test_top_k_mean_by_hand() -> None:
    model = LearnedAggregation(
        "top_k_mean", 2, np.array([1.0]), np.array([2.0]), np.array([[4.0]]), np.array([0.5])
    )
    found = model.logits([5.0, 1.0, -7.0, 3.0, -2.0], [0, 0, 0, 2, 0], 3)
    np.testing.assert_allclose(found, [4 * (3 - 1) / 2 + 0.5, 0.5, 4 * (3 - 1) / 2 + 0.5])


def test_log_odds_by_hand() -> None:
    """Exponent .5: c n^-.5 Σ(l - b) + d, with c = 2, b = -1, d = 3; profile 1 has no sequence."""
    weights, logits, codes = np.array([[2.0], [2.0]]), np.array([1.0, -2.0, 0.5, 4.0, 0.0]), [0, 0, 0, 0, 2]
    model = LearnedAggregation("log_odds", 50, np.zeros(2), np.ones(2), weights, np.array([3.0]))
    found = model.logits(logits, codes, 3)
    np.testing.assert_allclose(found, [2 * (3.5 + 4) / 2 + 3, 3, 2 * (0 + 1) + 3])


def test_evidence_that_adds_up_is_summed_and_what_repeats_itself_is_averaged() -> None:
    """One draw a sequence: the sum beats the mean. One draw an author: the sum knows no more, the mean is found."""
    generator = np.random.default_rng(11)
    labels = generator.integers(0, 2, 1200)
    counts = generator.integers(1, 30, 1200)
    codes = np.repeat(np.arange(1200), counts)
    sides = 2.0 * labels - 1
    fresh = 0.5 * (sides[codes] + 2 * generator.normal(size=len(codes)))  # log odds of N(±1, 2²)
    same = (0.5 * (sides + 2 * generator.normal(size=1200)))[codes]
    test, known = np.arange(1200) >= 600, np.where(np.arange(1200) < 600, labels, -1)
    exponents = {}
    for name, logits in (("fresh", fresh), ("same", same)):
        model = fit_aggregation("log_odds", logits, codes, known)
        exponents[name] = model.k
        mean = aggregate_scores(to_probs(logits), codes, 1200, "mean")
        lead = roc_auc_score(labels[test], model.logits(logits, codes, 1200)[test]) - roc_auc_score(
            labels[test], mean[test]
        )
        assert lead > 0.015 if name == "fresh" else abs(lead) < 0.01, name
    assert exponents == {"fresh": 0, "same": 100}


def test_score_summary_by_hand() -> None:
    generator = np.random.default_rng(0)
    logits, codes = generator.normal(size=30), np.repeat([0, 2, 3], [1, 9, 20])
    weights = generator.normal(size=(8, 1))
    model = LearnedAggregation("score_summary", 0, np.zeros(8), np.ones(8), weights, np.array([0.25]))
    found = model.logits(logits, codes, 4)
    for profile in (0, 2, 3):
        own = logits[codes == profile]
        table = [np.log1p(len(own)), own.mean(), own.max(), *np.quantile(own, learned.QUANTILES)]
        np.testing.assert_allclose(found[profile], table @ weights[:, 0] + 0.25, rtol=1e-12)
    assert found[1] == 0.25


def test_noisy_or_gradient() -> None:
    logits, codes, labels = simulate(60, bad_share=0.1, seed=0)
    groups = learned._group(logits, codes, 60)
    known = np.arange(60) % 7 != 0
    for point in ([1.0, 1.0, 0.0, -1.0], [0.3, 2.0, 0.5, -4.0], [2.0, 0.7, 1.0, -6.0]):
        error = check_grad(
            lambda x: learned._noisy_or_loss(x, groups[0], labels == 1, known)[0],
            lambda x: learned._noisy_or_loss(x, groups[0], labels == 1, known)[1],
            np.array(point),
        )
        assert error < 1e-6


def test_noisy_or_recovers_its_parameters() -> None:
    generator = np.random.default_rng(0)
    codes = np.repeat(np.arange(6000), generator.integers(1, 12, 6000))
    logits = generator.normal(0, 2, len(codes))
    bad = generator.random(len(codes)) < to_probs(0.8 * logits - 3)
    labels = (np.bincount(codes, weights=bad) > 0).astype(int)
    model = fit_aggregation("noisy_or", logits, codes, labels)
    np.testing.assert_allclose(model.coefficients[:, 0], [0.8, 1.0, 0.0], atol=0.12)
    np.testing.assert_allclose(model.intercept, [-3.0], atol=0.25)


def test_one_bad_sequence_in_twenty_is_found() -> None:
    """Learned aggregations beat the mean clearly where few sequences give an author away."""
    train, test = simulate(600, bad_share=0.05, seed=1), simulate(2000, bad_share=0.05, seed=2)
    labels = test[2]
    mean = aggregate_scores(to_probs(test[0]), test[1], len(labels), "mean")
    for method in FOR_RARE_EVIDENCE:
        scores = fit_aggregation(method, *train).logits(test[0], test[1], len(labels))
        # A third of the guilty have no bad sequence at all, so the ceiling is about .83.
        assert roc_auc_score(labels, scores) > roc_auc_score(labels, mean) + 0.03, method
        assert average_precision_score(labels, scores) > average_precision_score(labels, mean) + 0.05, method


def test_none_loses_where_every_sequence_tells_a_little() -> None:
    train, test = simulate(600, bad_share=None, seed=3), simulate(2000, bad_share=None, seed=4)
    labels = test[2]
    mean = roc_auc_score(labels, aggregate_scores(to_probs(test[0]), test[1], len(labels), "mean"))
    found = {
        method: roc_auc_score(labels, fit_aggregation(method, *train).logits(test[0], test[1], len(labels)))
        for method in LEARNED_AGGREGATIONS
    }
    assert min(found.values()) > mean - 0.01, (found, mean)


@pytest.mark.parametrize("method", LEARNED_AGGREGATIONS)
def test_probabilities_are_calibrated(method: str) -> None:
    train, test = simulate(3000, bad_share=0.2, seed=5), simulate(3000, bad_share=0.2, seed=6)
    probs = to_probs(fit_aggregation(method, *train).logits(test[0], test[1], 3000))
    for low, high in ((0.0, 0.1), (0.1, 0.5), (0.5, 1.01)):
        inside = (probs >= low) & (probs < high)
        if inside.sum() > 200:
            assert abs(probs[inside].mean() - test[2][inside].mean()) < 0.08


@pytest.mark.parametrize("method", LEARNED_AGGREGATIONS)
def test_several_classes(method: str) -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 3, 300)
    codes = np.repeat(np.arange(300), 8)
    logits = generator.normal(size=(2400, 3))
    logits[np.arange(2400), labels[codes]] += 1.0
    model = fit_aggregation(method, logits, codes, labels)
    probs = to_probs(model.logits(logits, codes, 301))
    assert probs.shape == (301, 3)
    np.testing.assert_allclose(probs.sum(axis=1), 1, rtol=1e-12)
    assert np.isfinite(probs).all()
    assert (probs[:300].argmax(axis=1) == labels).mean() > 0.75
    # Only differences between the classes' logits count.
    np.testing.assert_allclose(to_probs(model.logits(logits + 7, codes, 301)), probs, atol=1e-9)


@pytest.mark.parametrize("method", LEARNED_AGGREGATIONS)
def test_order_of_sequences_changes_no_bit(method: str) -> None:
    logits, codes, labels = simulate(200, bad_share=0.1, seed=7)
    order = np.random.default_rng(0).permutation(len(logits))
    model = fit_aggregation(method, logits, codes, labels)
    other = fit_aggregation(method, logits[order], codes[order], labels)
    before = model.logits(logits, codes, 200)
    assert other.logits(logits[order], codes[order], 200).tobytes() == before.tobytes()


@pytest.mark.parametrize("method", LEARNED_AGGREGATIONS)
def test_unlabelled_profiles_and_extremes(method: str) -> None:
    logits, codes, labels = simulate(100, bad_share=0.3, seed=8)
    more = fit_aggregation(
        method, [*logits, 9.0, -9.0], [*codes, 100, 101], [*labels, -1, -1, 1]
    )  # profiles 100 and 101 have no label, 102 no sequence
    model = fit_aggregation(method, logits, codes, labels)
    np.testing.assert_allclose(more.logits(logits, codes, 100), model.logits(logits, codes, 100), rtol=1e-9)
    extreme = model.logits([1e300, -1e300, 0.0], [0, 1, 2], 4)
    assert np.isfinite(extreme).all()
    separable = fit_aggregation(method, np.where(labels[codes] == 1, 20.0, -20.0), codes, labels)
    assert roc_auc_score(labels, separable.logits(np.where(labels[codes] == 1, 20.0, -20.0), codes, 100)) == 1


def test_bad_arguments_raise() -> None:
    with pytest.raises(UsageError, match="aggregation 'mean' is not one of"):
        fit_aggregation("mean", [0.0], [0], [1])
    with pytest.raises(UsageError, match=r"expected integer labels \(P,\), found float64 \(1,\)"):
        fit_aggregation("noisy_or", [0.0], [0], [1.0])
    with pytest.raises(UsageError, match="expected labels below 2, found 2"):
        fit_aggregation("noisy_or", [0.0, 0.0], [0, 1], [1, 2])
    with pytest.raises(
        TrainingError, match="needs labelled profiles of every class, found 0 of class 0, 2 of class 1"
    ):
        fit_aggregation("top_k_mean", [0.0, 1.0], [0, 1], [1, 1])
    model = fit_aggregation("noisy_or", [0.0, 1.0], [0, 1], [0, 1])
    with pytest.raises(UsageError, match="expected logits of 1 classes, found 3"):
        model.logits(np.zeros((2, 3)), [0, 1], 2)


def test_a_fold_is_scored_by_a_fit_that_has_not_seen_it() -> None:
    logits, codes, labels = simulate(200, bad_share=None, seed=9)
    folds = np.arange(200) % 4 - 1  # a quarter is in none of the three folds
    scores = cross_fit("log_odds", logits, codes, labels, folds)
    for fold in range(-1, 3):
        rest = np.where((folds >= 0) & (folds != fold), labels, -1)
        fitted = fit_aggregation("log_odds", logits, codes, rest)
        expected = fitted.logits(logits, codes, 200)[folds == fold]
        np.testing.assert_allclose(scores[folds == fold], expected, rtol=1e-9)
    flipped = np.where(folds == 1, 1 - labels, labels)
    assert (
        cross_fit("log_odds", logits, codes, flipped, folds)[folds == 1].tolist()
        == scores[folds == 1].tolist()
    )
    unknown = np.where(folds == -1, 1 - labels, labels)
    assert cross_fit("log_odds", logits, codes, unknown, folds).tolist() == scores.tolist()
