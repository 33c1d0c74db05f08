"""How far a run is, and its whole state as tensors and JSON.

Knows nothing of files.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from tenor.devices import Runtime
from tenor.errors import TrainingError
from tenor.training.checkpoint import Checkpoint
from tenor.training.history import EpochRecord
from tenor.training.schedule import Schedule


@dataclass
class Progress:
    """Counters of a run.

    Attributes:
        epoch: epochs completed.
        step: steps taken of the running epoch.
        global_step: steps taken in all.
        loss_sum, count: of the running epoch.
        best_score: the highest validation score so far; None before the first.
        epochs_without_progress: since then.
        kept_score: the validation score of the weights that are kept.
        kept_epoch: theirs.
        history: what the epochs did, epoch 0 (before training) first.
    """

    epoch: int = 0
    step: int = 0
    global_step: int = 0
    loss_sum: float = 0.0
    count: int = 0
    best_score: float | None = None
    epochs_without_progress: int = 0
    kept_score: float | None = None
    kept_epoch: int = 0
    history: list[EpochRecord] = field(default_factory=list)

    def add(self, loss_sum: float, count: int) -> None:
        """Count one step."""
        self.step += 1
        self.global_step += 1
        self.loss_sum += loss_sum
        self.count += count

    def mean_loss(self) -> float | None:
        """Of the running epoch; None before its first step."""
        return self.loss_sum / self.count if self.count else None

    def kept_record(self) -> EpochRecord:
        """What the epoch whose weights are kept did."""
        return self.history[self.kept_epoch]

    def close_epoch(self, record: EpochRecord, score: float, *, convinces: bool) -> bool:
        """Enter a finished epoch; whether its weights are to be kept: they convince, and none has a better score."""
        if self.history:
            self.epoch += 1
        self.history.append(record)
        self.step, self.loss_sum, self.count = 0, 0.0, 0
        self.epochs_without_progress += 1
        if self.best_score is None or score > self.best_score:
            self.best_score, self.epochs_without_progress = score, 0
        is_kept = self.kept_score is None or (convinces and score > self.kept_score)
        if is_kept:
            self.kept_score, self.kept_epoch = score, record.epoch
        return is_kept


def pack_state(
    model: nn.Module,
    kept: dict[str, torch.Tensor],
    first_losses: npt.NDArray[np.float64],
    optimizer: torch.optim.Optimizer,
    schedule: Schedule,
    generator: torch.Generator,
    progress: Progress,
    runtime: Runtime,
) -> Checkpoint:
    """The run's state; every process must call it, since each has its own random state."""
    tensors = {f"model.{name}": tensor.detach().cpu() for name, tensor in model.state_dict().items()}
    tensors.update({f"kept.{name}": tensor for name, tensor in kept.items()})
    tensors["losses.first"] = torch.from_numpy(first_losses)
    for index, values in optimizer.state_dict()["state"].items():
        for name, value in values.items():
            tensors[f"optimizer.{index}.{name}"] = torch.as_tensor(value).detach().cpu()
    for rank, random_state in enumerate(runtime.gather(generator.get_state())):
        tensors[f"generator.{rank}"] = random_state
    state = {
        "progress": asdict(progress),
        "schedule": schedule.state(),
        "learning_rates": [group["lr"] for group in optimizer.param_groups],
    }
    return Checkpoint(
        progress.global_step, {name: t.contiguous().clone() for name, t in tensors.items()}, state
    )


def unpack_state(
    checkpoint: Checkpoint,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    schedule: Schedule,
    generator: torch.Generator,
    runtime: Runtime,
) -> tuple[dict[str, torch.Tensor], npt.NDArray[np.float64], Progress]:
    """Put a checkpoint's state back in place; gives the kept weights, the first losses and the progress."""
    parts: dict[str, dict[str, Any]] = {
        "model": {}, "kept": {}, "losses": {}, "optimizer": {}, "generator": {},
    }  # fmt: skip
    for name, tensor in checkpoint.tensors.items():
        kind, rest = name.split(".", 1)
        parts.setdefault(kind, {})[rest] = tensor
    if "first" not in parts["losses"]:
        raise TrainingError(
            "the checkpoint was written by an earlier version of tenor: expected the first losses of validation in it "
            "(finish that run with the version that began it, or begin anew without resume)"
        )
    model.load_state_dict(parts["model"])
    state = optimizer.state_dict()
    for name, tensor in parts["optimizer"].items():
        index, key = name.split(".", 1)
        state["state"].setdefault(int(index), {})[key] = tensor
    for group, rate in zip(state["param_groups"], checkpoint.state["learning_rates"], strict=True):
        group["lr"] = rate
    optimizer.load_state_dict(state)
    schedule.restore(checkpoint.state["schedule"])
    generator.set_state(parts["generator"][str(runtime.rank)])
    values = dict(checkpoint.state["progress"])
    values["history"] = [EpochRecord(**record) for record in values["history"]]
    return parts["kept"], parts["losses"]["first"].numpy(), Progress(**values)
