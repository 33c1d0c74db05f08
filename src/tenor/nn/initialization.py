"""How weights start: Xavier for linear layers, Kaiming for convolutions, an own scale for attention.

Knows nothing of the seed: it draws from the generator given.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from tenor.nn.transformer import SelfAttention, TransformerEncoder


@torch.no_grad()
def initialize_weights(model: nn.Module, generator: torch.Generator | None = None) -> None:
    """Draw all weights of a model anew; biases become 0, LayerNorms the identity.

    - Linear: Xavier uniform (Glorot and Bengio 2010), variance 2 / (in + out).
    - Convolution: Kaiming normal for ReLU (He et al. 2015), variance 2 / (kernel * in).
    - Attention: queries, keys and values Xavier uniform each for itself with gain 1/sqrt(2), as
      nn.MultiheadAttention's fused matrix has it; the output projection Xavier uniform divided by
      sqrt(2 * layers), so that the residual stream keeps its scale (Radford et al. 2019, GPT-2).

    Args:
        model: any module; one on the device ``meta`` has no weights, and is left alone (drawing there loads torch's
            compiler, which takes two seconds).
        generator: on the device of the weights; None = torch's default generator.
    """
    if any(weight.is_meta for weight in model.parameters()):
        return
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv1d):
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight, generator=generator)
            else:
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.LayerNorm):
            module.reset_parameters()
    for encoder in model.modules():
        if isinstance(encoder, TransformerEncoder):
            for attention in encoder.modules():
                if isinstance(attention, SelfAttention):
                    _initialize_attention(attention, len(encoder.blocks), generator)


def _initialize_attention(
    attention: SelfAttention, num_layers: int, generator: torch.Generator | None
) -> None:
    for part in attention.qkv.weight.chunk(3, dim=0):
        nn.init.xavier_uniform_(part, gain=math.sqrt(0.5), generator=generator)
    nn.init.xavier_uniform_(attention.output.weight, gain=(2 * num_layers) ** -0.5, generator=generator)
