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
    ReLU follows the pool, where it is cheaper: max and ReLU commute.
    """

    def __init__(self, hidden_size: int, kernel_sizes: Sequence[int]) -> None:
        super().__init__()
        self.kernel_sizes = check_kernel_sizes(kernel_sizes)
        self.hidden_size = hidden_size
        self.convolutions = nn.ModuleList(
            nn.Conv1d(hidden_size, hidden_size, size, padding=size // 2) for size in self.kernel_sizes
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
        values = zero_padding(values, mask)
        convolve = convolve_image if values.device.type == "cpu" else convolve_windows
        scales = (
            convolve(values, layer.get_parameter("weight"), layer.get_parameter("bias"))
            for layer in self.convolutions
        )
        return functional.relu(torch.cat([masked_max(scale, mask) for scale in scales], dim=1))


def convolve_image(values: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Convolve over messages: the fastest way on CPU.

    (B, T, H) is the channels-last form of an image of height 1, so nothing is transposed or laid out as
    windows, and oneDNN reaches the matrix rate of the machine; windows took 1.3 to 1.6 times as long.

    Args:
        values: (B, T, H).
        weight: (out, H, kernel), kernel odd.
        bias: (out,).

    Returns:
        (B, T, out); beyond the ends there are zeros.
    """
    image = values.transpose(1, 2).unsqueeze(2)  # (B, H, 1, T)
    out = functional.conv2d(image, weight.unsqueeze(2), bias, padding=(0, weight.shape[2] // 2))
    return out.squeeze(2).transpose(1, 2)


def convolve_windows(values: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The same as one matrix product over windows of messages, for other devices.

    cuDNN's convolutions round float32 to TF32 unless a global switch is set, and then scores would depend on
    the batch; matrix products keep float32.
    """
    reach = weight.shape[2] // 2
    windows = functional.pad(values, (0, 0, reach, reach)).unfold(1, weight.shape[2], 1)  # (B, T, H, kernel)
    return functional.linear(windows.flatten(2), weight.flatten(1), bias)


def check_kernel_sizes(kernel_sizes: Sequence[int]) -> tuple[int, ...]:
    """The kernel sizes as a tuple.

    Raises:
        UsageError: none, or one that is even or below 1.
    """
    sizes = tuple(int(size) for size in kernel_sizes)
    if not sizes or any(size < 1 or size % 2 == 0 for size in sizes):
        raise UsageError(f"kernel_sizes must be odd numbers of at least 1, found {list(kernel_sizes)}")
    return sizes
