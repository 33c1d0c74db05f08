"""Runs the command ``tenor`` with one fault planted, as a process that tests may kill.

The fault is named in the environment: ``TENOR_FAULT="kill:7@1"`` is SIGKILL after step 7 on rank 1, without
``@`` on every process. ``torchrun worker.py train ...`` runs this file; the fixture ``launch`` forks it.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Callable
from typing import Any

from tenor.batching import SequenceDataset
from tenor.cli import main
from tenor.processes import process_rank
from tenor.training.loop import GradientSum
from tenor.training.state import Progress


def after_step(step: int, act: Callable[[], None]) -> None:
    """Act when the run's step number `step` is counted, on every process at the same place."""
    add = Progress.add

    def add_and_act(progress: Progress, loss_sum: float, count: int) -> None:
        add(progress, loss_sum, count)
        if progress.global_step == step:
            act()

    Progress.add = add_and_act  # type: ignore[method-assign]


def kill_inside_step(step: int) -> None:
    """Die after the first micro-batch of the step that follows step number `step`."""

    def arm() -> None:
        add = GradientSum.add

        def add_and_die(gradients: GradientSum) -> None:
            add(gradients)
            os.kill(os.getpid(), signal.SIGKILL)

        GradientSum.add = add_and_die  # type: ignore[method-assign]

    after_step(step, arm)


def plant_nan(step: int) -> None:
    """From the step after step number `step` on, the last sequence of each micro-batch has NaN features."""

    def arm() -> None:
        batch = SequenceDataset.batch

        def batch_with_nan(dataset: SequenceDataset, indices: Any, **how: Any) -> Any:  # noqa: ANN401
            whole = batch(dataset, indices, **how)
            whole.features[-1, 0] = float("nan")
            return whole

        SequenceDataset.batch = batch_with_nan  # type: ignore[method-assign]

    after_step(step, arm)


def limit_files(size: int) -> None:
    """No file may grow beyond `size` bytes: the write after that fails, as on a full disk."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


FAULTS: dict[str, Callable[[int], None]] = {
    "kill": lambda step: after_step(step, lambda: os.kill(os.getpid(), signal.SIGKILL)),
    "kill-inside": kill_inside_step,
    "interrupt": lambda step: after_step(step, lambda: os.kill(os.getpid(), signal.SIGINT)),
    "term": lambda step: after_step(step, lambda: os.kill(os.getpid(), signal.SIGTERM)),
    "term-parent": lambda step: after_step(step, lambda: os.kill(os.getppid(), signal.SIGTERM)),
    "nan": plant_nan,
    "limit": limit_files,
}


def plant(fault: str) -> None:
    """Plant the fault that the environment names, if it is this process's."""
    name, _, place = fault.partition(":")
    number, _, rank = place.partition("@")
    if name and rank in ("", str(process_rank())):
        FAULTS[name](int(number))


if __name__ == "__main__":
    plant(os.environ.get("TENOR_FAULT", ""))
    main(sys.argv[1:])
