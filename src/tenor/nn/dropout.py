"""Dropout whose masks are cheap to draw and follow from a generator that can be saved.

On a CPU torch draws one random number an element, with one thread; here one 64-bit number makes eight elements' masks.
Knows nothing of the model around it.
"""

from __future__ import annotations

from numbers import Real

import torch
from torch import Tensor, nn

from tenor.errors import UsageError

_LOWEST_INT64 = -(2**63)
_LEVELS = 256  # the values of a random byte


class Dropout(nn.Module):
    """Inverted dropout (Srivastava et al. 2014) with masks from random bytes; on a GPU from torch's own draws.

    An element is kept when its byte is below ``round((1 - p) * 256)``, so the rate of dropping is `p` rounded
    to a multiple of 1/256 (0.3 becomes 77/256 = 0.30078); the kept are scaled by the exact inverse of the
    rate of keeping, so the expectation is unchanged.

    Attributes:
        p: the rate asked for, in [0, 1).
        generator: where the bytes come from; None = torch's default generator of the tensor's device.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        given: object = p
        # a flag would count as 0 or 1
        if isinstance(given, bool) or not isinstance(given, Real) or not 0.0 <= p < 1.0:
            raise UsageError(f"dropout must be at least 0 and below 1, found {p!r:.80}")
        self.p = p
        self.generator: torch.Generator | None = None
        self._kept_levels = max(round((1.0 - p) * _LEVELS), 1)

    @property
    def keep_rate(self) -> float:
        """The rate of keeping after rounding."""
        return self._kept_levels / _LEVELS

    def forward(self, values: Tensor) -> Tensor:
        """Drop in training mode; return `values` itself in evaluation mode or when nothing is dropped."""
        if not self.training or self._kept_levels == _LEVELS:
            return values
        return values * self.draw_factors(values)

    def draw_factors(self, values: Tensor) -> Tensor:
        """Draw what to multiply by: 0 or 1 / keep_rate, of the shape, dtype and device of `values`."""
        if values.device.type == "cuda":  # where every kernel counts, and draws are cheap
            kept = torch.empty_like(values, requires_grad=False).bernoulli_(
                self.keep_rate, generator=self.generator
            )
            return kept.mul_(1.0 / self.keep_rate)
        words = torch.empty((values.numel() + 7) // 8, dtype=torch.int64, device=values.device)
        words.random_(_LOWEST_INT64, None, generator=self.generator)  # all 64 bits
        levels = words.view(torch.uint8)[: values.numel()].view(values.shape)
        # Comparing as floats, in place, is vectorised; a bool mask would take four times as long.
        return levels.to(values.dtype).lt_(self._kept_levels).mul_(1.0 / self.keep_rate)

    def extra_repr(self) -> str:
        """What repr shows."""
        return f"p={self.p}"


def set_dropout_generator(model: nn.Module, generator: torch.Generator | None) -> None:
    """Make every Dropout of the model draw from one generator.

    Args:
        model: any module; its Dropout modules are changed.
        generator: on the model's device; its ``get_state()`` is the state to save for an exact resume. None =
            torch's default generator.
    """
    for module in model.modules():
        if isinstance(module, Dropout):
            module.generator = generator
