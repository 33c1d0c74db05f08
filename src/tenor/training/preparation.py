"""What stands before the first step: audited sequences, feature scaling, the start, the loss.

Everything fitted here sees training sequences only. Knows nothing of epochs and checkpoints.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from tenor.batching import SequenceDataset, load_dataset, require_level
from tenor.corpus.audit import require_both_classes, require_clean_fit, require_split
from tenor.corpus.copies import OnCopies, require_no_copies
from tenor.corpus.corpus import Corpus, open_corpus
from tenor.corpus.growth import describe_hash
from tenor.corpus.hearing import LARGEST_JOINED, count_torn, join_hearers
from tenor.corpus.schema import UNLABELLED
from tenor.corpus.views import SequenceView
from tenor.devices import Runtime, plain_runtime
from tenor.encoding.scaling import feature_scaling
from tenor.errors import CorpusError, UsageError
from tenor.lexical import summarize_shares
from tenor.models.scoring import read_prior
from tenor.models.sequence import SequenceClassifier
from tenor.nn.initialization import initialize_weights
from tenor.seeding import derive_seed
from tenor.training.imbalance import IMBALANCE_METHODS, estimate_class_weights, estimate_pos_weight
from tenor.training.settings import TrainSettings
from tenor.training.start import FOLDS, Start, draw_sequences, fit_start

logger = logging.getLogger(__name__)

#: Below these a validation split chooses by chance as much as by merit.
FEW_GROUPS, FEW_POSITIVES = 30, 5


@dataclass(frozen=True)
class AuditedData:
    """What a run may be fitted on.

    Attributes:
        corpus: where it comes from.
        train: labelled training sequences; their groups are joined where they hear the same messages, and these are
            read (see tenor.corpus.hearing).
        validation: labelled validation sequences, likewise.
        others: unlabelled sequences of validation's labelled authors, which are part of their profiles.
        context: of the settings, or ``own`` where what others say cannot be read honestly.
        split_by: what decides each sequence's split but its group's id (see tenor.corpus.growth); None where more does.
    """

    corpus: Corpus
    train: SequenceView
    validation: SequenceView
    others: SequenceView
    context: str
    split_by: dict[str, Any] | None


@dataclass(frozen=True)
class TrainingData:
    """What a run reads.

    Attributes:
        corpus: where it comes from.
        train: labelled training sequences.
        validation: labelled validation sequences.
        start: what the network starts from and corrects; None = from nothing.
        others: unlabelled sequences of validation's labelled authors, part of their profiles; None = there are none.
        known_words: what is usual of how much of validation's words is known (see summarize_shares); None without text.
        split_by: as in AuditedData.
    """

    corpus: Corpus
    train: SequenceDataset
    validation: SequenceDataset
    start: Start | None
    others: SequenceDataset | None = None
    known_words: dict[str, float] | None = None
    split_by: dict[str, Any] | None = None


def prepare_data(
    dataset_path: str | Path,
    settings: TrainSettings,
    *,
    copies: OnCopies = "refuse",
    show: bool = True,
) -> AuditedData:
    """Open a corpus and audit what a run of these settings reads of it.

    Args:
        dataset_path: an analyzed corpus.
        settings: of the training.
        copies: what to do about texts that stand, nearly the same, in two splits.
        show: log warnings.

    Raises:
        CorpusError: no features or no labels.
        SplitError: a missing or empty split, a group or a text in two of them, or an encoder that saw more than train.
        TrainingError: training labels of one class only.
        UsageError: a number as the weight of the positive class of more than two, or a threshold's rule for these.
    """
    corpus = open_corpus(dataset_path)
    whole = load_dataset(corpus, require_level(settings.level)).view
    everything = whole.labelled()
    others = whole.in_split("validation").of_labelled_authors()
    others = others.select(others.labels == UNLABELLED)
    require_clean_fit(everything, show=show)
    require_split(everything, "train")
    require_split(everything, "validation")
    require_both_classes(everything.in_split("train"))
    if isinstance(settings.pos_weight, float) and len(everything.classes) > 2:
        raise UsageError(
            f"pos_weight: a number is for two classes, found {len(everything.classes)} (name a method: "
            f"{', '.join(IMBALANCE_METHODS)})"
        )
    if settings.threshold != "f1" and len(everything.classes) > 2:
        raise UsageError(
            f"threshold: {settings.threshold} is for two classes, found {len(everything.classes)}: several have no "
            "threshold, the highest score decides (leave it out)"
        )
    require_no_copies(everything, copies, show=show)
    if show:
        _warn_of_absent_classes(everything.in_split("train"))
        _warn_of_one_group(everything.in_split("train"))
        _warn_of_small_validation(everything.in_split("validation"))
    context, split_by = settings.context, describe_hash(everything)
    if (
        settings.prior != "none"
        and everything.level == "author"
        and context == "conversation"
        and corpus.has_text
    ):
        placed = everything.select(everything.split_codes >= 0)
        joined = join_hearers(placed)
        reason = "" if joined is placed else _why_not_to_hear(joined)
        if reason and show:
            logger.warning("authors are read by their own messages alone: %s", reason)
        context, everything = ("own", everything) if reason else (context, joined)
    return AuditedData(
        corpus, everything.in_split("train"), everything.in_split("validation"), others, context, split_by
    )


def _why_not_to_hear(joined: SequenceView) -> str:
    """Why a model that reads what others say could know test, or what is out of fold, by heart; "" = it cannot."""
    torn = count_torn(joined)
    if torn:
        return (
            f"{torn:,} of {len(joined):,} sequences, in conversations of three and more, hear the same messages as "
            "some of another split (to have these read, keep conversations together: tenor import --strict, "
            "--split-by conversation, or a group)"
        )
    train = joined.in_split("train")
    largest = int(np.bincount(train.group_codes).max())
    if largest > LARGEST_JOINED * len(train):
        return (
            f"{largest:,} of {len(train):,} training sequences are linked by conversations of three and more, which "
            "leaves no folds to weigh these by (name smaller groups, and import again)"
        )
    return ""


def fit_data(
    data: AuditedData,
    settings: TrainSettings,
    *,
    folds: int = FOLDS,
    runtime: Runtime | None = None,
    progress: bool = False,
) -> TrainingData:
    """Fit what the network starts from, as the settings say.

    Of a large corpus it is fitted on a draw of groups; the sequences of other groups, which none of its models has
    seen, are scored by them.

    Args:
        data: of prepare_data.
        settings: of the training.
        folds: into which the groups are dealt.
        runtime: its processes all fit the same, and share out what is scored; None = this process is alone.
        progress: show a bar.

    Raises:
        CorpusError: no text for a lexical prior that was asked for.
    """
    shared = plain_runtime() if runtime is None else runtime
    train, validation, known_words = SequenceDataset(data.train), SequenceDataset(data.validation), None
    others = SequenceDataset(data.others) if len(data.others) else None
    if settings.prior == "none":
        return TrainingData(data.corpus, train, validation, None, others, split_by=data.split_by)
    if settings.prior == "lexical" and not data.corpus.has_text:
        raise CorpusError(f"{data.corpus.path}: prior='lexical' needs text, found none (use prior='auto')")
    with_context = data.context == "conversation"
    with shared.together():
        drawn = draw_sequences(
            data.train,
            seed=settings.seed,
            with_context=with_context,
            max_characters=settings.fit_characters,
        )
        start = fit_start(
            data.train.select(drawn),
            seed=settings.seed,
            with_pooled=settings.prior == "auto",
            with_context=with_context,
            folds=folds,
            judge=data.validation if knows_labels(data.corpus) else None,
            progress=progress,
        )
    start = replace(start, train_prior=_score_others(start, data.train, drawn, shared))
    if start.lexical is not None:
        train = train.with_prior(start.train_prior)
        prior, shares = read_prior(start.lexical, data.validation, shared)
        validation, known_words = validation.with_prior(prior), summarize_shares(shares)
        if others is not None:
            others = others.with_prior(read_prior(start.lexical, data.others, shared)[0])
    return TrainingData(data.corpus, train, validation, start, others, known_words, data.split_by)


def describe_corpus(corpus: Corpus) -> dict[str, Any]:
    """What a model file says of the corpus that its model was trained on: attributes of ModelMetadata."""
    encoder = corpus.info.encoder
    return {
        "feature_names": corpus.info.feature_names,
        "encoder_name": None if encoder is None else encoder.name,
        "encoder_hash": None if encoder is None else encoder.hash,
        "split_hash": corpus.info.split_hash,
    }


def knows_labels(corpus: Corpus) -> bool:
    """Whether the features of training sequences know their labels: the encoder was fine-tuned on these."""
    return corpus.info.encoder is not None and corpus.info.encoder.knows_labels


def _score_others(
    start: Start, view: SequenceView, drawn: npt.NDArray[np.int64], runtime: Runtime
) -> npt.NDArray[np.float64]:
    """The prior of all training sequences, (S,) or (S, C), of a start that was fitted on those drawn."""
    if len(drawn) == len(view):
        return start.train_prior
    prior = np.zeros((len(view), *start.train_prior.shape[1:]))
    prior[drawn] = start.train_prior
    if start.lexical is not None:
        rest = np.setdiff1d(np.arange(len(view)), drawn)
        prior[rest], _ = read_prior(start.lexical, view.select(rest), runtime)
    return prior


def _warn_of_small_validation(view: SequenceView) -> None:
    """Say that a choice by a handful of groups is hardly one."""
    groups = view.groups.count_distinct()
    counts = np.bincount(view.labels, minlength=max(2, len(view.classes)))
    is_binary = len(counts) == 2
    fewest = 1 if is_binary else int(counts.argmin())
    if groups < FEW_GROUPS or counts[fewest] < FEW_POSITIVES:
        logger.warning(
            "validation has only %s and %d %s: the epoch%s that it chooses mean%s little "
            "(give it a larger share: tenor import --fractions)",
            "1 group" if groups == 1 else f"{groups} groups",
            counts[fewest],
            "positives" if is_binary else f"of class {view.classes[fewest]}",
            *((" and the threshold", "") if is_binary else ("", "s")),
        )


def _warn_of_one_group(view: SequenceView) -> None:
    """Say of which class one group has most of the training sequences: what is learned of it may be that group."""
    groups, names = view.groups.rank()
    for code, label in enumerate(view.classes):
        counts = np.bincount(groups[view.labels == code], minlength=len(names))
        if len(names) > 1 and counts.max() > counts.sum() / 2 and (counts > 0).sum() > 1:
            logger.warning(
                "%s of the %s training sequences of class %s are of one group: the model may learn what is peculiar to "
                "it (label more groups, or fewer sequences of this one)",
                f"{counts.max():,}",
                f"{counts.sum():,}",
                label,
            )


def _warn_of_absent_classes(view: SequenceView) -> None:
    """Say which of several classes cannot be learned."""
    counts = np.bincount(view.labels, minlength=len(view.classes))
    absent = [str(label) for label, count in zip(view.classes, counts, strict=True) if not count]
    if absent:
        logger.warning(
            "no training sequence is of class %s: the model cannot learn it, nor decide for it (label more, or "
            "give training a larger share: tenor import --fractions)",
            ", ".join(absent),
        )


def build_model(
    data: TrainingData, settings: TrainSettings, runtime: Runtime | None = None
) -> SequenceClassifier:
    """A freshly initialised model that knows the training features' scale.

    With a start, the deep part's last layer begins at zero, so that before any training the scores are those of the
    start, and the pooled part stays as it was fitted; without one, the bias begins at the classes' log frequencies
    (Lin et al. 2017, "Focal Loss", sec. 4.1).
    """
    with torch.random.fork_rng(
        devices=[]
    ):  # torch's own draws of weights, which are drawn anew, are a caller's
        model = SequenceClassifier(
            input_size=data.train.input_size,
            hidden_size=settings.hidden_size,
            num_layers=settings.num_layers,
            num_heads=settings.num_heads,
            dropout=settings.dropout,
            kernel_sizes=settings.kernel_sizes,
            num_classes=data.train.num_classes,
            has_prior=data.start is not None and data.start.lexical is not None,
        )
    initialize_weights(model, torch.Generator().manual_seed(derive_seed(settings.seed, "weights")))
    nn.init.zeros_(model.pooled.weight)
    mean, std = feature_scaling(
        data.train.view, None if runtime is None or runtime.world_size == 1 else runtime
    )
    model.set_scaling(mean, std)
    last = model.head[-1]
    if isinstance(last, nn.Linear):
        with torch.no_grad():
            if data.start is None:
                last.bias.copy_(_log_frequencies(data.train.view.labels, data.train.num_classes))
            else:
                last.weight.zero_()
    if data.start is not None and data.start.pooled is not None:
        model.set_pooled(data.start.pooled.coefficients, data.start.pooled.intercept)
        model.pooled.requires_grad_(False)
    return model


def _log_frequencies(labels: npt.NDArray[np.int64], num_classes: int) -> torch.Tensor:
    """The bias that makes an input-blind model predict the base rate: (1,) log-odds, or (C,) log frequencies."""
    logs = torch.log(
        torch.from_numpy(np.bincount(labels, minlength=num_classes) / len(labels)).clamp_min(1e-8)
    )
    return (logs[1:] - logs[:1] if num_classes == 2 else logs).float()


def build_criterion(labels: npt.NDArray[np.int64], num_classes: int, settings: TrainSettings) -> nn.Module:
    """The loss: logistic for two classes, cross-entropy for more, weighted as asked."""
    if num_classes == 2:
        weight = settings.pos_weight
        if isinstance(weight, str):
            weight = estimate_pos_weight(labels, weight, beta=settings.beta, gamma=settings.gamma)
        return nn.BCEWithLogitsLoss(pos_weight=None if weight is None else torch.tensor(float(weight)))
    if not isinstance(settings.pos_weight, str):  # no number: prepare_data refuses it
        return nn.CrossEntropyLoss()
    weights = estimate_class_weights(
        labels, num_classes, settings.pos_weight, beta=settings.beta, gamma=settings.gamma
    )
    return nn.CrossEntropyLoss(weight=torch.from_numpy(weights).float())
