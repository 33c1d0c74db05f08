from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tenor.batching import Batch, SequenceDataset, load_dataset, make_loader
from tenor.devices import plain_runtime
from tenor.errors import TrainingError, UsageError
from tenor.models.sequence import SequenceClassifier
from tenor.nn.initialization import initialize_weights
from tenor.training.loop import _reducing, _sum_loss, evaluate, run_steps, train_epoch
from tenor.training.passes import Pass


def small_model(dropout: float = 0.0, seed: int = 0) -> SequenceClassifier:
    model = SequenceClassifier(
        8, hidden_size=16, num_layers=1, num_heads=2, dropout=dropout, kernel_sizes=(3, 5)
    )
    initialize_weights(model, torch.Generator().manual_seed(seed))
    return model.double()  # so that only the arithmetic's order could differ


def gradients_of_one_step(
    dataset: SequenceDataset, criterion: nn.Module, max_messages: int
) -> dict[str, torch.Tensor]:
    model = small_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    loader = make_loader(dataset, batch_size=len(dataset), micro_batch_messages=max_messages)
    (result,) = run_steps(model, loader, criterion, optimizer, plain_runtime(), clip_norm=None)
    assert result.count == len(dataset)
    return {
        name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None
    }


@pytest.mark.parametrize("pos_weight", [None, 3.0])
def test_the_step_over_micro_batches_is_that_of_the_single_padded_batch(
    small_corpus: Path, pos_weight: float | None
) -> None:
    dataset = load_dataset(small_corpus, "author", "train")
    weight = None if pos_weight is None else torch.tensor(pos_weight)
    criterion = nn.BCEWithLogitsLoss(pos_weight=weight)
    assert len(next(iter(make_loader(dataset, len(dataset), micro_batch_messages=8))).cuts) > 10
    many = gradients_of_one_step(dataset, criterion, 8)

    model = small_model()  # the plain way: pad everything to the longest, one backward of the mean loss
    batch = dataset.batch(np.arange(len(dataset))).pad()
    criterion(model(batch.features.double(), batch.mask), batch.labels.double()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None
        difference = (many[name] - parameter.grad).norm() / parameter.grad.norm().clamp_min(1e-12)
        assert difference < 1e-6, name


def test_training_lowers_the_loss_and_finds_the_planted_evidence(small_corpus: Path) -> None:
    model = small_model(dropout=0.1).float()
    train, validation = (load_dataset(small_corpus, "author", split) for split in ("train", "test"))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    loader = make_loader(train, 16, shuffle=True)
    losses = [train_epoch(model, loader, nn.BCEWithLogitsLoss(), optimizer, "cpu")[0] for _ in range(8)]
    assert losses[-1] < 0.5 * losses[0]
    model.train()
    loss, probs, labels, metrics, threshold = evaluate(
        model, make_loader(validation), nn.BCEWithLogitsLoss(), "cpu"
    )
    assert model.training  # the mode is restored
    assert metrics["roc_auc"] is not None and metrics["roc_auc"] > 0.95
    assert np.array_equal(labels, validation.view.labels)
    assert 0 < threshold < 1
    expected = -np.mean(np.where(labels == 1, np.log(probs), np.log1p(-probs)))
    assert loss == pytest.approx(expected, rel=1e-4)  # 1 - prob is small, in float32


def test_the_epoch_returns_every_sequence_and_draws_another_order_next_time(small_corpus: Path) -> None:
    dataset = load_dataset(small_corpus, "conversation", "train")
    model, loader = small_model().float(), make_loader(dataset, 8, shuffle=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    first = train_epoch(model, loader, nn.BCEWithLogitsLoss(), optimizer, "cpu")
    second = train_epoch(model, loader, nn.BCEWithLogitsLoss(), optimizer, "cpu")
    assert len(first[1]) == len(first[2]) == len(dataset)
    assert np.allclose(np.sort(first[1]), np.sort(second[1]), atol=1e-6)
    assert not np.array_equal(first[1], second[1])
    assert loader.epoch == 2


def test_a_loss_that_is_not_finite_names_step_and_sequences(small_corpus: Path) -> None:
    dataset = load_dataset(small_corpus, "conversation", "train")
    model = small_model().float()
    with torch.no_grad():
        model.head[-1].bias.fill_(float("nan"))
    before = [parameter.clone() for parameter in model.parameters()]
    optimizer = torch.optim.AdamW(model.parameters())
    with pytest.raises(
        TrainingError, match=r"step 0: the loss is nan; sequences: conversation-\d+, .* and \d+ more"
    ):
        train_epoch(model, make_loader(dataset, 16), nn.BCEWithLogitsLoss(), optimizer, "cpu")
    for old, new in zip(before, model.parameters(), strict=True):
        assert torch.equal(old, new) or old.isnan().any()


def test_a_loss_without_a_reduction_is_refused(small_corpus: Path) -> None:
    loader = make_loader(load_dataset(small_corpus, "conversation", "train"))
    model = small_model().float()
    with pytest.raises(UsageError, match="expected a loss module with a reduction.*found Identity"):
        train_epoch(model, loader, nn.Identity(), torch.optim.SGD(model.parameters(), lr=0.1), "cpu")


def test_a_gpu_without_memory_says_what_to_lower(small_corpus: Path) -> None:
    class Full(Pass):
        def run(self, batch: Batch, count: int) -> tuple[torch.Tensor, torch.Tensor]:
            raise torch.OutOfMemoryError(f"tried to allocate for {len(batch)} of {count}")

    model = small_model().float()
    loader = make_loader(load_dataset(small_corpus, "conversation"), 16)
    steps = run_steps(
        model, loader, nn.BCEWithLogitsLoss(), torch.optim.SGD(model.parameters(), lr=0.1), plain_runtime(),
        passes=Full(model, lambda logits, labels: (logits - labels).sum(), plain_runtime()),
    )  # fmt: skip
    with pytest.raises(
        TrainingError, match=r"no memory for 16 sequences of up to \d+ messages \(lower micro_batch"
    ):
        next(steps)


def test_evaluating_does_not_move_the_weights_that_training_reads() -> None:
    criterion = nn.BCEWithLogitsLoss(pos_weight=torch.tensor(3.0))
    loss = _sum_loss(criterion, plain_runtime())
    before = loss(torch.zeros(2), torch.ones(2, dtype=torch.int64))
    _reducing(criterion, "none").double()  # as another device would be
    after = loss(torch.zeros(2), torch.ones(2, dtype=torch.int64))
    assert after.dtype == before.dtype and torch.equal(after, before)
    assert criterion.pos_weight is not None and criterion.pos_weight.dtype == torch.float32
