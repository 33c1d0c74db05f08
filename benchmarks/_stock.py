"""The SequenceClassifier's architecture of torch's own layers, as one would write it without tenor."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tenor.models.sequence import SequenceClassifier
from tenor.nn.positional import sinusoidal_positions
from tenor.nn.residual import ResidualBlock


class StockModel(nn.Module):
    """Without the wide part, which costs little, and which is zero in a model that was only drawn."""

    positions: Tensor

    def __init__(self, input_size: int, longest: int, hidden: int = 256, dropout: float = 0.3) -> None:
        super().__init__()
        self.projection, self.dropout = nn.Linear(input_size, hidden), nn.Dropout(dropout)
        self.register_buffer("positions", sinusoidal_positions(longest, hidden))
        layer = nn.TransformerEncoderLayer(hidden, 8, 4 * hidden, dropout, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, nn.LayerNorm(hidden), enable_nested_tensor=False)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(hidden, hidden, size, padding=size // 2) for size in (3, 5, 7)
        )
        self.head = nn.Sequential(
            nn.Linear(4 * hidden, hidden),
            ResidualBlock(hidden, dropout),
            nn.LayerNorm(hidden),
            nn.Dropout(dropout),
            nn.Linear(hidden, 1),
        )

    @classmethod
    def of(cls, model: SequenceClassifier, longest: int) -> StockModel:
        """The same scores as a model of tenor's that was only drawn, for sequences of at most `longest` messages."""
        stock = cls(model.input_size, longest)
        for part, source in (
            (stock.projection, model.projection),
            (stock.encoder.norm, model.encoder.norm),
            (stock.convolutions, model.multiscale.convolutions),
            (stock.head, model.head),
        ):
            part.load_state_dict(source.state_dict())
        for layer, block in zip(stock.encoder.layers, model.encoder.blocks, strict=True):
            weights = {_name_in_torch(name): values for name, values in block.state_dict().items()}
            layer.load_state_dict(weights)
        return stock

    def forward(self, features: Tensor, mask: Tensor | None = None) -> Tensor:
        """Logits (B,) of features (B, T, F)."""
        padding = None if mask is None else ~mask
        values = self.projection(features.float())
        values = self.dropout(values + self.positions[: values.shape[1]])
        values = self.encoder(values, src_key_padding_mask=padding)
        if padding is not None:
            values = values.masked_fill(padding[:, :, None], 0.0)
        channels = values.transpose(1, 2)  # (B, H, T)
        scales = [convolution(channels) for convolution in self.convolutions]
        if padding is not None:
            scales = [scale.masked_fill(padding[:, None], float("-inf")) for scale in scales]
        pooled = [scale.max(dim=2).values.relu() for scale in scales]
        counts = values.shape[1] if mask is None else mask.sum(dim=1, keepdim=True)
        logits: Tensor = self.head(torch.cat([*pooled, values.sum(dim=1) / counts], dim=1)).squeeze(1)
        return logits


def _name_in_torch(name: str) -> str:
    """What `nn.TransformerEncoderLayer` calls a weight of tenor's block."""
    return name.replace("attention.qkv.", "self_attn.in_proj_").replace(
        "attention.output", "self_attn.out_proj"
    )
