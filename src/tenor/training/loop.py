"""One pass over the data: train_epoch and evaluate, the exact step behind them.

A step's sequences come as micro-batches of similar length; their losses are summed, divided by the step's count and
accumulated, so the update is the one that the single padded batch would have made. Knows nothing of epochs,
checkpoints or early stopping: those are in ``train``.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from tenor.batching import SequenceDataset, Step, StepLoader
from tenor.devices import Runtime, plain_runtime
from tenor.errors import TrainingError
from tenor.logits import to_probs
from tenor.metrics.scores import calculate_metrics
from tenor.metrics.thresholds import choose_threshold
from tenor.models.scoring import score_loader
from tenor.models.sequence import SequenceClassifier
from tenor.prefetch import bring_steps
from tenor.training.gradients import GradientSum, step_if, sum_losses
from tenor.training.passes import GraphedPass, Pass
from tenor.training.requests import check_pass, require_optimizer, require_reduction

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Metrics = dict[str, float | None]

#: Sequences that an error names.
MAX_NAMED = 5


@dataclass(frozen=True, slots=True)
class StepResult:
    """What one optimizer step saw.

    Attributes:
        number: of the step in its epoch, from 0.
        loss_sum: summed loss of the step's sequences, over all processes.
        count: sequences in the step, over all processes.
        probs: (B,) or (B, C) of this process's sequences, from the training-mode forward pass.
        labels: (B,) of this process's sequences.
    """

    number: int
    loss_sum: float
    count: int
    probs: Floats
    labels: Integers


def run_steps(
    model: nn.Module,
    loader: StepLoader,
    criterion: nn.Module,
    optimizer: torch.optim.Optimizer,
    runtime: Runtime,
    *,
    clip_norm: float | None = 1.0,
    start: int = 0,
    passes: Pass | None = None,
) -> Generator[StepResult]:
    """Take the epoch's optimizer steps from number `start` on, one for each result that is asked for.

    Args:
        model: takes (features, mask, prior) and gives logits; the mask is on the CPU, and features are packed (see
            Batch).
        loader: from make_loader.
        criterion: a loss module with a ``reduction``, such as ``BCEWithLogitsLoss``; its mean is taken over the step.
        optimizer: over the model's parameters.
        runtime: device and processes.
        clip_norm: the gradient's largest 2-norm; None = not clipped.
        start: steps of this epoch already taken.
        passes: of make_passes with the same model, criterion and runtime, where one is to serve several epochs.

    Raises:
        TrainingError: a loss or gradient that is not finite, or a GPU's memory is full; the weights are still those of
            the last good step.
    """
    if passes is None:
        passes = Pass(model, _sum_loss(criterion, runtime), runtime)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    gradients = GradientSum(parameters)  # once: fresh memory for each step would cost more than the sums
    with bring_steps(loader, runtime.device, start) as brought:
        upcoming = next(brought, None)
        for number in itertools.count(start):
            if upcoming is None:
                return
            step, batches = upcoming
            if not model.training:  # it walks through all modules, which shows in a step of a GPU
                model.train()
            gradients.clear(is_single=runtime.world_size == len(step.cuts) == 1)
            with _naming_full_memory(number, step):
                done = []
                for batch in batches:
                    loss, logits = passes.run(batch, step.count)
                    gradients.add()
                    done.append(_Done(batch.indices.numpy(), loss, logits))
                gradients.share(runtime)
                norm = nn.utils.clip_grad_norm_(parameters, float("inf") if clip_norm is None else clip_norm)
                loss_sum = sum_losses((each.loss for each in done), runtime)
                step_if(torch.isfinite(norm) & torch.isfinite(loss_sum), optimizer)
            # A GPU is at work now: the next batches are made before its results are waited for.
            upcoming = next(brought, None)
            yield _look(number, step, done, float(loss_sum), float(norm), runtime)


@contextlib.contextmanager
def _naming_full_memory(number: int, step: Step) -> Iterator[None]:
    """Say what to lower where a GPU has no memory for a step."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        longest = int(step.dataset.lengths[step.indices].max(initial=0))
        raise TrainingError(
            f"step {number}: the GPU has no memory for {len(step.indices)} sequences of up to {longest} messages "
            "(lower micro_batch_messages, or the network's size)"
        ) from error


