"""Integrated gradients against a plain sum over the path, at padding, and where they do not converge."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tenor.batching import Batch
from tenor.errors import MissingExtraError, UsageError
from tenor.explain.gradients import TOLERANCE, integrate_gradients
from tenor.models.model_file import load_model
from tenor.models.sequence import SequenceClassifier


def open_random(
    random_model: Callable[..., Path], num_classes: int = 2, prior: bool = False
) -> SequenceClassifier:
    return load_model(random_model("conversation", num_classes, prior)).model


def make_batch(lengths: tuple[int, ...], *, junk: float = float("nan")) -> Batch:
    """Random float16 features, padded with junk."""
    longest = max(lengths)
    features = torch.full((len(lengths), longest, 6), junk, dtype=torch.float16)
    mask = torch.arange(longest) < torch.tensor(lengths)[:, None]
    generator = torch.Generator().manual_seed(1)
    features[mask] = torch.randn(int(mask.sum()), 6, generator=generator).half()
    none = torch.zeros(len(lengths), dtype=torch.int64)
    return Batch(features, mask, none, none)


def integrate_by_loop(
    model: SequenceClassifier, features: torch.Tensor, column: int | None, steps: int
) -> np.ndarray:
    """The midpoint rule in float64, one point of the path after another: (T,)."""
    model = model.double()
    values, average = features.double(), model.feature_mean.expand_as(features)
    total = torch.zeros_like(values)
    for step in range(steps):
        point = (average + (step + 0.5) / steps * (values - average)).requires_grad_()
        logits = model(point[None])
        (gradient,) = torch.autograd.grad(logits[0] if column is None else logits[0, column], point)
        total += gradient / steps
    return ((values - average) * total).sum(dim=1).detach().numpy()


@pytest.mark.parametrize(("num_classes", "target"), [(2, None), (3, 2)])
def test_the_integral_equals_a_plain_sum_over_the_path(
    random_model: Callable[..., Path], num_classes: int, target: int | None
) -> None:
    model, batch = open_random(random_model, num_classes), make_batch((5,))
    targets = None if target is None else np.array([target])
    found = integrate_gradients(model, batch, targets, steps=256)
    expected = integrate_by_loop(model, batch.features[0], target, 512)
    scale = np.abs(expected).max()
    assert scale > 0.01
    np.testing.assert_allclose(found.contributions[0], expected, atol=0.02 * scale)


@pytest.mark.parametrize("prior", [False, True])
def test_padding_gets_exactly_0_and_changes_nothing(random_model: Callable[..., Path], prior: bool) -> None:
    """One-message, short and full rows side by side, with NaN at padding, against each row alone."""
    model, lengths = open_random(random_model, prior=prior), (1, 3, 7)
    batch = make_batch(lengths)
    together = integrate_gradients(model, batch, steps=128, max_steps=128)
    assert together.contributions.shape == (3, 7)
    for row, length in enumerate(lengths):
        alone = Batch(
            batch.features[row : row + 1, :length],
            batch.mask[row : row + 1, :length],
            batch.labels[:1],
            batch.indices[:1],
        )
        single = integrate_gradients(model, alone, steps=128, max_steps=128)
        np.testing.assert_allclose(together.contributions[row, :length], single.contributions[0], atol=1e-5)
        assert together.contributions[row, :length].all()
        assert (together.contributions[row, length:] == 0.0).all()
        assert together.logits[row] == pytest.approx(single.logits[0], abs=1e-5)


def test_a_row_without_messages_has_nothing_to_share(random_model: Callable[..., Path]) -> None:
    found = integrate_gradients(open_random(random_model), make_batch((0, 2)))
    assert (found.contributions[0] == 0.0).all()
    assert found.base[0] == found.logits[0]
    assert np.isfinite(found.contributions).all()


def test_sums_are_complete_and_steps_double_until_they_are(random_model: Callable[..., Path]) -> None:
    model, batch = open_random(random_model), make_batch((6, 6))
    found = integrate_gradients(model, batch, steps=1)
    assert found.is_complete
    assert found.steps > 1
    bound = TOLERANCE * np.maximum(1.0, np.abs(found.logits - found.base))
    assert (np.abs(found.base + found.contributions.sum(axis=1) - found.logits) <= bound).all()
    rough = integrate_gradients(model, batch, steps=1, max_steps=1)
    assert (rough.steps, rough.is_complete) == (1, False)
    with torch.no_grad():
        average = model.feature_mean.expand(1, 6, -1)
        np.testing.assert_allclose(found.base, model(average).item(), atol=1e-6)
        np.testing.assert_allclose(found.logits, model(batch.features).numpy(), atol=1e-6)


def test_the_model_is_left_as_it_was(random_model: Callable[..., Path]) -> None:
    model = open_random(random_model).train()
    integrate_gradients(model, make_batch((3,)), steps=4, max_steps=4)
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())


def test_wrong_arguments_are_named(
    random_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, batch = open_random(random_model), make_batch((3,))
    with pytest.raises(UsageError, match="steps must be from 1 to 512, not 0"):
        integrate_gradients(model, batch, steps=0)
    with pytest.raises(UsageError, match="targets are for models of several classes"):
        integrate_gradients(model, batch, np.array([1]))
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(MissingExtraError, match=r"needs the package captum: pip install 'tenor\[explain\]'"):
        integrate_gradients(model, batch)
