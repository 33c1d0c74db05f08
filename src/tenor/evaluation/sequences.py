"""The numbers of a model at its own level: sequences of the test split.

Knows nothing of profiles.
"""

from __future__ import annotations

from pathlib import Path

from tenor.corpus.corpus import open_corpus
from tenor.corpus.sampling import MAX_FIT_CHARACTERS
from tenor.devices import start_runtime
from tenor.evaluation.calibration import (
    fit_calibration,
    measure_abstention,
    measure_calibration,
)
from tenor.evaluation.familiarity import doubt_texts
from tenor.evaluation.requests import check_test
from tenor.evaluation.scoring import Scorer
from tenor.evaluation.standing import Metrics, find_baselines, measure_beside, measure_costs, measure_test
from tenor.evaluation.thresholds import apply_rule, describe_threshold


def test_model(
    model_type: str,
    model_path: str | Path,
    dataset_path: str | Path,
    *,
    baselines: bool = True,
    threshold: str | None = None,
    abstain_alpha: float | None = None,
    fit_characters: int = MAX_FIT_CHARACTERS,
    seed: int = 0,
    device: str | None = None,
    progress: bool = False,
) -> Metrics:
    """Evaluate a trained model on the test split, at the threshold that validation chose, beside baselines.

    Args:
        model_type: ``"conversation"`` or ``"author"``; must be the model's own.
        model_path: a model file of train_model.
        dataset_path: the analyzed corpus.
        baselines: fit majority, length, words and pooled features on the training split, and compare.
        threshold: choose another threshold on the validation split by this rule, such as
            ``"recall_at_precision:0.9"`` (see tenor.metrics.objectives.FORMS); None = the model file's.
        abstain_alpha: also measure decisions that may abstain, wrong about each class for at most this share of
            new groups (conformal, from validation).
        fit_characters: baselines are fitted on about so many characters of text.
        seed: of the bootstrap.
        device: where to compute; None = the best there is.
        progress: show a bar.

    Returns:
        accuracy, precision, recall, f1, roc_auc, average_precision (None where undefined), threshold, count,
        positives, and test_reads: how often the corpus's test split was read at this level. Beside them:

        * ``intervals``: metric -> its 95% interval by resampling groups.
        * ``baselines``, ``differences``, ``verdict``: see tenor.evaluation.standing.measure_beside.
        * ``threshold_choice``: objective, parameters, score on validation, and the threshold's own interval.
        * ``cost``: see tenor.evaluation.standing.measure_costs; None where the rule is no cost.
        * ``calibration``: see tenor.evaluation.calibration.measure_calibration.
        * ``abstention``: coverage, abstained, error, with `abstain_alpha`.
        * ``notes``: sentences, such as why there are no baselines.
        * ``caution``: a sentence where the model was trained under other splits than these; else None.

    Raises:
        ModelFileError: the file is no sound model, of another level, or of another encoder.
        SplitError: the test split is empty, or there are no validation rows for a rule or alpha.
        UsageError: an unknown rule, or alpha out of range.
    """
    seed = check_test(threshold, abstain_alpha, seed, baselines=baselines, progress=progress)
    scorer = Scorer.open(model_path, start_runtime(device), progress=progress)
    scorer.require_level(model_type)
    corpus = open_corpus(dataset_path)
    predictions = scorer.score(corpus, ("validation", "test"), labelled=True, optional=("validation",))
    choice = describe_threshold(predictions, scorer.metadata.threshold_objective)
    if threshold is not None:
        predictions, choice = apply_rule(predictions, threshold, seed=seed)
    rule = scorer.metadata.threshold_rule if threshold is None else threshold
    rivals, notes = (
        find_baselines(corpus, predictions, threshold=rule, max_characters=fit_characters)
        if baselines
        else ({}, ())
    )
    metrics = measure_test(predictions, seed=seed) | measure_beside(predictions, rivals, seed=seed)
    metrics["threshold_choice"] = choice
    metrics["cost"] = measure_costs(predictions, rivals, rule, seed=seed)
    has_validation = bool((predictions.splits == "validation").any())
    calibrator = fit_calibration(predictions, seed=seed) if has_validation else None
    metrics["calibration"] = measure_calibration(predictions, calibrator)
    if abstain_alpha is not None:
        metrics["abstention"] = measure_abstention(predictions, abstain_alpha, seed=seed)
    doubts = doubt_texts(scorer.metadata, predictions.in_split("test"))
    metrics["notes"] = [*notes, *doubts, *scorer.metadata.remarks]
    metrics["caution"] = predictions.caution
    metrics["test_reads"] = scorer.count_read(corpus, scorer.level)
    return metrics
