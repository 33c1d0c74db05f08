"""How the learning rate moves: ReduceLROnPlateau by the validation score, or warm-up and cosine by the step.

Knows nothing of models; its whole state is a few JSON numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

import torch


class Schedule(Protocol):
    """Moves an optimizer's learning rate."""

    def before_step(self, step: int) -> None:
        """Called before global step `step`, counted from 0."""

    def after_epoch(self, score: float) -> None:
        """Called with the epoch's validation score, higher = better."""

    def state(self) -> dict[str, Any]:
        """JSON-ready state."""

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a state."""


class PlateauSchedule:
    """torch's ReduceLROnPlateau, as the seed's training loop uses it: halve after some epochs without progress."""

    def __init__(self, optimizer: torch.optim.Optimizer, *, patience: int = 4, factor: float = 0.5) -> None:
        self._scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimizer, mode="max", factor=factor, patience=patience
        )

    def before_step(self, step: int) -> None:
        """Nothing: this schedule moves between epochs."""

    def after_epoch(self, score: float) -> None:
        """Lower the learning rate if the score has not risen for `patience` epochs."""
        self._scheduler.step(score)

    def state(self) -> dict[str, Any]:
        """The scheduler's counters; the learning rate itself is in the optimizer."""
        state = self._scheduler.state_dict()
        best = state["best"]
        return {
            "best": best if math.isfinite(best) else None,
            "num_bad_epochs": state["num_bad_epochs"],
            "last_epoch": state["last_epoch"],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a state."""
        best = -math.inf if state["best"] is None else state["best"]
        self._scheduler.load_state_dict(
            {"best": best, "num_bad_epochs": state["num_bad_epochs"], "last_epoch": state["last_epoch"]}
        )


@dataclass
class CosineSchedule:
    """Linear warm-up, then half a cosine down to zero (Loshchilov & Hutter 2017, "SGDR", eq. 5 without restarts).

    Attributes:
        optimizer: whose learning rate moves.
        peak: the learning rate after the warm-up.
        warmup_steps: optimizer steps of the warm-up.
        total_steps: optimizer steps of the whole run.
    """

    optimizer: torch.optim.Optimizer
    peak: float
    warmup_steps: int
    total_steps: int

    def before_step(self, step: int) -> None:
        """Set the step's learning rate."""
        if step < self.warmup_steps:
            factor = (step + 1) / self.warmup_steps
        else:
            done = (step - self.warmup_steps) / max(1, self.total_steps - self.warmup_steps)
            factor = 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
        for group in self.optimizer.param_groups:
            group["lr"] = self.peak * factor

    def after_epoch(self, score: float) -> None:
        """Nothing: this schedule follows the steps."""

    def state(self) -> dict[str, Any]:
        """Nothing: the learning rate follows from the step."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Nothing to restore."""


def make_schedule(
    name: str, optimizer: torch.optim.Optimizer, *, peak: float, warmup_fraction: float, total_steps: int
) -> Schedule:
    """Choose a schedule by name.

    Args:
        name: of SCHEDULERS (tenor.training.settings).
        optimizer: whose learning rate it moves.
        peak: the highest learning rate.
        warmup_fraction: of all steps, for cosine; in [0, 1).
        total_steps: of the whole run.
    """
    if name == "cosine":
        return CosineSchedule(optimizer, peak, max(1, round(warmup_fraction * total_steps)), total_steps)
    return PlateauSchedule(optimizer)
