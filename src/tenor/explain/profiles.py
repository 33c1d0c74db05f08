"""Why a profile has its score: what each of an author's conversations adds to it.

Leave-one-out through the fixed aggregations, which stand in ``tenor.aggregation.fixed`` alone, and the one in the
model's file. Those that are learned where profiles are evaluated are not explained here.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from tenor.aggregation.fixed import (
    AGGREGATIONS,
    Aggregation,
    aggregate_labels,
    aggregate_scores,
    normalize_rows,
)
from tenor.aggregation.learned import LearnedAggregation
from tenor.aggregation.trained import TRAINED
from tenor.corpus.corpus import Corpus
from tenor.errors import UsageError
from tenor.evaluation.aggregation import name_default, require_trained
from tenor.explain.records import ConversationContribution, ProfileExplanation
from tenor.explain.subsets import SubsetScorer
from tenor.logits import to_probs

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

#: Sequences of a profile that are left out of the aggregation in the model's file, one after another, at most: the
#: time grows with their square (4 s for 8,000).
MAX_TRAINED = 10_000

#: Aggregations that are none of no conversation at all: their score of an empty profile, 0, stands for nothing.
_OF_SOMETHING = ("mean", "median", "mean_vote")
_ALONE = (
    "The profile is this one conversation, so there is nothing to leave out: its score rests on that one."
)

#: Sequences that are aggregated at once where each of a profile's is left out.
_MOST_ROWS = 1 << 20


def explain_profile(
    model_path: str | Path,
    dataset_path: str | Path | Corpus,
    author: str,
    *,
    aggregation: str | None = None,
    split: str | None = None,
    device: str | None = None,
    progress: bool = False,
) -> ProfileExplanation:
    """Explain an author's score: the score minus the score without each conversation.

    Of two classes the score is that of the second; of several it is that of the class with the highest. A profile
    of one conversation has, without it, the score of an empty one (see aggregate_scores and LearnedAggregation.logits);
    of a mean or median that is one of nothing, and a remark says so.

    Args:
        model_path: a model file of ``train_model("author", ...)``.
        dataset_path: a corpus encoded with the model's encoder.
        author: whose profile.
        aggregation: ``"trained"``, the one in the model's file; ``"mean"``, ``"median"``, ``"mean_vote"`` or
            ``"total_vote"``. None = the model's own, or without it the mean.
        split: needed where the author's sequences are in several; None = the one that they are in.
        device: where to compute; None = the best there is.
        progress: show a bar.

    Raises:
        UsageError: an unknown author or aggregation, one that the model's file lacks, or a split that is missing or not
            the author's.
        ModelFileError: no sound author model, or one of another encoder.
        CorpusError: the corpus has no features, or no text for the model's lexical prior.
    """
    known = (*AGGREGATIONS, TRAINED)
    if aggregation not in (None, *known):
        raise UsageError(f"aggregation must be one of {', '.join(known)}, not {aggregation!r}")
    subsets = SubsetScorer.open(model_path, dataset_path, device=device, progress=progress)
    subsets.scorer.require_level("author")
    return explain_author(subsets, author, aggregation, split)


def explain_author(
    subsets: SubsetScorer, author: str, aggregation: str | None = None, split: str | None = None
) -> ProfileExplanation:
    """Explain one author of the subsets' view; see explain_profile."""
    view, metadata = subsets.view, subsets.scorer.metadata
    indices = find_sequences(subsets, author, split)
    logits = subsets.score_whole(indices).total  # (S,) or (S, C)
    probs, trained = to_probs(logits), metadata.trained_aggregation
    aggregation = name_default(trained) if aggregation is None else aggregation
    if aggregation == TRAINED:
        trained = require_trained(trained)
        if len(logits) > MAX_TRAINED:
            raise UsageError(
                f"author {author!r} has {len(logits):,} sequences: {TRAINED} is explained for up to {MAX_TRAINED:,} "
                "(name a fixed aggregation)"
            )
        whole = trained.fitted.logits(logits, np.zeros(len(logits), dtype=np.int64), 1)
        score = to_probs(whole)[0]
        contributions = score - to_probs(_leave_out_each_trained(logits, trained.fitted))
    else:
        fixed = next(name for name in AGGREGATIONS if name == aggregation)
        cut = 0.5 if metadata.threshold is None else metadata.threshold
        score = aggregate_scores(probs, np.zeros(len(probs), dtype=np.int64), 1, fixed, cut)[0]
        contributions = score - leave_one_out_scores(probs, fixed, cut)
    target = 1
    if probs.ndim == 2:
        target = int(score.argmax())
        probs, contributions, score = probs[:, target], contributions[:, target], score[target]
    label = aggregate_labels(view.labels[indices], np.zeros(len(indices), dtype=np.int64), 1)[0]
    return ProfileExplanation(
        author=author,
        split=view.splits[indices[0]],
        aggregation=aggregation,
        label=None if label < 0 else view.classes[label],
        target=metadata.classes[target],
        score=float(score),
        threshold=metadata.profile_thresholds.get(aggregation),
        conversations=tuple(
            ConversationContribution(conversation_id, int(length), prob, contribution)
            for conversation_id, length, prob, contribution in zip(
                view.conversation_ids[indices],
                view.lengths[indices],
                probs.tolist(),
                contributions.tolist(),
                strict=True,
            )
        ),
        remark=_ALONE if len(indices) == 1 and aggregation in _OF_SOMETHING else None,
    )


