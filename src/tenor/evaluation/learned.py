"""Learned aggregations, fitted on sequence scores that the sequence model did not learn by heart.

There are two kinds of such scores. Training authors' *out of fold*, by models that did not train on them
(``training.out_of_fold``): many, but each costs a part of as many trainings as there are folds. And validation
authors', scored honestly by the one model there is: free, but fewer, and thresholds and the choice between
aggregations rest on them too. So without the first, aggregations are *cross-fitted* on validation: its profiles are
dealt into folds by group, and each fold is scored by a fit to the others; test profiles are scored by the fit to all
of validation, or, where a fit must hold rows out to know when to stop (attention), by the mean of the folds' fits.
Attention is always cross-fitted: it reads embeddings, and those of one model a fold come from as many spaces.

Knows nothing of files; never reads a test label.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from tenor.aggregation.learned import LearnedAggregationName, cross_fit, fit_aggregation
from tenor.aggregation.profiles import Profiles
from tenor.errors import TrainingError, describe_counts
from tenor.lexical import assign_folds

AttentionName = Literal["attention", "gated_attention"]
ATTENTIONS: tuple[AttentionName, ...] = get_args(AttentionName)

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

#: Of the cross-fitting; fewer where a class has fewer validation groups.
FOLDS = 5

#: Attention stops early; these bound how long it may look for a better fit: epochs, and steps in each of them.
_EPOCHS, _PATIENCE, _STEPS, _LEARNING_RATE = 100, 10, 8, 3e-3


def score_learned(
    method: LearnedAggregationName,
    logits: Floats,
    profiles: Profiles,
    *,
    out_of_fold: tuple[Floats, Profiles] | None = None,
    seed: int = 0,
) -> Floats:
    """Profiles' logits by a learned aggregation: validation's cross-fitted, all others' by the fit to validation.

    Args:
        method: of LEARNED_AGGREGATIONS.
        logits: (S,) or (S, C) of the sequences.
        profiles: which sequence belongs to which, their splits and labels.
        out_of_fold: logits of training sequences by models that did not train on them, and their profiles: the
            aggregation is fitted to these instead, and scores all profiles.
        seed: of the folds.

    Returns:
        (P,) or (P, C).

    Raises:
        TrainingError: fewer than two labelled validation groups of a class, or training profiles of one class only.
    """
    if out_of_fold is None:
        return _cross_fit(method, logits, profiles, "validation", seed)
    known, theirs = out_of_fold
    fitted = fit_aggregation(method, known, theirs.codes, theirs.labels)
    return fitted.logits(logits, profiles.codes, len(profiles))


def score_training(
    method: LearnedAggregationName, out_of_fold: tuple[Floats, Profiles], *, seed: int = 0
) -> Floats:
    """Training profiles' logits by a learned aggregation that has not seen them, from scores out of fold.

    Args:
        method: of LEARNED_AGGREGATIONS.
        out_of_fold: see score_learned.
        seed: of the folds.

    Returns:
        (P,) or (P, C).

    Raises:
        TrainingError: fewer than two labelled training groups of a class.
    """
    logits, profiles = out_of_fold
    return _cross_fit(method, logits, profiles, "train", seed)


def _cross_fit(
    method: LearnedAggregationName, logits: Floats, profiles: Profiles, split: str, seed: int
) -> Floats:
    """Profiles' logits: of a split's, each fold's by a fit to the others; of all others by the fit to the split."""
    folds = _deal(profiles, method, seed, max(2, logits.shape[1] if logits.ndim == 2 else 2), split)
    return cross_fit(method, logits, profiles.codes, profiles.labels, folds)


def score_attention(
    method: AttentionName,
    embeddings: npt.NDArray[np.float32],
    profiles: Profiles,
    *,
    num_classes: int = 2,
    num_scores: int = 0,
    seed: int = 0,
) -> Floats:
    """Profiles' probabilities by attention over embeddings: validation's cross-fitted, others' the folds' mean.

    Each fold's fit stops by the fold after it.

    Args:
        method: ``"attention"`` or ``"gated_attention"`` (Ilse et al. 2018).
        embeddings: (S, E) of the sequences, the last columns their scores: these carry what the vectors before the
            model's head do not, the prior's part.
        profiles: as in score_learned.
        num_classes: 2 gives (P,), more give (P, C).
        num_scores: how many of the last columns are scores: where no fold shows a clear gain from attention, a
            profile's score follows from their means (see fit_attention).
        seed: of the folds and of the weights.

    Raises:
        TrainingError: as score_learned.
    """
    from tenor.models.attention_aggregation import Bags, fit_attention

    folds = _deal(profiles, method, seed, num_classes)
    known = profiles.labels >= 0
    shape = (len(profiles),) if num_classes == 2 else (len(profiles), num_classes)
    scores, mean = np.zeros(shape), np.zeros(shape)

    def make_bags(chosen: Flags) -> Bags:
        rows = chosen[profiles.codes]
        codes = (np.cumsum(chosen) - 1)[profiles.codes[rows]]
        return Bags(embeddings[rows], codes.astype(np.int64), profiles.labels[chosen])

    for fold, stop, fitted in _rotate(folds):
        model = fit_attention(
            make_bags(known & np.isin(folds, fitted)),
            make_bags(known & (folds == stop)),
            num_classes=num_classes,
            num_scores=num_scores,
            gated=method == "gated_attention",
            seed=seed,
            learning_rate=_LEARNING_RATE,
            batch_size=max(64, len(profiles) // _STEPS),
            num_epochs=_EPOCHS,
            patience=_PATIENCE,
        )
        found = model.score(embeddings, profiles.codes, len(profiles))
        scores[folds == fold] = found[folds == fold]
        mean += found / (folds.max() + 1)
    others = folds < 0
    scores[others] = mean[others]
    return scores


def _deal(
    profiles: Profiles, method: str, seed: int, num_classes: int, split: str = "validation"
) -> npt.NDArray[np.int64]:
    """The fold of each of a split's profiles, -1 for those of other splits: (P,)."""
    rows = profiles.splits == split
    known = rows & (profiles.labels >= 0)
    groups = [
        len(set(profiles.groups[known & (profiles.labels == label)].tolist())) for label in range(num_classes)
    ]
    if min(groups) < 2:
        is_last = split == "train" or method in ATTENTIONS
        remedy = "" if is_last else ", or learn from scores out of fold"
        raise TrainingError(
            f"{method} is fitted on {split}, which needs labelled groups of two classes or more, two of each; found "
            f"{describe_counts(groups)} (use a fixed aggregation, or give {split} a larger share{remedy})"
        )
    folds = np.full(len(profiles), -1, dtype=np.int64)
    folds[rows] = assign_folds(
        profiles.labels[rows], profiles.groups[rows], seed=seed, folds=min(FOLDS, *groups)
    )
    return folds


def _rotate(folds: npt.NDArray[np.int64]) -> Iterator[tuple[int, int, list[int]]]:
    """(fold to score, fold to stop by, folds to fit on); of two folds the other serves for both."""
    count = int(folds.max()) + 1
    for fold in range(count):
        stop = (fold + 1) % count
        fitted = [other for other in range(count) if other not in (fold, stop)]
        yield fold, stop, fitted if fitted else [stop]
