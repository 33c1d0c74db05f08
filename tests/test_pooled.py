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
from tenor.linear import fit_linear
from tenor.models.scoring import score_dataset
from tenor.models.sequence import SequenceClassifier
from tenor.pooled import pool_features


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
    model = fit_linear(table, labels, num_classes=num_classes)
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
