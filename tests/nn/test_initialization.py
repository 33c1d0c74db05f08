"""Initialisation by its statistics: variance of each kind of weight."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from tenor.models.sequence import SequenceClassifier
from tenor.nn.initialization import initialize_weights


@pytest.fixture(scope="module")
def model() -> SequenceClassifier:
    model = SequenceClassifier(input_size=96, hidden_size=128, num_layers=3, num_heads=4)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(7.0)
    initialize_weights(model, torch.Generator().manual_seed(0))
    return model


def assert_variance(weight: Tensor, variance: float) -> None:
    """Mean 0 and the variance, within five standard errors (normal kurtosis is the larger)."""
    count = weight.numel()
    assert abs(float(weight.detach().mean())) < 5 * math.sqrt(variance / count)
    assert float(weight.detach().var()) == pytest.approx(variance, rel=5 * math.sqrt(2 / count))


def test_linear_layers_are_xavier_uniform(model: SequenceClassifier) -> None:
    assert_variance(model.projection.weight, 2 / (96 + 128))
    bound = math.sqrt(6 / (96 + 128))
    assert float(model.projection.weight.detach().abs().max()) <= bound
    assert float(model.projection.weight.detach().abs().max()) > 0.999 * bound
    assert_variance(model.encoder.blocks[0].linear1.weight, 2 / (128 + 512))  # type: ignore[union-attr,arg-type]


def test_convolutions_are_kaiming_normal(model: SequenceClassifier) -> None:
    for size, convolution in zip((3, 5, 7), model.multiscale.convolutions, strict=True):
        weight = convolution.get_parameter("weight")
        assert_variance(weight, 2 / (size * 128))
        assert float(weight.detach().abs().max()) > 3 * math.sqrt(2 / (size * 128))  # a normal has tails


def test_attention_has_its_own_scale(model: SequenceClassifier) -> None:
    attention = model.encoder.blocks[1].attention
    for part in attention.qkv.weight.chunk(3):  # type: ignore[union-attr,operator]
        assert_variance(part, 0.5 * 2 / (128 + 128))
    assert_variance(attention.output.weight, 2 / (128 + 128) / (2 * 3))  # type: ignore[union-attr,arg-type]


def test_biases_are_zero_and_norms_the_identity(model: SequenceClassifier) -> None:
    for module in model.modules():
        if isinstance(module, nn.LayerNorm):
            assert bool((module.weight == 1).all())
            assert bool((module.bias == 0).all())
        elif isinstance(module, nn.Linear | nn.Conv1d):
            assert module.bias is not None
            assert bool((module.bias == 0).all()), module


def test_the_generator_decides_every_weight_and_nothing_else_does() -> None:
    before = torch.get_rng_state()
    first, second = SequenceClassifier(8, 16, 1, 2), SequenceClassifier(8, 16, 1, 2)
    torch.set_rng_state(before)
    for model in (first, second):
        initialize_weights(model, torch.Generator().manual_seed(5))
    assert torch.equal(before, torch.get_rng_state())
    for (name, one), two in zip(first.state_dict().items(), second.state_dict().values(), strict=True):
        assert torch.equal(one, two), name