def make_passes(model: nn.Module, criterion: nn.Module, runtime: Runtime) -> Pass:
    """What runs micro-batches forward and backward, for several epochs: on an NVIDIA GPU by recorded graphs."""
    loss = _sum_loss(criterion, runtime)
    if runtime.device.type == "cuda" and isinstance(model, SequenceClassifier):
        return GraphedPass(model, loss, runtime)
    return Pass(model, loss, runtime)


def train_epoch(
    model: nn.Module,
    train_loader: StepLoader,
    criterion: nn.Module,
    optimizer: torch.optim.Optimizer,
    device: torch.device | str,
    *,
    clip_norm: float | None = 1.0,
) -> tuple[float, Floats, Integers]:
    """Train on every sequence once.

    Args:
        model: a SequenceClassifier.
        train_loader: from make_loader, with ``shuffle=True``.
        criterion: ``BCEWithLogitsLoss`` for two classes, ``CrossEntropyLoss`` for more.
        optimizer: over the model's parameters.
        device: where to compute; the model is moved there.
        clip_norm: the gradient's largest 2-norm; None = not clipped.

    Returns:
        (mean loss, probs (N,) or (N, C), labels (N,)); the probs are those of the training-mode passes, in the order
        of training.

    Raises:
        TrainingError: a loss or gradient that is not finite.
        UsageError: an argument of another type, unlabelled sequences, or a loss or model of other classes.
    """
    check_pass(model, train_loader, "train_loader", criterion)
    require_optimizer(optimizer)
    model.to(device)
    runtime = plain_runtime(device)
    results = list(run_steps(model, train_loader, criterion, optimizer, runtime, clip_norm=clip_norm))
    train_loader.epoch += 1  # the next pass draws another shuffle
    if not results:
        raise TrainingError("expected at least one sequence to train on, found none")
    loss = sum(result.loss_sum for result in results) / sum(result.count for result in results)
    probs = np.concatenate([result.probs for result in results])
    return loss, probs, np.concatenate([result.labels for result in results])


def evaluate(
    model: nn.Module, val_loader: StepLoader, criterion: nn.Module, device: torch.device | str
) -> tuple[float, Floats, Integers, Metrics, float | None]:
    """Score every sequence in eval and inference mode; the model's mode is restored.

    Args:
        model: a SequenceClassifier.
        val_loader: from make_loader.
        criterion: as in train_epoch.
        device: where to compute; the model is moved there.

    Returns:
        (mean loss, probs (N,) or (N, C), labels (N,), metrics, threshold), in the dataset's order. The threshold is the
        one for F1 on these data (choose_threshold), so hand in validation data; None for several classes.

    Raises:
        TrainingError: scores that are not finite, with their sequences.
        UsageError: as train_epoch.
    """
    check_pass(model, val_loader, "val_loader", criterion)
    model.to(device)
    result = evaluate_loader(model, val_loader, criterion, plain_runtime(device))
    return result.mean_loss, result.probs, result.labels, result.metrics, result.threshold


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What a model does on held-out sequences, in the dataset's order.

    Attributes:
        losses: (N,) each sequence's.
        probs: (N,) or (N, C).
        labels: (N,).
        metrics: at the threshold.
        threshold: the one for F1 (choose_threshold); None for several classes.
    """

    losses: Floats
    probs: Floats
    labels: Integers
    metrics: Metrics
    threshold: float | None

    @property
    def mean_loss(self) -> float:
        """Over the sequences; 0 of none."""
        return float(self.losses.sum()) / max(1, len(self.losses))


def evaluate_loader(
    model: nn.Module, loader: StepLoader, criterion: nn.Module, runtime: Runtime
) -> Evaluation:
    """Evaluate on all processes of a runtime; see evaluate.

    Raises:
        TrainingError: scores that are not finite, with their sequences.
    """
    logits = score_loader(model, loader, runtime)
    _require_finite(logits, loader.dataset)
    labels = loader.dataset.view.labels
    losses = _reducing(criterion, "none").cpu()(
        *_loss_arguments(torch.from_numpy(logits).float(), torch.from_numpy(labels))
    )
    probs = to_probs(logits)
    threshold = choose_threshold(labels, probs).value if probs.ndim == 1 else None
    metrics = calculate_metrics(labels, probs, threshold)
    return Evaluation(losses.double().numpy(), probs, labels, metrics, threshold)


def _require_finite(logits: Floats, dataset: SequenceDataset) -> None:
    if np.isfinite(logits).all():
        return
    broken = np.flatnonzero(_find_broken(logits))
    raise TrainingError(
        f"a validation score is not finite; sequences: {_list_names(dataset, broken[:MAX_NAMED], len(broken))} "
        "(lower the learning rate, or look for extreme features)"
    )


@dataclass(frozen=True, slots=True)
class _Done:
    """A micro-batch that went forward and backward: loss (scalar) and logits on the device, perhaps not there yet."""

    indices: Integers
    loss: torch.Tensor
    logits: torch.Tensor


def _look(
    number: int, step: Step, done: list[_Done], loss_sum: float, norm: float, runtime: Runtime
) -> StepResult:
    """What a step saw.

    Raises:
        TrainingError: the loss or the gradient's norm is not finite; the step was not taken.
    """
    remedy = "(lower the learning rate, or look for extreme features)"
    found = [each.logits.cpu() for each in done]
    if not np.isfinite(loss_sum):
        broken = [
            each.indices[_find_broken(logits.float().numpy())]
            for each, logits in zip(done, found, strict=True)
            if not np.isfinite(float(each.loss))
        ]
        names = _name_sequences(step, runtime, np.concatenate([np.zeros(0, dtype=np.int64), *broken]))
        raise TrainingError(f"step {number}: the loss is {loss_sum}; sequences: {names} {remedy}")
    if not np.isfinite(norm):
        names = _name_sequences(step, runtime)
        raise TrainingError(f"step {number}: the gradient's norm is {norm}; its sequences: {names} {remedy}")
    if not done:
        return StepResult(number, loss_sum, step.count, np.zeros(0), np.zeros(0, dtype=np.int64))
    labels = step.dataset.view.labels[np.concatenate([each.indices for each in done])]
    probs = np.concatenate([to_probs(logits.double().numpy()) for logits in found])
    return StepResult(number, loss_sum, step.count, probs, labels)


def _sum_loss(criterion: nn.Module, runtime: Runtime) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """(logits, labels) to the criterion's sum over them."""
    summed = _reducing(criterion, "sum").to(runtime.device)

    def loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        total: torch.Tensor = summed(*_loss_arguments(logits, labels))
        return total

    return loss


