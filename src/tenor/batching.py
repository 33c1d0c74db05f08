"""From arrays to torch: datasets, steps and batches.

The only door between the corpus and the models. A *step* is what one optimizer step reads: `batch_size` sequences
drawn at random, sorted by length and cut into micro-batches of bounded size. Knows nothing of models, losses
or devices.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from tenor.arguments import describe_found, require_flags
from tenor.corpus.corpus import Corpus, as_corpus
from tenor.corpus.ordering import blocks_of_messages
from tenor.corpus.readahead import bring_ahead, fits_ahead
from tenor.corpus.schema import Label, Split
from tenor.corpus.views import SequenceView, view_sequences
from tenor.cutting import Indices, cut_by_length, share_cuts
from tenor.errors import UsageError
from tenor.seeding import numpy_generator

SequenceLevel = Literal["conversation", "author"]

#: Messages of one micro-batch: a bound of its memory (the default model's training needs some 20 KB a message). More
#: are slower: what a layer makes of them leaves the processor's caches.
MICRO_BATCH_MESSAGES = 8192

#: The same on a GPU, which has the memory for a whole step at once, and to which every micro-batch costs its launches.
GPU_MICRO_BATCH_MESSAGES = 1 << 16

#: Of what is free of a GPU's memory, the share that features may take (see `hold_on_gpu`), one part in so many.
_HELD_PART = 4
#: Messages whose features are copied there at a time.
_HELD_AT_A_TIME = 1 << 16


@dataclass(frozen=True, slots=True)
class Batch:
    """Sequences, ready for a model.

    Attributes:
        features: (M, F) in the corpus's dtype (float16 or float32), the M real messages of the mask alone, one sequence
            after another; or padded, (B, T, F) (see `pad`). SequenceClassifier reads both.
        mask: (B, T) bool, True = a real message; on the CPU, where SequenceClassifier reads it.
        labels: (B,) int64 class indices, -1 = unlabelled.
        indices: (B,) int64 positions in the dataset.
        prior: (B,) or (B, C) float32 logits of the lexical prior; None when the dataset has none.
    """

    features: torch.Tensor
    mask: torch.Tensor
    labels: torch.Tensor
    indices: torch.Tensor
    prior: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device | str) -> Batch:
        """Move what the arithmetic reads to a device; mask and indices stay on the CPU."""
        prior = None if self.prior is None else self.prior.to(device, non_blocking=True)
        features, labels = (part.to(device, non_blocking=True) for part in (self.features, self.labels))
        return replace(self, features=features, labels=labels, prior=prior)

    def pad(self) -> Batch:
        """The same with features (B, T, F), zero at padding."""
        if self.features.ndim == 3:
            return self
        padded = self.features.new_zeros(*self.mask.shape, self.features.shape[1])
        padded[self.mask.to(padded.device)] = self.features
        return replace(self, features=padded)


@dataclass(frozen=True)
class SequenceDataset:
    """The sequences of one level, optionally of one split.

    Indexing gives ``(features (T, F), label)``; iterate with make_loader, which gathers whole batches at once.

    Attributes:
        view: the sequences.
        prior: (S,) or (S, C) float32 logits added to the network's; None without a prior.
        held: (sum of lengths, F) the features of all sequences, one after another, on the device where they are
            wanted; None = they are read from the corpus.
    """

    view: SequenceView
    prior: npt.NDArray[np.float32] | None = None
    held: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.view)

    def __repr__(self) -> str:
        """One line, without texts and names."""
        return f"SequenceDataset({self.view.describe()}, {self.input_size} features)"

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"sequence {index} of a dataset of {len(self)}")
        position = np.array([index % len(self)], dtype=np.int64)
        return torch.from_numpy(self.view.gather_features(position)), self.labels[index]

    @property
    def labels(self) -> torch.Tensor:
        """(S,) int64 class indices, -1 = unlabelled."""
        return torch.from_numpy(self.view.labels)

    @property
    def lengths(self) -> Indices:
        """(S,) messages a sequence."""
        return self.view.lengths

    @property
    def input_size(self) -> int:
        """Features a message."""
        return self.view.corpus.require_features()

    @property
    def message_bytes(self) -> int:
        """What a message's features take."""
        return self.view.corpus.features.row_bytes

    @property
    def classes(self) -> tuple[Label, ...]:
        """The labels as the user wrote them; a class's index is its integer label."""
        return self.view.classes

    @property
    def num_classes(self) -> int:
        """How many classes; 2 = binary."""
        return max(2, len(self.view.classes))

    def with_prior(self, prior: npt.NDArray[np.floating] | None) -> SequenceDataset:
        """The same sequences with a prior logit (or one a class) each."""
        return replace(self, prior=None if prior is None else prior.astype(np.float32))

    def hold(self, device: torch.device | str) -> SequenceDataset:
        """The same sequences with their features in a device's memory, where batches are then gathered."""
        features = self.view.corpus.features
        dtype = torch.from_numpy(features.numbers[:0]).dtype
        held = torch.empty((int(self.lengths.sum()), features.width), dtype=dtype, device=device)
        first = 0
        for block in blocks_of_messages(self.lengths, _HELD_AT_A_TIME):
            rows = self._gather(self.view.feature_places(block), is_brought=False, is_pinned=False)
            held[first : first + len(rows)] = rows
            first += len(rows)
        return replace(self, held=held)

    @property
    def is_read_ahead(self) -> bool:
        """Whether each read of features is to be announced: they are on disk, and many."""
        return self.held is None and self.view.corpus.features.is_read_ahead

    def count_bytes(self, indices: Indices) -> int:
        """What the features of some sequences take on disk."""
        return int(self.lengths[indices].sum()) * self.message_bytes

    def batch(self, indices: Indices, *, is_brought: bool = False, is_pinned: bool = False) -> Batch:
        """The sequences at `indices`.

        Args:
            indices: (B,) which sequences.
            is_brought: their features are in memory already (see SequenceView.bring).
            is_pinned: put the features where a GPU can fetch them (pinned memory).
        """
        lengths = self.view.lengths[indices]
        mask = np.arange(lengths.max(initial=0)) < lengths[:, None]  # (B, T)
        if self.held is None:
            places = self.view.feature_places(indices)
            features = self._gather(places, is_brought=is_brought, is_pinned=is_pinned)
        else:
            features = self._gather_held(self.held, indices)
        return Batch(
            features,
            torch.from_numpy(mask),
            torch.from_numpy(self.view.labels[indices]),
            torch.from_numpy(indices),
            None if self.prior is None else torch.from_numpy(self.prior[indices]),
        )

    def _gather(self, places: Indices, *, is_brought: bool, is_pinned: bool) -> torch.Tensor:
        """The features at some places, (M, F), in one call for all record batches, on all of torch's threads."""
        features = self.view.corpus.features
        if features.is_read_ahead and not is_brought:
            features.will_need(places)
        numbers = torch.from_numpy(features.numbers)
        out = torch.empty(
            (len(places), features.width),
            dtype=numbers.dtype,
            pin_memory=is_pinned and torch.cuda.is_available(),
        )
        if len(places):
            windows = numbers.unfold(0, features.width, 1)
            torch.index_select(windows, 0, torch.from_numpy(places), out=out)
        return out

    def _gather_held(self, held: torch.Tensor, indices: Indices) -> torch.Tensor:
        """The features of some sequences, (M, F), on the device that holds them all; rows are counted on there."""
        counts = self.lengths[indices]
        shifts = self._begins[indices] - (np.cumsum(counts) - counts)
        sent = torch.from_numpy(np.stack([shifts, counts])).to(held.device, non_blocking=True)
        num_rows = int(counts.sum())
        rows = torch.repeat_interleave(sent[0], sent[1], output_size=num_rows)
        return held.index_select(0, rows + torch.arange(num_rows, device=held.device))

    @cached_property
    def _begins(self) -> Indices:
        """(S,) where each sequence begins in `held`."""
        return np.cumsum(self.lengths) - self.lengths


