"""A network that was trained by a loop of one's own becomes a model file like any other.

Knows nothing of how it was trained: its threshold comes from the validation sequences handed in.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np

from tenor.arguments import describe_found
from tenor.batching import SequenceDataset, require_level
from tenor.corpus.growth import describe_hash
from tenor.corpus.schema import SPLITS
from tenor.corpus.views import view_sequences
from tenor.devices import plain_runtime
from tenor.errors import TrainingError, UsageError
from tenor.files import require_path
from tenor.logits import to_probs
from tenor.metrics.objectives import parse_rule
from tenor.metrics.scores import calculate_metrics
from tenor.models.metadata import ModelMetadata
from tenor.models.model_file import find_model_path, save_model
from tenor.models.scoring import score_dataset
from tenor.models.sequence import SequenceClassifier
from tenor.training.checkpoint import RunFolder
from tenor.training.history import history_path
from tenor.training.preparation import describe_corpus
from tenor.training.requests import require_labels
from tenor.training.thresholds import SEQUENCE, choose_thresholds


def write_model(
    model: SequenceClassifier,
    path: str | Path,
    val_data: SequenceDataset,
    *,
    threshold: str = "f1",
) -> Path:
    """Write a network as a model file, which test_model, predict, the report and every command read.

    It scores validation once, and the thresholds, of profiles too, are chosen on that. A file of that name is replaced,
    and so is the history beside it, which is of another training.

    Args:
        model: scored on the device where it is; its mode stays as it is.
        path: of the model file; any name.
        val_data: the labelled validation sequences, of the corpus that it was trained on.
        threshold: the rule of the threshold; see train_model.

    Returns:
        The path.

    Raises:
        UsageError: a network with a prior, a subclass, or one of other features or classes than the sequences;
            sequences of train or test, or without labels; an unknown rule.
        TrainingError: scores that are not finite, or checkpoints of an interrupted training of that name.
        StorageError: the file cannot be written.
    """
    _check_model(model)
    _check_data(val_data, model)
    rule = parse_rule(threshold)
    view = val_data.view
    place = find_model_path(require_path(path, "path"), view.level)
    RunFolder.beside(place).require_unused()
    logits = score_dataset(model, val_data, plain_runtime(model.feature_mean.device))
    if not np.isfinite(logits).all():
        raise TrainingError(
            f"{place}: a validation score is not finite, not written (train at a lower learning rate)"
        )
    probs = to_probs(logits)
    level = require_level(view.level)
    chosen = choose_thresholds(view, probs, rule)
    value = chosen[SEQUENCE].value if chosen else None
    metrics = calculate_metrics(view.labels, probs, value)
    metadata = ModelMetadata(
        level=level,
        classes=view.classes,
        threshold=value,
        threshold_objective=threshold if chosen else None,
        profile_thresholds={name: each.value for name, each in chosen.items() if name != SEQUENCE},
        **describe_corpus(view.corpus),
        config=model.config(),
        training={
            "loop": "own",
            "validation": {name: each for name, each in metrics.items() if name != "threshold"},
            "thresholds": {name: asdict(each) for name, each in chosen.items()},
            "validation_sequences": len(val_data),
            "splits": describe_hash(view_sequences(view.corpus, level).labelled()),
        },
    )
    save_model(place, model, metadata)
    history_path(place).unlink(missing_ok=True)
    return place


def _check_model(model: object) -> None:
    if type(model) is not SequenceClassifier:
        raise UsageError(
            f"model: expected a SequenceClassifier, which a model file is read back as, found {describe_found(model)}"
        )
    if model.has_prior:
        raise UsageError(
            "model: expected a network without a prior, found one with it, whose models of words are not at hand "
            "(train_model fits and writes both)"
        )


def _check_data(data: object, model: SequenceClassifier) -> None:
    if not isinstance(data, SequenceDataset):
        raise UsageError(f"val_data: expected what tenor.load_dataset gives, found {describe_found(data)}")
    view = data.view
    validation = SPLITS.index("validation")
    others = int((view.split_codes != validation).sum())
    if len(view) == 0 or others:
        found = f"{others:,} of other splits" if others else "none"
        raise UsageError(
            f"val_data: expected sequences of validation, found {found} (load_dataset(corpus, level, 'validation', "
            "labelled=True))"
        )
    require_labels(data, "val_data")
    for name, expected, own in (
        ("features", data.input_size, model.input_size),
        ("classes", data.num_classes, model.num_classes),
    ):
        if expected != own:
            raise UsageError(
                f"model: expected one of {expected} {name}, as the sequences have, found one of {own}"
            )