def leave_one_out_scores(probs: Floats, aggregation: Aggregation, threshold: float = 0.5) -> Floats:
    """A profile's score without each of its sequences, as aggregate_scores gives it; one sort for all of them.

    Args:
        probs: (S,) or (S, C) of the profile's sequences.
        aggregation: one of AGGREGATIONS.
        threshold: of a sequence's vote.

    Returns:
        (S,) or (S, C) float64.
    """
    if len(probs) < 2:  # what is left is empty
        return aggregate_scores(probs[:0], np.zeros(0, dtype=np.int64), len(probs), aggregation, threshold)
    if probs.ndim == 1:
        return _leave_out_each(probs, aggregation, threshold)
    if aggregation in ("mean", "median"):
        columns = [_leave_out_each(column, aggregation, threshold) for column in probs.T]
        return normalize_rows(np.stack(columns, axis=1))
    votes = np.eye(probs.shape[1])[probs.argmax(axis=1)]
    rest = votes.sum(axis=0) - votes
    return rest if aggregation == "total_vote" else normalize_rows(rest)


def _leave_out_each(probs: Floats, aggregation: Aggregation, threshold: float) -> Floats:
    """The same of (S,) probabilities, S > 1."""
    count = len(probs)
    if aggregation in ("mean_vote", "total_vote"):
        votes = (probs >= threshold).astype(np.float64)
        rest = votes.sum() - votes
        return np.asarray(rest if aggregation == "total_vote" else rest / (count - 1))
    order = np.argsort(probs, kind="stable")
    values, ranks = probs[order], np.empty(count, dtype=np.int64)
    ranks[order] = np.arange(count)

    def pick(rank: int) -> Floats:  # of the others, in order: those from the one left out on move up
        return np.asarray(values[rank + (rank >= ranks)])

    if aggregation == "median":
        return np.asarray(0.5 * (pick((count - 2) // 2) + pick((count - 1) // 2)))
    return np.asarray(np.clip((values.sum() - probs) / (count - 1), pick(0), pick(count - 2)))


def _leave_out_each_trained(logits: Floats, fitted: LearnedAggregation) -> Floats:
    """A profile's logit without each of its sequences, (S,) or (S, C)."""
    count = len(logits)
    at_once = max(1, _MOST_ROWS // count)
    found = []
    for begin in range(0, count, at_once):
        left_out = np.arange(begin, min(begin + at_once, count))
        codes, rows = np.divmod(np.arange(len(left_out) * count), count)
        kept = rows != left_out[codes]
        found.append(fitted.logits(logits[rows[kept]], codes[kept], len(left_out)))
    return np.concatenate(found)


def find_sequences(subsets: SubsetScorer, author: str, split: str | None) -> Integers:
    """An author's sequences in the subsets' view; errors as of explain_profile."""
    view = subsets.view
    if view.authors is None:
        raise UsageError("a profile needs a model of level author")
    indices = np.flatnonzero(view.authors == author)
    if len(indices) == 0:
        count = len(set(view.authors.tolist()))
        raise UsageError(
            f"{view.corpus.path} has no author {author!r} with a message among its {count:,} "
            "(tenor predict MODEL DATA --split all writes a table of all)"
        )
    own = sorted(set(view.splits[indices].tolist()))
    if split is None and len(own) > 1:
        raise UsageError(
            f"author {author!r} has a profile in each of the splits {', '.join(map(repr, own))}: name one (--split)"
        )
    if split is not None and split not in own:
        raise UsageError(
            f"author {author!r} has no sequence in split {split!r}, but in {', '.join(map(repr, own))}"
        )
    return indices if split is None else indices[view.splits[indices] == split]