@dataclass(frozen=True, slots=True)
class Step:
    """The sequences of one optimizer step, as index arrays of its micro-batches.

    Attributes:
        dataset: where they come from.
        cuts: positions in the dataset, one array a micro-batch of this process.
        count: sequences in the whole step, over all processes: what the summed loss is divided by.
        is_pinned: whether the batches are (see SequenceDataset.batch).
    """

    dataset: SequenceDataset
    cuts: list[Indices]
    count: int
    is_pinned: bool = False

    def __iter__(self) -> Iterator[Batch]:
        view, count_bytes = self.dataset.view, self.dataset.count_bytes
        if not self.dataset.is_read_ahead:
            return (self.dataset.batch(cut, is_pinned=self.is_pinned) for cut in self.cuts)
        # of a step that is too large to be brought as a whole (see StepLoader.steps), the micro-batches are
        is_small = fits_ahead(count_bytes(self.indices))
        cuts = self.cuts if is_small else bring_ahead(self.cuts, view.bring, count_bytes)
        return (
            self.dataset.batch(cut, is_brought=fits_ahead(count_bytes(cut)), is_pinned=self.is_pinned)
            for cut in cuts
        )

    @property
    def indices(self) -> Indices:
        """The positions of all of this process's sequences."""
        return np.concatenate([np.empty(0, np.int64), *self.cuts])


