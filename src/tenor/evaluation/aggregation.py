"""From the predictions of author sequences to those of profiles, with a threshold from validation profiles.

Needs no model, and but for attention no torch: a predictions file of validation and test sequences is enough.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tenor.aggregation.fixed import AGGREGATIONS, LabelRule, aggregate_all
from tenor.aggregation.learned import LEARNED_AGGREGATIONS
from tenor.aggregation.profiles import Profiles, build_profiles
from tenor.aggregation.trained import TRAINED, TrainedAggregation
from tenor.arguments import check_seed, require_list
from tenor.errors import TrainingError, UsageError
from tenor.evaluation.learned import ATTENTIONS, score_attention, score_learned, score_training
from tenor.logits import log_odds, to_probs
from tenor.metrics.objectives import ThresholdRule, parse_rule
from tenor.metrics.scores import calculate_metrics
from tenor.predictions import Predictions, concatenate_predictions, require_predictions

logger = logging.getLogger(__name__)

#: Every aggregation that needs no model file: the fixed, those fitted on scores, those fitted on embeddings.
EVERY_AGGREGATION: tuple[str, ...] = (*AGGREGATIONS, *LEARNED_AGGREGATIONS, *ATTENTIONS)

#: The aggregation that the others are compared with, where it is among them.
REFERENCE = "mean"

Floats = npt.NDArray[np.float64]


def profile_predictions(
    sequences: Predictions,
    aggregations: Sequence[str] = AGGREGATIONS,
    *,
    profile_label: LabelRule = "majority",
    threshold: str | ThresholdRule | None = "f1",
    embeddings: npt.NDArray[np.float32] | None = None,
    trained: TrainedAggregation | None = None,
    out_of_fold: Predictions | None = None,
    seed: int = 0,
) -> dict[str, Predictions]:
    """Aggregate author sequences' predictions to profiles', with a threshold from the validation profiles.

    Args:
        sequences: level author, with validation rows for the threshold and for what is learned.
        aggregations: of EVERY_AGGREGATION; or ``"trained"``.
        profile_label: see evaluate_profile_classifier.
        threshold: the rule by which each aggregation's threshold is chosen (tenor.metrics.objectives.FORMS); None =
            none is.
        embeddings: (S, E) of the sequences; needed for attention, which reads logits and probs beside them.
        trained: of the model's file (ModelMetadata.trained_aggregation); needed for ``"trained"``. Its threshold is
            kept where it was chosen by the same rule and labels; else, or without one, it is chosen on validation.
        out_of_fold: of score_out_of_fold: what is learned of scores is fitted to these instead of to validation, and
            thresholds are chosen on training profiles too; attention knows nothing of them.
        seed: of what is learned.

    Returns:
        aggregation -> predictions of level profile; logits are the scores' log odds, within ±27.6 for the fixed
        ones. Scores of the profiles that an aggregation is learned on are out of fold (``learned``). With
        `out_of_fold` training profiles stand before the others, but for attention and ``"trained"``.

    Raises:
        UsageError: predictions of another level, an unknown aggregation or rule, attention without embeddings,
            ``"trained"`` without such an aggregation or of other classes, or scores out of fold that are a model's own
            or not of training alone.
        TrainingError: too few validation profiles for a learned aggregation.
    """
    require_aggregations(aggregations)
    require_predictions(sequences, "sequences")
    seed = check_seed(seed)
    if sequences.level != "author" or sequences.authors is None:
        raise UsageError(f"profiles need predictions of level 'author', not {sequences.level!r}")
    rule = threshold if threshold is None or isinstance(threshold, ThresholdRule) else parse_rule(threshold)
    profiles = build_profiles(
        sequences.authors, sequences.groups, sequences.splits, sequences.labels, label_rule=profile_label
    )
    training = None if out_of_fold is None else _as_training(out_of_fold, sequences, profile_label)
    cut = 0.5 if sequences.threshold is None else sequences.threshold
    methods = [fixed for fixed in AGGREGATIONS if fixed in aggregations]
    scores = aggregate_all(sequences.probs, profiles.codes, len(profiles), cut, methods=methods)
    tables = {}
    for name in aggregations:
        if name == TRAINED:
            tables[name] = _aggregate_trained(sequences, profiles, trained, rule, profile_label)
            continue
        if name in methods:
            logits, probs = log_odds(scores[name]), scores[name]
        else:
            logits, probs = _score_learned(sequences, profiles, name, embeddings, training, seed)
        table = _as_predictions(sequences, profiles, logits, probs)
        deciding = table.in_split("validation")
        if training is not None and name not in ATTENTIONS:
            unseen = _score_training(name, training, cut, seed)
            table = concatenate_predictions([_as_predictions(sequences, training.profiles, *unseen), table])
            deciding = table.select(table.splits != "test")
        tables[name] = _with_threshold(table, deciding.labelled(), rule)
    known_words = _average_known_words(sequences, profiles)
    if known_words is None or out_of_fold is not None:  # whose training profiles come from another table
        return tables
    return {name: replace(table, known_words=known_words) for name, table in tables.items()}


def name_default(trained: TrainedAggregation | None) -> str:
    """The aggregation of a model where none is asked for: its own, or without one the mean."""
    return REFERENCE if trained is None else TRAINED


def aggregate_possible(
    sequences: Predictions,
    aggregations: Sequence[str] | None = None,
    *,
    profile_label: LabelRule = "majority",
    threshold: str | ThresholdRule = "f1",
    embeddings: npt.NDArray[np.float32] | None = None,
    trained: TrainedAggregation | None = None,
    out_of_fold: Predictions | None = None,
    seed: int = 0,
) -> dict[str, Predictions]:
    """Aggregate in every way that these validation profiles allow; the others are left out with a warning.

    Args:
        sequences: see profile_predictions.
        aggregations: which; None = ``"trained"``, where there is such, and EVERY_AGGREGATION. Attention is left out
            without embeddings.
        trained: see profile_predictions.
        profile_label: see profile_predictions.
        threshold: see profile_predictions.
        embeddings: see profile_predictions.
        out_of_fold: see profile_predictions.
        seed: see profile_predictions.

    Raises:
        TrainingError: none of them is possible.
        UsageError: as profile_predictions.
    """
    options: dict[str, Any] = {
        "profile_label": profile_label,
        "threshold": threshold,
        "embeddings": embeddings,
        "trained": trained,
        "out_of_fold": out_of_fold,
        "seed": seed,
    }
    if aggregations is None:
        aggregations = EVERY_AGGREGATION if trained is None else (TRAINED, *EVERY_AGGREGATION)
    names = [name for name in aggregations if name not in ATTENTIONS or embeddings is not None]
    simple = [name for name in names if name in (TRAINED, *AGGREGATIONS)]
    tables = profile_predictions(sequences, simple, **options)
    reasons: dict[str, list[str]] = {}  # why -> which
    for name in names:
        if name not in tables:
            try:
                tables |= profile_predictions(sequences, (name,), **options)
            except TrainingError as error:
                reasons.setdefault(str(error).replace(name, "{name}"), []).append(name)
    if reasons:
        logger.warning("%s", "; ".join(_say_left_out(left, reason) for reason, left in reasons.items()))
    if not tables:
        raise TrainingError(
            f"none of {', '.join(aggregations)} can be fitted to the validation profiles (use a fixed aggregation)"
        )
    return {name: tables[name] for name in names if name in tables}


def _say_left_out(names: Sequence[str], reason: str) -> str:
    if len(names) == 1:
        return f"{names[0]} is left out: {reason.replace('{name}', names[0])}"
    return f"{', '.join(names[:-1])} and {names[-1]} are left out: {reason.replace('{name}', 'each')}"


def require_aggregations(names: Sequence[str]) -> None:
    """Refuse names that are no aggregation.

    Raises:
        UsageError: naming the first of them.
    """
    known = (*EVERY_AGGREGATION, TRAINED)
    for name in require_list(names, "aggregations"):
        if name not in known:
            raise UsageError(f"aggregation must be one of {', '.join(known)}, not {name!r}")


def require_trained(trained: TrainedAggregation | None) -> TrainedAggregation:
    """What a model's file has.

    Raises:
        UsageError: it has none.
    """
    if trained is None:
        raise UsageError(
            f"{TRAINED!r} is the aggregation in a model's file, and there is none (name another one, such as "
            f"{REFERENCE!r}; a model has none whose network has a part in the scores, or of few training groups)"
        )
    return trained


def find_default(tables: Mapping[str, Predictions]) -> str:
    """The aggregation that profiles are shown by: the model's own, or where it has none the best by validation."""
    return TRAINED if TRAINED in tables else best_by_validation(tables)


