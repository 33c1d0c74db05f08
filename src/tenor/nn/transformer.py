"""A pre-norm transformer encoder on scaled_dot_product_attention, with true masks.

Knows nothing of positions, features or tasks.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from tenor.errors import UsageError
from tenor.nn.dropout import Dropout
from tenor.nn.masking import attention_mask


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

    def forward(self, values: Tensor, keys_mask: Tensor | None) -> Tensor:
        """Attend.

        Args:
            values: (B, T, H).
            keys_mask: (B, 1, 1, T) bool, True = attend (see masking.attention_mask), or None for all.

        Returns:
            (B, T, H).
        """
        batch, length, hidden = values.shape
        heads = (batch, length, self.num_heads, hidden // self.num_heads)
        # Cut along the last dimension, so that the gradients of the three meet in one copy.
        query, key, value = (part.view(heads).transpose(1, 2) for part in self.qkv(values).chunk(3, dim=2))
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=keys_mask)
        attended: Tensor = self.output(mixed.transpose(1, 2).reshape(batch, length, hidden))
        return attended


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

    def forward(self, values: Tensor, keys_mask: Tensor | None) -> Tensor:
        """Transform (B, T, H) to (B, T, H); keys_mask as in SelfAttention."""
        values = values + self.dropout(self.attention(self.norm1(values), keys_mask))
        hidden = self.dropout(functional.relu(self.linear1(self.norm2(values))))
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

    def forward(self, values: Tensor, mask: Tensor | None) -> Tensor:
        """Encode.

        Args:
            values: (B, T, H), T >= 1.
            mask: (B, T) bool, True = a real message; None for no padding.

        Returns:
            (B, T, H); at padding finite, without meaning.
        """
        keys_mask = attention_mask(mask)
        for block in self.blocks:
            values = block(values, keys_mask)
        normed: Tensor = self.norm(values)
        return normed
