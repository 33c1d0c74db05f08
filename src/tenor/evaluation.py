"""Score a corpus with a model file, and say how good the scores are: at the level of sequences and of profiles.

Thresholds come from validation; the test split is read for the final numbers only, and each reading is counted.
Knows nothing of training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tenor.aggregation.fixed import AGGREGATIONS, Aggregation, LabelRule, aggregate_all
from tenor.aggregation.profiles import Profiles, build_profiles
from tenor.batching import SequenceDataset, load_dataset
from tenor.corpus.audit import require_split
from tenor.corpus.corpus import Corpus, open_corpus
from tenor.corpus.readings import count_test_read
from tenor.corpus.schema import SPLITS, Label, Split
from tenor.devices import Runtime, start_runtime
from tenor.errors import CorpusError, ModelFileError, UsageError
from tenor.files import sha256_file
from tenor.metrics.scores import calculate_metrics
from tenor.metrics.thresholds import choose_threshold
from tenor.models.model_file import ModelMetadata, load_model
from tenor.models.scoring import score_dataset, to_probs
from tenor.models.sequence import SequenceClassifier
from tenor.predictions import Predictions, write_predictions

if TYPE_CHECKING:
    from tenor.lexical import LexicalModel

Metrics = dict[str, Any]
ALL_SPLITS = "all"


def predict(
    model_path: str | Path,
    dataset_path: str | Path,
    *,
    split: str = "test",
    output: str | Path | None = None,
    device: str | None = None,
    mixed_precision: str = "no",
    progress: bool = False,
) -> Predictions:
    """Score the sequences of a corpus, labelled or not.

    Args:
        model_path: a model file of train_model.
        dataset_path: a corpus encoded with the model's encoder.
        split: ``"train"``, ``"validation"``, ``"test"``, or ``"all"``.
        output: a Parquet file to write: ids, group, split, label, logit, prob.
        device: where to compute; None = the best there is.
        mixed_precision: ``"no"`` or ``"bf16"``.
        progress: show a bar.

    Raises:
        ModelFileError: the file is no sound model, or its encoder is not the corpus's.
        CorpusError: the corpus has no features, or no text for the model's lexical prior.
        UsageError: an unknown split.
    """
    scorer = Scorer.open(model_path, start_runtime(device, mixed_precision), progress=progress)
    corpus = open_corpus(dataset_path)
    if split not in (*SPLITS, ALL_SPLITS):
        raise UsageError(f"split must be one of {', '.join(SPLITS)} or {ALL_SPLITS}, not {split!r}")
    splits: tuple[Split, ...] = SPLITS if split == ALL_SPLITS else (split,)  # type: ignore[assignment]
    predictions = scorer.score(corpus, splits)
    if output is not None and scorer.runtime.is_main:
        write_predictions(predictions, output)
    return predictions


def test_model(
    model_type: str,
    model_path: str | Path,
    dataset_path: str | Path,
    *,
    device: str | None = None,
    progress: bool = False,
) -> Metrics:
    """Evaluate a trained model on the test split, at the threshold that validation chose.

    Args:
        model_type: ``"conversation"`` or ``"author"``; must be the model's own.
        model_path: a model file of train_model.
        dataset_path: the analyzed corpus.
        device: where to compute; None = the best there is.
        progress: show a bar.

    Returns:
        accuracy, precision, recall, f1, roc_auc, average_precision (None where undefined, with the reason), threshold,
        count, positives, and test_reads: how often the corpus's test split was read at this level.

    Raises:
        ModelFileError: the file is no sound model, of another level, or of another encoder.
        SplitError: the test split is empty.
    """
    scorer = Scorer.open(model_path, start_runtime(device), progress=progress)
    _require_level(scorer, model_type)
    corpus = open_corpus(dataset_path)
    predictions = scorer.score(corpus, ("test",), labelled=True)
    metrics: Metrics = dict(calculate_metrics(predictions.labels, predictions.probs, predictions.threshold))
    metrics["test_reads"] = scorer.count_read(corpus, scorer.level)
    return metrics


def evaluate_profile_classifier(
    author_model_path: str | Path,
    dataset_path: str | Path,
    aggregation: str = "mean",
    *,
    profile_label: LabelRule = "majority",
    device: str | None = None,
    progress: bool = False,
) -> Metrics:
    """Evaluate profiles: each author's sequence scores aggregated to one.

    Args:
        author_model_path: a model file of ``train_model("author", ...)``.
        dataset_path: the analyzed corpus.
        aggregation: ``"mean"``, ``"median"``, ``"mean_vote"`` or ``"total_vote"``.
        profile_label: how an author's differing sequence labels make the profile's: ``"any"``, ``"majority"`` (ties go
            to the higher class) or ``"constant"`` (differing ones are an error).
        device: where to compute; None = the best there is.
        progress: show a bar.

    Returns:
        As test_model, over test profiles; the threshold is the one with the best F1 on validation profiles.

    Raises:
        ModelFileError: the file is no sound author model, or of another encoder.
        SplitError: the validation or the test split is empty.
        UsageError: an unknown aggregation, or labels that differ under ``"constant"``.
    """
    if aggregation not in AGGREGATIONS:
        raise UsageError(f"aggregation must be one of {', '.join(AGGREGATIONS)}, not {aggregation!r}")
    evaluated = evaluate_profiles(
        author_model_path,
        dataset_path,
        (aggregation,),
        profile_label=profile_label,
        device=device,
        progress=progress,
    )
    return evaluated[aggregation].metrics


def compare_aggregation_methods(
    author_model_path: str | Path,
    dataset_path: str | Path,
    *,
    profile_label: LabelRule = "majority",
    device: str | None = None,
    progress: bool = False,
) -> dict[str, Metrics]:
    """Evaluate every aggregation on the same scores, each with its own threshold from validation.

    Returns:
        aggregation -> metrics as of evaluate_profile_classifier. The test split is read once for all of them.
    """
    evaluated = evaluate_profiles(
        author_model_path,
        dataset_path,
        AGGREGATIONS,
        profile_label=profile_label,
        device=device,
        progress=progress,
    )
    return {name: result.metrics for name, result in evaluated.items()}


@dataclass(frozen=True)
class ProfileResult:
    """One aggregation's profiles: their scores in validation and test, and the test metrics."""

    predictions: Predictions
    metrics: Metrics