def best_by_validation(tables: Mapping[str, Predictions]) -> str:
    """The name of the table with the best average precision on validation; the first of equals, or where it has none.

    Args:
        tables: name -> predictions with validation rows.
    """
    if len(tables) > 1 and not can_validation_choose(tables):
        logger.warning(
            "validation cannot choose: its average precision is undefined; %s stands first",
            next(iter(tables)),
        )

    def score(name: str) -> float:
        known = tables[name].in_split("validation").labelled()
        value = calculate_metrics(known.labels, known.probs, tables[name].threshold)["average_precision"]
        return -1.0 if value is None else value

    return max(tables, key=score)


def can_validation_choose(tables: Mapping[str, Predictions]) -> bool:
    """Whether validation's labels are of more than one class, in some table at least."""
    return any(
        len(set(table.in_split("validation").labelled().labels.tolist())) > 1 for table in tables.values()
    )


def _aggregate_trained(
    sequences: Predictions,
    profiles: Profiles,
    trained: TrainedAggregation | None,
    rule: ThresholdRule | None,
    profile_label: LabelRule,
) -> Predictions:
    """Profiles by the aggregation of the model's file."""
    trained = require_trained(trained)
    logits = trained.fitted.logits(sequences.logits, profiles.codes, len(profiles))
    table = _as_predictions(sequences, profiles, logits, to_probs(logits))
    is_theirs = rule is not None and (parse_rule(trained.rule), "majority") == (rule, profile_label)
    if is_theirs and trained.threshold is not None:
        return replace(table, threshold=trained.threshold, threshold_rule=trained.rule)
    return _with_threshold(table, table.in_split("validation").labelled(), rule)


