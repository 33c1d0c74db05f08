"""Scores of training sequences by models that did not train on them: one training a fold, or none.

What is fitted on a model's scores, a learned aggregation above all, must not see scores of sequences that the model
knows by heart. Knows nothing of what the scores are for.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tenor.arguments import require_flags
from tenor.corpus.corpus import Corpus, open_corpus
from tenor.corpus.views import SequenceView
from tenor.devices import Runtime, start_runtime
from tenor.errors import TrainingError, UsageError, describe_counts, describe_value
from tenor.lexical import assign_folds
from tenor.logits import to_probs
from tenor.models.model_file import ModelMetadata, load_model, read_metadata
from tenor.models.scoring import score_view
from tenor.predictions import Predictions
from tenor.progress import progress_bar
from tenor.training.checkpoint import Every
from tenor.training.preparation import AuditedData, fit_data, knows_labels, prepare_data
from tenor.training.settings import TrainSettings
from tenor.training.train import train_on


def score_out_of_fold(
    model_path: str | Path,
    dataset_path: str | Path,
    *,
    folds: int = 5,
    device: str | None = None,
    progress: bool = False,
) -> Predictions:
    """Train a model anew without each fold of its training groups, with its own settings, and score that fold.

    The corpus's encoder stays: it was fitted on texts of all training groups, never on their labels. Each training
    stops by the validation split, as the model's own did. A model that is its start alone, whose network convinced
    nobody, needs no training: its start is fitted anew, which scores every fold by models of the others
    (Start.train_logits).

    Args:
        model_path: a model file of train_model.
        dataset_path: the corpus that it was trained on.
        folds: into which the training groups are dealt; as many trainings, where the network has a part in the scores.
        device: where to compute; None = the best there is.
        progress: show a bar.

    Returns:
        Predictions of all labelled training sequences; ``model_hash`` is empty, since no one file gives them.

    Raises:
        UsageError: fewer than two folds, several processes, another corpus than the model's, or an encoder that knows
            the labels.
        TrainingError: fewer groups of a class than folds, or as train_model.
    """
    require_flags(progress=progress)
    if isinstance(folds, bool) or not isinstance(folds, int | np.integer):
        raise UsageError(f"folds: expected a whole number of at least 2, found {folds!r:.80}")
    path, metadata = Path(model_path), read_metadata(model_path)
    corpus = open_corpus(dataset_path)
    if knows_labels(corpus):
        raise UsageError(
            f"{corpus.path}: its encoder was fine-tuned on the labels of all training sequences, so that no score of "
            "these is out of fold (encode the corpus with an encoder that knows no labels)"
        )
    settings = _read_settings(path, metadata, corpus)
    runtime = start_runtime(device, settings.mixed_precision)
    if runtime.world_size > 1:
        raise UsageError(
            f"folds are scored in one process, found {runtime.world_size} (start it without a launcher)"
        )
    data = prepare_data(dataset_path, settings, copies="ignore", show=False)
    view = data.train
    codes = _deal_folds(view, folds, settings.seed)
    if metadata.is_start_alone:
        logits = _score_start(data, settings, folds)
    else:
        logits = np.zeros((len(view),) if len(view.classes) == 2 else (len(view), len(view.classes)))
        with progress_bar("training without each fold", folds, enabled=progress) as advance:
            for fold in range(folds):
                held_out, rest = (
                    view.select(np.flatnonzero(rows)) for rows in (codes == fold, codes != fold)
                )
                logits[codes == fold] = _train_and_score(data, rest, held_out, settings, runtime)
                advance(1)
    return Predictions(
        level=metadata.level,
        classes=metadata.classes,
        conversation_ids=view.conversation_ids,
        authors=view.authors,
        groups=view.groups,
        splits=view.splits,
        labels=view.labels,
        lengths=view.lengths,
        logits=logits,
        probs=to_probs(logits),
        threshold=metadata.threshold,
        model=f"{path.name}, fitted anew without each of {folds} folds",
        model_hash="",
    )


def _read_settings(path: Path, metadata: ModelMetadata, corpus: Corpus) -> TrainSettings:
    """What the model was told, for the corpus that it was trained on."""
    if metadata.is_of_own_loop:
        raise UsageError(
            f"{path}: expected a model of train_model, which can be fitted anew without each fold, found one that a "
            "loop of your own trained"
        )
    config = dict(metadata.training.get("config", {}))
    if config.get("corpus") != corpus.info.fingerprint or config.get("split_hash") != corpus.info.split_hash:
        raise UsageError(
            f"{corpus.path}: expected the corpus and splits that {path} was trained on, found others (pass that corpus)"
        )
    classes = corpus.info.classes[metadata.level]
    if classes != metadata.classes:
        raise UsageError(
            f"{corpus.path}: expected the order of classes that {path} was trained with, "
            f"{describe_value(metadata.classes)}, found {describe_value(classes)} (pass the corpus of that order; the "
            "last of two is the positive one)"
        )
    names = TrainSettings.__dataclass_fields__
    known = {name: value for name, value in config.items() if name in names}
    return TrainSettings(**{**known, "kernel_sizes": tuple(known["kernel_sizes"])})


def _deal_folds(view: SequenceView, folds: int, seed: int) -> npt.NDArray[np.int64]:
    if folds < 2:
        raise UsageError(f"expected at least 2 folds, found {folds}")
    counts = [len(np.unique(view.group_codes[view.labels == label])) for label in range(len(view.classes))]
    if min(counts) < folds:
        raise TrainingError(
            f"{folds} folds need as many training groups of every class; found "
            f"{describe_counts(counts, view.classes)} (take fewer folds)"
        )
    codes = assign_folds(view.labels, view.groups, seed=seed, folds=folds)
    for fold in range(folds):
        missing = sorted(set(range(len(view.classes))) - set(view.labels[codes != fold].tolist()))
        if missing:
            raise TrainingError(
                f"without fold {fold + 1} of {folds} no training sequence is of class "
                f"{view.classes[missing[0]]}: too few groups hold it (take another number of folds)"
            )
    return codes


def _score_start(data: AuditedData, settings: TrainSettings, folds: int) -> npt.NDArray[np.float64]:
    """Logits of all training sequences, out of fold, by what the network would start from."""
    start = fit_data(data, settings, folds=folds).start
    if start is None:
        raise TrainingError(
            "expected a start, found none: the model file says that its scores are the start's"
        )
    return start.train_logits(data.train)


def _train_and_score(
    data: AuditedData, rest: SequenceView, held_out: SequenceView, settings: TrainSettings, runtime: Runtime
) -> npt.NDArray[np.float64]:
    """Logits of held-out sequences, by a model of the rest."""
    known = fit_data(replace(data, train=rest), settings)
    with tempfile.TemporaryDirectory(prefix="tenor-fold-") as folder:
        path = Path(folder) / "fold.safetensors"
        train_on(known, settings, path, runtime=runtime, every=Every(None, None), progress=False)
        loaded = load_model(path)
    return score_view(loaded, held_out, runtime)
