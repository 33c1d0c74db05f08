from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tenor import batching
from tenor.batching import SequenceDataset, hold_on_gpu, load_dataset, make_loader
from tenor.corpus import readahead
from tenor.corpus.corpus import Corpus, open_corpus
from tenor.corpus.mapped_rows import MappedRows
from tenor.corpus.plan import SplitPlan
from tenor.corpus.writer import CorpusWriter
from tenor.errors import CorpusError, UsageError
from tenor.synthetic import SyntheticPlan, generate_conversations


def test_a_batch_holds_each_sequence_one_after_another_or_padded_with_zeros(small_corpus: Path) -> None:
    dataset = load_dataset(small_corpus, "conversation")
    indices = np.array([5, 0, 17, 3])
    batch = dataset.batch(indices)
    assert torch.equal(batch.features, torch.cat([dataset[index][0] for index in indices.tolist()]))
    padded = batch.pad()
    assert padded.pad() is padded
    assert padded.features.shape == (*batch.mask.shape, 8) and padded.features.dtype == batch.features.dtype
    assert batch.mask.shape[1] == int(dataset.lengths[indices].max())
    for row, index in enumerate(indices):
        features, label = dataset[int(index)]
        length = len(features)
        assert length == dataset.lengths[index]
        assert torch.equal(padded.features[row, :length], features)
        assert padded.features[row, length:].abs().sum() == 0
        assert batch.mask[row].tolist() == [True] * length + [False] * (batch.mask.shape[1] - length)
        assert batch.labels[row] == label


@pytest.mark.parametrize("level", ["conversation", "author"])
@pytest.mark.parametrize("at_a_time", [5, 1 << 16])
def test_features_held_on_a_device_make_the_same_batches(
    small_corpus: Path, monkeypatch: pytest.MonkeyPatch, level: str, at_a_time: int
) -> None:
    monkeypatch.setattr(batching, "_HELD_AT_A_TIME", at_a_time)
    dataset = load_dataset(small_corpus, level, "train")
    held = dataset.with_prior(np.zeros(len(dataset))).hold("cpu")
    assert held.held is not None and len(held.held) == dataset.lengths.sum()
    for indices in (np.array([5, 0, 11, 5]), np.arange(len(dataset))[::-1].copy(), np.empty(0, np.int64)):
        one, other = dataset.batch(indices), held.batch(indices)
        assert torch.equal(one.features, other.features) and one.features.dtype == other.features.dtype
        assert torch.equal(one.mask, other.mask) and torch.equal(one.labels, other.labels)
        assert other.prior is not None


def test_features_stay_on_disk_where_there_is_no_gpu_or_no_room(
    small_corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = load_dataset(small_corpus, "author", "train")
    assert hold_on_gpu(dataset, torch.device("cpu")) is dataset
    taken = dataset.count_bytes(np.arange(len(dataset)))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (4 * taken - 1, 1 << 40))
    assert hold_on_gpu(dataset, torch.device("cuda")) is dataset


@pytest.mark.parametrize("level", ["conversation", "author"])
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_batches_hold_the_corpus_features_whatever_record_batches_they_lie_in(
    tmp_path: Path, level: str, dtype: str
) -> None:
    made = {
        one.conversation_id: one
        for one in generate_conversations(SyntheticPlan(conversations=40, input_size=3))
    }
    path, sizes = tmp_path / "corpus", {"batch_bytes": 1000, "file_bytes": 5000}
    with CorpusWriter(path, split=SplitPlan(), feature_dtype=dtype, **sizes) as writer:
        for one in made.values():
            writer.write(one)
    dataset = load_dataset(path, level)
    assert len(dataset.view.corpus.feature_chunks) > len(dataset.view.corpus.info.files) > 1
    indices = np.random.default_rng(2).integers(0, len(dataset), 60)
    parts = []
    for index in indices.tolist():
        one = made[dataset.view.conversation_ids[index]]
        authors = dataset.view.authors
        spoken = [authors is None or author == authors[index] for author in one.authors]
        parts.append(np.asarray(one.features)[spoken])
    assert np.array_equal(dataset.batch(indices).features.numpy(), np.concatenate(parts).astype(dtype))
    none = dataset.batch(np.array([], np.int64))
    assert none.features.shape == (0, 3) and none.pad().features.shape == (0, 0, 3)


def read_by_worker(dataset: SequenceDataset) -> list[list[float]]:
    items = torch.utils.data.DataLoader(
        dataset, batch_size=None, num_workers=1, multiprocessing_context="spawn"
    )
    return [features.tolist() for (features, _), _ in zip(items, range(3), strict=False)]


