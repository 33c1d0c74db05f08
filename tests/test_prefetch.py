"""Batches made by a thread ahead of their turn, against those made in it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from tenor.batching import Batch, Step, StepLoader, load_dataset, make_loader
from tenor.errors import CorpusError
from tenor.prefetch import bring_steps

CPU = torch.device("cpu")


def count_threads() -> int:
    return sum(thread.name == "prefetch" for thread in threading.enumerate())


def open_loader(corpus: Path) -> StepLoader:
    return make_loader(load_dataset(corpus, "author"), 16, micro_batch_messages=12, shuffle=True)


def same(one: Batch, other: Batch) -> bool:
    return torch.equal(one.features, other.features) and torch.equal(one.indices, other.indices)


def test_a_thread_brings_the_same_batches_in_the_same_order(small_corpus: Path) -> None:
    loader = open_loader(small_corpus)
    expected = [list(step) for step in loader]
    assert len(expected) > 5 and min(map(len, expected)) > 1
    for ahead in (True, False):
        with bring_steps(loader, CPU, ahead=ahead) as steps:
            brought = [(step.count, list(batches)) for step, batches in steps]
        assert sum(count for count, _ in brought) == len(loader.dataset)
        for (_, found), wanted in zip(brought, expected, strict=True):
            assert all(same(one, other) for one, other in zip(found, wanted, strict=True))
    assert count_threads() == 0


def test_of_features_that_a_device_holds_a_step_is_there_when_it_is_asked_for(small_corpus: Path) -> None:
    loader = open_loader(small_corpus)
    expected = [list(step) for step in loader.steps(2)]
    loader.dataset = loader.dataset.hold(CPU)
    with bring_steps(loader, CPU, 2) as steps:
        brought = [list(batches) for _, batches in steps]
        assert count_threads() == 0
    for found, wanted in zip(brought, expected, strict=True):
        assert all(same(one, other) for one, other in zip(found, wanted, strict=True))


def test_who_stops_early_leaves_no_thread(small_corpus: Path) -> None:
    with bring_steps(open_loader(small_corpus), CPU, ahead=True) as steps:
        _, batches = next(steps)
        next(batches)
        assert count_threads() == 1
    assert count_threads() == 0


def test_what_goes_wrong_in_the_thread_is_raised_where_batches_are_used(small_corpus: Path) -> None:
    class Broken(StepLoader):
        def steps(self, start: int = 0) -> Iterator[Step]:
            yield next(super().steps(start))
            raise CorpusError("page 7 cannot be read")

    loader = Broken(load_dataset(small_corpus, "author"), 16, micro_batch_messages=12)
    with bring_steps(loader, CPU, ahead=True) as steps:
        _, batches = next(steps)
        assert len(list(batches)) > 1
        with pytest.raises(CorpusError, match="page 7 cannot be read"):
            next(steps)
    assert count_threads() == 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
@pytest.mark.timeout(60)
def test_a_device_that_is_not_there_is_an_error_and_no_endless_wait(small_corpus: Path) -> None:
    device = torch.device("cuda", 0)
    with (
        bring_steps(open_loader(small_corpus), device) as steps,
        pytest.raises((RuntimeError, AssertionError)),
    ):
        next(steps)
    assert count_threads() == 0


def test_for_a_gpu_steps_are_cut_less_and_features_are_packed(small_corpus: Path) -> None:
    dataset = load_dataset(small_corpus, "author")
    many, few = (make_loader(dataset, 64, device=device) for device in ("cpu", "cuda"))
    assert all(len(step.cuts) == 1 for step in few)
    assert few.micro_batch_messages > many.micro_batch_messages
    for step in few:
        (batch,) = step
        assert batch.features.shape == (int(batch.mask.sum()), dataset.input_size)
        whole = dataset.batch(batch.indices.numpy()).pad()
        assert torch.equal(whole.mask, batch.mask)
        assert torch.equal(whole.features[whole.mask], batch.features)
        assert np.array_equal(whole.labels, batch.labels)
