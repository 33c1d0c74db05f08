"""Scores for many sequences: a model over a dataset, results in the dataset's order.

Knows nothing of labels, splits or thresholds.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from tenor.batching import (
    GPU_MICRO_BATCH_MESSAGES,
    MICRO_BATCH_MESSAGES,
    Batch,
    SequenceDataset,
    StepLoader,
    make_loader,
)
from tenor.corpus.views import SequenceView
from tenor.devices import Runtime
from tenor.lexical.prior import LexicalPrior
from tenor.models.model_file import LoadedModel
from tenor.models.sequence import SequenceClassifier
from tenor.prefetch import bring_steps
from tenor.progress import progress_bar

Floats = npt.NDArray[np.float64]
Embeddings = npt.NDArray[np.float32]

#: Sequences that are sorted by length together: many, so that those of a cut are nearly as long, but of not so many
#: bytes that what one cut leaves to the next has gone from memory again.
_WINDOW, _WINDOW_BYTES = 4096, 16 << 20
#: The input of one micro-batch, in float32; the model makes several copies of it.
_BATCH_BYTES, _GPU_BATCH_BYTES = 8 << 20, 64 << 20
#: Messages of one micro-batch on a CPU, at most: what a layer makes of them then stays in its caches. Elsewhere
#: the bound is training's, or twice that on an NVIDIA GPU: narrow features make no narrow layers.
_CPU_MESSAGES = 2048


def score_dataset(
    model: nn.Module, dataset: SequenceDataset, runtime: Runtime, *, progress: bool = False
) -> Floats:
    """Logits of every sequence, in order: (N,) float64 for two classes, (N, C) for more.

    Args:
        model: a SequenceClassifier; scored in eval and inference mode, its mode is restored.
        dataset: the sequences, with their prior where the model has one.
        runtime: device and processes; every process gets all scores.
        progress: show a bar.
    """
    return score_loader(model, make_scoring_loader(dataset, runtime), runtime, progress=progress)


def score_view(loaded: LoadedModel, view: SequenceView, runtime: Runtime) -> Floats:
    """Logits of a view's sequences by what a model file holds, its lexical prior included; see score_dataset."""
    dataset = SequenceDataset(view)
    if loaded.lexical is not None:
        dataset = dataset.with_prior(read_prior(loaded.lexical, view, runtime)[0])
    return score_dataset(loaded.model.to(runtime.device), dataset, runtime)


def read_prior(lexical: LexicalPrior, view: SequenceView, runtime: Runtime) -> tuple[Floats, Floats]:
    """A lexical prior's logits of a view's sequences, (S,) or (S, C), and how much of their words it knows, (S,).

    The processes share them out by what is read of each; one may get none.
    """
    if runtime.world_size == 1:
        return lexical.read(view)
    shape = (len(view),) if lexical.num_outputs == 1 else (len(view), lexical.num_outputs)
    logits, shares = torch.zeros(shape, dtype=torch.float64), torch.zeros(len(view), dtype=torch.float64)
    with runtime.together():
        ends = np.cumsum(lexical.count_read(view))
        bounds = np.arange(1, runtime.world_size) * (ends[-1:].sum() / runtime.world_size)
        own = np.split(np.arange(len(view)), np.searchsorted(ends, bounds))[runtime.rank]
        logits[own], shares[own] = map(torch.from_numpy, lexical.read(view.select(own)))
    return _sum_up(logits, runtime), _sum_up(shares, runtime)


def _sum_up(found: Tensor, runtime: Runtime) -> Floats:
    """What all processes found, each in its own rows."""
    return np.asarray(runtime.sum(found.to(runtime.device)).cpu().numpy())


def make_scoring_loader(
    dataset: SequenceDataset, runtime: Runtime, *, micro_batch_messages: int | None = None
) -> StepLoader:
    """Steps for scoring, in the dataset's order, which is that of the file: it is read once, from begin to end."""
    mean = max(1.0, float(dataset.lengths.mean()) if len(dataset) else 1.0)
    on_gpu = runtime.device.type == "cuda"
    most = max(1, (_GPU_BATCH_BYTES if on_gpu else _BATCH_BYTES) // (4 * dataset.input_size))
    bounds = {"cpu": _CPU_MESSAGES, "cuda": 2 * GPU_MICRO_BATCH_MESSAGES}
    most = min(most, bounds.get(runtime.device.type, MICRO_BATCH_MESSAGES))
    window = min(_WINDOW, max(256, int(_WINDOW_BYTES / (mean * dataset.message_bytes))))
    return make_loader(
        dataset,
        window,
        micro_batch_messages=most if micro_batch_messages is None else min(micro_batch_messages, most),
        rank=runtime.rank,
        world_size=runtime.world_size,
        device=runtime.device,
    )


def score_loader(model: nn.Module, loader: StepLoader, runtime: Runtime, *, progress: bool = False) -> Floats:
    """Logits of a loader's sequences, in the dataset's order; see score_dataset."""
    dataset = loader.dataset
    shape = (len(dataset),) if dataset.num_classes == 2 else (len(dataset), dataset.num_classes)

    def score(batch: Batch) -> Tensor:
        scores: Tensor = model(batch.features, batch.mask, prior=batch.prior)
        return scores

    logits = torch.zeros(shape, dtype=torch.float64)
    return _gather(score, logits, model, loader, runtime, progress=progress).numpy()


def embed_dataset(model: SequenceClassifier, dataset: SequenceDataset, runtime: Runtime) -> Embeddings:
    """What the network makes of every sequence before its head, in order: (N, E) float32; see score_dataset."""
    vectors = torch.zeros(len(dataset), model.embedding_size)

    def embed(batch: Batch) -> Tensor:
        return model.embed(batch.features, batch.mask)

    return _gather(embed, vectors, model, make_scoring_loader(dataset, runtime), runtime).numpy()


def _gather(
    compute: Callable[[Batch], Tensor],
    found: Tensor,
    model: nn.Module,
    loader: StepLoader,
    runtime: Runtime,
    *,
    progress: bool = False,
) -> Tensor:
    """Fill `found`, zeros with a row a sequence, with what each batch's sequences come to; all of it on every process.

    The model computes in eval and inference mode; its mode is restored.
    """
    was_training = model.training
    model.eval()
    try:
        show = progress and runtime.is_main
        with (
            torch.inference_mode(),
            progress_bar("scoring", len(found), enabled=show) as advance,
            bring_steps(loader, runtime.device) as brought,
        ):
            for step, batches in brought:
                for batch in batches:
                    with runtime.autocast():
                        rows = compute(batch)
                    found[batch.indices] = rows.to(found.dtype).cpu()
                advance(step.count)
    finally:
        model.train(was_training)
    return runtime.sum(found.to(runtime.device)).cpu() if runtime.world_size > 1 else found
