"""Positions against the formula of the paper, computed one by one."""

from __future__ import annotations

import math

import pytest
import torch

from tenor.errors import UsageError
from tenor.nn.packing import Packing
from tenor.nn.positional import PositionalEncoding, sinusoidal_positions


def vaswani(position: int, column: int, hidden_size: int) -> float:
    angle = position / 10000 ** ((column - column % 2) / hidden_size)
    return math.cos(angle) if column % 2 else math.sin(angle)


@pytest.mark.parametrize("hidden_size", [1, 2, 7, 8])
def test_table_is_the_formula(hidden_size: int) -> None:
    table = sinusoidal_positions(50, hidden_size)
    expected = [[vaswani(t, h, hidden_size) for h in range(hidden_size)] for t in range(50)]
    torch.testing.assert_close(table, torch.tensor(expected), rtol=0, atol=1e-7)


def test_far_positions_are_exact() -> None:
    table = sinusoidal_positions(100_001, 4)
    expected = [vaswani(100_000, column, 4) for column in range(4)]
    torch.testing.assert_close(table[100_000], torch.tensor(expected), rtol=0, atol=1e-7)


def packing_of(*lengths: int) -> Packing:
    return Packing.of(torch.arange(max(lengths)) < torch.tensor(lengths)[:, None])


def test_forward_adds_the_position_of_each_message() -> None:
    encoding = PositionalEncoding(6).eval()
    table = sinusoidal_positions(3, 6)
    expected = 1.0 + torch.stack([table[0], table[0], table[1], table[2]])
    torch.testing.assert_close(encoding(torch.ones(4, 6), packing_of(1, 3)), expected)


def test_any_length_and_growing_lengths() -> None:
    encoding = PositionalEncoding(4).eval()
    for length in (0, 1, 64, 65, 10, 3000):
        out = encoding(torch.zeros(length, 4), packing_of(length))
        assert torch.equal(out, sinusoidal_positions(length, 4))


def test_positions_are_not_in_the_state() -> None:
    encoding = PositionalEncoding(4)
    encoding(torch.zeros(100, 4), packing_of(100))
    assert not encoding.state_dict()
    assert not list(encoding.buffers())


def test_training_after_inference_mode_works() -> None:
    encoding = PositionalEncoding(4, dropout=0.5)
    with torch.inference_mode():
        encoding(torch.zeros(9, 4), packing_of(9))
    values = torch.zeros(9, 4, requires_grad=True)
    encoding(values, packing_of(9)).sum().backward()
    assert values.grad is not None
    assert torch.isfinite(values.grad).all()


def test_half_precision_values_stay_half() -> None:
    out = PositionalEncoding(4).eval()(torch.zeros(5, 4, dtype=torch.bfloat16), packing_of(5))
    assert out.dtype == torch.bfloat16
    assert torch.equal(out, sinusoidal_positions(5, 4).bfloat16())


def test_without_a_packing_places_count_from_the_first() -> None:
    encoding = PositionalEncoding(6)
    values = torch.zeros(2, 70, 6)
    assert torch.equal(encoding(values), sinusoidal_positions(70, 6).expand(2, 70, 6))
    with pytest.raises(UsageError, match=r"expected \(sequences, messages, 6\), found \(2, 6\)"):
        encoding(torch.zeros(2, 6))