def _reducing(criterion: nn.Module, reduction: str) -> nn.Module:
    """The same loss, ``"sum"``med over sequences or one each (``"none"``)."""
    require_reduction(criterion)
    reducing = copy.deepcopy(
        criterion
    )  # a shallow copy would share the weights' place, and move them for both
    setattr(reducing, "reduction", reduction)  # noqa: B010 - Module's own attributes are typed as tensors
    return reducing


def _loss_arguments(logits: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Binary losses want float labels, losses over classes integer ones."""
    return (logits, labels.to(logits.dtype)) if logits.ndim == 1 else (logits, labels)


def _find_broken(logits: Floats | npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """(B,) which rows of logits are not finite; all, where it is only their loss."""
    broken = ~np.isfinite(logits.reshape(len(logits), logits.size // max(1, len(logits)))).all(axis=1)
    return np.asarray(broken if broken.any() else ~broken)


def _name_sequences(step: Step, runtime: Runtime, broken: Integers | None = None) -> str:
    """The first few conversation ids of the step's broken sequences, on all processes; of all, where none is known."""
    mine = np.concatenate([np.zeros(0, dtype=np.int64), *step.cuts])
    known = np.zeros(0, dtype=np.int64) if broken is None else broken
    (is_known,) = runtime.any(len(known) > 0)
    found = known if is_known else mine
    part = np.full(1 + MAX_NAMED, -1, dtype=np.int64)  # how many, and the first of them
    part[0], part[1 : 1 + min(len(found), MAX_NAMED)] = len(found), found[:MAX_NAMED]
    parts = np.stack([each.numpy() for each in runtime.gather(torch.from_numpy(part))])
    first = parts[:, 1:][parts[:, 1:] >= 0][:MAX_NAMED]
    return _list_names(step.dataset, first, int(parts[:, 0].sum()))


def _list_names(dataset: SequenceDataset, indices: Integers, count: int) -> str:
    """Conversation ids of a few of `count` sequences."""
    names = ", ".join(map(str, dataset.view.conversation_ids[indices]))
    return names + (f" and {count - len(indices)} more" if count > len(indices) else "")