def _score_learned(
    sequences: Predictions,
    profiles: Profiles,
    name: str,
    embeddings: npt.NDArray[np.float32] | None,
    training: _Training | None,
    seed: int,
) -> tuple[Floats, Floats]:
    """Logits and probs of the profiles, (P,) or (P, C), by a learned aggregation or attention."""
    for learned in LEARNED_AGGREGATIONS:
        if name == learned:
            known = None if training is None else (training.logits, training.profiles)
            logits = score_learned(learned, sequences.logits, profiles, out_of_fold=known, seed=seed)
            # Of several classes noisy-or's are separate events; the softmax makes one distribution of them.
            return logits, to_probs(logits)
    if embeddings is None:
        raise UsageError(f"{name} needs the sequences' embeddings, which predictions do not hold")
    attention = ATTENTIONS[ATTENTIONS.index(name)]
    scores = (sequences.logits, sequences.probs)
    own = np.concatenate([each.reshape(len(sequences), -1) for each in scores], axis=1).astype(np.float32)
    probs = score_attention(
        attention,
        np.concatenate([embeddings, own], axis=1),
        profiles,
        num_classes=len(sequences.classes),
        num_scores=own.shape[1],
        seed=seed,
    )
    return log_odds(probs), probs


@dataclass(frozen=True)
class _Training:
    """Training authors' sequences, scored out of fold: logits and probs (S,) or (S, C), and their profiles."""

    logits: Floats
    probs: Floats
    profiles: Profiles


