from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tenor import pooled
from tenor.batching import load_dataset
from tenor.corpus.corpus import open_corpus
from tenor.corpus.views import view_sequences
from tenor.devices import plain_runtime
from tenor.lexical import assign_folds
from tenor.models.scoring import score_dataset
from tenor.models.sequence import SequenceClassifier
from tenor.pooled import fit_pooled, log_loss, out_of_fold_pooled, pool_features


def test_the_table_equals_a_loop(small_corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pooled, "_CHUNK_BYTES", 7 * 4 * 8)
    view = view_sequences(open_corpus(small_corpus), "author")
    table = pool_features(view)
    assert table.shape == (len(view), 17)
    for row in range(len(view)):
        features = view.gather_features([row]).astype(np.float64)
        expected = [*features.mean(axis=0), *features.max(axis=0), np.log1p(len(features))]
        np.testing.assert_allclose(table[row], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("num_classes", [2, 3])
def test_the_network_starts_with_the_very_scores_of_the_linear_model(
    small_corpus: Path, num_classes: int
) -> None:
    dataset = load_dataset(small_corpus, "conversation")
    labels = np.arange(len(dataset)) % num_classes
    table = pool_features(dataset.view)
    model = fit_pooled(table, labels, num_classes=num_classes)
    network = SequenceClassifier(8, hidden_size=8, num_heads=2, num_classes=num_classes)
    torch.nn.init.zeros_(network.head[-1].weight)
    network.set_scaling(np.linspace(-1, 2, 8), np.linspace(0.5, 3, 8))
    network.set_pooled(model.coefficients, model.intercept)
    view = dataset.view if num_classes == 2 else dataset.view.select(np.arange(len(dataset)))
    if num_classes == 2:
        scores = score_dataset(network, dataset, plain_runtime())
    else:
        batch = dataset.batch(np.arange(len(dataset)))
        scores = network.eval()(batch.features, batch.mask).detach().numpy()
    np.testing.assert_allclose(scores, model.logits(pool_features(view)), atol=1e-5)


def test_regression_equals_scikit_learn_on_the_standardised_table() -> None:
    from sklearn.linear_model import LogisticRegression

    generator = np.random.default_rng(0)
    table = generator.normal(loc=3, scale=[1, 10, 0.1], size=(200, 3))
    table = np.column_stack([table, np.full(200, 7.0)])  # a constant column gets no weight
    labels = (table[:, 0] + generator.normal(size=200) > 3).astype(np.int64)
    model = fit_pooled(table, labels, strength=0.03)
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
    model = fit_pooled(table.astype(np.float32), labels, strength=1.0)
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
    assert fit_pooled(table, labels).coefficients[1, 0] == 0


def test_out_of_fold_scores_come_from_models_that_did_not_see_the_fold() -> None:
    generator = np.random.default_rng(1)
    table, labels = generator.normal(size=(120, 5)), generator.integers(0, 2, size=120)
    folds = assign_folds(labels, np.array([f"g{i // 3}" for i in range(120)], dtype=object), seed=0)
    logits = out_of_fold_pooled(table, labels, folds, num_classes=2, strength=0.03)
    held = folds == 2
    alone = fit_pooled(table[~held], labels[~held], strength=0.03).logits(table[held])
    np.testing.assert_allclose(logits[held], alone)
    changed = labels.copy()
    changed[held] = 1 - changed[held]  # a fold's own labels change nothing of its scores
    again = out_of_fold_pooled(table, changed, folds, num_classes=2, strength=0.03)
    np.testing.assert_allclose(again[held], logits[held])


def test_an_unseen_class_keeps_a_finite_logit_below_the_others() -> None:
    generator = np.random.default_rng(2)
    table, labels = generator.normal(size=(60, 4)), generator.integers(0, 2, size=60)
    logits = fit_pooled(table, labels, num_classes=3).logits(table)
    assert np.isfinite(logits).all()
    assert (logits[:, 2] < logits[:, :2].min(axis=1)).all()


def test_log_loss_equals_scikit_learn() -> None:
    from sklearn.metrics import log_loss as expected

    generator = np.random.default_rng(3)
    labels, logits = generator.integers(0, 3, size=50), generator.normal(size=(50, 3))
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert log_loss(logits, labels) == pytest.approx(expected(labels, probs, labels=[0, 1, 2]))
    binary = generator.integers(0, 2, size=50)
    assert log_loss(logits[:, 0], binary) == pytest.approx(expected(binary, 1 / (1 + np.exp(-logits[:, 0]))))
    assert log_loss(np.zeros(0), np.zeros(0, dtype=np.int64)) == 0