def evaluate_profiles(
    author_model_path: str | Path,
    dataset_path: str | Path,
    aggregations: Sequence[Aggregation] = AGGREGATIONS,
    *,
    profile_label: LabelRule = "majority",
    device: str | None = None,
    progress: bool = False,
) -> dict[str, ProfileResult]:
    """Score validation and test authors once, aggregate in each way; see evaluate_profile_classifier."""
    scorer = Scorer.open(author_model_path, start_runtime(device), progress=progress)
    _require_level(scorer, "author")
    corpus = open_corpus(dataset_path)
    sequences = scorer.score(corpus, ("validation", "test"), labelled=True)
    test_reads = scorer.count_read(corpus, "profile")
    results = {}
    for name, profiles in profile_predictions(sequences, aggregations, profile_label=profile_label).items():
        test = profiles.in_split("test")
        metrics: Metrics = dict(calculate_metrics(test.labels, test.probs, profiles.threshold))
        results[name] = ProfileResult(profiles, {**metrics, "test_reads": test_reads})
    return results


def profile_predictions(
    sequences: Predictions,
    aggregations: Sequence[Aggregation] = AGGREGATIONS,
    *,
    profile_label: LabelRule = "majority",
) -> dict[str, Predictions]:
    """Aggregate author sequences' predictions to profiles', with a threshold from the validation profiles.

    Needs no model: a predictions file of validation and test sequences is enough.

    Args:
        sequences: level author, with validation rows for the threshold.
        aggregations: which.
        profile_label: see evaluate_profile_classifier.

    Returns:
        aggregation -> predictions of level profile; logits are the scores' log-odds, clipped to ±27.6.
    """
    if sequences.level != "author" or sequences.authors is None:
        raise UsageError(f"profiles need predictions of level 'author', not {sequences.level!r}")
    profiles = build_profiles(
        sequences.authors, sequences.groups, sequences.splits, sequences.labels, label_rule=profile_label
    )
    cut = 0.5 if sequences.threshold is None else sequences.threshold
    scores = aggregate_all(sequences.probs, profiles.codes, len(profiles), cut, methods=aggregations)
    return {name: _as_predictions(sequences, profiles, score) for name, score in scores.items()}


