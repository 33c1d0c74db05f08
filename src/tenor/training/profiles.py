"""How an author's sequences add up to a profile, learned at the end of the training of an author model.

An aggregation must not see scores that the model knows by heart. Where the model is its start alone, the scores of all
training sequences out of fold are at hand, so it is learned there, from far more profiles than validation has. Knows
nothing of models or files.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from tenor.aggregation.learned import (
    LEARNED_AGGREGATIONS,
    LearnedAggregation,
    LearnedAggregationName,
    cross_fit,
    fit_aggregation,
)
from tenor.aggregation.profiles import Profiles, build_profiles
from tenor.corpus.schema import UNLABELLED
from tenor.corpus.views import SequenceView
from tenor.lexical import assign_folds
from tenor.logits import log_losses, log_odds, to_probs
from tenor.metrics.objectives import ThresholdRule
from tenor.metrics.thresholds import Threshold
from tenor.strings import concatenate_strings
from tenor.training.evidence import CONVINCING, standardized_gain
from tenor.training.preparation import TrainingData, knows_labels
from tenor.training.thresholds import Others, collect_profiles

FloatArray = npt.NDArray[np.float64]

#: Learned unless another one is convincingly better: it holds sums and means of what sequences say, and all between.
_FIRST: LearnedAggregationName = "log_odds"
_FOLDS = 5

#: Training groups of each class that an aggregation is learned from, at least. In simulated profiles whose sequences
#: say little, one learned from half as many was no better than the mean, and from a quarter worse.
FEWEST = 20


def learn_aggregation(
    data: TrainingData,
    kept_epoch: int,
    validation_probs: FloatArray,
    rule: ThresholdRule,
    *,
    others: Others = None,
    seed: int = 0,
) -> tuple[LearnedAggregation | None, Threshold | None]:
    """Learn an aggregation on training profiles, and choose its threshold on these, out of fold, and validation's.

    It is ``log_odds``, unless the log loss of another learned one, each training profile scored by a fit to those of
    other folds, is lower by CONVINCING standard errors. A profile's label is the majority of its sequences'.

    Args:
        data: that the model was trained on.
        kept_epoch: whose weights the model has; 0 = it is its start alone.
        validation_probs: (V,) or (V, C) of the labelled validation sequences, by the model.
        rule: what the threshold is for.
        others: validation's unlabelled sequences, which are part of its profiles. (Training's have no scores out of
            fold, and are left out.)
        seed: of the folds, and of the bootstrap that says how sure the threshold is.

    Returns:
        The aggregation and its threshold (None for several classes). No aggregation for conversations; where a network
        has a part in the scores, or the features know training labels, so that no scores out of fold are at hand; where
        training authors are better known to models of other folds than those to come; where some class has fewer
        than FEWEST training groups; and where what is learned would turn the sequences' scores round.
    """
    train, start = data.train.view, data.start
    if train.authors is None or start is None or kept_epoch > 0 or knows_labels(data.corpus):
        return None, None
    profiles = build_profiles(train.authors, train.groups, train.splits, train.labels)
    num_classes = data.train.num_classes
    folds = assign_folds(profiles.labels, profiles.groups, seed=seed, folds=_FOLDS)
    if _are_better_known(train, data.validation.view) or not _are_enough(profiles, folds, num_classes):
        return None, None
    logits = start.train_logits(train)
    unseen = {
        method: cross_fit(method, logits, profiles.codes, profiles.labels, folds)
        for method in LEARNED_AGGREGATIONS
    }
    method = choose_aggregation(unseen, profiles)
    first, fitted = (
        fit_aggregation(name, logits, profiles.codes, profiles.labels) for name in (_FIRST, method)
    )
    if not _speaks_for(first):
        return None, None
    if num_classes > 2:
        return fitted, None
    judges, scores = collect_profiles(data.validation.view, validation_probs, others)
    probs = to_probs(fitted.logits(log_odds(scores), judges.codes, len(judges)))
    known = judges.labels != UNLABELLED
    threshold = rule.choose(
        np.concatenate([profiles.labels, judges.labels[known]]),
        np.concatenate([to_probs(unseen[method]), probs[known]]),
        groups=concatenate_strings([profiles.groups, judges.groups[known]]),
        splits=concatenate_strings([profiles.splits, judges.splits[known]]),
        seed=seed,
    )
    return fitted, threshold


def choose_aggregation(
    unseen: Mapping[LearnedAggregationName, FloatArray], profiles: Profiles
) -> LearnedAggregationName:
    """``log_odds``, or what is convincingly better: the one that is so by most standard errors.

    Args:
        unseen: method -> logits of the profiles, (P,) or (P, C), by fits that have not seen them.
        profiles: with labels.
    """
    losses = {method: log_losses(logits, profiles.labels) for method, logits in unseen.items()}
    codes = profiles.groups.rank()[0]
    gains = {method: standardized_gain(losses[_FIRST], loss, codes) for method, loss in losses.items()}
    best = max(gains, key=lambda method: gains[method])
    return best if gains[best] >= CONVINCING else _FIRST


def _speaks_for(log_odds_fit: LearnedAggregation) -> bool:
    """Whether what speaks for a class in a sequence speaks for it in a profile, by a fit of ``log_odds``.

    Of few labels, scores out of fold may tell the wrong way by chance: a fold with more positives has lower ones.
    """
    own = log_odds_fit.coefficients[:-1]  # (C, C), or (1, 1): all but that of the number of sequences
    if len(own) == 1:
        return bool(own[0, 0] > 0)
    return bool((np.diag(own) > (own.sum(axis=1) - np.diag(own)) / (len(own) - 1)).all())


def _are_better_known(train: SequenceView, validation: SequenceView) -> bool:
    """Whether models of other folds have read training authors, but no model those that are to come.

    So it is where an author stands in several groups, and splits were given that hold authors apart. Where groups alone
    are held apart, such as the episodes of a series, authors of validation and test are as well known.
    """
    if train.authors is None or train.author_codes is None or validation.authors is None:
        return False
    pairs = np.stack([train.author_codes, train.group_codes], axis=1)
    if len(np.unique(pairs, axis=0)) == len(np.unique(train.author_codes)):
        return False
    return not set(train.authors.tolist()) & set(validation.authors.tolist())


def _are_enough(profiles: Profiles, folds: npt.NDArray[np.int64], num_classes: int) -> bool:
    """Whether each class has groups to learn from, and without any fold still some."""
    for label in range(num_classes):
        own = profiles.labels == label
        if profiles.groups[own].count_distinct() < FEWEST or len(np.unique(folds[own])) < 2:
            return False
    return True
