"""From a file of sequences' scores to one of profiles' scores, to act on. Knows nothing of how scores came to be."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from tenor.aggregation.fixed import COUNTS, LabelRule
from tenor.errors import InputError, ModelFileError, SplitError, UsageError
from tenor.evaluation.applying import apply_aggregation, find_applicable
from tenor.evaluation.calibration import Adjustment, check_adjustment, fit_adjustment
from tenor.evaluation.familiarity import doubt_texts
from tenor.files import require_apart, sha256_file
from tenor.models.metadata import ModelMetadata
from tenor.models.model_file import read_metadata
from tenor.predictions import Predictions, read_predictions, require_output, write_predictions

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WrittenProfiles:
    """What was written.

    Attributes:
        profiles: the rows.
        abstained: rows without a decision; None where there are no decisions.
        remarks: what was fitted on validation, in sentences; empty when nothing was.
        warning: what to know of the abstention; None when there is nothing.
    """

    profiles: Predictions
    abstained: int | None = None
    remarks: tuple[str, ...] = ()
    warning: str | None = None


def profiles_to_file(
    model_path: str | Path,
    predictions_path: str | Path,
    output: str | Path,
    *,
    aggregation: str | None = None,
    profile_label: LabelRule = "majority",
    threshold: str | None = None,
    abstain_alpha: float | None = None,
    validation: str | Path | None = None,
) -> WrittenProfiles:
    """Aggregate an author model's predictions to profiles and write these.

    Args:
        model_path: the model that made the predictions.
        predictions_path: the file of ``predict``, of any splits, not calibrated.
        output: the Parquet file to write, see write_predictions.
        aggregation: ``"trained"``, the one in the model's file, or a fixed one; None = the former, or without it the
            mean.
        profile_label: see evaluate_profile_classifier; of ``"majority"`` profiles have the threshold of the model's
            file.
        threshold: choose another one on labelled validation profiles by this rule (tenor.metrics.objectives.FORMS).
        abstain_alpha: also write decisions that may abstain, each class wrongly ruled out for at most this share of
            people (conformal, from the same profiles); see write_predictions.
        validation: predictions of the same model that hold these profiles' sequences, such as those of the corpus
            that it was trained on; None = `predictions_path`.

    Raises:
        ModelFileError: no sound author model.
        InputError: no predictions file, or one of another model.
        SplitError: no labelled validation profile to fit on.
        UsageError: an aggregation that has to be fitted or that the model's file lacks; calibrated predictions; an
            unknown rule, alpha out of range or of counts of votes; `validation` and nothing to fit on it; an output
            that is an input.
        StorageError: the file cannot be written.
    """
    check_adjustment(threshold, abstain_alpha)
    is_fitted = threshold is not None or abstain_alpha is not None
    if validation is not None and not is_fitted:
        raise UsageError(
            f"validation: expected a threshold or abstention to fit on {validation}, found neither (ask for one, or "
            "leave it out)"
        )
    require_apart(
        {"output": output}, {"model": model_path, "predictions": predictions_path, "validation": validation}
    )
    require_output(output)
    metadata = read_metadata(model_path)
    if metadata.level != "author":
        raise ModelFileError(
            f"{model_path}: profiles need a model of level 'author', found one of level {metadata.level!r}"
        )
    name = find_applicable(metadata, aggregation)
    if abstain_alpha is not None and name in COUNTS:
        raise UsageError(
            f"{name}: abstention needs scores from 0 to 1, and these are counts (leave abstain_alpha out)"
        )
    adjustment = Adjustment()
    if validation is not None:
        judge = _read_profiles(validation, model_path, metadata, name, profile_label)[1]
        adjustment = _fit_on_profiles(judge, validation, threshold, abstain_alpha)
        del judge
    sequences, profiles = _read_profiles(predictions_path, model_path, metadata, name, profile_label)
    if is_fitted and validation is None:
        adjustment = _fit_on_profiles(profiles, predictions_path, threshold, abstain_alpha)
    for doubt in doubt_texts(metadata, sequences):
        logger.warning("%s: %s", predictions_path, doubt)
    known = int(((profiles.splits == "train") & (profiles.labels >= 0)).sum())
    if known:  # people whom nobody labelled stand in that split by chance
        logger.warning(
            "%s of the labelled profiles are in the split train: if the model was trained on them, it knows their "
            "sequences, and their scores are surer than they should be",
            f"{known:,}",
        )
    profiles, sets = adjustment.apply(profiles)
    write_predictions(profiles, output, sets=sets)
    return WrittenProfiles(
        profiles,
        None if sets is None else sets.abstained,
        adjustment.remarks,
        None if adjustment.abstention is None else adjustment.abstention.warning,
    )


def _read_profiles(
    path: str | Path,
    model_path: str | Path,
    metadata: ModelMetadata,
    aggregation: str,
    profile_label: LabelRule,
) -> tuple[Predictions, Predictions]:
    """The sequences in a file of a model's predictions, and their profiles.

    Raises:
        InputError: the file holds none, or those of another model.
        UsageError: they are calibrated, or of another level; with the path.
    """
    if Path(path).is_dir():
        raise InputError(
            "expected a file of predictions (tenor predict --split all), found a folder", path=path
        )
    sequences = read_predictions(path)
    digest = sha256_file(Path(model_path))
    if sequences.model_hash != digest:
        raise InputError(
            f"expected predictions of {model_path}, hash {digest[:12]}, found some of {sequences.model}, hash "
            f"{sequences.model_hash[:12]} (predict again)",
            path=path,
        )
    try:
        return sequences, apply_aggregation(sequences, metadata, aggregation, profile_label=profile_label)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error


def _fit_on_profiles(
    profiles: Predictions, path: str | Path, threshold: str | None, abstain_alpha: float | None
) -> Adjustment:
    """Fit what is asked for on the labelled validation profiles of a file.

    Raises:
        SplitError: there are none.
    """
    if not (profiles.in_split("validation").labels >= 0).any():
        raise SplitError(
            f"{path}: thresholds and abstention are fitted on validation, and there is no labelled validation profile "
            "(name predictions that have some, such as of the training corpus: --validation PREDICTIONS)"
        )
    if profiles.caution is not None:
        logger.warning(
            "%s: the model was trained under other splits than these rows have: if it was trained on some that are "
            "validation here, what is fitted on them is too sure of itself",
            path,
        )
    return fit_adjustment(profiles, rule=threshold, abstain_alpha=abstain_alpha)
