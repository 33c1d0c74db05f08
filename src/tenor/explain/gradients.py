"""Integrated gradients of the network's logit, a number for each message, by captum.

Sundararajan, Taly & Yan 2017, "Axiomatic Attribution for Deep Networks". The path leads from average messages
(every feature at its training mean, 0 of the standardised features) to the messages themselves; a linear change
of scale does not change the integral, so it runs over the features as they stand in the corpus. Knows nothing of
corpora, texts or priors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tenor.batching import MICRO_BATCH_MESSAGES, Batch
from tenor.errors import MissingExtraError, UsageError
from tenor.models.sequence import SequenceClassifier

Floats = npt.NDArray[np.float64]

#: The contributions' sum may differ from the logits' difference by this share of it (of 1 where it is less).
TOLERANCE = 0.01

#: Steps of the integral: the first try, and the most.
STEPS, MAX_STEPS = 64, 512


@dataclass(frozen=True, eq=False)
class IntegratedGradients:
    """What each message adds to the network's logit: ``logits = base + sum + remainder``.

    Attributes:
        contributions: (B, T) float64; exactly 0 at padding.
        base: (B,) float64, the logits of average messages.
        logits: (B,) float64, the logits of the messages, without any prior.
        steps: of the integral.
    """

    contributions: Floats
    base: Floats
    logits: Floats
    steps: int

    @property
    def remainder(self) -> Floats:
        """(B,) what the sum lacks: the error of the integral, 0 if it were exact."""
        lacking: Floats = self.logits - self.base - self.contributions.sum(axis=1)
        return lacking

    @property
    def is_complete(self) -> bool:
        """Whether every remainder is within TOLERANCE."""
        allowed = TOLERANCE * np.maximum(1.0, np.abs(self.logits - self.base))
        return bool((np.abs(self.remainder) <= allowed).all())


def integrate_gradients(
    model: SequenceClassifier,
    batch: Batch,
    targets: npt.NDArray[np.int64] | None = None,
    *,
    steps: int = STEPS,
    max_steps: int = MAX_STEPS,
) -> IntegratedGradients:
    """Attribute the network's logits to messages; steps are doubled until the sums are complete.

    Args:
        model: used in eval mode; its mode is restored.
        batch: on the model's device; its prior is not looked at.
        targets: (B,) the class whose logit is attributed; None for two classes.
        steps: of the integral at first (Gauss-Legendre).
        max_steps: where doubling ends, complete or not.

    Raises:
        MissingExtraError: captum is not installed.
        UsageError: fewer than one step, or targets that do not fit the model.
    """
    if not 1 <= steps <= max_steps:
        raise UsageError(f"steps must be from 1 to {max_steps}, not {steps}")
    if (targets is None) != (model.num_classes == 2):
        raise UsageError("targets are for models of several classes, and needed there")
    padded = batch.pad().features
    mask = batch.mask.to(padded.device)
    features = padded.float().masked_fill(~mask[:, :, None], 0.0)
    average = model.feature_mean.expand_as(features).masked_fill(~mask[:, :, None], 0.0)
    classes = torch.zeros(len(batch), dtype=torch.int64) if targets is None else torch.from_numpy(targets)
    arguments = (mask, classes.to(mask.device))
    attribute = _open_captum(_logit_function(model))
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            logits, base = (_logit_function(model)(each, *arguments) for each in (features, average))
        while True:
            # captum cuts the steps, not the sequences: at least one of each goes through at once.
            rows = max(len(batch), MICRO_BATCH_MESSAGES // max(1, mask.shape[1]))
            found = attribute(
                features,
                baselines=average,
                additional_forward_args=arguments,
                n_steps=steps,
                internal_batch_size=rows,
            )
            result = IntegratedGradients(
                _to_numpy(found).sum(axis=2), _to_numpy(base), _to_numpy(logits), steps
            )
            if result.is_complete or 2 * steps > max_steps:
                return result
            steps *= 2
    finally:
        model.train(was_training)


def _logit_function(model: SequenceClassifier) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """A function (features, mask, classes) to the network's logits (B,) of those classes, without a prior."""

    def logits(features: Tensor, mask: Tensor, classes: Tensor) -> Tensor:
        shape = (len(features),) if model.num_classes == 2 else (len(features), model.num_classes)
        prior = features.new_zeros(shape) if model.has_prior else None
        scores: Tensor = model(features, mask, prior)
        return scores if scores.ndim == 1 else scores.gather(1, classes[:, None])[:, 0]

    return logits


def _open_captum(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    try:
        from captum.attr import IntegratedGradients as Captum
    except ModuleNotFoundError as error:
        raise MissingExtraError("explain", "captum") from error
    attribute: Callable[..., Any] = Captum(function).attribute
    return attribute


def _to_numpy(values: Tensor) -> Floats:
    return values.detach().cpu().double().numpy()
