"""Which process this is, how many were launched together, and its cores, before anything heavy is imported.

``torchrun``, ``accelerate launch`` and ``mpirun`` tell a process so in its environment; this is the one place that
reads it. Knows nothing of torch: how the processes work together stands in ``devices``.
"""

from __future__ import annotations

import os

_RANK = ("RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK")
_COUNT = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")


def process_rank() -> int:
    """This process's number, 0 = the first, which writes files and speaks."""
    return _read_first(_RANK, 0)


def process_count() -> int:
    """How many processes were launched together; 1 = this one is alone."""
    return _read_first(_COUNT, 1)


def is_launched() -> bool:
    """Whether a launcher started this process, alone or with others."""
    return any(name in os.environ for name in _COUNT) or any(
        name.startswith("ACCELERATE_") for name in os.environ
    )


def count_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # absent on macOS and Windows
        return len(os.sched_getaffinity(0))
    cores = os.cpu_count()
    return 1 if cores is None else cores


def _read_first(names: tuple[str, ...], default: int) -> int:
    return next((int(value) for name in names if (value := os.environ.get(name, "")).isdecimal()), default)