def best_by_validation(tables: Mapping[str, Predictions], metric: str = "average_precision") -> str:
    """The name of the table with the best score on validation; the first of equals, or where it is undefined.

    Args:
        tables: name -> predictions with validation rows.
        metric: of calculate_metrics.
    """

    def score(name: str) -> float:
        known = tables[name].in_split("validation").labelled()
        value = calculate_metrics(known.labels, known.probs, tables[name].threshold)[metric]
        return -1.0 if value is None else value

    return max(tables, key=score)


def _as_predictions(
    sequences: Predictions, profiles: Profiles, scores: npt.NDArray[np.float64]
) -> Predictions:
    """Profiles as a predictions table, their threshold from its validation rows (binary only)."""
    threshold = None
    known = (profiles.splits == "validation") & (profiles.labels >= 0)
    if scores.ndim == 1 and known.any():
        threshold = choose_threshold(profiles.labels[known], scores[known]).value
    inside = np.clip(scores, 1e-12, 1 - 1e-12)
    return Predictions(
        level="profile",
        classes=sequences.classes,
        conversation_ids=None,
        authors=profiles.authors,
        groups=profiles.groups,
        splits=profiles.splits,
        labels=profiles.labels,
        lengths=profiles.lengths,
        logits=np.log(inside) - np.log1p(-inside),
        probs=scores,
        threshold=threshold,
        model=sequences.model,
        model_hash=sequences.model_hash,
    )


