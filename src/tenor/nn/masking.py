"""Masks of real messages, and what must respect them: attention keys, zeroed padding, pooling.

A mask is bool (B, T), True = a real message. Real messages may stand anywhere in a row; a row may have none.
Knows nothing of layers or weights.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tenor.errors import UsageError


def check_mask(mask: Tensor, features: Tensor) -> None:
    """Refuse a mask that does not belong to the features.

    Args:
        mask: (B, T) expected, bool.
        features: (B, T, F).

    Raises:
        UsageError: another dtype or shape.
    """
    if mask.dtype != torch.bool:
        raise UsageError(f"mask must be torch.bool (True = a real message), found {mask.dtype}")
    expected = tuple(features.shape[:2])
    if mask.shape != expected:
        raise UsageError(f"mask must have shape {expected} as the features, found {tuple(mask.shape)}")


def move_padding_last(features: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Put each row's real messages first, in their order, so that padding anywhere changes no position.

    Args:
        features: (B, T, F).
        mask: (B, T) bool.

    Returns:
        Features and mask of the same shapes; the very same where padding is last already, as on CPU is seen.
    """
    if mask.device.type == "cpu" and not bool((mask[:, 1:] & ~mask[:, :-1]).any()):
        return features, mask
    order = mask.to(torch.uint8).argsort(dim=1, descending=True, stable=True)
    return features.gather(1, order[:, :, None].expand_as(features)), mask.gather(1, order)


def drop_full_mask(mask: Tensor | None) -> Tensor | None:
    """None where no message of the batch is padding, so that masked work can be skipped; else the mask.

    Looks at the values on CPU only: elsewhere the look would wait for the device.
    """
    if mask is None or (mask.device.type == "cpu" and bool(mask.all())):
        return None
    return mask


def attention_mask(mask: Tensor | None) -> Tensor | None:
    """Which keys each query may attend to, as scaled_dot_product_attention reads it (True = attend).

    A row without a real message attends to its padding, which keeps it finite; pooling discards it.

    Args:
        mask: (B, T) bool, or None for no padding.

    Returns:
        (B, 1, 1, T) bool, or None.
    """
    if mask is None:
        return None
    keys = mask | ~mask.any(dim=1, keepdim=True)
    return keys[:, None, None, :]


def zero_padding(values: Tensor, mask: Tensor | None) -> Tensor:
    """Set the values at padding to exactly 0, whatever stood there (NaN too).

    Args:
        values: (B, T, H).
        mask: (B, T) bool, or None for no padding.

    Returns:
        (B, T, H).
    """
    return values if mask is None else values.masked_fill(~mask[:, :, None], 0.0)


def masked_max(values: Tensor, mask: Tensor | None) -> Tensor:
    """The largest value over each row's real messages; 0 for a row that has none.

    Args:
        values: (B, T, H).
        mask: (B, T) bool, or None for no padding.

    Returns:
        (B, H).
    """
    if values.shape[1] == 0:
        return values.sum(dim=1)
    if mask is None:
        return values.max(dim=1).values
    largest = values.masked_fill(~mask[:, :, None], float("-inf")).max(dim=1).values
    return largest.masked_fill(~mask.any(dim=1, keepdim=True), 0.0)


def masked_mean(values: Tensor, mask: Tensor | None) -> Tensor:
    """The mean over each row's real messages; 0 for a row that has none.

    Args:
        values: (B, T, H).
        mask: (B, T) bool, or None for no padding.

    Returns:
        (B, H).
    """
    if mask is None:
        return values.sum(dim=1) / max(values.shape[1], 1)
    counts = mask.sum(dim=1, keepdim=True).clamp(min=1)
    return zero_padding(values, mask).sum(dim=1) / counts
