"""Sinusoidal positions for sequences of any length.

Knows nothing of what the sequences hold.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tenor.errors import UsageError
from tenor.nn.dropout import Dropout
from tenor.nn.packing import Packing


def sinusoidal_positions(length: int, hidden_size: int) -> Tensor:
    """The table of Vaswani et al. 2017, "Attention Is All You Need", section 3.5.

    PE(pos, 2i) = sin(pos / 10000^(2i / hidden_size)), PE(pos, 2i + 1) = cos of the same.

    Args:
        length: how many positions, from 0.
        hidden_size: columns; an odd number leaves out the last cosine.

    Returns:
        (length, hidden_size) float32 on CPU, computed in float64.
    """
    positions = torch.arange(length, dtype=torch.float64)[:, None]
    exponents = torch.arange(0, hidden_size, 2, dtype=torch.float64) / hidden_size
    angles = positions / 10000.0**exponents  # (length, ceil(hidden_size / 2))
    table = torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)
    return table[:, :hidden_size].float()


class PositionalEncoding(nn.Module):
    """Adds sinusoidal positions, then applies dropout."""

    def __init__(self, hidden_size: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.dropout = Dropout(dropout)
        # Not a buffer: it grows with the longest sequence seen, and processes that compare or broadcast
        # buffers would then disagree about its size.
        self._table = torch.empty(0, hidden_size, device="cpu")

    def forward(self, values: Tensor, packing: Packing | None = None) -> Tensor:
        """Add the position of each message.

        Args:
            values: (M, H) as a packing has them, or without one (B, T, H), where places count from 0 to T - 1.
            packing: whose rows they are.

        Returns:
            Of the same shape.

        Raises:
            UsageError: without a packing another shape.
        """
        if packing is not None:
            positions = self.table(packing.longest, values).index_select(0, packing.positions)
        elif values.ndim == 3 and values.shape[2] == self.hidden_size:
            positions = self.table(values.shape[1], values)
        else:
            raise UsageError(
                f"expected (sequences, messages, {self.hidden_size}), found {tuple(values.shape)}"
            )
        placed: Tensor = self.dropout(values + positions)
        return placed

    def table(self, length: int, like: Tensor) -> Tensor:
        """The first `length` positions, (length, H), in the dtype and on the device of `like`."""
        if self._table.shape[0] < length or self._table.device != like.device:
            grown = 1 << max(length - 1, 63).bit_length()
            with torch.inference_mode(False):  # the table outlives an evaluation; training reads it too
                self._table = sinusoidal_positions(grown, self.hidden_size).to(like.device)
        return self._table[:length].to(like.dtype)
