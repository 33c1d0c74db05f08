"""The numbers of an author model over whole profiles, by one aggregation or by each.

Knows nothing of how an aggregation is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tenor.aggregation.fixed import COUNTS, LabelRule
from tenor.aggregation.trained import TRAINED, TrainedAggregation
from tenor.corpus.corpus import Corpus, open_corpus
from tenor.corpus.schema import Split
from tenor.devices import start_runtime
from tenor.evaluation.aggregation import (
    EVERY_AGGREGATION,
    REFERENCE,
    aggregate_possible,
    best_by_validation,
    can_validation_choose,
    find_default,
    name_default,
    profile_predictions,
    require_aggregations,
    require_trained,
)
from tenor.evaluation.calibration import measure_abstention, measure_calibration
from tenor.evaluation.familiarity import doubt_texts
from tenor.evaluation.learned import ATTENTIONS
from tenor.evaluation.requests import check_test
from tenor.evaluation.rivals import aggregate_baselines, aggregate_on_training
from tenor.evaluation.scoring import Scorer
from tenor.evaluation.standing import (
    Metrics,
    find_baselines,
    measure_beside,
    measure_costs,
    measure_test,
    subtract,
    to_plain,
)
from tenor.evaluation.thresholds import ON_TRAINING_TOO, choose_by_rule, describe_stored
from tenor.predictions import Predictions, read_predictions

#: Aggregations whose scores are shares or numbers of votes, no probabilities.
_VOTES = ("mean_vote", *COUNTS)


def evaluate_profile_classifier(
    author_model_path: str | Path,
    dataset_path: str | Path,
    aggregation: str | None = None,
    *,
    profile_label: LabelRule = "majority",
    baselines: bool = True,
    threshold: str | None = None,
    abstain_alpha: float | None = None,
    seed: int = 0,
    out_of_fold: Predictions | None = None,
    known: str | Path | Predictions | None = None,
    device: str | None = None,
    progress: bool = False,
) -> Metrics:
    """Evaluate profiles: each author's sequence scores aggregated to one, beside baselines.

    Args:
        author_model_path: a model file of ``train_model("author", ...)``.
        dataset_path: the analyzed corpus.
        aggregation: ``"trained"``, the one in the model's file; ``"mean"``, ``"median"``, ``"mean_vote"``,
            ``"total_vote"``; or one that is learned here (tenor.evaluation.learned): ``"noisy_or"``, ``"top_k_mean"``,
            ``"log_odds"``, ``"score_summary"``, ``"attention"``, ``"gated_attention"``. None = the model's own; the
            mean where it has none, or with `out_of_fold`.
        profile_label: how an author's differing sequence labels make the profile's: ``"any"``, ``"majority"`` (ties go
            to the higher class) or ``"constant"`` (differing ones are an error).
        baselines: fit baselines on the training split's sequences, aggregate and compare them too.
        threshold: the rule by which the threshold is chosen on validation profiles
            (tenor.metrics.objectives.FORMS); None = the one that the model was trained with, and for ``"trained"`` the
            threshold in its file.
        abstain_alpha: also measure decisions about authors that may abstain; see test_model.
        seed: of the bootstrap and of what is learned.
        out_of_fold: of ``score_out_of_fold``: training authors' scores, which a learned aggregation is fitted to
            instead of to validation, and which the threshold is chosen on beside validation's; baselines' likewise, by
            their own such scores. Attention knows nothing of them.
        known: predictions of the model, or their file: only sequences that they lack are scored.
        device: where to compute; None = the best there is.
        progress: show a bar.

    Returns:
        As test_model, over test profiles, and ``aggregation``, its name. ``calibration`` is of the scores as they are,
        and None for votes. Baselines are aggregated as the model is,
        beside ``"trained"`` by what is learned, in the same way, of their own scores of training out of fold; where
        the model's aggregation reads embeddings, or cannot be fitted to a baseline, by the mean.

    Raises:
        ModelFileError: the file is no sound author model, or of another encoder.
        SplitError: the test split is empty, or validation where it chooses: all but ``"trained"`` at its own threshold.
        UsageError: an unknown aggregation or rule, alpha out of range or with ``"total_vote"``, or labels that differ
            under ``"constant"``; or scores out of fold that are none.
        TrainingError: too few validation profiles for a learned aggregation.
    """
    seed = check_test(threshold, abstain_alpha, seed, baselines=baselines, progress=progress)
    scored = AuthorScores.open(
        author_model_path,
        dataset_path,
        () if aggregation is None else (aggregation,),
        known=known,
        chooses=threshold is not None or out_of_fold is not None,
        device=device,
        progress=progress,
    )
    trained = scored.find_trained(threshold)
    if aggregation is None:
        aggregation = REFERENCE if out_of_fold is not None else name_default(trained)
    rule = scored.scorer.metadata.threshold_rule if threshold is None else threshold
    table = profile_predictions(
        scored.sequences,
        (aggregation,),
        profile_label=profile_label,
        threshold=rule,
        embeddings=scored.embeddings,
        trained=trained,
        out_of_fold=out_of_fold,
        seed=seed,
    )[aggregation]
    metrics = measure_profiles(table, rule, seed, abstain_alpha, scored.find_stored(aggregation))
    metrics["calibration"] = _measure_calibration(table, aggregation)
    if baselines:
        metrics |= scored.measure_beside(table, aggregation, profile_label, rule, out_of_fold, seed)
    else:
        metrics["cost"] = measure_costs(table, {}, rule, seed=seed)
    metrics["notes"] = [*metrics.get("notes", ()), *scored.find_doubts(), *scored.scorer.metadata.remarks]
    metrics["caution"] = table.caution
    return {**metrics, "aggregation": aggregation, "test_reads": scored.count_read()}


def compare_aggregation_methods(
    author_model_path: str | Path,
    dataset_path: str | Path,
    *,
    aggregations: Sequence[str] | None = None,
    profile_label: LabelRule = "majority",
    baselines: bool = True,
    threshold: str | None = None,
    abstain_alpha: float | None = None,
    seed: int = 0,
    out_of_fold: Predictions | None = None,
    known: str | Path | Predictions | None = None,
    device: str | None = None,
    progress: bool = False,
) -> dict[str, Metrics]:
    """Evaluate every aggregation on the same scores, each with its own threshold from validation.

    Args are those of evaluate_profile_classifier, and `aggregations`: which; None = all, the model's own first.

    Returns:
        aggregation -> metrics with ``intervals``, ``threshold_choice``, ``differences`` (to the mean: this
        aggregation minus it, paired by group, Holm's p over all), and ``best_by_validation``, true for at most one.
        ``"trained"``, or without it the best by validation, also stands beside baselines, as of
        evaluate_profile_classifier. The test split is read once for all of them. Counts of votes have no
        ``abstention``. A learned aggregation that cannot be fitted, for want of validation profiles, is left out with a
        warning.

    Raises:
        As evaluate_profile_classifier.
    """
    seed = check_test(threshold, abstain_alpha, seed, baselines=baselines, progress=progress)
    scored = AuthorScores.open(
        author_model_path,
        dataset_path,
        EVERY_AGGREGATION if aggregations is None else aggregations,
        known=known,
        device=device,
        progress=progress,
    )
    rule = scored.scorer.metadata.threshold_rule if threshold is None else threshold
    tables = aggregate_possible(
        scored.sequences,
        aggregations,
        profile_label=profile_label,
        threshold=rule,
        embeddings=scored.embeddings,
        trained=scored.find_trained(threshold),
        out_of_fold=out_of_fold,
        seed=seed,
    )
    best, is_chosen, shown = best_by_validation(tables), can_validation_choose(tables), find_default(tables)
    reference = REFERENCE if REFERENCE in tables else next(iter(tables))
    others = {name: table for name, table in tables.items() if name != reference}
    differences = to_plain(subtract(others, reference, tables[reference], seed=seed))
    reads = scored.count_read()
    results: dict[str, Metrics] = {}
    for name, table in tables.items():
        alpha = None if name in COUNTS else abstain_alpha
        metrics = measure_profiles(table, rule, seed, alpha, scored.find_stored(name))
        metrics["calibration"] = _measure_calibration(table, name)
        metrics["differences"] = {reference: differences[name]} if name in differences else {}
        results[name] = {**metrics, "best_by_validation": is_chosen and name == best, "test_reads": reads}
    if baselines:
        beside = scored.measure_beside(tables[shown], shown, profile_label, rule, out_of_fold, seed)
        beside["differences"] = {**results[shown]["differences"], **beside["differences"]}
        results[shown] |= beside
    results[shown]["notes"] = [*results[shown].get("notes", ()), *scored.find_doubts()]
    results[shown]["caution"] = tables[shown].caution
    return results


def measure_profiles(
    table: Predictions,
    rule: str,
    seed: int,
    abstain_alpha: float | None = None,
    stored: Metrics | None = None,
) -> Metrics:
    """A table's metrics on test with intervals, and under ``threshold_choice`` how sure its threshold is.

    With `abstain_alpha` also ``abstention``. With `stored`, a choice in the model's file, that is the threshold's where
    the table has the same one.

    Raises:
        UsageError: an alpha with scores that are counts, which say nothing of how sure a decision is.
    """
    deciding = ("train", "validation")  # a training profile stands here only if it was scored out of fold
    choice = None
    if table.threshold is not None and stored is not None and stored.get("value") == table.threshold:
        choice = dict(stored)
    elif table.threshold is not None:
        choice = asdict(choose_by_rule(table, rule, seed=seed, splits=deciding))
        if (table.splits == "train").any():
            choice["chosen_on"] = ON_TRAINING_TOO
    metrics = {**measure_test(table, seed=seed), "threshold_choice": choice}
    if abstain_alpha is not None:
        metrics["abstention"] = measure_abstention(table, abstain_alpha, seed=seed)
    return metrics


def _measure_calibration(table: Predictions, aggregation: str) -> Metrics | None:
    """How far scores hold as probabilities; None for votes, which are none. See measure_calibration."""
    return None if aggregation in _VOTES else measure_calibration(table)


@dataclass(frozen=True)
class AuthorScores:
    """An author model's scores of validation and test, ready to be aggregated in several ways.

    Attributes:
        scorer: the model.
        corpus: that was scored.
        sequences: of validation and test, unlabelled ones too: a profile is all that an author wrote.
        embeddings: (S, E) of the sequences; None when no attention was asked for.
    """

    scorer: Scorer
    corpus: Corpus
    sequences: Predictions
    embeddings: npt.NDArray[np.float32] | None

    @classmethod
    def open(
        cls,
        model_path: str | Path,
        dataset_path: str | Path,
        aggregations: Sequence[str] = EVERY_AGGREGATION,
        *,
        known: str | Path | Predictions | None = None,
        chooses: bool = True,
        device: str | None = None,
        progress: bool = False,
    ) -> AuthorScores:
        """Score a corpus; see evaluate_profile_classifier for arguments and errors.

        Where nothing more is to be chosen, as `chooses` and no other aggregation than the model's own say, validation
        may be empty.
        """
        require_aggregations(aggregations)
        scorer = Scorer.open(model_path, start_runtime(device), progress=progress)
        scorer.require_level("author")
        if TRAINED in aggregations:
            require_trained(scorer.metadata.trained_aggregation)
        corpus = open_corpus(dataset_path)
        splits: tuple[Split, ...] = ("validation", "test")
        scorer.require_encoder(corpus)
        is_settled = scorer.metadata.trained_aggregation is not None and {*aggregations} <= {TRAINED}
        optional: tuple[Split, ...] = ("validation",) if is_settled and not chooses else ()
        view = scorer.find(corpus, splits, labelled=True, optional=optional, with_unlabelled=True)
        known = read_predictions(known, splits=splits) if isinstance(known, str | Path) else known
        # of the splits alone that were read of them, known rows do not account for whole conversations
        sequences = scorer.score_view(view, known, may_have_grown=False)
        embeddings = None
        if any(name in ATTENTIONS for name in aggregations):
            embeddings = scorer.embed(view)
        return cls(scorer, corpus, sequences, embeddings)

    def find_trained(self, threshold: str | None) -> TrainedAggregation | None:
        """The aggregation in the model's file; with its threshold, unless a rule is given that is to choose one."""
        found = self.scorer.metadata.trained_aggregation
        return found if found is None or threshold is None else replace(found, threshold=None)

    def find_stored(self, aggregation: str) -> Metrics | None:
        """How the threshold in the model's file was chosen, of the aggregation there."""
        return describe_stored(self.scorer.metadata, self.corpus) if aggregation == TRAINED else None

    def find_doubts(self) -> tuple[str, ...]:
        """Whether test is unlike what the model was trained on, in sentences."""
        return doubt_texts(self.scorer.metadata, self.sequences.in_split("test"))

    def count_read(self) -> int | None:
        """Count this reading of the test split, at level profile."""
        return self.scorer.count_read(self.corpus, "profile")

    def measure_beside(
        self,
        table: Predictions,
        name: str,
        profile_label: LabelRule,
        threshold: str,
        out_of_fold: Predictions | None,
        seed: int,
    ) -> Metrics:
        """An aggregation's profiles beside those of the baselines, fitted as it was; see aggregate_baselines."""
        sequences, notes = find_baselines(self.corpus, self.sequences, threshold=threshold)
        method = name
        trained = self.scorer.metadata.trained_aggregation
        if name == TRAINED and trained is not None:
            method = trained.fitted.method
        options: dict[str, Any] = {"profile_label": profile_label, "threshold": threshold, "seed": seed}
        if name == TRAINED or (out_of_fold is not None and name not in ATTENTIONS):
            rivals, more = aggregate_on_training(sequences, self.corpus, method, **options)
            notes = (*notes, *more)
        else:
            rivals = aggregate_baselines(sequences, method, **options)
        costs = measure_costs(table, rivals, threshold, seed=seed)
        return {**measure_beside(table, rivals, seed=seed), "cost": costs, "notes": list(notes)}
