"""Convolutions of which only each sequence's maxima are wanted, and their gradient at those places alone.

A maximum is made by one window, so of all windows of a sequence one a channel has a gradient. What autograd would
multiply is (M, out) nearly all zeros; here the windows with a gradient are weighed and summed, which for long
sequences is a fraction of the work. Knows nothing of what the channels mean.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from tenor.nn.packing import Packing

Convolve = Callable[[Tensor, Sequence[Tensor], Sequence[Tensor], Packing], list[Tensor]]

#: From this many messages a sequence on, the sums over windows are faster than matrix products.
MESSAGES = 7


def has_sparse_gradient(values: Tensor, packing: Packing) -> bool:
    """Whether convolve_maxima is faster: gradients are wanted, on a CPU in full precision, of long sequences."""
    return (
        values.device.type == "cpu"
        and torch.is_grad_enabled()
        and values.dtype in (torch.float32, torch.float64)
        and not torch.is_autocast_enabled("cpu")
        and len(values) >= MESSAGES * len(packing.lengths)
    )


def convolve_maxima(
    convolve: Convolve, values: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor], packing: Packing
) -> Tensor:
    """The largest value over each sequence's messages, of each convolution's channels.

    Args:
        convolve: how the convolutions are computed, one of those of ``multiscale``.
        values: (M, H).
        weights: of each convolution, (out, H, kernel), kernel odd.
        biases: of each convolution, (out,).
        packing: whose rows they are; no sequence is empty.

    Returns:
        (S, out of all convolutions).
    """
    maxima: Tensor = _ConvolvedMaxima.apply(convolve, packing, values, *weights, *biases)  # type: ignore[no-untyped-call]
    return maxima


class _ConvolvedMaxima(torch.autograd.Function):
    """convolve_maxima as a step of autograd."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        convolve: Convolve,
        packing: Packing,
        values: Tensor,
        *parameters: Tensor,
    ) -> Tensor:
        weights, biases = parameters[: len(parameters) // 2], parameters[len(parameters) // 2 :]
        found = [find_maxima(scale, packing) for scale in convolve(values, weights, biases, packing)]
        ctx.packing = packing
        ctx.save_for_backward(values, torch.cat([rows for _, rows in found], dim=1), *weights)
        return torch.cat([maxima for maxima, _ in found], dim=1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        values, rows, *weights = (saved.detach() for saved in ctx.saved_tensors)
        outs = [len(weight) for weight in weights]
        of_values = values_gradient(gradient, rows, weights, ctx.packing) if ctx.needs_input_grad[2] else None
        of_weights = [
            weight_gradient(part, places, values, weight.shape[2], ctx.packing)
            for part, places, weight in zip(
                torch.split(gradient, outs, 1), torch.split(rows, outs, 1), weights, strict=True
            )
        ]
        return None, None, of_values, *of_weights, *torch.split(gradient.sum(dim=0), outs)


def find_maxima(rows: Tensor, packing: Packing) -> tuple[Tensor, Tensor]:
    """The largest value over each sequence's messages, (S, C), and the rows where they stand, (S, C) int64."""
    maxima, places = [], []
    for block, part in zip(packing.blocks, torch.split(rows, packing.sizes), strict=True):
        largest, index = block.pad(part, float("-inf")).max(dim=1)
        maxima.append(largest)
        places.append(index)
    begins = packing.lengths.cumsum(0) - packing.lengths
    return torch.cat(maxima), torch.cat(places) + begins[:, None]


def weight_gradient(gradient: Tensor, rows: Tensor, values: Tensor, kernel: int, packing: Packing) -> Tensor:
    """The gradient of one convolution's weight: for each channel and shift, its maxima's neighbours, weighed.

    Args:
        gradient: (S, out), of the maxima.
        rows: (S, out) int64, where they stand.
        values: (M, H), what was convolved.
        kernel: its width.
        packing: whose rows they are.

    Returns:
        (out, H, kernel).
    """
    gradient, rows = gradient.T.contiguous(), rows.T.contiguous()  # a bag a channel
    before, after = _count_neighbours(packing)
    before, after = before[rows], after[rows]
    shifts = []
    for shift in range(-(kernel // 2), kernel // 2 + 1):
        is_inside = (before >= -shift) & (after >= shift)
        shifts.append(
            functional.embedding_bag(
                (rows + shift).clamp(0, len(values) - 1),  # beyond the ends: any row, weighed by 0
                values,
                per_sample_weights=gradient * is_inside,
                mode="sum",
            )
        )
    return torch.stack(shifts, dim=2)


def values_gradient(gradient: Tensor, rows: Tensor, weights: Sequence[Tensor], packing: Packing) -> Tensor:
    """The gradient of what was convolved: for each row and shift, the taps of the maxima that saw it, weighed.

    Args:
        gradient: (S, C), of all convolutions' maxima, one convolution after another.
        rows: (S, C) int64, where they stand.
        weights: of each convolution, (out, H, kernel).
        packing: whose rows they are.

    Returns:
        (M, H).
    """
    num_rows, reaches = len(packing.owners), [weight.shape[2] // 2 for weight in weights]
    reach_of = torch.cat([torch.full((len(w),), reach) for w, reach in zip(weights, reaches, strict=True)])
    order = rows.flatten().argsort(stable=True)  # a bag a row
    places, channels, factors = rows.flatten()[order], order % rows.shape[1], gradient.flatten()[order]
    before, after = (counts[places] for counts in _count_neighbours(packing))
    reach = reach_of[channels]
    result = gradient.new_zeros(num_rows, weights[0].shape[1])
    furthest = min(max(reaches), num_rows - 1)
    for shift in range(-furthest, furthest + 1):
        kept = ((before >= -shift) & (after >= shift) & (reach >= abs(shift))).nonzero().squeeze(1)
        table = torch.cat([_tap(weight, shift) for weight in weights])
        counts = torch.bincount(places[kept], minlength=num_rows)
        bags = functional.embedding_bag(
            channels[kept], table, counts.cumsum(0) - counts, per_sample_weights=factors[kept], mode="sum"
        )
        target, source = max(shift, 0), max(-shift, 0)
        result[target : num_rows - source] += bags[source : num_rows - target]
    return result


def _tap(weight: Tensor, shift: int) -> Tensor:
    """What a convolution's windows multiply their neighbour at `shift` with, (out, H); any, where none has one."""
    reach = weight.shape[2] // 2
    return weight[:, :, reach + shift if abs(shift) <= reach else reach]


def _count_neighbours(packing: Packing) -> tuple[Tensor, Tensor]:
    """How many messages stand before and after each row in its sequence, (M,) each."""
    return packing.positions, packing.lengths[packing.owners] - 1 - packing.positions
