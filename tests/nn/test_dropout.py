"""Dropout: rate, scale, independence, reproducibility."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn

from tenor.errors import UsageError
from tenor.nn.dropout import Dropout, set_dropout_generator


def seeded(p: float, seed: int = 0) -> Dropout:
    dropout = Dropout(p)
    dropout.generator = torch.Generator().manual_seed(seed)
    return dropout


@pytest.mark.parametrize("p", [0.1, 0.3, 0.5, 0.9])
def test_rate_is_p_rounded_to_a_256th(p: float) -> None:
    dropout = seeded(p)
    assert dropout.keep_rate == round((1 - p) * 256) / 256
    count = 1_000_000
    kept = float((dropout(torch.ones(count)) > 0).double().mean())
    deviation = math.sqrt(dropout.keep_rate * (1 - dropout.keep_rate) / count)
    assert abs(kept - dropout.keep_rate) < 5 * deviation


def test_kept_values_are_scaled_by_the_exact_rate() -> None:
    dropout = seeded(0.3)
    out = dropout(torch.full((1000,), 2.0))
    assert dropout.keep_rate == 179 / 256
    assert set(out.tolist()) == {0.0, torch.tensor(2.0 * (256 / 179)).item()}


def test_every_byte_of_a_word_is_uniform() -> None:
    words = 200_000
    kept = (seeded(0.5)(torch.ones(words, 8)) > 0).double().mean(dim=0)
    assert bool(((kept - 0.5).abs() < 5 * 0.5 / math.sqrt(words)).all())


def test_neighbours_are_independent() -> None:
    kept = (seeded(0.5)(torch.ones(800_000)) > 0).double() - 0.5
    for lag in (1, 2, 4, 8, 16):
        correlation = float((kept[:-lag] * kept[lag:]).mean()) * 4
        assert abs(correlation) < 5 / math.sqrt(800_000)


def test_state_of_the_generator_repeats_the_masks() -> None:
    dropout = seeded(0.4)
    assert dropout.generator is not None
    dropout(torch.ones(13))
    state = dropout.generator.get_state()
    first = [dropout(torch.ones(size)) for size in (5, 17, 8)]
    dropout.generator.set_state(state)
    second = [dropout(torch.ones(size)) for size in (5, 17, 8)]
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_without_generator_the_default_one_is_used() -> None:
    state = torch.get_rng_state()
    try:
        torch.manual_seed(3)
        first = Dropout(0.5)(torch.ones(100))
        torch.manual_seed(3)
        assert torch.equal(first, Dropout(0.5)(torch.ones(100)))
    finally:
        torch.set_rng_state(state)


def test_with_generator_the_default_one_is_left_alone() -> None:
    before = torch.get_rng_state()
    seeded(0.5)(torch.ones(100))
    assert torch.equal(before, torch.get_rng_state())


def test_gradient_is_the_forward_factor() -> None:
    values = torch.full((4, 250), 3.0, requires_grad=True)
    out = seeded(0.3)(values)
    out.sum().backward()
    assert values.grad is not None
    torch.testing.assert_close(values.grad, out.detach() / 3.0)


@pytest.mark.parametrize(("p", "training"), [(0.3, False), (0.0, True), (0.001, True)])
def test_nothing_to_drop_returns_the_input(p: float, training: bool) -> None:
    values = torch.ones(3)
    assert Dropout(p).train(training)(values) is values


@pytest.mark.parametrize("shape", [(0,), (1,), (7,), (3, 5), (0, 4)])
def test_any_shape(shape: tuple[int, ...]) -> None:
    assert seeded(0.5)(torch.ones(shape)).shape == shape


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_dtype_is_kept(dtype: torch.dtype) -> None:
    out = seeded(0.5)(torch.ones(1000, dtype=dtype))
    assert out.dtype == dtype
    assert set(out.tolist()) == {0.0, 2.0}


def test_rate_close_to_one_keeps_something() -> None:
    assert Dropout(0.999).keep_rate == 1 / 256


@pytest.mark.parametrize("p", [1.0, -0.1, float("nan")])
def test_rate_outside_the_range_raises(p: float) -> None:
    with pytest.raises(UsageError, match=f"dropout must be at least 0 and below 1, found {p}"):
        Dropout(p)


def test_set_dropout_generator_reaches_every_dropout() -> None:
    model = nn.Sequential(Dropout(0.1), nn.Sequential(nn.Linear(2, 2), Dropout(0.2)))
    generator = torch.Generator()
    set_dropout_generator(model, generator)
    assert model[0].generator is generator
    assert model[1][1].generator is generator
    set_dropout_generator(model, None)
    assert model[0].generator is None


def test_module_with_generator_can_be_copied() -> None:
    dropout = seeded(0.5)
    twin = copy.deepcopy(dropout)
    assert torch.equal(dropout(torch.ones(50)), twin(torch.ones(50)))
