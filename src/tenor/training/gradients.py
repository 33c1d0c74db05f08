"""The gradients of one optimizer step: summed over micro-batches and processes, and taken only if they are finite.

Knows nothing of models, losses or data.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from tenor.devices import Runtime


class GradientSum:
    """The sum of gradients over micro-batches and processes, in float64; a single one's is left where it is.

    In float64 the sum does not depend on the order of its parts (to about 1e-16), so that a step is the same however
    its micro-batches are shared out; in float32 AdamW would turn rounding noise where a gradient is nearly zero into
    steps of full size.
    """

    def __init__(self, parameters: list[nn.Parameter]) -> None:
        self._parameters = parameters
        self._sums = [torch.zeros_like(each, dtype=_sum_dtype(each.device)) for each in parameters]
        self.clear()

    def clear(self, *, is_single: bool = False) -> None:
        """Begin a step: nothing is summed yet, and no parameter has a gradient.

        Args:
            is_single: add will be called once and share in one process: nothing is to be summed.
        """
        self._is_single = is_single
        for total, parameter in zip(self._sums, self._parameters, strict=True):
            if not is_single:
                total.zero_()
            parameter.grad = None

    def add(self) -> None:
        """Move the parameters' gradients into the sum."""
        if self._is_single:
            return
        for total, parameter in zip(self._sums, self._parameters, strict=True):
            if parameter.grad is not None:
                total += parameter.grad
                parameter.grad = None

    def share(self, runtime: Runtime) -> None:
        """Sum over all processes, in one message, and hand the parameters their gradients."""
        if self._is_single:
            for parameter in self._parameters:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
            return
        totals = self._sums
        if runtime.world_size > 1:
            flat = runtime.sum(torch.cat([total.reshape(-1) for total in totals]))
            parts = torch.split(flat, [total.numel() for total in totals])
            totals = [part.view_as(total) for part, total in zip(parts, totals, strict=True)]
        for total, parameter in zip(totals, self._parameters, strict=True):
            parameter.grad = total.to(parameter.dtype)


def sum_losses(losses: Iterable[Tensor], runtime: Runtime) -> Tensor:
    """The sum over micro-batches and processes, a float64 scalar on the device (mps: float32); not waited for."""
    total = torch.zeros((), dtype=_sum_dtype(runtime.device), device=runtime.device)
    for loss in losses:
        total += loss
    return runtime.sum(total)


def step_if(is_finite: Tensor, optimizer: torch.optim.Optimizer) -> None:
    """Take the optimizer's step where a flag (a bool scalar) is set, and else leave weights and state as they are.

    A flag that lies on a GPU is not waited for, if the optimizer is fused: it then reads the flag there, as it does for
    ``torch.amp.GradScaler``.
    """
    if is_finite.is_cuda and optimizer.defaults.get("fused"):
        optimizer.found_inf = (~is_finite).float()  # type: ignore[attr-defined]
        optimizer.step()
        del optimizer.found_inf  # type: ignore[attr-defined]
    elif is_finite:
        optimizer.step()


def _sum_dtype(device: torch.device) -> torch.dtype:
    return torch.float32 if device.type == "mps" else torch.float64  # mps has no float64
