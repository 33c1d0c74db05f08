"""Where the arithmetic runs: device, precision, and how many processes share it.

A thin face of Hugging Face accelerate; the training loop sees only this. Whatever several processes do together
stands here, and none of it can leave one of them waiting for another that has gone. Knows nothing of models or data.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import torch

from tenor.errors import ProcessError, UsageError
from tenor.processes import is_launched, process_count

if TYPE_CHECKING:
    from accelerate import Accelerator

logger = logging.getLogger(__name__)

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
        """Mixed precision for a forward pass; in fp32 none, also inside a caller's autocast."""
        if self.precision == "no":
            if torch.is_autocast_enabled(self.device.type):
                return torch.autocast(self.device.type, enabled=False)
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        """Sum a tensor over all processes, in place, and return it.

        Raises:
            ProcessError: another process has gone; so do all methods that follow.
        """
        if self.world_size > 1:
            with _naming_lost_peers():
                torch.distributed.all_reduce(tensor)
        return tensor

    def sum_float(self, value: float) -> float:
        """Sum a number over all processes, in float64."""
        if self.world_size == 1:
            return value
        return float(self.sum(torch.tensor(value, dtype=torch.float64, device=self.device)))

    def any(self, *flags: bool) -> tuple[bool, ...]:
        """For each flag, whether it is set on any process: what all must decide alike, asked in one message."""
        if self.world_size == 1:
            return flags
        counts = self.sum(torch.tensor(flags, dtype=torch.int64, device=self.device))
        return tuple(bool(count) for count in counts.tolist())

    def gather(self, tensor: torch.Tensor) -> list[torch.Tensor]:
        """Every process's tensor of the same shape, in order of rank."""
        if self.world_size == 1:
            return [tensor]
        tensor = tensor.to(self.device)
        parts = [torch.empty_like(tensor) for _ in range(self.world_size)]
        with _naming_lost_peers():
            torch.distributed.all_gather(parts, tensor)
        return [part.cpu() for part in parts]

    def share(self, tensor: torch.Tensor) -> None:
        """Give every process the tensor of process 0, in place."""
        if self.world_size > 1:
            with _naming_lost_peers():
                torch.distributed.broadcast(tensor, 0)

    def share_bytes(self, data: bytes) -> bytes:
        """Process 0's bytes, on every process."""
        size = torch.tensor([len(data)], device=self.device)
        self.share(size)
        buffer = torch.zeros(int(size), dtype=torch.uint8)
        if self.is_main:
            buffer = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        buffer = buffer.to(self.device)
        self.share(buffer)
        return buffer.cpu().numpy().tobytes()

    def gather_bytes(self, data: bytes) -> list[bytes]:
        """Every process's bytes, in order of rank."""
        sizes = [int(size) for size in self.gather(torch.tensor([len(data)]))]
        padded = torch.frombuffer(bytearray(data.ljust(max(1, *sizes), b"\0")), dtype=torch.uint8)
        parts = self.gather(padded)
        return [part[:size].numpy().tobytes() for part, size in zip(parts, sizes, strict=True)]

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Run the body on every process; where it fails on one it fails on all, at its end.

        A process that failed raises its own error, the others a ProcessError. The body must not exchange anything
        with other processes.
        """
        if self.world_size == 1:
            yield
            return
        failed = torch.zeros(self.world_size, dtype=torch.int64, device=self.device)
        try:
            yield
        except Exception:
            failed[self.rank] = 1
            with contextlib.suppress(ProcessError):  # the error that is on its way says more
                self.sum(failed)
            raise
        ranks = self.sum(failed).nonzero().flatten().tolist()
        if ranks:
            raise ProcessError(
                f"stopped, because process {', '.join(map(str, ranks))} of {self.world_size} failed: its own message "
                "says why"
            )

    def require_same(self, what: str, value: str) -> None:
        """Refuse to go on where the processes do not hold the same value.

        Raises:
            ProcessError: with the ranks that differ from process 0.
        """
        digest = hashlib.sha256(value.encode()).digest()
        parts = self.gather(torch.frombuffer(bytearray(digest), dtype=torch.uint8))
        different = [str(rank) for rank, part in enumerate(parts) if not torch.equal(part, parts[0])]
        if different:
            raise ProcessError(
                f"process {', '.join(different)} of {self.world_size} has another {what} than process 0 "
                "(all must read the same files, with the same versions)"
            )


@contextlib.contextmanager
def _naming_lost_peers(error_type: type[RuntimeError] = RuntimeError) -> Iterator[None]:
    """Turn what torch says of a broken connection, an error of this type, into a ProcessError."""
    try:
        yield
    except error_type as error:
        atexit.unregister(_leave_group)  # it would wait for the one that has gone
        logger.info("torch lost the connection to another process: %s", error)
        raise ProcessError(
            "stopped, because another process of this run has ended: its own message or the launcher's says why"
        ) from error


def _leave_group() -> None:
    """Part from the other processes, as torch asks for at exit."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


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
        UsageError: an unknown precision or tracker, a device that this machine does not have, or one that several
            processes cannot share out.
        ProcessError: another of several processes ended before all had joined.
    """
    if mixed_precision not in PRECISIONS:
        raise UsageError(f"mixed_precision must be one of {', '.join(PRECISIONS)}, not {mixed_precision!r}")
    precision: Precision = mixed_precision
    check_device(device)
    _check_trackers(trackers)
    if not trackers and not is_launched():
        # accelerate holds its state for the whole process: a caller's own Accelerator would lose its settings
        alone = Runtime(torch.device(device) if device is not None else _best_device(), precision)
        _warn_of_slow_bf16(alone)
        return alone
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    # A second run in one process may ask for another device or precision; the bond between processes stays.
    AcceleratorState._reset_state(reset_partial_state=not torch.distributed.is_initialized())
    logging.getLogger("accelerate").setLevel(logging.ERROR)
    with _naming_lost_peers(torch.distributed.DistError):  # one may end before the others have joined it
        accelerator = Accelerator(
            cpu=_must_use_cpu(device),
            log_with=list(trackers) if trackers else None,
            project_dir=project_dir,
            mixed_precision="no",  # autocast is ours: see Runtime.autocast
        )
    if accelerator.num_processes < process_count():
        raise UsageError(
            f"{process_count()} processes were launched, but they cannot work together on device {device!r} (use "
            "device='cpu', or launch one process)"
        )
    chosen = (
        torch.device(device) if device is not None and accelerator.num_processes == 1 else accelerator.device
    )
    if accelerator.num_processes > 1:
        atexit.unregister(_leave_group)  # registered once, however many runtimes are started
        atexit.register(_leave_group)
    runtime = Runtime(chosen, precision, accelerator.process_index, accelerator.num_processes, accelerator)
    _warn_of_slow_bf16(runtime)
    return runtime


def _best_device() -> torch.device:
    """The accelerator that torch sees, else the CPU."""
    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return torch.device("cpu") if found is None else found


def _warn_of_slow_bf16(runtime: Runtime) -> None:
    """Say where a CPU computes bf16 slower than fp32: as far as was measured, wherever it has no AMX."""
    if runtime.device.type != "cpu" or runtime.precision != "bf16" or not runtime.is_main:
        return
    found: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # torch before 2.11 does not tell
    if found.get("architecture") == "x86_64" and not found.get("amx_bf16"):
        logger.warning(
            "mixed_precision='bf16' is likely slower than fp32 on this CPU: it has no matrix instructions for it (AMX)"
        )


def check_device(device: str | None) -> None:
    """Refuse a device that this machine does not have, before anything long begins.

    Args:
        device: as of start_runtime.

    Raises:
        UsageError: naming those that there are.
    """
    if device is None:
        return
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise UsageError(f"device: expected one such as cpu, cuda or cuda:1, found {device!r}") from error
    kinds = list(dict.fromkeys(["cpu", _best_device().type]))
    count = 1 if chosen.type == "cpu" else torch.accelerator.device_count()
    if chosen.type not in kinds or (chosen.index is not None and chosen.index >= count):
        raise UsageError(
            f"device {device!r} asked for, but torch sees no such device here (use {' or '.join(kinds)})"
        )


def _check_trackers(trackers: tuple[str, ...]) -> None:
    """Refuse trackers that accelerate does not know, or would leave out because their package is not installed."""
    if not trackers:
        return
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers

    installed = {str(each) for each in get_available_trackers()}
    for name in map(str, trackers):
        if name not in ("all", *LOGGER_TYPE_TO_CLASS):
            known = ", ".join(["all", *sorted(LOGGER_TYPE_TO_CLASS)])
            raise UsageError(f"tracker: expected one of {known}, found {name!r}")
        if name != "all" and name not in installed:
            raise UsageError(
                f"the tracker {name} is not installed here: install its package, or choose another"
            )


def _must_use_cpu(device: str | None) -> bool:
    """Whether accelerate has to be told: on its own it starts several processes together on GPUs only."""
    if device is not None:
        return device == "cpu"
    best = _best_device().type
    return best == "cpu" or (process_count() > 1 and best == "mps")
