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
    choose_way,
    convolve_gathered,
    convolve_joined,
    convolve_shifts,
    convolve_windows,
)
from tenor.nn.packing import Packing

Tensors = list[torch.Tensor]
Convolve = Callable[..., Tensors]


def packing_of(lengths: list[int]) -> Packing:
    return Packing.of(torch.arange(max(lengths)) < torch.tensor(lengths)[:, None])


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


@pytest.mark.parametrize("lengths", [[1], [2, 2], [3], [9, 9], [5, 2, 1, 0], [33, 30, 17], [40, 3]])
def test_each_sequence_equals_conv1d_alone(lengths: list[int]) -> None:
    pool = random_pool()
    values = torch.randn(len(lengths), max(lengths), 6, generator=torch.Generator().manual_seed(1))
    packing = packing_of(lengths)
    expected = torch.stack(
        [reference(pool, row[:length]) for row, length in zip(values, lengths, strict=True)]
    )
    found = packing.unpack(pool(packing.pack(values), packing))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def convolve_apart(values: torch.Tensor, weights: Tensors, biases: Tensors, packing: Packing) -> Tensors:
    """convolve_windows with its one result cut into those of each convolution."""
    (together,) = convolve_windows(values, weights, biases, packing)
    return list(together.split([len(weight) for weight in weights], dim=1))


@pytest.mark.parametrize("convolve", [convolve_joined, convolve_shifts, convolve_gathered, convolve_apart])
@pytest.mark.parametrize("lengths", [[1, 1], [4, 4, 4], [5, 2, 1], [400, 700, 3]])
def test_all_ways_to_convolve_equal_conv1d(convolve: Convolve, lengths: list[int]) -> None:
    generator = torch.Generator().manual_seed(0)
    packing = packing_of(lengths)
    values = torch.randn(sum(lengths), 5, generator=generator, requires_grad=True)
    weights = [torch.randn(6, 5, size, generator=generator, requires_grad=True) for size in (7, 1, 3)]
    biases = [torch.randn(6, generator=generator, requires_grad=True) for _ in weights]
    found = convolve(values, weights, biases, packing)
    for scale, weight, bias in zip(found, weights, biases, strict=True):
        alone = [
            functional.conv1d(part.T[None], weight, bias, padding=weight.shape[2] // 2)[0].T
            for part in values.split(sorted(lengths))
        ]
        expected = torch.cat(alone)
        torch.testing.assert_close(scale, expected, rtol=1e-5, atol=1e-5)
        factor = torch.randn(scale.shape, generator=generator)
        inputs = (values, weight, bias)
        ours, theirs = (
            torch.autograd.grad((out * factor).sum(), inputs, retain_graph=True) for out in (scale, expected)
        )
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_the_way_follows_from_the_lengths() -> None:
    for lengths, way in (
        ([2, 3], convolve_shifts),
        ([20] * 51, convolve_shifts),  # few in all
        ([20] * 52, convolve_joined),
        ([19] * 100, convolve_shifts),
        ([1023], convolve_shifts),
        ([1024], convolve_joined),
    ):
        assert choose_way(torch.zeros(sum(lengths), 6), packing_of(lengths)) is way
        with torch.autocast("cpu", torch.bfloat16):  # where other shapes in each batch would cost
            in_half = convolve_gathered if way is convolve_shifts else way
            assert choose_way(torch.zeros(sum(lengths), 6), packing_of(lengths)) is in_half


def test_windows_that_are_gathered_are_multiplied_in_half_precision() -> None:
    packing, values = packing_of([2, 1]), torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    weights, biases = [torch.randn(5, 4, 3, generator=torch.Generator().manual_seed(1))], [torch.zeros(5)]
    (full,) = convolve_gathered(values, weights, biases, packing)
    with torch.autocast("cpu", torch.bfloat16):
        (half,) = convolve_gathered(values, weights, biases, packing)
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), full, rtol=0.05, atol=0.05)
    assert not torch.equal(half.float(), full)


@pytest.mark.parametrize("length", [508, 509, 510, 511, 512, 513, 1024, 1025])
def test_a_sequence_that_ends_near_a_piece_is_that_of_the_other_way(length: int) -> None:
    generator = torch.Generator().manual_seed(0)
    packing = packing_of([length, length])
    values = torch.randn(2 * length, 5, generator=generator)
    weights = [torch.randn(6, 5, size, generator=generator) for size in (7, 3)]
    biases = [torch.randn(6, generator=generator) for _ in weights]
    joined, shifts = (way(values, weights, biases, packing) for way in (convolve_joined, convolve_shifts))
    torch.testing.assert_close(joined, shifts, rtol=1e-5, atol=1e-5)


def test_hand_computed_window_of_three() -> None:
    pool = MultiScalePool(1, [3])
    weight = pool.convolutions[0].get_parameter("weight")
    with torch.no_grad():
        weight.copy_(torch.tensor([[[1.0, 10.0, 100.0]]]))  # before, here, after
        pool.convolutions[0].get_parameter("bias").fill_(0.5)
    values = torch.tensor([[1.0], [2.0], [3.0]])
    # here: 10 + 200, 1 + 20 + 300, 2 + 30; the largest is 321
    assert pool(values, packing_of([3])).tolist() == [[321.5]]


@pytest.mark.parametrize("sizes", [[], [2], [3, 4], [0], [-1]])
def test_kernel_sizes_that_are_not_odd_raise(sizes: list[int]) -> None:
    with pytest.raises(UsageError, match="kernel_sizes must be odd numbers of at least 1, found"):
        check_kernel_sizes(sizes)
