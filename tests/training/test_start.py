from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tenor.batching import load_dataset
from tenor.corpus.importing import import_corpus
from tenor.corpus.sampling import sample_groups
from tenor.corpus.views import SequenceView
from tenor.corpus.voices import count_spoken
from tenor.lexical import AUTHOR_PARTS, parts_of
from tenor.logits import log_loss
from tenor.pooled import pool_features
from tenor.training.blending import EQUALITY, FEWEST, LEAST, SAMENESS
from tenor.training.preparation import fit_data, prepare_data
from tenor.training.settings import TrainSettings
from tenor.training.start import blend_weights, fit_start


def test_the_blend_weighs_the_view_that_knows_and_ignores_noise() -> None:
    generator = np.random.default_rng(0)
    truth = generator.normal(size=4000)
    labels = (generator.random(4000) < 1 / (1 + np.exp(-truth))).astype(np.int64)
    weights, shift = blend_weights([2 * truth + 1, generator.normal(size=4000)], labels, np.arange(4000))
    assert weights == pytest.approx([0.5, 0.0], abs=0.06)
    assert shift == pytest.approx(-0.5, abs=0.1)
    classes = np.stack([np.zeros(4000), truth], axis=1)
    weights, shift = blend_weights(
        [np.pad(4 * classes, ((0, 0), (0, 1)), constant_values=-50.0)], labels, np.arange(4000)
    )
    assert (weights[0], shift) == (pytest.approx(0.25, abs=0.04), 0.0)


@pytest.mark.parametrize("num_classes", [2, 3])
def test_scores_without_an_error_give_bounded_weights(num_classes: int) -> None:
    labels = np.arange(50) % num_classes
    scores = np.where(labels == 1, 1.0, -1.0) if num_classes == 2 else np.eye(3)[labels]
    weights, _ = blend_weights([scores, 0.5 * scores], labels, np.arange(50))
    logits = weights[0] * scores + weights[1] * 0.5 * scores
    # The best constant certainty is that of the smoothed labels: log(26) at 25 positives.
    largest = np.abs(logits).max() if num_classes == 2 else (logits.max(axis=1) - logits.min(axis=1)).max()
    assert 1 < largest < 5


@pytest.mark.parametrize("with_pooled", [True, False])
def test_scores_of_training_sequences_are_out_of_fold(small_corpus: Path, with_pooled: bool) -> None:
    view = load_dataset(small_corpus, "author", "train", labelled=True).view
    start = fit_start(view, seed=0, with_pooled=with_pooled)
    assert start.lexical is not None
    seen = start.lexical.logits(view)
    unseen = start.train_prior.copy()
    if start.pooled is not None:
        seen += start.pooled.logits(pool_features(view))
        unseen += start.pooled.logits(pool_features(view))
    assert log_loss(seen, view.labels) < log_loss(unseen, view.labels) < np.log(2)


