"""What a loop of one's own gets wrong is said before the first step, with no weight changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

import tenor
from tenor.batching import SequenceDataset
from tenor.errors import UsageError

BINARY = nn.BCEWithLogitsLoss


def make_dataset(folder: Path, labels: list[int | str | None]) -> SequenceDataset:
    """One conversation a label, of two messages with two features."""
    records = [
        {
            "conversation_id": f"c{number}",
            "messages": [{"author": f"a{number}", "features": [float(number), 1.0]}] * 2,
            "label": label,
        }
        for number, label in enumerate(labels)
    ]
    source = folder / "source.jsonl"
    source.write_text("".join(json.dumps(record) + "\n" for record in records))
    return tenor.load_dataset(tenor.import_corpus(source, folder / "corpus"), "conversation")


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> SequenceDataset:
    return make_dataset(tmp_path_factory.mktemp("two"), [0, 1, 0, 1])


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> SequenceDataset:
    return make_dataset(tmp_path_factory.mktemp("three"), ["a", "b", "c", "b"])


def make_model(num_classes: int = 2) -> tenor.SequenceClassifier:
    return tenor.SequenceClassifier(
        2, hidden_size=8, num_heads=2, num_layers=1, kernel_sizes=(3,), num_classes=num_classes
    )


def require_both_refuse(model: nn.Module, loader: object, criterion: object, message: str) -> None:
    """train_epoch and evaluate say the same, and training changes nothing."""
    before = [parameter.clone() for parameter in model.parameters()]
    with pytest.raises(UsageError, match=message):
        tenor.train_epoch(model, loader, criterion, torch.optim.SGD(model.parameters(), lr=1.0), "cpu")
    with pytest.raises(UsageError, match=message):
        tenor.evaluate(model, loader, criterion, "cpu")
    assert all(torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True))


def test_unlabelled_sequences_are_counted_and_refused(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, [0, None, 1, None, None])
    message = r"loader: 3 of 5 sequences are unlabelled: load labelled ones \(load_dataset\(\.\.\., labelled=True\)\)"
    require_both_refuse(make_model(), tenor.make_loader(dataset), BINARY(), message)
    labelled = tenor.make_loader(tenor.load_dataset(tmp_path / "corpus", "conversation", labelled=True))
    assert tenor.evaluate(make_model(), labelled, BINARY(), "cpu")[2].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("num_classes", "make_criterion", "message"),
    [
        (
            2,
            nn.CrossEntropyLoss,
            r"criterion: expected a loss of two classes, which have one logit, found CrossEntropyLoss "
            r"\(use BCEWithLogitsLoss\)",
        ),
        (2, nn.NLLLoss, r"two classes, .* found NLLLoss \(use BCEWithLogitsLoss\)"),
        (
            2,
            nn.BCELoss,
            r"expected a loss of logits, found BCELoss, of probabilities \(use BCEWithLogitsLoss\)",
        ),
        (3, BINARY, r"expected a loss of 3 classes, found BCEWithLogitsLoss \(use CrossEntropyLoss\)"),
        (
            3,
            lambda: nn.CrossEntropyLoss(weight=torch.ones(2)),
            r"criterion: expected a weight of shape \(3,\), one a class, found \(2,\) \(estimate_class_weights",
        ),
        (
            3,
            lambda: nn.functional.cross_entropy,
            "criterion: expected a loss module with a reduction, .* function",
        ),
    ],
)
def test_a_loss_of_other_classes_is_refused(
    two: SequenceDataset,
    three: SequenceDataset,
    num_classes: int,
    make_criterion: Callable[[], Any],
    message: str,
) -> None:
    loader = tenor.make_loader(two if num_classes == 2 else three)
    require_both_refuse(make_model(num_classes), loader, make_criterion(), message)


def test_a_model_of_other_classes_is_refused(two: SequenceDataset, three: SequenceDataset) -> None:
    message = r"model: expected one of the sequences' 3 classes, found one of 2 \(.*num_classes=3\)"
    require_both_refuse(make_model(2), tenor.make_loader(three), BINARY(), message)
    message = "model: expected one of the sequences' 2 classes, found one of 3"
    require_both_refuse(make_model(3), tenor.make_loader(two), nn.CrossEntropyLoss(), message)


def test_what_fits_is_trained_on(two: SequenceDataset, three: SequenceDataset) -> None:
    for dataset, criterion in (
        (two, BINARY(pos_weight=torch.tensor(2.0))),
        (three, nn.CrossEntropyLoss(weight=torch.ones(3))),
    ):
        model, loader = make_model(dataset.num_classes), tenor.make_loader(dataset)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        _, probs, labels = tenor.train_epoch(model, loader, criterion, optimizer, "cpu")
        assert (len(probs), labels.tolist()) == (4, dataset.view.labels.tolist())


def test_arguments_in_another_order_or_of_another_kind_are_named(two: SequenceDataset) -> None:
    model, loader, device = make_model(), tenor.make_loader(two), "cpu"
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    wrong: Any = loader
    with pytest.raises(UsageError, match="model: expected a SequenceClassifier, found StepLoader first"):
        tenor.evaluate(wrong, model, BINARY(), device)
    with pytest.raises(UsageError, match="criterion: expected a loss module .* found SGD"):
        tenor.train_epoch(model, loader, optimizer, BINARY(), device)
    with pytest.raises(UsageError, match="optimizer: expected one of torch.optim, found str 'sgd'"):
        tenor.train_epoch(model, loader, BINARY(), "sgd", device)
    of_torch: Any = DataLoader(two, batch_size=2)
    expected = "loader: expected a loader that tenor.make_loader gives, found"
    require_both_refuse(model, of_torch, BINARY(), f"{expected} DataLoader")
    require_both_refuse(
        model, two, BINARY(), rf"{expected} SequenceDataset \(tenor.make_loader makes one of it\)"
    )
    shared = tenor.make_loader(two, rank=0, world_size=2)
    require_both_refuse(
        model, shared, BINARY(), "loader: expected a loader of one process, found the part of 2"
    )
    for call, message in (
        (
            lambda: tenor.make_loader("path"),
            "dataset: expected what tenor.load_dataset gives, found str 'path'",
        ),
        (lambda: tenor.make_loader(two, "32"), "batch_size must be a whole number, not '32'"),
        (lambda: tenor.make_loader(two, world_size=0), "world_size must be at least 1, not 0"),
        (
            lambda: tenor.make_loader(two, rank=2, world_size=2),
            "rank must be a whole number from 0 to 1, not 2",
        ),
        (lambda: tenor.make_loader(two, rank=-1), "rank must be a whole number from 0 to 0, not -1"),
        (lambda: tenor.make_loader(two, rank="a"), "rank must be a whole number from 0 to 0, not 'a'"),
        (lambda: tenor.make_loader(two, shuffle="no"), "shuffle: expected True or False, found 'no'"),
    ):
        with pytest.raises(UsageError, match=message):
            call()
