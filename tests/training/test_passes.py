"""Batches filled up to a shape give the loss, logits and gradients of the batches as they come."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tenor.batching import Batch, SequenceDataset, load_dataset, make_loader
from tenor.devices import plain_runtime
from tenor.models.sequence import SequenceClassifier
from tenor.training.loop import make_passes, run_steps
from tenor.training.passes import GraphedPass, Pass


def sum_of_losses(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    if logits.ndim == 1:
        return nn.functional.binary_cross_entropy_with_logits(
            logits, labels.to(logits.dtype), reduction="sum"
        )
    return nn.functional.cross_entropy(logits, labels, reduction="sum")


def make_model(num_classes: int = 2, *, has_prior: bool = False) -> SequenceClassifier:
    torch.manual_seed(0)
    model = SequenceClassifier(
        8,
        hidden_size=16,
        num_layers=1,
        num_heads=2,
        dropout=0.0,
        num_classes=num_classes,
        has_prior=has_prior,
    )
    return model.double()


def run(
    kind: type[Pass], model: SequenceClassifier, batch: Batch
) -> tuple[float, np.ndarray, list[torch.Tensor]]:
    model.zero_grad(set_to_none=True)
    loss, logits = kind(model, sum_of_losses, plain_runtime()).run(batch, 10)
    gradients = [parameter.grad for parameter in model.parameters()]
    return float(loss), logits.numpy(), [gradient for gradient in gradients if gradient is not None]


def require_same(model: SequenceClassifier, batch: Batch) -> None:
    plain, filled = (run(kind, model, batch) for kind in (Pass, GraphedPass))
    assert filled[0] == pytest.approx(plain[0], rel=1e-6)
    assert filled[1].shape == plain[1].shape
    assert np.abs(filled[1] - plain[1]).max() < 1e-9
    for one, other in zip(filled[2], plain[2], strict=True):
        assert (one - other).norm() <= 1e-6 * other.norm() + 1e-12


@pytest.fixture(scope="module")
def dataset(small_corpus: Path) -> SequenceDataset:
    return load_dataset(small_corpus, "author", "train")


@pytest.mark.parametrize(("num_classes", "shape"), [(2, ()), (3, (3,))])
@pytest.mark.parametrize("has_prior", [False, True])
def test_a_filled_up_batch_is_computed_like_the_batch(
    dataset: SequenceDataset, num_classes: int, shape: tuple[int, ...], has_prior: bool
) -> None:
    if has_prior:
        prior = np.random.default_rng(0).normal(size=(len(dataset), *shape))
        dataset = dataset.with_prior(prior)
    model = make_model(num_classes, has_prior=has_prior)
    indices = np.random.default_rng(1).permutation(len(dataset))[:37]  # in no order of length
    require_same(model, dataset.batch(indices))


def test_batches_that_cannot_be_filled_up_are_computed_as_they_come(dataset: SequenceDataset) -> None:
    model, indices = make_model(), np.arange(12)
    require_same(model, dataset.batch(indices).pad())
    packed = dataset.batch(indices)
    empty = torch.zeros(1, packed.mask.shape[1], dtype=torch.bool)
    with_empty = Batch(
        packed.features,
        torch.cat([empty, packed.mask]),
        torch.cat([torch.zeros(1, dtype=torch.int64), packed.labels]),
        torch.arange(13),
    )
    require_same(model, with_empty)


def test_an_epoch_of_filled_up_batches_trains_the_same_weights(dataset: SequenceDataset) -> None:
    weights = []
    for kind in (Pass, GraphedPass):
        model = make_model()
        passes = kind(model, sum_of_losses, plain_runtime())
        loader = make_loader(dataset, 24, shuffle=True, micro_batch_messages=40, device="cuda")
        assert any(len(step.cuts) > 1 for step in loader)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        list(run_steps(model, loader, nn.BCEWithLogitsLoss(), optimizer, plain_runtime(), passes=passes))
        weights.append(nn.utils.parameters_to_vector(model.parameters()).detach())
    torch.testing.assert_close(weights[0], weights[1], rtol=1e-6, atol=1e-9)


def test_on_a_cpu_batches_come_as_they_are() -> None:
    assert type(make_passes(make_model(), nn.BCEWithLogitsLoss(), plain_runtime())) is Pass
