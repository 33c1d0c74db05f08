"""From a file of sequences' scores to one of profiles' scores, to act on. Knows nothing of how scores came to be."""

from __future__ import annotations

import logging
from pathlib import Path

from tenor.aggregation.fixed import LabelRule
from tenor.errors import InputError, ModelFileError
from tenor.evaluation.applying import apply_aggregation
from tenor.evaluation.familiarity import Familiarity
from tenor.files import require_apart, sha256_file
from tenor.models.model_file import read_metadata
from tenor.predictions import Predictions, read_predictions, require_output, write_predictions

logger = logging.getLogger(__name__)


def profiles_to_file(
    model_path: str | Path,
    predictions_path: str | Path,
    output: str | Path,
    *,
    aggregation: str | None = None,
    profile_label: LabelRule = "majority",
) -> Predictions:
    """Aggregate an author model's predictions to profiles and write these.

    Args:
        model_path: the model that made the predictions.
        predictions_path: the file of ``predict``, of any splits, not calibrated.
        output: the Parquet file to write, see write_predictions.
        aggregation: ``"trained"``, the one in the model's file, or a fixed one; None = the former, or without it the
            mean.
        profile_label: see evaluate_profile_classifier; of ``"majority"`` profiles have the threshold of the model's
            file.

    Returns:
        What was written.

    Raises:
        ModelFileError: no sound author model.
        InputError: no predictions file, or one of another model.
        UsageError: an aggregation that has to be fitted or that the model's file lacks; calibrated predictions; an
            output that is an input.
        StorageError: the file cannot be written.
    """
    require_apart({"output": output}, {"model": model_path, "predictions": predictions_path})
    require_output(output)
    metadata = read_metadata(model_path)
    if metadata.level != "author":
        raise ModelFileError(
            f"{model_path}: profiles need a model of level 'author', found one of level {metadata.level!r}"
        )
    if Path(predictions_path).is_dir():
        raise InputError(
            "expected a file of predictions (tenor predict --split all), found a folder",
            path=predictions_path,
        )
    sequences = read_predictions(predictions_path)
    digest = sha256_file(Path(model_path))
    if sequences.model_hash != digest:
        raise InputError(
            f"expected predictions of {model_path}, hash {digest[:12]}, found some of {sequences.model}, hash "
            f"{sequences.model_hash[:12]} (predict again)",
            path=predictions_path,
        )
    profiles = apply_aggregation(sequences, metadata, aggregation, profile_label=profile_label)
    for doubt in Familiarity.of(metadata).count(sequences).remarks():
        logger.warning("%s: %s", predictions_path, doubt)
    known = int((profiles.splits == "train").sum())
    if known:
        logger.warning(
            "%s of the profiles are in the split train: if the model was trained on them, it knows their sequences, "
            "and their scores are surer than they should be",
            f"{known:,}",
        )
    write_predictions(profiles, output)
    return profiles
