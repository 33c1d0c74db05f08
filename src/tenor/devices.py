"""Where the arithmetic runs: device, precision, and how many processes share it.

A thin face of Hugging Face accelerate; the training loop sees only this. Knows nothing of models or data.
"""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import torch

from tenor.errors import UsageError

if TYPE_CHECKING:
    from accelerate import Accelerator

Precision = Literal["no", "bf16"]
PRECISIONS: tuple[Precision, ...] = ("no", "bf16")


@dataclass(frozen=True)
class Runtime:
    """One process's view of the machines that work together.

    Attributes:
        device: where this process computes.
        precision: ``"no"`` = fp32; ``"bf16"`` = autocast (fp16 is left out: it needs a loss scale, bf16 does not).
        rank: this process's number, 0 = the one that writes files and speaks.
        world_size: how many processes there are.
        accelerator: accelerate's own object, for its trackers; None in a single plain process.
    """

    device: torch.device
    precision: Precision = "no"
    rank: int = 0
    world_size: int = 1
    accelerator: Accelerator | None = field(default=None, repr=False)

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and speaks."""
        return self.rank == 0

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """Mixed precision for a forward pass, or nothing in fp32."""
        if self.precision == "no":
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        """Sum a tensor over all processes, in place, and return it."""
        if self.world_size > 1:
            torch.distributed.all_reduce(tensor)
        return tensor

    def sum_float(self, value: float) -> float:
        """Sum a number over all processes, in float64."""
        if self.world_size == 1:
            return value
        return float(self.sum(torch.tensor(value, dtype=torch.float64, device=self.device)))

    def gather(self, tensor: torch.Tensor) -> list[torch.Tensor]:
        """Every process's tensor of the same shape, in order of rank."""
        if self.world_size == 1:
            return [tensor]
        tensor = tensor.to(self.device)
        parts = [torch.empty_like(tensor) for _ in range(self.world_size)]
        torch.distributed.all_gather(parts, tensor)
        return [part.cpu() for part in parts]

    def wait(self) -> None:
        """Wait until every process is here."""
        if self.world_size > 1:
            torch.distributed.barrier()


def plain_runtime(device: torch.device | str = "cpu") -> Runtime:
    """One process on one device, in fp32."""
    return Runtime(torch.device(device))


def start_runtime(
    device: str | None = None,
    mixed_precision: str = "no",
    trackers: tuple[str, ...] = (),
    project_dir: str | None = None,
) -> Runtime:
    """Find the device and the processes: a plain run, or one of `accelerate launch` / `torchrun`.

    Args:
        device: ``"cpu"``, ``"cuda"``, ...; None = the best that this machine has.
        mixed_precision: ``"no"`` or ``"bf16"``.
        trackers: names of accelerate's trackers, such as ``"tensorboard"``.
        project_dir: where trackers write.

    Raises:
        UsageError: an unknown precision, or a device that this machine does not have.
    """
    if mixed_precision not in PRECISIONS:
        raise UsageError(f"mixed_precision must be one of {', '.join(PRECISIONS)}, not {mixed_precision!r}")
    precision: Precision = mixed_precision
    if device is not None and device.startswith("cuda") and not torch.cuda.is_available():
        raise UsageError(
            f"device {device!r} asked for, but torch sees no CUDA device here (use device='cpu')"
        )
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state()  # a second run in one process may ask for another precision
    logging.getLogger("accelerate").setLevel(logging.ERROR)
    accelerator = Accelerator(
        cpu=device == "cpu",
        log_with=list(trackers) if trackers else None,
        project_dir=project_dir,
        mixed_precision="no",  # autocast is ours: see Runtime.autocast
    )
    chosen = (
        torch.device(device) if device is not None and accelerator.num_processes == 1 else accelerator.device
    )
    return Runtime(chosen, precision, accelerator.process_index, accelerator.num_processes, accelerator)