def test_of_features_that_know_the_labels_validation_weighs(
    small_corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = np.random.default_rng(0)
    whole = load_dataset(small_corpus, "author", labelled=True).view
    coins = replace(whole, labels=generator.integers(0, 2, len(whole)))
    train, validation = (coins.in_split(split) for split in ("train", "validation"))

    def read(view: SequenceView) -> np.ndarray:  # training's labels, and other coins elsewhere
        known = view.labels if view is train else generator.integers(0, 2, len(view))
        return (known + generator.normal(0, 0.1, len(view)))[:, None].astype(np.float32)

    monkeypatch.setattr("tenor.training.start.pool_features", read)
    losses = {}
    for judge in (None, validation):
        start = fit_start(train, seed=0, with_context=False, judge=judge)
        assert start.pooled is not None and start.lexical is not None
        logits = start.lexical.logits(validation) + start.pooled.logits(read(validation))
        losses[judge is None] = log_loss(logits, validation.labels)
    assert losses[False] < 0.75 and losses[True] > 0.85


def test_labels_without_a_pattern_give_a_start_near_the_base_rate(small_corpus: Path) -> None:
    view = load_dataset(small_corpus, "author", "train", labelled=True).view
    shuffled: Any = view.labels.copy()
    np.random.default_rng(5).shuffle(shuffled)
    object.__setattr__(view, "labels", shuffled)
    start = fit_start(view, seed=0)
    assert start.pooled is not None
    logits = start.train_prior + start.pooled.logits(pool_features(view))
    base = np.log(shuffled.mean() / (1 - shuffled.mean()))
    assert log_loss(logits, shuffled) <= log_loss(np.full(len(view), base), shuffled) + 1e-3


def test_of_a_large_corpus_a_draw_is_fitted_on_and_the_others_are_scored_unseen(
    small_source: Path, tmp_path: Path
) -> None:
    corpus = import_corpus(small_source, tmp_path / "corpus", split_by="conversation")
    settings = TrainSettings(
        level="author", num_epochs=1, batch_size=16, learning_rate=1e-3, hidden_size=8, num_layers=1, num_heads=2,
        dropout=0.1, kernel_sizes=(3,), pos_weight=None, beta=0.999, gamma=2.0, scheduler="cosine", warmup_fraction=0.1,
        weight_decay=0.01, clip_norm=1.0, patience=1, monitor="f1", threshold="f1", prior="auto",
        context="conversation", seed=0, mixed_precision="no", micro_batch_messages=512, fit_characters=4000,
    )  # fmt: skip
    audited = prepare_data(corpus, settings, copies="ignore", show=False)
    assert audited.context == "conversation"
    view = audited.train
    read = np.maximum(view.lengths, count_spoken(view) - view.lengths)  # one voice at a time
    drawn = sample_groups(view, seed=0, max_characters=4000, lengths=read)
    assert 0 < len(drawn) < len(view)
    start, part = fit_data(audited, settings).start, fit_start(view.select(drawn), seed=0)
    assert start is not None
    assert start.lexical is not None
    assert part.lexical is not None
    assert start.lexical.models.keys() == part.lexical.models.keys()
    for name, model in start.lexical.models.items():
        assert np.array_equal(model.coefficients, part.lexical.models[name].coefficients)
    assert np.array_equal(start.train_prior[drawn], part.train_prior)
    others = np.setdiff1d(np.arange(len(view)), drawn)
    expected = start.lexical.logits(view.select(others))
    np.testing.assert_allclose(start.train_prior[others], expected, rtol=1e-12)


@pytest.mark.parametrize("num_classes", [2, 3])
def test_the_blend_has_the_least_loss_by_other_means(num_classes: int) -> None:
    generator = np.random.default_rng(1)
    parts = [generator.normal(0.5, 1, (300, num_classes)) for _ in range(3)]
    labels = (sum(parts) + generator.normal(0, 2, (300, num_classes))).argmax(axis=1)
    folds = np.arange(300) % 4
    if num_classes == 2:
        parts = [part[:, 1] - part[:, 0] for part in parts]
    found, shift = blend_weights(parts, labels, np.arange(300), folds)
    certain = np.bincount(labels) + 1.0
    certain /= np.bincount(labels) + num_classes
    targets = np.where(
        np.arange(num_classes) == labels[:, None],
        certain[labels][:, None],
        ((1 - certain) / (num_classes - 1))[labels][:, None],
    )

    def loss(values: torch.Tensor) -> torch.Tensor:
        logits = sum(weight * torch.from_numpy(part) for weight, part in zip(values[:3], parts, strict=True))
        shifts = values[4:].reshape(4, -1)[torch.from_numpy(folds)]
        logits = logits + values[3] + shifts[:, 0] if num_classes == 2 else logits + shifts
        if num_classes == 2:
            logits = torch.stack([torch.zeros_like(logits), logits], dim=1)
        lost = -(torch.from_numpy(targets) * logits.log_softmax(dim=1)).sum()
        held = EQUALITY * (values[:3] - 1 / 3).square().sum() + SAMENESS * values[4:].square().sum()
        return lost + held / 2

    values = torch.zeros(4 + 4 * (1 if num_classes == 2 else 3), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([values], max_iter=500, line_search_fn="strong_wolfe", tolerance_grad=1e-10)

    def step() -> torch.Tensor:
        optimizer.zero_grad()
        lost = loss(values)
        lost.backward()
        return lost

    optimizer.step(step)
    assert (values[:3] > 0).all()  # so that the bound at 0 does not matter
    np.testing.assert_allclose(found, values[:3].detach(), atol=2e-3)
    assert shift == pytest.approx(values[3].item() if num_classes == 2 else 0.0, abs=2e-3)


def test_one_group_with_most_positives_does_not_make_the_parts_worthless() -> None:
    generator = np.random.default_rng(0)
    truth, folds = generator.normal(size=3000), np.arange(3000) % 5
    labels = (generator.random(3000) < 1 / (1 + np.exp(2 - truth))).astype(np.int64)
    labels[folds == 2] |= generator.random(600) < 0.8
    # each fold's models know the base rate of the others, so those of the fold with most positives score low
    rates = np.array([labels[folds != fold].mean() for fold in range(5)])[folds]
    scores = truth + np.log(rates / (1 - rates))
    assert np.corrcoef(scores, labels)[0, 1] < 0
    assert blend_weights([scores], labels, np.arange(3000))[0][0] < 0.05  # they seem to tell the wrong way
    weights, _ = blend_weights([scores], labels, np.arange(3000), folds)
    assert 0.5 < weights[0] < 1.5


def test_few_labels_leave_the_weights_equal_and_many_choose_them() -> None:
    generator = np.random.default_rng(0)
    found = {}
    for count in (10, 20_000):
        truth = generator.normal(0, 2, count)
        labels = (generator.random(count) < 1 / (1 + np.exp(-truth))).astype(np.int64)
        found[count], _ = blend_weights([truth, generator.normal(0, 2, count)], labels, np.arange(count))
    assert np.abs(found[10] - 0.5).max() < 0.3
    assert np.abs(found[20_000] - [1, 0]).max() < 0.05  # the first part is the true logit


@pytest.mark.parametrize("num_classes", [2, 3])
def test_scores_that_seem_to_tell_the_wrong_way_weigh_the_same(num_classes: int) -> None:
    """As those of few groups do by chance: everybody's score must not be one. The shift is what is right for these."""
    generator = np.random.default_rng(0)
    labels = generator.integers(num_classes, size=400)
    codes = np.eye(num_classes)[labels]
    parts = [generator.normal(size=(400, num_classes)) - size * codes for size in (1, 2)]
    if num_classes == 2:
        parts = [part[:, 1] - part[:, 0] + 3 for part in parts]
    weights, shift = blend_weights(parts, labels, np.arange(400), np.arange(400) % 5)
    assert weights[0] == weights[1]
    logits = weights[0] * (parts[0] + parts[1])
    told = logits.std() if num_classes == 2 else (logits - logits[:, :1]).std(axis=0).max()
    assert told == pytest.approx(LEAST)
    if num_classes == 2:
        logits += shift
        assert (1 / (1 + np.exp(-logits))).mean() == pytest.approx(labels.mean(), abs=0.02)


@pytest.mark.parametrize("groups_of_a_class", [9, 10])
def test_a_handful_of_groups_chooses_no_weights(groups_of_a_class: int) -> None:
    """However many rows they have: 400 rows of 18 people are 18 people."""
    generator = np.random.default_rng(0)
    groups = np.arange(400) % (2 * groups_of_a_class)
    labels = groups % 2
    truth = 2.0 * labels - 1 + generator.normal(size=400)
    weights, shift = blend_weights([truth, generator.normal(size=400)], labels, groups, np.arange(400) % 5)
    if groups_of_a_class < FEWEST:
        assert weights.tolist() == [0.5, 0.5] and abs(shift) < 0.1
    else:
        assert weights[0] > 1 and weights[1] < 0.2


@pytest.mark.parametrize("level", ["conversation", "author"])
def test_the_bar_is_full_once_the_start_is_fitted(
    small_corpus: Path, monkeypatch: pytest.MonkeyPatch, level: str
) -> None:
    shown: list[tuple[str, int]] = []
    done: list[int] = []

    @contextlib.contextmanager
    def note(description: str, total: int, *, enabled: bool) -> Iterator[Callable[[int], None]]:
        if enabled:
            shown.append((description, total))
        yield done.append

    monkeypatch.setattr("tenor.training.start.progress_bar", note)
    view = load_dataset(small_corpus, level, "train", labelled=True).view
    fit_start(view, seed=0)
    assert shown == []
    done.clear()
    fit_start(view, seed=0, progress=True)
    assert shown == [("fitting the start", sum(done))]
    others = 2 + (len(AUTHOR_PARTS) if level == "conversation" else 0)  # the surface, the pooled features
    assert sum(done) == len(parts_of(view.level, with_context=True)) + others
