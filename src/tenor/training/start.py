"""Where the network starts: a blend of an n-gram model and a linear model of pooled features.

Each view is scored out of fold on the training groups; the weights of the blend are those with the lowest log loss
there (stacked generalisation, Wolpert 1992). The network then learns only what the blend gets wrong. Knows nothing
of torch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tenor.corpus.sampling import MAX_FIT_CHARACTERS, join_texts, sample_groups
from tenor.corpus.views import SequenceView
from tenor.lexical import LexicalModel, assign_folds, fit_out_of_fold
from tenor.pooled import STRENGTHS, PooledModel, fit_pooled, log_loss, out_of_fold_pooled, pool_features

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

FOLDS = 5


@dataclass(frozen=True, eq=False)
class Start:
    """What the scores are before any training.

    Attributes:
        lexical: the n-gram part, its weight in the blend multiplied in; None without text.
        pooled: the part of pooled features, likewise; None when not asked for.
        train_prior: (N,) or (N, C) for the training sequences: the lexical part out of fold, plus what the pooled part
            would differ out of fold. Added to the pooled part in the network it gives the blend out of fold, so that
            the network corrects honest scores.
    """

    lexical: LexicalModel | None
    pooled: PooledModel | None
    train_prior: FloatArray


def fit_start(
    view: SequenceView, *, seed: int, with_pooled: bool = True, max_characters: int = MAX_FIT_CHARACTERS
) -> Start:
    """Fit both views on labelled training sequences and weigh them.

    Of a large corpus they are fitted on a draw of groups; the sequences of other groups, which none of the models
    has seen, are scored by the models themselves.

    Args:
        view: training sequences, all labelled.
        seed: of the folds and of the draw.
        with_pooled: whether the pooled features take part.
        max_characters: about so much is fitted on.
    """
    drawn = sample_groups(view, seed=seed, max_characters=max_characters, what="what the network starts from")
    start = _fit_drawn(view.select(drawn), seed, with_pooled)
    if len(drawn) == len(view):
        return start
    prior = np.zeros((len(view), *start.train_prior.shape[1:]))
    if start.lexical is not None:
        prior = score_texts(start.lexical, view)
    prior[drawn] = start.train_prior
    return replace(start, train_prior=prior)


def _fit_drawn(view: SequenceView, seed: int, with_pooled: bool) -> Start:
    labels, num_classes = view.labels, max(2, len(view.classes))
    folds = assign_folds(labels, view.groups, seed=seed, folds=FOLDS)
    lexical, lexical_scores = _fit_lexical(view, seed, num_classes)
    pooled, pooled_scores, pooled_seen = (
        _fit_pooled(view, folds, num_classes) if with_pooled else (None, None, None)
    )
    parts = [scores for scores in (lexical_scores, pooled_scores) if scores is not None]
    weights, shift = blend_weights(parts, labels)
    prior = np.zeros_like(parts[0])
    if lexical is not None and lexical_scores is not None:
        prior += weights[0] * lexical_scores
        lexical = replace(
            lexical,
            coefficients=(weights[0] * lexical.coefficients).astype(np.float32),
            intercept=(weights[0] * lexical.intercept + (0.0 if with_pooled else shift)).astype(np.float32),
        )
        prior += 0.0 if with_pooled else shift
    if pooled is not None and pooled_scores is not None and pooled_seen is not None:
        prior += weights[-1] * (pooled_scores - pooled_seen)
        pooled = PooledModel(weights[-1] * pooled.coefficients, weights[-1] * pooled.intercept + shift)
    return Start(lexical, pooled, prior)


def score_texts(lexical: LexicalModel, view: SequenceView) -> FloatArray:
    """The n-gram model's logits of a view's sequences, (S,) or (S, C), a block of texts at a time."""
    parts = [lexical.logits(texts) for _, texts in join_texts(view)]
    return np.concatenate(parts) if parts else lexical.logits([])


def blend_weights(parts: list[FloatArray], labels: IntArray) -> tuple[FloatArray, float]:
    """The weights, none negative, and the shift that give a sum of logits the lowest log loss.

    The loss is taken against smoothed labels, so that scores which separate few labels without an error do not run
    off to infinity: n₊ positives are held to be (n₊ + 1) / (n₊ + C) certain, and the rest is shared among the other
    classes (Platt 1999, "Probabilistic Outputs for Support Vector Machines", sec. 2.2, for C classes).

    Args:
        parts: each (N,), or (N, C) with one weight for all classes.
        labels: (N,).

    Returns:
        (weights (V,), shift); the shift is 0 for several classes, where adding it would change nothing.
    """
    from scipy.optimize import minimize

    stacked = np.stack(parts)  # (V, N) or (V, N, C)
    binary = stacked.ndim == 2

    targets = _smooth_labels(labels, 2 if binary else stacked.shape[2])  # (N, C)

    def loss(values: FloatArray) -> float:
        logits = np.tensordot(values[:-1], stacked, axes=1) + (values[-1] if binary else 0.0)
        if binary:
            logits = np.stack([np.zeros_like(logits), logits], axis=1)
        return float(np.mean(np.logaddexp.reduce(logits, axis=1) - (targets * logits).sum(axis=1)))

    first = np.append(np.full(len(parts), 1 / len(parts)), 0.0)
    bounds = [(0.0, None)] * len(parts) + [(None, None)]
    found = minimize(loss, first, method="L-BFGS-B", bounds=bounds)
    return np.asarray(found.x[:-1]), float(found.x[-1]) if binary else 0.0


def _smooth_labels(labels: IntArray, num_classes: int) -> FloatArray:
    """(N, C) probabilities that stand for labels (N,); see blend_weights."""
    counts = np.bincount(labels, minlength=num_classes)
    certain = (counts + 1) / (counts + num_classes)  # (C,)
    table = np.tile(((1 - certain) / (num_classes - 1))[:, None], (1, num_classes))
    np.fill_diagonal(table, certain)
    return np.asarray(table[labels])


def _fit_lexical(
    view: SequenceView, seed: int, num_classes: int
) -> tuple[LexicalModel | None, FloatArray | None]:
    if not view.corpus.has_text:
        return None, None
    texts = [text for _, block in join_texts(view) for text in block]
    return fit_out_of_fold(texts, view.labels, view.groups, seed=seed, num_classes=num_classes, folds=FOLDS)


def _fit_pooled(
    view: SequenceView, folds: IntArray, num_classes: int
) -> tuple[PooledModel, FloatArray, FloatArray]:
    """The model of the best regularisation, its scores out of fold, and those on the sequences that it saw."""
    table, labels = pool_features(view), view.labels
    scored = {
        strength: out_of_fold_pooled(table, labels, folds, num_classes=num_classes, strength=strength)
        for strength in STRENGTHS
    }
    best = min(scored, key=lambda strength: log_loss(scored[strength], labels))
    model = fit_pooled(table, labels, num_classes=num_classes, strength=best)
    return model, scored[best], model.logits(table)
