"""The residual block against its formula."""

from __future__ import annotations

import torch
from torch.nn import functional

from tenor.nn.residual import ResidualBlock


def test_forward_is_the_formula() -> None:
    generator = torch.Generator().manual_seed(0)
    block = ResidualBlock(6, dropout=0.5).eval()
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.normal_(generator=generator)
    values = torch.randn(3, 6, generator=generator)
    normed = (values - values.mean(1, keepdim=True)) / (
        values.var(1, unbiased=False, keepdim=True) + 1e-5
    ).sqrt()
    normed = normed * block.norm.weight + block.norm.bias
    inner = (normed @ block.linear1.weight.T + block.linear1.bias).clamp(min=0)
    expected = values + inner @ block.linear2.weight.T + block.linear2.bias
    torch.testing.assert_close(block(values), expected)


def test_zero_second_layer_is_the_identity_also_with_dropout() -> None:
    block = ResidualBlock(4, dropout=0.9)
    torch.nn.init.zeros_(block.linear2.weight)
    torch.nn.init.zeros_(block.linear2.bias)
    values = torch.arange(8.0).view(2, 4)
    assert torch.equal(block(values), values)


def test_dropout_acts_in_training_only() -> None:
    block = ResidualBlock(64, dropout=0.5)
    values = functional.one_hot(torch.arange(3), 64).float()
    assert not torch.equal(block(values), block(values))
    block.eval()
    assert torch.equal(block(values), block(values))
