"""What a loop of one's own hands to train_epoch and evaluate, refused before the first step where it does not fit.

Training's own loop has checked its data already. Knows nothing of how a step is taken.
"""

from __future__ import annotations

import torch
from torch import nn

from tenor.arguments import describe_found
from tenor.batching import SequenceDataset, StepLoader
from tenor.corpus.schema import UNLABELLED
from tenor.errors import UsageError
from tenor.models.sequence import SequenceClassifier

#: Losses of one logit a sequence, and of one a class: torch computes some of them on the other's without a word.
_BINARY_LOSSES = (nn.BCEWithLogitsLoss, nn.SoftMarginLoss)
_CLASS_LOSSES = (nn.CrossEntropyLoss, nn.NLLLoss, nn.MultiMarginLoss)


def check_pass(model: object, loader: object, loader_name: str, criterion: object) -> None:
    """Refuse what one pass over the data cannot be made with.

    Args:
        model: is to be a module.
        loader: is to be make_loader's, of labelled sequences.
        loader_name: the argument's name.
        criterion: is to be a loss of the model's logits.

    Raises:
        UsageError: another type, unlabelled sequences, or a model or a loss of other classes than theirs.
    """
    if not isinstance(model, nn.Module):
        raise UsageError(f"model: expected a SequenceClassifier, found {describe_found(model)} first")
    if not isinstance(loader, StepLoader):
        hint = " (tenor.make_loader makes one of it)" if isinstance(loader, SequenceDataset) else ""
        raise UsageError(
            f"{loader_name}: expected a loader that tenor.make_loader gives, found {describe_found(loader)}{hint}"
        )
    if loader.world_size != 1:
        raise UsageError(
            f"{loader_name}: expected a loader of one process, found the part of {loader.world_size}: what the others "
            "own would not be computed (leave rank and world_size out; train_model works in several processes)"
        )
    require_reduction(criterion)
    require_labels(loader.dataset, loader_name)
    _require_fit(model, loader.dataset.num_classes, criterion)


def require_optimizer(optimizer: object) -> None:
    """Refuse anything but an optimizer.

    Raises:
        UsageError: naming the type.
    """
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise UsageError(f"optimizer: expected one of torch.optim, found {describe_found(optimizer)}")


def require_reduction(criterion: object) -> None:
    """Refuse a loss that cannot be summed over sequences.

    Raises:
        UsageError: it has no reduction.
    """
    if not isinstance(criterion, nn.Module) or not hasattr(criterion, "reduction"):
        raise UsageError(
            "criterion: expected a loss module with a reduction, such as BCEWithLogitsLoss, found "
            f"{type(criterion).__name__}"
        )


def require_labels(dataset: SequenceDataset, name: str) -> None:
    """Refuse unlabelled sequences: -1 would be taken for a target.

    Raises:
        UsageError: naming how many there are.
    """
    unlabelled = int((dataset.view.labels == UNLABELLED).sum())
    if unlabelled:
        raise UsageError(
            f"{name}: {unlabelled:,} of {len(dataset):,} sequences are unlabelled: load labelled ones "
            "(load_dataset(..., labelled=True))"
        )


def _require_fit(model: nn.Module, classes: int, criterion: object) -> None:
    """Refuse a network or a loss that is meant for another number of classes."""
    if isinstance(model, SequenceClassifier) and model.num_classes != classes:
        raise UsageError(
            f"model: expected one of the sequences' {classes} classes, found one of {model.num_classes} "
            f"(SequenceClassifier(..., num_classes={classes}))"
        )
    kind, remedy = type(criterion).__name__, "BCEWithLogitsLoss" if classes == 2 else "CrossEntropyLoss"
    if isinstance(criterion, nn.BCELoss):
        raise UsageError(
            f"criterion: expected a loss of logits, found {kind}, of probabilities (use {remedy})"
        )
    if isinstance(criterion, _CLASS_LOSSES if classes == 2 else _BINARY_LOSSES):
        expected = "two classes, which have one logit" if classes == 2 else f"{classes} classes"
        raise UsageError(f"criterion: expected a loss of {expected}, found {kind} (use {remedy})")
    weight = getattr(criterion, "weight", None)
    if isinstance(criterion, _CLASS_LOSSES) and weight is not None and weight.shape != (classes,):
        raise UsageError(
            f"criterion: expected a weight of shape ({classes},), one a class, found {tuple(weight.shape)} "
            "(estimate_class_weights gives them)"
        )
