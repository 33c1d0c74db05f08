"""Gradients at the maxima alone against those that autograd finds through everything."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tenor.nn import convolved_maxima, multiscale
from tenor.nn.convolved_maxima import convolve_maxima, find_maxima, has_sparse_gradient
from tenor.nn.multiscale import MultiScalePool, convolve_joined, convolve_shifts
from tenor.nn.packing import Packing, pool_max

Tensors = list[torch.Tensor]


def packing_of(lengths: list[int]) -> Packing:
    return Packing.of(torch.arange(max(lengths)) < torch.tensor(lengths)[:, None])


def make_inputs(lengths: list[int], sizes: tuple[int, ...]) -> tuple[torch.Tensor, Tensors, Tensors]:
    generator = torch.Generator().manual_seed(0)
    options = {"generator": generator, "dtype": torch.float64, "requires_grad": True}
    values = torch.randn(sum(lengths), 5, **options)
    weights = [torch.randn(4 + size, 5, size, **options) for size in sizes]
    biases = [torch.randn(4 + size, **options) for size in sizes]
    return values, weights, biases


@pytest.mark.parametrize("convolve", [convolve_shifts, convolve_joined])
@pytest.mark.parametrize("sizes", [(3, 5, 7), (7, 1, 3), (1,), (9,), (3, 17)])
@pytest.mark.parametrize("lengths", [[1], [2], [1, 1], [1, 1, 2], [7], [40, 3, 17], [2, 9, 9, 1, 300]])
def test_the_gradients_are_those_of_autograd(
    convolve: convolved_maxima.Convolve, sizes: tuple[int, ...], lengths: list[int]
) -> None:
    packing = packing_of(lengths)
    values, weights, biases = make_inputs(lengths, sizes)
    found = convolve_maxima(convolve, values, weights, biases, packing)
    expected = torch.cat(
        [pool_max(scale, packing) for scale in convolve_shifts(values, weights, biases, packing)], dim=1
    )
    torch.testing.assert_close(found, expected)
    factor = torch.randn(found.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    inputs = [values, *weights, *biases]
    ours, theirs = (torch.autograd.grad((out * factor).sum(), inputs) for out in (found, expected))
    torch.testing.assert_close(ours, theirs)


def test_the_same_bits_come_out_twice() -> None:
    packing, gradients = packing_of([30, 50, 7]), []
    for _ in range(2):
        values, weights, biases = make_inputs([30, 50, 7], (3, 5, 7))
        convolve_maxima(convolve_joined, values, weights, biases, packing).square().sum().backward()
        gradients.append([tensor.grad for tensor in (values, *weights, *biases)])
    assert all(torch.equal(first, second) for first, second in zip(*gradients, strict=True))


def test_a_frozen_input_has_no_gradient_and_the_weights_theirs() -> None:
    packing = packing_of([12, 9])
    values, weights, biases = make_inputs([12, 9], (3,))
    convolve_maxima(convolve_shifts, values.detach(), weights, biases, packing).sum().backward()
    expected = pool_max(convolve_shifts(values.detach(), weights, biases, packing)[0], packing)
    torch.testing.assert_close(weights[0].grad, torch.autograd.grad(expected.sum(), weights[0])[0])


def test_maxima_and_their_rows_by_hand() -> None:
    rows = torch.tensor([[1.0, 9.0], [5.0, 2.0], [3.0, 4.0]])  # a sequence of one message, then one of two
    maxima, places = find_maxima(rows, packing_of([1, 2]))
    assert maxima.tolist() == [[1.0, 9.0], [5.0, 4.0]] and places.tolist() == [[0, 0], [1, 2]]


def test_long_sequences_in_training_alone_take_this_way() -> None:
    long, short = packing_of([convolved_maxima.MESSAGES] * 2), packing_of([2, 9])
    values = torch.randn(len(long.owners), 6)
    assert has_sparse_gradient(values, long)
    assert not has_sparse_gradient(values[:11], short)
    assert not has_sparse_gradient(values.bfloat16(), long)
    with torch.no_grad():
        assert not has_sparse_gradient(values, long)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert not has_sparse_gradient(values, long)


def test_the_pool_takes_this_way_and_its_gradients_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []

    def spy(*arguments: Any) -> torch.Tensor:  # noqa: ANN401
        taken.append(arguments)
        return convolve_maxima(*arguments)

    monkeypatch.setattr(multiscale, "convolve_maxima", spy)
    packing, pool = packing_of([20, 9]), MultiScalePool(6, (3, 5))
    values = torch.randn(29, 6)
    sparse = torch.autograd.grad(pool(values, packing).sum(), list(pool.parameters()))
    assert len(taken) == 1
    monkeypatch.setattr(multiscale, "has_sparse_gradient", lambda *_: False)
    dense = torch.autograd.grad(pool(values, packing).sum(), list(pool.parameters()))
    assert len(taken) == 1
    torch.testing.assert_close(sparse, dense)


def test_a_second_derivative_fails_aloud() -> None:
    values, weights, biases = make_inputs([9, 9], (3,))
    found = convolve_maxima(convolve_shifts, values, weights, biases, packing_of([9, 9])).square().sum()
    (gradient,) = torch.autograd.grad(found, values, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()