@dataclass
class StepLoader:
    """Steps of `batch_size` sequences; see make_loader.

    Attributes:
        epoch: which shuffle is drawn; set it before each pass.
    """

    dataset: SequenceDataset
    batch_size: int = 256
    shuffle: bool = False
    seed: int = 0
    micro_batch_messages: int = MICRO_BATCH_MESSAGES
    rank: int = 0
    world_size: int = 1
    is_pinned: bool = False
    epoch: int = 0

    def __len__(self) -> int:
        return -(-len(self.dataset) // self.batch_size)

    def __iter__(self) -> Iterator[Step]:
        return self.steps()

    def steps(self, start: int = 0) -> Iterator[Step]:
        """The epoch's steps from number `start` on (0 = the first)."""
        steps, view = self._cut_steps(start), self.dataset.view
        if not self.dataset.is_read_ahead:
            return steps
        return bring_ahead(
            steps,
            lambda step: view.bring(step.indices),
            lambda step: self.dataset.count_bytes(step.indices),
        )

    def _cut_steps(self, start: int) -> Iterator[Step]:
        order = np.arange(len(self.dataset), dtype=np.int64)
        if self.shuffle:
            numpy_generator(self.seed, "shuffle", self.epoch).shuffle(order)
        for first in range(start * self.batch_size, len(order), self.batch_size):
            drawn = order[first : first + self.batch_size]
            cuts = cut_by_length(self.dataset.lengths[drawn], self.micro_batch_messages)
            mine = share_cuts(cuts, self.dataset.lengths[drawn], self.rank, self.world_size)
            yield Step(self.dataset, [drawn[cut] for cut in mine], len(drawn), self.is_pinned)


def load_dataset(
    dataset_path: str | Path | Corpus, model_type: str, split: Split | None = None, *, labelled: bool = False
) -> SequenceDataset:
    """Open the sequences of a corpus at one level.

    Args:
        dataset_path: an analyzed corpus.
        model_type: ``"conversation"`` or ``"author"``.
        split: ``"train"``, ``"validation"``, ``"test"``, or None for all sequences.
        labelled: keep labelled sequences only.

    Raises:
        CorpusError: the corpus has no features yet.
        UsageError: an unknown level or split.
    """
    require_flags(labelled=labelled)
    corpus = as_corpus(dataset_path)
    corpus.require_features()
    view = view_sequences(corpus, require_level(model_type), split)
    return SequenceDataset(view.labelled() if labelled else view)


def hold_on_gpu(dataset: SequenceDataset, device: torch.device) -> SequenceDataset:
    """The same with the features on an NVIDIA GPU, if it has the memory; elsewhere the dataset as it is.

    For sequences that are read again and again: a GPU copies rows of its own in less time than a CPU takes to gather
    them.
    """
    if device.type != "cuda":
        return dataset
    free, _ = torch.cuda.mem_get_info(device)
    fits = dataset.count_bytes(np.arange(len(dataset))) <= free // _HELD_PART
    return dataset.hold(device) if fits else dataset


def require_level(model_type: str) -> SequenceLevel:
    """Check the level of a sequence model.

    Raises:
        UsageError: it is neither ``conversation`` nor ``author``.
    """
    if model_type == "conversation":
        return "conversation"
    if model_type == "author":
        return "author"
    raise UsageError(f"model_type must be 'conversation' or 'author', not {model_type!r}")


def make_loader(
    dataset: SequenceDataset,
    batch_size: int = 256,
    *,
    shuffle: bool = False,
    seed: int = 0,
    micro_batch_messages: int | None = None,
    rank: int = 0,
    world_size: int = 1,
    device: torch.device | str = "cpu",
) -> StepLoader:
    """Cut a dataset into optimizer steps; train_epoch and evaluate take the result.

    Args:
        dataset: from load_dataset.
        batch_size: sequences an optimizer step.
        shuffle: draw them at random, anew each epoch (``loader.epoch``), else in order.
        seed: of the shuffle.
        micro_batch_messages: of a micro-batch, at most (a single longer sequence stands alone); None =
            MICRO_BATCH_MESSAGES, for an NVIDIA GPU GPU_MICRO_BATCH_MESSAGES.
        rank: this process's number.
        world_size: how many processes share each step's micro-batches.
        device: where the batches will go. For an NVIDIA GPU micro-batches are few, and their features in pinned memory.

    Raises:
        UsageError: no dataset of load_dataset, a batch size, number of messages or of processes that is no whole number
            from 1, or a rank that is none of theirs.
    """
    if not isinstance(dataset, SequenceDataset):
        raise UsageError(f"dataset: expected what tenor.load_dataset gives, found {describe_found(dataset)}")
    require_flags(shuffle=shuffle)
    sizes: dict[str, object] = {"batch_size": batch_size, "world_size": world_size}
    if micro_batch_messages is not None:
        sizes["micro_batch_messages"] = micro_batch_messages
    for name, size in sizes.items():
        if not isinstance(size, int | np.integer):
            raise UsageError(f"{name} must be a whole number, not {size!r:.80}")
        if size < 1:
            raise UsageError(f"{name} must be at least 1, not {size}")
    if not isinstance(rank, int | np.integer) or not 0 <= rank < world_size:
        raise UsageError(f"rank must be a whole number from 0 to {world_size - 1}, not {rank!r:.80}")
    on_gpu = torch.device(device).type == "cuda"
    if micro_batch_messages is None:
        micro_batch_messages = GPU_MICRO_BATCH_MESSAGES if on_gpu else MICRO_BATCH_MESSAGES
    return StepLoader(
        dataset, batch_size, shuffle, seed, micro_batch_messages, rank, world_size, is_pinned=on_gpu
    )
