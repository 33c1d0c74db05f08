"""Parallel convolutions against torch's Conv1d, and their masks."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.nn import functional

from tenor.errors import UsageError
from tenor.nn.multiscale import (
    MultiScalePool,
    check_kernel_sizes,
    convolve_image,
    convolve_windows,
)


def random_pool(hidden: int = 6, sizes: tuple[int, ...] = (1, 3, 7)) -> MultiScalePool:
    pool = MultiScalePool(hidden, sizes)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in pool.parameters():
            parameter.normal_(generator=generator)
    return pool


def reference(pool: MultiScalePool, sequence: torch.Tensor) -> torch.Tensor:
    """One sequence (T, H) alone: conv1d with a zero border, max over messages, ReLU."""
    if not len(sequence):
        return torch.zeros(pool.output_size)
    parts = []
    for convolution, size in zip(pool.convolutions, pool.kernel_sizes, strict=True):
        out = functional.conv1d(
            sequence.T[None],
            convolution.get_parameter("weight"),
            convolution.get_parameter("bias"),
            padding=size // 2,
        )
        parts.append(out[0].amax(dim=1).clamp(min=0))
    return torch.cat(parts)


@pytest.mark.parametrize("length", [1, 2, 3, 9])
def test_unpadded_equals_conv1d(length: int) -> None:
    pool = random_pool()
    values = torch.randn(2, length, 6, generator=torch.Generator().manual_seed(1))
    expected = torch.stack([reference(pool, row) for row in values])
    torch.testing.assert_close(pool(values, None), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("convolve", [convolve_image, convolve_windows])
@pytest.mark.parametrize("size", [1, 3, 7])
def test_both_ways_to_convolve_equal_conv1d(convolve: Callable[..., torch.Tensor], size: int) -> None:
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(3, 4, 5, generator=generator, requires_grad=True)
    weight, bias = torch.randn(6, 5, size, generator=generator), torch.randn(6, generator=generator)
    expected = functional.conv1d(values.transpose(1, 2), weight, bias, padding=size // 2).transpose(1, 2)
    found = convolve(values, weight, bias)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    factor = torch.randn(3, 4, 6, generator=generator)
    gradients = [torch.autograd.grad((out * factor).sum(), values)[0] for out in (found, expected)]
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-5, atol=1e-5)


def test_padded_rows_equal_themselves_alone() -> None:
    pool = random_pool()
    values = torch.randn(4, 5, 6, generator=torch.Generator().manual_seed(1))
    lengths = [5, 2, 1, 0]
    mask = torch.arange(5)[None] < torch.tensor(lengths)[:, None]
    values = values.masked_fill(~mask[:, :, None], float("nan"))
    expected = torch.stack(
        [reference(pool, row[:length]) for row, length in zip(values, lengths, strict=True)]
    )
    torch.testing.assert_close(pool(values, mask), expected, rtol=1e-4, atol=1e-5)


def test_hand_computed_window_of_three() -> None:
    pool = MultiScalePool(1, [3])
    weight = pool.convolutions[0].get_parameter("weight")
    with torch.no_grad():
        weight.copy_(torch.tensor([[[1.0, 10.0, 100.0]]]))  # before, here, after
        pool.convolutions[0].get_parameter("bias").fill_(0.5)
    values = torch.tensor([[[1.0], [2.0], [3.0], [0.0]]])
    mask = torch.tensor([[True, True, True, False]])
    # here: 10 + 200, 1 + 20 + 300, 2 + 30; the largest is 321
    assert pool(values, mask).tolist() == [[321.5]]


def test_gradients_reach_weights_and_real_messages_only() -> None:
    pool = random_pool()
    values = torch.randn(2, 4, 6, generator=torch.Generator().manual_seed(1), requires_grad=True)
    mask = torch.tensor([[True, True, False, False], [False] * 4])
    pool(values, mask).sum().backward()
    assert values.grad is not None
    assert values.grad[~mask].abs().sum() == 0
    assert values.grad[mask].abs().sum() > 0


@pytest.mark.parametrize("sizes", [[], [2], [3, 4], [0], [-1]])
def test_kernel_sizes_that_are_not_odd_raise(sizes: list[int]) -> None:
    with pytest.raises(UsageError, match="kernel_sizes must be odd numbers of at least 1, found"):
        check_kernel_sizes(sizes)
