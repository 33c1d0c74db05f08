"""The residual block of the classification head.

Knows nothing of sequences: it works on the last dimension.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from tenor.nn.dropout import Dropout


class ResidualBlock(nn.Module):
    """x + dropout(linear2(dropout(relu(linear1(norm(x))))))."""

    def __init__(self, hidden_size: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(hidden_size)
        self.linear1 = nn.Linear(hidden_size, hidden_size)
        self.linear2 = nn.Linear(hidden_size, hidden_size)
        self.dropout = Dropout(dropout)

    def forward(self, values: Tensor) -> Tensor:
        """Transform (..., H) to (..., H)."""
        hidden = self.dropout(functional.relu(self.linear1(self.norm(values))))
        update: Tensor = self.dropout(self.linear2(hidden))
        return values + update
