"""Probabilities that mean what they say, and abstention where they say too little: fitted on validation.

Needs predictions alone. Knows nothing of how calibrators and conformal rules work (``tenor.metrics``).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from tenor.errors import SplitError, UsageError, describe_counts
from tenor.evaluation.sentences import describe_choice
from tenor.evaluation.thresholds import choose_by_rule
from tenor.logits import log_odds
from tenor.metrics.calibration import Calibrator, fit_calibrator
from tenor.metrics.conformal import Conformal, check_alpha, fit_conformal, measure_coverage
from tenor.metrics.objectives import parse_rule
from tenor.metrics.reliability import brier_score, calibration_error, log_loss
from tenor.metrics.thresholds import Threshold
from tenor.predictions import Predictions, PredictionSets, require_predictions

logger = logging.getLogger(__name__)

_LEAST = 1e-12  # probabilities of several classes are held off 0 by this, so that their logs are finite


def fit_calibration(predictions: Predictions, *, seed: int = 0) -> Calibrator:
    """Fit a calibrator, chosen by cross-validated log loss, on the labelled validation rows; see fit_calibrator.

    Raises:
        UsageError: predictions of profiles, whose scores are no probabilities.
        SplitError: no labelled validation rows.
    """
    known = _validation(predictions, "a calibrator")
    return fit_calibrator(known.labels, known.logits, groups=known.groups, splits=known.splits, seed=seed)


def calibrate(predictions: Predictions, calibrator: Calibrator) -> Predictions:
    """The same rows with calibrated probabilities; logits and threshold move with them, decisions stay.

    Of more than two classes the most probable one may be another afterwards, where each class has a map of its own.
    """
    if calibrator.method == "identity":
        return replace(predictions, calibration=None)
    probs = calibrator.apply(predictions.logits)
    logits = log_odds(probs) if probs.ndim == 1 else np.log(np.maximum(probs, _LEAST))
    threshold = predictions.threshold
    # one beyond stays: it calls no row positive, or every row
    if threshold is not None and 0 < threshold <= 1:
        threshold = float(calibrator.apply(log_odds([threshold]))[0])
    return replace(
        predictions, logits=logits, probs=probs, threshold=threshold, calibration=calibrator.method
    )


@dataclass(frozen=True)
class Adjustment:
    """What validation adds to a model's predictions; fitted once, applied to any of its rows.

    Attributes:
        calibrator: of the probabilities; None leaves them.
        threshold: None keeps the model's.
        abstention: of the scores as the model gives them, since the calibrator has seen the rows that it is fitted
            on; None leaves sets out.
        remarks: what was fitted, and on how much, in sentences.
        rule: that the threshold was chosen by.
    """

    calibrator: Calibrator | None = None
    threshold: float | None = None
    abstention: Conformal | None = None
    remarks: tuple[str, ...] = ()
    rule: str | None = None

    def apply(self, predictions: Predictions) -> tuple[Predictions, PredictionSets | None]:
        """The rows adjusted, and their prediction sets."""
        sets = None
        if self.abstention is not None:
            sets = PredictionSets(self.abstention.predict_sets(predictions.probs), self.abstention.to_json())
        if self.calibrator is not None:
            predictions = calibrate(predictions, self.calibrator)
        if self.threshold is not None:
            predictions = replace(predictions, threshold=self.threshold, threshold_rule=self.rule)
        return predictions, sets


def check_adjustment(rule: str | None, abstain_alpha: float | None) -> None:
    """Refuse at once what would be refused only after all has been scored.

    Raises:
        UsageError: an unknown rule, or alpha out of range.
    """
    if rule is not None:
        parse_rule(rule)
    if abstain_alpha is not None:
        check_alpha(abstain_alpha)


def fit_adjustment(
    validation: Predictions,
    *,
    calibrated: bool = False,
    rule: str | None = None,
    abstain_alpha: float | None = None,
) -> Adjustment:
    """Fit what is asked for on the labelled validation rows.

    Args:
        validation: predictions that hold them, as the model gives them.
        calibrated: fit a calibrator.
        rule: of a threshold, chosen on calibrated probabilities where there is a calibrator.
        abstain_alpha: fit a conformal rule; see fit_abstention.

    Raises:
        UsageError, SplitError: as fit_calibration, choose_by_rule and fit_abstention.
    """
    abstention = None if abstain_alpha is None else fit_abstention(validation, abstain_alpha)
    calibrator = fit_calibration(validation) if calibrated else None
    if calibrator is not None and calibrator.warning is not None:
        logger.warning("calibration: %s", calibrator.warning)
    mended = validation if calibrator is None else calibrate(validation, calibrator)
    choice = None if rule is None else choose_by_rule(mended, rule)
    if choice is not None and choice.warning is not None:
        logger.warning("threshold: %s", choice.warning)
    remarks = tuple(
        _describe_fits(validation.in_split("validation").labelled(), calibrator, choice, abstention)
    )
    return Adjustment(calibrator, None if choice is None else choice.value, abstention, remarks, rule)


def _describe_fits(
    known: Predictions, calibrator: Calibrator | None, choice: Threshold | None, abstention: Conformal | None
) -> Iterator[str]:
    """What was fitted on labelled validation rows, in sentences."""
    yield (
        f"fitted on {len(known):,} labelled validation rows of {known.groups.count_distinct():,} groups, "
        f"{describe_counts(np.bincount(known.labels, minlength=len(known.classes)), known.classes)}"
    )
    if calibrator is not None and calibrator.method != "identity":
        yield f"the probabilities are calibrated by {calibrator.method}"
    elif calibrator is not None:
        why = (
            "" if calibrator.warning else ": no calibration had a clearly lower log loss in cross-validation"
        )
        yield f"the probabilities stay as the model gives them{why}"
    if choice is not None:
        yield describe_choice(asdict(choice)).removesuffix(".")
    if choice is not None and abstention is not None:
        yield (
            "decisions are those of abstention, which no threshold changes: a row over the threshold may be undecided, "
            "or decided otherwise"
        )


def measure_calibration(predictions: Predictions, calibrator: Calibrator | None = None) -> dict[str, Any]:
    """Brier score, log loss and calibration error on test, as they are and calibrated; ready for JSON.

    Args:
        predictions: of sequences, with test rows.
        calibrator: of fit_calibration; None leaves the calibrated numbers out.

    Returns:
        brier, log_loss, calibration_error (15 bins of equal width), and with a calibrator ``method`` and
        ``calibrated`` with the three.
    """
    found: dict[str, Any] = _measure(predictions)
    if calibrator is not None:
        found["method"], found["warning"] = calibrator.method, calibrator.warning
        found["calibrated"] = _measure(calibrate(predictions, calibrator))
    return found


def _measure(predictions: Predictions) -> dict[str, float | None]:
    test = predictions.in_split("test").labelled()
    return {
        "brier": brier_score(test.labels, test.probs),
        "log_loss": log_loss(test.labels, test.probs),
        "calibration_error": calibration_error(test.labels, test.probs),
    }


def fit_abstention(predictions: Predictions, alpha: float, *, seed: int = 0) -> Conformal:
    """A class-conditional conformal rule from the labelled validation rows, one unit a group and class.

    Args:
        predictions: of sequences, with validation rows.
        alpha: the share of sets that may miss the true class.
        seed: of the draw within groups.

    Raises:
        UsageError: alpha out of range, or predictions of profiles.
        SplitError: no labelled validation rows.
    """
    known = _validation(predictions, "a conformal rule")
    return fit_conformal(
        known.labels,
        known.probs,
        alpha=alpha,
        groups=known.groups,
        splits=known.splits,
        names=known.classes,
        seed=seed,
    )


def measure_abstention(predictions: Predictions, alpha: float, *, seed: int = 0) -> dict[str, Any]:
    """How a conformal rule from validation does on test: coverage, abstention, errors; ready for JSON.

    Returns:
        alpha, classes, the fields of Coverage (``by_class`` in the order of the classes), warning.
    """
    rule = fit_abstention(predictions, alpha, seed=seed)
    test = predictions.in_split("test").labelled()
    return {
        "alpha": alpha,
        "classes": list(predictions.classes),
        **asdict(measure_coverage(rule, test.labels, test.probs)),
        "warning": rule.warning,
    }


def _validation(predictions: Predictions, what: str) -> Predictions:
    require_predictions(predictions, f"{what} is fitted on validation")
    if predictions.level == "profile" and (predictions.probs > 1).any():
        raise UsageError(f"{what} needs probabilities, and these scores of profiles are counts")
    known = predictions.in_split("validation").labelled()
    if len(known) == 0:
        raise SplitError(f"{what} is fitted on validation, and there is no labelled validation row")
    return known
