"""Evidence at several scales: parallel convolutions over messages, each max-pooled over a sequence.

Knows nothing of what the channels mean.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from tenor.errors import UsageError
from tenor.nn.convolved_maxima import Convolve, convolve_maxima, has_sparse_gradient
from tenor.nn.packing import Packing, pool_max

#: From this many messages a sequence on, and so many in all, a CPU convolves sequences that stand one after another
#: fastest, in images of so many rows: few shapes occur then, for each of which oneDNN writes a program.
JOINED, JOINED_IN_ALL = 20, 1024
PIECE = 512


class MultiScalePool(nn.Module):
    """Conv1d of several odd kernel sizes side by side, max over messages, ReLU; concatenated.

    Beyond the ends of a sequence there are zeros. ReLU follows the pool, where it is cheaper: max and ReLU commute.
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

    def forward(self, values: Tensor, packing: Packing) -> Tensor:
        """Convolve and pool: (M, H) to (S, len(kernel_sizes) * H)."""
        weights = [layer.get_parameter("weight") for layer in self.convolutions]
        biases = [layer.get_parameter("bias") for layer in self.convolutions]
        convolve = choose_way(values, packing)
        if has_sparse_gradient(values, packing):
            return functional.relu(convolve_maxima(convolve, values, weights, biases, packing))
        scales = convolve(values, weights, biases, packing)
        return functional.relu(torch.cat([pool_max(scale, packing) for scale in scales], dim=1))


def choose_way(values: Tensor, packing: Packing) -> Convolve:
    """The fastest way to convolve these sequences."""
    if values.device.type == "cuda":
        return convolve_windows
    least = max(JOINED * len(packing.lengths), JOINED_IN_ALL)
    if values.device.type == "cpu" and len(values) >= least:
        return convolve_joined
    return convolve_gathered if torch.is_autocast_enabled(values.device.type) else convolve_shifts