def test_a_dataset_that_was_read_goes_to_the_workers_of_a_dataloader(small_corpus: Path) -> None:
    dataset = load_dataset(small_corpus, "author")
    dataset.batch(np.arange(5))
    assert read_by_worker(dataset) == [dataset[index][0].tolist() for index in range(3)]


def test_an_epoch_reads_each_sequence_once_in_an_order_of_its_own(small_corpus: Path) -> None:
    dataset = load_dataset(small_corpus, "author")
    loader = make_loader(dataset, batch_size=16, shuffle=True, seed=3)
    orders = []
    for epoch in (0, 1, 0):
        loader.epoch = epoch
        orders.append([sorted(np.concatenate(step.cuts).tolist()) for step in loader])
    assert len(loader) == len(orders[0]) == -(-len(dataset) // 16)
    assert sorted(sum(orders[0], [])) == list(range(len(dataset)))
    assert orders[0] == orders[2] != orders[1]
    assert [sorted(np.concatenate(step.cuts).tolist()) for step in loader.steps(2)] == orders[0][2:]


def test_the_dataset_tells_its_labels_and_width(small_corpus: Path) -> None:
    dataset = load_dataset(small_corpus, "conversation", "train")
    assert dataset.input_size == 8
    assert dataset.labels.dtype == torch.int64
    assert set(dataset.labels.tolist()) == {0, 1}
    assert set(dataset.view.splits) == {"train"}
    with pytest.raises(IndexError):
        dataset[len(dataset)]


def test_wrong_arguments_are_named(small_corpus: Path) -> None:
    with pytest.raises(UsageError, match="'conversation' or 'author', not 'profile'"):
        load_dataset(small_corpus, "profile")
    with pytest.raises(UsageError, match="batch_size must be at least 1, not 0"):
        make_loader(load_dataset(small_corpus, "author"), 0)
    with pytest.raises(UsageError, match="micro_batch_messages must be at least 1, not 0"):
        make_loader(load_dataset(small_corpus, "author"), micro_batch_messages=0)


def test_a_corpus_without_features_names_the_remedy(write_source, tmp_path: Path) -> None:  # noqa: ANN001
    from tenor.corpus.importing import import_corpus

    corpus = import_corpus(write_source(tmp_path / "text.jsonl", input_size=None), tmp_path / "corpus")
    with pytest.raises(CorpusError, match="expected messages with features, found none .*tenor encode"):
        load_dataset(corpus, "conversation")


@pytest.mark.parametrize("ahead", ["steps", "micro-batches", "nothing"])
def test_steps_are_the_same_where_reads_are_asked_for_ahead(
    small_corpus: Path, monkeypatch: pytest.MonkeyPatch, ahead: str
) -> None:
    def read(corpus: Corpus) -> list[tuple[list[int], list[float]]]:
        loader = make_loader(load_dataset(corpus, "author"), 7, shuffle=True, seed=3, micro_batch_messages=10)
        steps = loader.steps(2)
        return [(b.indices.tolist(), b.features.flatten().tolist()) for step in steps for b in step]

    expected = read(open_corpus(small_corpus))
    monkeypatch.setattr(readahead, "LEAST_BYTES", 0)
    large = open_corpus(small_corpus)
    assert large.features.is_read_ahead
    dataset = load_dataset(large, "author")
    steps = list(make_loader(dataset, 7, shuffle=True, seed=3, micro_batch_messages=10).steps(2))
    largest = max(dataset.count_bytes(cut) for step in steps for cut in step.cuts)
    assert largest < min(dataset.count_bytes(step.indices) for step in steps[:-1])
    monkeypatch.setattr(
        readahead, "_BYTES_AHEAD", {"steps": 1 << 20, "micro-batches": largest, "nothing": 0}[ahead]
    )
    asked: dict[str, list[int]] = {"bring": [], "will_need": []}
    for name, rows_asked in asked.items():

        def note(self: MappedRows, rows: np.ndarray, rows_asked: list[int] = rows_asked) -> None:
            rows_asked += rows.tolist()

        monkeypatch.setattr(MappedRows, name, note)
    assert read(large) == expected
    once, never = ("will_need", "bring") if ahead == "nothing" else ("bring", "will_need")
    assert asked[never] == []
    assert (
        len(asked[once])
        == len(set(asked[once]))
        == sum(int(dataset.lengths[step.indices].sum()) for step in steps)
    )
