"""A pre-norm transformer encoder on scaled_dot_product_attention, over packed sequences.

Knows nothing of positions, features or tasks.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from tenor.errors import UsageError
from tenor.nn.dropout import Dropout
from tenor.nn.packing import Block, Packing

#: (query, key, value, offsets, offsets, longest, longest) to what they attend to, each (M, heads, H / heads).
PackedKernel = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, int, int], Tensor]

#: Messages up to which plain products are faster than the fused kernel, on two threads by up to three times.
SHORT = 16


def attend_plainly(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None) -> Tensor:
    """What scaled_dot_product_attention computes, softmax(Q K' / sqrt(d)) V, as three steps (Vaswani et al. 2017)."""
    scores = (query * query.shape[3] ** -0.5) @ key.transpose(2, 3)  # (B, heads, T, T)
    if attn_mask is not None:
        scores = scores.masked_fill(~attn_mask, float("-inf"))
    mixed: Tensor = scores.softmax(dim=3) @ value
    return mixed


def attend_fused(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None) -> Tensor:
    """The same by torch's fused kernels; cuDNN's is left out, which plans each new shape anew, for some 30 ms."""
    if query.device.type != "cuda":
        return functional.scaled_dot_product_attention(query, key, value, attn_mask=attn_mask)
    with sdpa_kernel([SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]):
        return functional.scaled_dot_product_attention(query, key, value, attn_mask=attn_mask)


def attend_packed(kernel: PackedKernel, projected: Tensor, packing: Packing, num_heads: int) -> Tensor:
    """Attention over sequences of any lengths side by side, none padded (Dao 2023, "FlashAttention-2").

    Args:
        kernel: of find_packed_kernel.
        projected: (M, 3H) queries, keys and values.
        packing: whose rows they are.
        num_heads: attention heads.

    Returns:
        (M, H).
    """
    query, key, value = projected.view(len(projected), 3, num_heads, -1).unbind(1)  # (M, heads, H / heads)
    mixed = kernel(query, key, value, packing.offsets, packing.offsets, packing.longest, packing.longest)
    return mixed.flatten(1)


def find_packed_kernel(projected: Tensor, num_heads: int) -> PackedKernel | None:
    """What attend_packed calls: there for half precision on NVIDIA GPUs from Ampere on, and heads of a multiple of 8.

    Args:
        projected: (M, 3H) queries, keys and values.
        num_heads: attention heads.
    """
    if projected.device.type != "cuda" or projected.dtype not in (torch.bfloat16, torch.float16):
        return None
    if projected.shape[1] // (3 * num_heads) not in range(8, 257, 8):
        return None
    return _import_packed_kernel() if torch.cuda.get_device_capability(projected.device) >= (8, 0) else None


@cache
def _import_packed_kernel() -> PackedKernel | None:
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:  # before torch 2.10
        return None
    return varlen_attn  # type: ignore[return-value]  # it returns more only when it is asked to


class SelfAttention(nn.Module):
    """Multi-head self-attention with one fused projection of queries, keys and values.

    Attention weights have no dropout of their own: scaled_dot_product_attention would draw it from torch's
    default generator and, on CPU, leave its fused kernel.
    """

    def __init__(self, hidden_size: int, num_heads: int) -> None:
        super().__init__()
        if hidden_size % num_heads:
            raise UsageError(
                f"hidden_size must be a multiple of num_heads, found hidden_size={hidden_size}, "
                f"num_heads={num_heads}"
            )
        self.num_heads = num_heads
        self.qkv = nn.Linear(hidden_size, 3 * hidden_size)
        self.output = nn.Linear(hidden_size, hidden_size)

    def forward(self, values: Tensor, packing: Packing) -> Tensor:
        """Let each message attend to those of its own sequence: (M, H) to (M, H)."""
        projected = self.qkv(values)
        kernel = find_packed_kernel(projected, self.num_heads)
        if kernel is not None:
            mixed = attend_packed(kernel, projected, packing, self.num_heads)
        elif projected.device.type == "cpu":
            # In full precision also under autocast: a head's products are small, and oneDNN writes a program for each
            # of their shapes, which takes longer than they do.
            with torch.autocast("cpu", enabled=False):
                mixed = packing.map_blocks(self._mix, projected.to(self.qkv.weight.dtype))
        else:
            mixed = packing.map_blocks(self._mix, projected)
        attended: Tensor = self.output(mixed)
        return attended

    def _mix(self, block: Block, projected: Tensor) -> Tensor:
        """Attention in one block: queries, keys and values (N, 3H) to (N, H)."""
        hidden = projected.shape[1] // 3
        if block.length == 1:
            return projected[:, 2 * hidden :]  # a message on its own attends to itself
        heads = (block.count, block.length, self.num_heads, hidden // self.num_heads)
        # Cut along the last dimension, so that the gradients of the three meet in one copy.
        parts = block.pad(projected).chunk(3, dim=2)
        query, key, value = (part.view(heads).transpose(1, 2) for part in parts)  # (B, heads, T, H / heads)
        attend = attend_plainly if block.length <= SHORT else attend_fused
        mixed = attend(query, key, value, attn_mask=block.keys_mask)
        return block.unpad(mixed.transpose(1, 2).reshape(block.count, block.length, hidden))


class TransformerBlock(nn.Module):
    """Pre-norm block: x + attention(norm(x)), then x + feed_forward(norm(x)).

    Vaswani et al. 2017 with the norms before (Xiong et al. 2020, "On Layer Normalization in the Transformer
    Architecture"); feed-forward width 4 * hidden_size, ReLU.
    """

    def __init__(self, hidden_size: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(hidden_size)
        self.attention = SelfAttention(hidden_size, num_heads)
        self.norm2 = nn.LayerNorm(hidden_size)
        self.linear1 = nn.Linear(hidden_size, 4 * hidden_size)
        self.linear2 = nn.Linear(4 * hidden_size, hidden_size)
        self.dropout = Dropout(dropout)

    def forward(self, values: Tensor, packing: Packing) -> Tensor:
        """Transform (M, H) to (M, H)."""
        values = values + self.dropout(self.attention(self.norm1(values), packing))
        hidden = self.dropout(functional.relu(self.linear1(self.norm2(values)), inplace=True))
        update: Tensor = self.dropout(self.linear2(hidden))
        return values + update


class TransformerEncoder(nn.Module):
    """Pre-norm blocks and a last LayerNorm."""

    def __init__(self, hidden_size: int, num_layers: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            TransformerBlock(hidden_size, num_heads, dropout) for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(hidden_size)

    def forward(self, values: Tensor, packing: Packing) -> Tensor:
        """Encode packed messages: (M, H) to (M, H)."""
        for block in self.blocks:
            values = block(values, packing)
        normed: Tensor = self.norm(values)
        return normed