@dataclass(frozen=True)
class Scorer:
    """A model file, opened and ready to score corpora.

    Attributes:
        path: the model file.
        hash: its SHA-256.
        model: on the runtime's device.
        metadata: what the file says of itself.
        lexical: the prior's model; None when the model has no prior.
    """

    path: Path
    hash: str
    model: SequenceClassifier
    metadata: ModelMetadata
    lexical: LexicalModel | None
    runtime: Runtime
    progress: bool = False

    @classmethod
    def open(cls, model_path: str | Path, runtime: Runtime, *, progress: bool = False) -> Scorer:
        """Read a model file and put it on the runtime's device."""
        path = Path(model_path)
        loaded = load_model(path)
        model = loaded.model.to(runtime.device)
        return cls(path, sha256_file(path), model, loaded.metadata, loaded.lexical, runtime, progress)

    @property
    def level(self) -> str:
        """The level the model was trained at."""
        return self.metadata.level

    def score(self, corpus: Corpus, splits: Sequence[Split], *, labelled: bool = False) -> Predictions:
        """Score a corpus's sequences in some splits.

        Args:
            corpus: encoded with the model's encoder.
            splits: which.
            labelled: leave unlabelled sequences out, and require some in every split.

        Raises:
            ModelFileError: another encoder or width than the model's.
            CorpusError: no features, no text for the prior, or a label that the model does not know.
            SplitError: an empty split, with `labelled`.
        """
        self.require_encoder(corpus)
        dataset = load_dataset(corpus, self.level, labelled=labelled)
        if labelled:
            for split in splits:
                require_split(dataset.view, split)
        view = dataset.view.select(np.isin(dataset.view.splits, splits))
        # The model's classes give the logits' shape, whatever labels the corpus has.
        dataset = self._with_prior(SequenceDataset(replace(view, classes=self.metadata.classes)))
        logits = score_dataset(self.model, dataset, self.runtime, progress=self.progress)
        return Predictions(
            level=self.level,  # type: ignore[arg-type]
            classes=self.metadata.classes,
            conversation_ids=view.conversation_ids,
            authors=view.authors,
            groups=view.groups,
            splits=view.splits,
            labels=_recode(view.labels, view.classes, self.metadata.classes, corpus.path),
            lengths=view.lengths,
            logits=logits,
            probs=to_probs(logits),
            threshold=self.metadata.threshold,
            model=self.path.name,
            model_hash=self.hash,
        )

    def count_read(self, corpus: Corpus, level: str) -> int | None:
        """Enter one reading of the test split, once for all processes; see count_test_read."""
        is_main = self.runtime.is_main
        count = count_test_read(corpus.path, level=level, model_hash=self.hash) if is_main else None
        shared = int(self.runtime.sum_float(0 if count is None else count))
        return shared if shared else None

    def _with_prior(self, dataset: SequenceDataset) -> SequenceDataset:
        if self.lexical is None:
            return dataset
        corpus = dataset.view.corpus
        if not corpus.has_text:
            raise CorpusError(
                f"{corpus.path}: {self.path} has a lexical prior, which needs the messages' text, and found none "
                "(train with prior='none' for a corpus without text)"
            )
        texts = ["\n".join(messages) for messages in dataset.view.texts(np.arange(len(dataset)))]
        return dataset.with_prior(self.lexical.logits(texts))

    def require_encoder(self, corpus: Corpus) -> None:
        """Refuse a corpus that was not encoded with the model's encoder.

        Raises:
            ModelFileError: another encoder or width; both are named.
        """
        encoder = corpus.info.encoder
        found = (None, None) if encoder is None else (encoder.name, encoder.hash)
        expected = (self.metadata.encoder_name, self.metadata.encoder_hash)
        if found != expected:
            raise ModelFileError(
                f"{corpus.path} was encoded with {_describe(*found)}, the model {self.path} expects "
                f"{_describe(*expected)} (encode it with the model's: tenor encode --encoder like:TRAINING_CORPUS)"
            )
        if corpus.info.input_size is not None and corpus.info.input_size != self.model.input_size:
            raise ModelFileError(
                f"{corpus.path} has {corpus.info.input_size} features a message, the model {self.path} reads "
                f"{self.model.input_size}"
            )


def _describe(name: str | None, digest: str | None) -> str:
    return "features made elsewhere" if name is None else f"{name} (hash {str(digest)[:12]})"


def _require_level(scorer: Scorer, level: str) -> None:
    if scorer.level != level:
        raise ModelFileError(f"{scorer.path} is a model of level {scorer.level!r}, not {level!r}")


def _recode(
    labels: npt.NDArray[np.int64],
    corpus_classes: tuple[Label, ...],
    model_classes: tuple[Label, ...],
    path: Path,
) -> npt.NDArray[np.int64]:
    """Labels as the model's class indices, -1 where unlabelled.

    Raises:
        CorpusError: a label that the model was not trained on.
    """
    if corpus_classes == model_classes:
        return labels
    present = {corpus_classes[index] for index in np.unique(labels[labels >= 0])}
    unknown = sorted(map(str, present - set(model_classes)))
    if unknown:
        raise CorpusError(
            f"{path}: label {', '.join(unknown)} is unknown to the model, which knows "
            f"{', '.join(map(str, model_classes))}"
        )
    codes = {label: index for index, label in enumerate(model_classes)}
    table = np.array([codes.get(label, -1) for label in corpus_classes] + [-1], dtype=np.int64)
    return table[labels]
