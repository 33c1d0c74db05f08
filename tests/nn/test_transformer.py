"""The encoder against torch's own layer with the same weights, and its masks."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from tenor.errors import UsageError
from tenor.nn.packing import Packing
from tenor.nn.transformer import SelfAttention, TransformerBlock, TransformerEncoder, attend_plainly


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
    packing = Packing.of(torch.ones(3, length, dtype=torch.bool))
    expected = torch_layer(block, 16, heads)(values)
    torch.testing.assert_close(
        block(values.flatten(0, 1), packing), expected.flatten(0, 1), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("overhead", [0, 1000])
@pytest.mark.parametrize("longest", [6, 40])
def test_each_sequence_equals_torchs_layer_beside_others(longest: int, overhead: int) -> None:
    block = randomized(TransformerBlock(16, 4, dropout=0.3))
    assert isinstance(block, TransformerBlock)
    values = torch.randn(4, longest, 16, generator=torch.Generator().manual_seed(1))
    mask = torch.arange(longest) < torch.tensor([longest, 1, 0, 3])[:, None]
    packing = Packing.of(mask, overhead=overhead)
    ours = block(packing.pack(values), packing)
    theirs = torch_layer(block, 16, 4)
    alone = [theirs(values[row : row + 1, :length])[0] for row, length in ((1, 1), (3, 3), (0, longest))]
    torch.testing.assert_close(ours, torch.cat(alone), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("masked", [False, True])
def test_plain_attention_equals_the_fused_kernel(masked: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(2, 3, 7, 4, generator=generator, requires_grad=True) for _ in range(3))
    mask = (torch.arange(7) < torch.tensor([7, 2])[:, None])[:, None, None] if masked else None
    found = attend_plainly(query, key, value, mask)
    expected = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    factor = torch.randn(2, 3, 7, 4, generator=generator)
    for one, other in zip(
        *(torch.autograd.grad((out * factor).sum(), (query, key, value)) for out in (found, expected)),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_attention_itself_is_in_full_precision_under_autocast_on_a_cpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    attention, seen = SelfAttention(16, 2), []

    def mix(block: object, projected: torch.Tensor) -> torch.Tensor:
        seen.append((projected.dtype, torch.is_autocast_enabled("cpu")))
        return projected[:, :16]

    monkeypatch.setattr(attention, "_mix", mix)
    packing = Packing.of(torch.ones(2, 3, dtype=torch.bool))
    with torch.autocast("cpu", torch.bfloat16):
        attended = attention(torch.randn(6, 16), packing)
    assert seen == [(torch.float32, False)] and attended.dtype == torch.bfloat16


def test_encoder_without_layers_is_a_norm() -> None:
    values = torch.randn(3, 8, generator=torch.Generator().manual_seed(1))
    packing = Packing.of(torch.ones(1, 3, dtype=torch.bool))
    torch.testing.assert_close(
        TransformerEncoder(8, 0, 2, 0.0)(values, packing), nn.functional.layer_norm(values, (8,))
    )


def test_heads_that_do_not_divide_raise() -> None:
    with pytest.raises(UsageError, match="hidden_size=10, num_heads=4"):
        SelfAttention(10, 4)