def _score_training(name: str, training: _Training, cut: float, seed: int) -> tuple[Floats, Floats]:
    """Logits and probs of the training profiles, by an aggregation that has not seen them."""
    codes, count = training.profiles.codes, len(training.profiles)
    for learned in LEARNED_AGGREGATIONS:
        if name == learned:
            logits = score_training(learned, (training.logits, training.profiles), seed=seed)
            return logits, to_probs(logits)
    fixed = [method for method in AGGREGATIONS if method == name]
    probs = aggregate_all(training.probs, codes, count, cut, methods=fixed)[fixed[0]]
    return log_odds(probs), probs


def _as_training(out_of_fold: Predictions, sequences: Predictions, profile_label: LabelRule) -> _Training:
    """Training authors' scores out of fold, with their profiles.

    Raises:
        UsageError: see profile_predictions.
    """
    require_predictions(out_of_fold, "out_of_fold")
    splits = np.unique(np.asarray(out_of_fold.splits)).tolist()
    if out_of_fold.authors is None or splits != ["train"] or out_of_fold.classes != sequences.classes:
        raise UsageError(
            f"scores out of fold: expected authors in train, of the classes {sequences.classes}; found level "
            f"{out_of_fold.level}, splits {', '.join(splits) or 'none'}, classes {out_of_fold.classes} "
            "(make them with score_out_of_fold)"
        )
    overlap = set(out_of_fold.groups.tolist()) & set(sequences.groups.tolist())
    if overlap:
        raise UsageError(
            f"scores out of fold: expected groups that stand in train only, found {len(overlap)} of validation or test "
            f"among them, such as {min(overlap)!r} (make them on this corpus, with its splits)"
        )
    if out_of_fold.model_hash:
        raise UsageError(
            f"scores out of fold: expected scores by models that did not train on them, found those of one model file, "
            f"{out_of_fold.model}, which knows its training authors by heart (make them with score_out_of_fold)"
        )
    profiles = build_profiles(
        out_of_fold.authors,
        out_of_fold.groups,
        out_of_fold.splits,
        out_of_fold.labels,
        label_rule=profile_label,
    )
    return _Training(out_of_fold.logits, out_of_fold.probs, profiles)


def _with_threshold(table: Predictions, known: Predictions, rule: ThresholdRule | None) -> Predictions:
    """The table with a threshold by labelled rows; with none without a rule or a row, and for several classes."""
    if rule is None or known.probs.ndim > 1 or len(known) == 0:
        return table
    chosen = rule.choose(known.labels, known.probs, splits=known.splits)
    return replace(table, threshold=chosen.value, threshold_rule=str(rule))


def _as_predictions(sequences: Predictions, profiles: Profiles, logits: Floats, probs: Floats) -> Predictions:
    """Profiles as a predictions table without a threshold."""
    return Predictions(
        level="profile",
        classes=sequences.classes,
        conversation_ids=None,
        authors=profiles.authors,
        groups=profiles.groups,
        splits=profiles.splits,
        labels=profiles.labels,
        lengths=profiles.lengths,
        logits=logits,
        probs=probs,
        threshold=None,
        model=sequences.model,
        model_hash=sequences.model_hash,
        calibration=sequences.calibration,
        caution=sequences.caution,
    )


def _average_known_words(sequences: Predictions, profiles: Profiles) -> npt.NDArray[np.float32] | None:
    """The mean of the sequences' shares of known words, each as often as it has messages; NaN without a word."""
    if sequences.known_words is None:
        return None
    weights = np.where(np.isnan(sequences.known_words), 0, sequences.lengths).astype(np.float64)
    total = np.bincount(profiles.codes, weights, minlength=len(profiles))
    known = np.bincount(
        profiles.codes, weights * np.nan_to_num(sequences.known_words), minlength=len(profiles)
    )
    shares = np.full(len(profiles), np.nan)
    np.divide(known, total, out=shares, where=total > 0)
    found: npt.NDArray[np.float32] = np.minimum(shares, 1).astype(np.float32)
    return found
