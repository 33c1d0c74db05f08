from __future__ import annotations

import numpy as np

from tenor.lexical import assign_folds
from tenor.linear import fit_linear, score_linear


def test_regression_equals_scikit_learn_on_the_standardised_table() -> None:
    from sklearn.linear_model import LogisticRegression

    generator = np.random.default_rng(0)
    table = generator.normal(loc=3, scale=[1, 10, 0.1], size=(200, 3))
    table = np.column_stack([table, np.full(200, 7.0)])  # a constant column gets no weight
    labels = (table[:, 0] + generator.normal(size=200) > 3).astype(np.int64)
    model = fit_linear(table, labels, strength=0.03)
    varying = table[:, :3]
    scaled = (varying - varying.mean(axis=0)) / varying.std(axis=0)
    expected = LogisticRegression(C=0.03).fit(scaled, labels).decision_function(scaled)
    np.testing.assert_allclose(model.logits(table), expected, atol=1e-4)
    assert model.coefficients[3] == 0


def test_a_column_that_holds_next_to_nothing_gets_no_weight() -> None:
    """As some transformers have: standardised, its noise of 1e-35 would count as much as any other column."""
    generator = np.random.default_rng(0)
    table = generator.normal(size=(60, 3))
    labels = (table[:, 0] > 0).astype(np.int64)
    table[:, 1] = 3e-33 + 1e-34 * labels
    model = fit_linear(table.astype(np.float32), labels, strength=1.0)
    assert model.coefficients[1, 0] == 0 and np.abs(model.coefficients).max() < 100


def test_a_mean_that_is_fixed_but_for_rounding_gets_no_weight() -> None:
    """The place in the conversation, from 0 to 1, is a half on average; the rest is half precision's rounding."""
    generator = np.random.default_rng(0)
    places = [
        np.linspace(0, 1, n).astype(np.float16).astype(np.float32) for n in generator.integers(4, 160, 300)
    ]
    table = np.stack([generator.normal(size=300), [each.mean() for each in places]], axis=1)
    assert 0 < table[:, 1].std() < 1e-3
    labels = (table[:, 0] + generator.normal(size=300) > 0).astype(np.int64)
    assert fit_linear(table, labels).coefficients[1, 0] == 0


def test_out_of_fold_scores_come_from_models_that_did_not_see_the_fold() -> None:
    generator = np.random.default_rng(1)
    table, labels = generator.normal(size=(120, 5)), generator.integers(0, 2, size=120)
    folds = assign_folds(labels, np.array([f"g{i // 3}" for i in range(120)], dtype=object), seed=0)
    logits = score_linear(table, labels, folds, num_classes=2, strength=0.03)
    held = folds == 2
    alone = fit_linear(table[~held], labels[~held], strength=0.03).logits(table[held])
    np.testing.assert_allclose(logits[held], alone)
    changed = labels.copy()
    changed[held] = 1 - changed[held]  # a fold's own labels change nothing of its scores
    again = score_linear(table, changed, folds, num_classes=2, strength=0.03)
    np.testing.assert_allclose(again[held], logits[held])


def test_an_unseen_class_keeps_a_finite_logit_below_the_others() -> None:
    generator = np.random.default_rng(2)
    table, labels = generator.normal(size=(60, 4)), generator.integers(0, 2, size=60)
    logits = fit_linear(table, labels, num_classes=3).logits(table)
    assert np.isfinite(logits).all()
    assert (logits[:, 2] < logits[:, :2].min(axis=1)).all()