def convolve_shifts(
    values: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor], packing: Packing
) -> list[Tensor]:
    """Convolve as matrix products, for each shift one over the messages that have a neighbour there.

    Nothing is multiplied with the zeros beyond a sequence's ends.

    Args:
        values: (M, H).
        weights: of each convolution, (out, H, kernel), kernel odd.
        biases: of each convolution, (out,).
        packing: whose rows they are.

    Returns:
        (M, out) of each convolution.
    """
    reaches = [weight.shape[2] // 2 for weight in weights]
    # Unbound at once: the gradient of each single tap would be a kernel of zeros around it.
    taps = [weight.permute(2, 0, 1).contiguous().unbind(0) for weight in weights]  # kernel times (out, H)
    scales = [
        functional.linear(values, tap[reach], bias)
        for tap, reach, bias in zip(taps, reaches, biases, strict=True)
    ]
    for distance in range(1, max(reaches) + 1):
        first, second = packing.neighbours(distance)
        for shift, target, source in ((distance, first, second), (-distance, second, first)):
            rows = values.index_select(0, source)
            for scale, tap, reach in zip(scales, taps, reaches, strict=True):
                if distance <= reach:
                    scale.index_add_(0, target, functional.linear(rows, tap[reach + shift]))
    return scales


def convolve_windows(
    values: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor], packing: Packing
) -> list[Tensor]:
    """The same as one matrix product over the widest kernel's windows: for a GPU, where a call costs more than zeros.

    Sequences stand one after another with zeros between them, so that windows are a view; narrower kernels are filled
    up with zeros. cuDNN's convolutions would round float32 to TF32 unless a global switch is set, and then scores
    would depend on the batch; a matrix product keeps float32. No sum has an order that could change from run to run.

    Returns:
        (M, out of all convolutions), in a list of its own.
    """
    values = _autocast(values)
    reach = max(weight.shape[2] // 2 for weight in weights)
    first, num_rows = _place_windows(packing, reach)
    buffer = values.new_zeros(num_rows + 2 * reach, values.shape[1]).index_copy(0, first + reach, values)
    windows = buffer.unfold(0, 2 * reach + 1, 1).flatten(1)  # (rows, H * kernel)
    wide = [functional.pad(weight, [reach - weight.shape[2] // 2] * 2) for weight in weights]
    scales = functional.linear(windows, torch.cat(wide).flatten(1), torch.cat(list(biases)))
    return [scales.index_select(0, first)]


def convolve_gathered(
    values: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor], packing: Packing
) -> list[Tensor]:
    """The same as convolve_shifts, as a product a convolution over windows whose rows are gathered.

    For half precision on a CPU: all products have the shape of the rows, so that what oneDNN writes for them serves
    again, where convolve_shifts has other shapes in every batch.
    """
    values = _autocast(values)
    num_rows, hidden = values.shape
    reach = max(weight.shape[2] // 2 for weight in weights)
    shifts = torch.arange(-reach, reach + 1, device=values.device)
    places = packing.positions[:, None] + shifts  # (M, 2 * reach + 1)
    is_inside = (places >= 0) & (places < packing.lengths[packing.owners][:, None])
    rows = torch.arange(num_rows, device=values.device)[:, None] + shifts
    rows = rows.where(is_inside, num_rows)  # beyond the ends: a row of zeros
    windows = functional.pad(values, (0, 0, 0, 1)).index_select(0, rows.flatten()).view(num_rows, -1)
    scales = []
    for weight, bias in zip(weights, biases, strict=True):
        beyond = (reach - weight.shape[2] // 2) * hidden  # what the widest kernel sees and this one does not
        seen = windows[:, beyond : windows.shape[1] - beyond]
        scales.append(functional.linear(seen, weight.transpose(1, 2).flatten(1), bias))
    return scales


def _autocast(values: Tensor) -> Tensor:
    """In the dtype that products of them will have, so that what is copied for them is not twice as large."""
    kind = values.device.type
    if values.dtype == torch.float64 or not torch.is_autocast_enabled(kind):  # float64 stays as it is
        return values
    return values.to(torch.get_autocast_dtype(kind))


def convolve_joined(
    values: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor], packing: Packing
) -> list[Tensor]:
    """The same as convolve_shifts, with zeros between sequences that stand one after another, as images of a PIECE."""
    reach = max(weight.shape[2] // 2 for weight in weights)
    first, num_rows = _place_windows(packing, reach)
    num_pieces = -(-num_rows // PIECE)
    buffer = values.new_zeros(num_pieces * PIECE + 2 * reach, values.shape[1])
    buffer = buffer.index_copy(0, first + reach, values)
    pieces = buffer.unfold(0, PIECE + 2 * reach, PIECE).transpose(1, 2).contiguous()  # (pieces, rows, H)
    scales = []
    for weight, bias in zip(weights, biases, strict=True):
        beyond = reach - weight.shape[2] // 2  # rows that the widest kernel sees and this one does not
        image = pieces[:, beyond : PIECE + 2 * reach - beyond]
        scales.append(convolve_image(image, weight, bias).flatten(0, 1).index_select(0, first))
    return scales


def _place_windows(packing: Packing, reach: int) -> tuple[Tensor, int]:
    """Where each row's window begins, (M,), and how many begin: `reach` zeros stand before, between and behind."""
    first = torch.arange(len(packing.owners), device=packing.owners.device) + reach * packing.owners
    return first, len(packing.owners) + reach * (len(packing.lengths) - 1)


def convolve_image(values: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Convolve over messages as oneDNN does: the fastest way on CPU for long sequences.

    (B, T, H) is the channels-last form of an image of height 1, so nothing is transposed or laid out as
    windows, and oneDNN reaches the matrix rate of the machine.

    Args:
        values: (B, T, H).
        weight: (out, H, kernel), kernel odd.
        bias: (out,).

    Returns:
        (B, T + 1 - kernel, out).
    """
    image = values.transpose(1, 2).unsqueeze(2)  # (B, H, 1, T)
    out = functional.conv2d(image, weight.unsqueeze(2), bias)
    return out.squeeze(2).transpose(1, 2)


def check_kernel_sizes(kernel_sizes: Sequence[int]) -> tuple[int, ...]:
    """The kernel sizes as a tuple.

    Raises:
        UsageError: none, or one that is even or below 1.
    """
    given: object = kernel_sizes
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise UsageError(f"kernel_sizes must be odd numbers, such as (3, 5, 7), found {given!r}")
    sizes = tuple(int(size) for size in kernel_sizes)
    if not sizes or any(size < 1 or size % 2 == 0 for size in sizes):
        raise UsageError(
            f"kernel_sizes must be odd numbers of at least 1, found {', '.join(map(str, kernel_sizes))}"
        )
    return sizes
