"""The encoder against torch's own layer with the same weights, and its masks."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tenor.errors import UsageError
from tenor.nn.transformer import SelfAttention, TransformerBlock, TransformerEncoder


def randomized(module: nn.Module, seed: int = 0) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(std=0.3, generator=generator)
    return module.eval()


def torch_layer(block: TransformerBlock, hidden: int, heads: int) -> nn.TransformerEncoderLayer:
    layer = nn.TransformerEncoderLayer(hidden, heads, 4 * hidden, norm_first=True, batch_first=True).eval()
    state = {
        "self_attn.in_proj_weight": block.attention.qkv.weight,
        "self_attn.in_proj_bias": block.attention.qkv.bias,
        "self_attn.out_proj.weight": block.attention.output.weight,
        "self_attn.out_proj.bias": block.attention.output.bias,
    }
    for name in ("linear1", "linear2", "norm1", "norm2"):
        state[f"{name}.weight"] = getattr(block, name).weight
        state[f"{name}.bias"] = getattr(block, name).bias
    layer.load_state_dict(state)
    return layer


@pytest.mark.parametrize(("length", "heads"), [(1, 1), (5, 2), (33, 4)])
def test_block_equals_torchs_layer(length: int, heads: int) -> None:
    block = randomized(TransformerBlock(16, heads, dropout=0.3))
    assert isinstance(block, TransformerBlock)
    values = torch.randn(3, length, 16, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(
        block(values, None), torch_layer(block, 16, heads)(values), rtol=1e-4, atol=1e-5
    )


def test_masked_block_equals_torchs_layer_at_real_messages() -> None:
    block = randomized(TransformerBlock(16, 4, dropout=0.3))
    assert isinstance(block, TransformerBlock)
    values = torch.randn(2, 6, 16, generator=torch.Generator().manual_seed(1))
    mask = torch.tensor([[True] * 6, [True, False, True, True, False, False]])
    ours = block(values, mask[:, None, None, :])
    theirs = torch_layer(block, 16, 4)(values, src_key_padding_mask=~mask)
    torch.testing.assert_close(ours[mask], theirs[mask], rtol=1e-4, atol=1e-5)


def test_encoder_ignores_padding_and_stays_finite_in_an_empty_row() -> None:
    encoder = randomized(TransformerEncoder(8, 2, 2, dropout=0.3))
    values = torch.randn(3, 5, 8, generator=torch.Generator().manual_seed(1))
    mask = torch.tensor([[True] * 5, [True, True, False, False, False], [False] * 5])
    other = values.masked_fill(~mask[:, :, None], 100.0)
    first, second = encoder(values, mask), encoder(other, mask)
    torch.testing.assert_close(first[mask], second[mask], rtol=0, atol=1e-6)
    torch.testing.assert_close(first[1:2, :2], encoder(values[1:2, :2], None), rtol=0, atol=1e-6)
    assert torch.isfinite(first).all()


def test_encoder_without_layers_is_a_norm() -> None:
    values = torch.randn(1, 3, 8, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(
        TransformerEncoder(8, 0, 2, 0.0)(values, None), nn.functional.layer_norm(values, (8,))
    )


def test_heads_that_do_not_divide_raise() -> None:
    with pytest.raises(UsageError, match="hidden_size=10, num_heads=4"):
        SelfAttention(10, 4)
