"""Evidence at several scales: parallel convolutions over messages, each max-pooled over the real ones.

Knows nothing of what the channels mean.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from tenor.errors import UsageError
from tenor.nn.masking import masked_max, zero_padding


class MultiScalePool(nn.Module):
    """Conv1d of several odd kernel sizes side by side, masked max over messages, ReLU; concatenated.

    Padding is zeroed before the convolutions, so that it equals the zero border of a sequence on its own.
    ReLU follows the pool, where it is cheaper: max and ReLU commute. Each convolution is kept as the matrix
    that multiplies a window of messages laid side by side: ``weight.view(out, kernel, in)``.
    """

    def __init__(self, hidden_size: int, kernel_sizes: Sequence[int]) -> None:
        super().__init__()
        self.kernel_sizes = check_kernel_sizes(kernel_sizes)
        self.hidden_size = hidden_size
        self.convolutions = nn.ModuleList(
            nn.Linear(size * hidden_size, hidden_size) for size in self.kernel_sizes
        )

    @property
    def output_size(self) -> int:
        """Width of the result."""
        return len(self.kernel_sizes) * self.hidden_size

    def forward(self, values: Tensor, mask: Tensor | None) -> Tensor:
        """Convolve and pool.

        Args:
            values: (B, T, H).
            mask: (B, T) bool, True = a real message; None for no padding.

        Returns:
            (B, len(kernel_sizes) * H); 0 for a row without real messages.
        """
        batch, length, hidden = values.shape
        widest = max(self.kernel_sizes)
        reach = widest // 2
        padded = functional.pad(zero_padding(values, mask), (0, 0, reach, reach))
        windows = torch.cat([padded[:, offset : offset + length] for offset in range(widest)], dim=2)
        windows = windows.view(batch * length, widest * hidden)
        pooled = []
        for size, convolution in zip(self.kernel_sizes, self.convolutions, strict=True):
            first = (reach - size // 2) * hidden
            scale = convolution(windows[:, first : first + size * hidden])  # (B * T, H)
            pooled.append(masked_max(scale.view(batch, length, hidden), mask))
        return functional.relu(torch.cat(pooled, dim=1))


def check_kernel_sizes(kernel_sizes: Sequence[int]) -> tuple[int, ...]:
    """The kernel sizes as a tuple.

    Raises:
        UsageError: none, or one that is even or below 1.
    """
    sizes = tuple(int(size) for size in kernel_sizes)
    if not sizes or any(size < 1 or size % 2 == 0 for size in sizes):
        raise UsageError(f"kernel_sizes must be odd numbers of at least 1, found {list(kernel_sizes)}")
    return sizes
