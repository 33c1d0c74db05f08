"""One micro-batch forward and backward: as it comes, or on an NVIDIA GPU as a CUDA graph.

Steps of chats are small: a GPU computes one in less time than Python takes to name its kernels. So batches are filled
up to few shapes (``nn.bucket``), and what is to be done with a shape is recorded once and replayed. Results do not
depend on whether a shape has been recorded. Knows nothing of steps, optimizers or data.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tenor.batching import Batch
from tenor.devices import Runtime
from tenor.models.sequence import SequenceClassifier
from tenor.nn.bucket import Bucket
from tenor.nn.dropout import Dropout

#: Shapes that have a place, at most: a bound of the GPU's memory and of the seconds that recording takes.
MAX_PLACES = 64

#: (logits, labels) to the summed loss.
Loss = Callable[[Tensor, Tensor], Tensor]


class Pass:
    """Loss, logits and gradients of micro-batches by a model as it is."""

    def __init__(self, model: nn.Module, loss: Loss, runtime: Runtime) -> None:
        """Take what is to be computed with.

        Args:
            model: takes (features, mask, prior) and gives logits; on the runtime's device.
            loss: summed over the sequences.
            runtime: device and precision.
        """
        self.model, self.loss, self.runtime = model, loss, runtime

    def run(self, batch: Batch, count: int) -> tuple[Tensor, Tensor]:
        """Summed loss (scalar) and logits (B,) or (B, C); the parameters' gradients grow by those of loss / count.

        Args:
            batch: on the device.
            count: what the gradients are divided by.
        """
        with self.runtime.autocast():
            logits = self.model(batch.features, batch.mask, prior=batch.prior)
        return self._backward(logits, batch.labels, count)

    def _backward(self, logits: Tensor, labels: Tensor, count: int) -> tuple[Tensor, Tensor]:
        loss = self.loss(logits.float(), labels)
        (loss / count).backward()  # type: ignore[no-untyped-call]
        return loss.detach(), logits.detach()


@dataclass
class _Place:
    """Where batches of one shape are put, always at the same addresses, and what was recorded there.

    Attributes:
        rows: (M, F), zero behind the real messages.
        lengths: (S + fillers,) int64, of Bucket.fill_up.
        labels: (S,) int64.
        prior: (S + fillers,) or (S + fillers, C), or None.
        graph: None = not recorded.
        results: loss and logits of a replay.
        gradients: of the parameters, of a replay.
        held: the positions that the graph reads; a longer table may take their place in the model.
    """

    rows: Tensor
    lengths: Tensor
    labels: Tensor
    prior: Tensor | None
    graph: torch.cuda.CUDAGraph | None = None
    results: tuple[Tensor, Tensor] | None = None
    gradients: tuple[Tensor | None, ...] = ()
    held: Tensor | None = None


class GraphedPass(Pass):
    """The same with recorded graphs; see the module.

    Every batch is put in a place for its shape. The first one there is computed step by step; before the second, what
    is done there is recorded. On a CPU nothing is recorded. A batch that is not packed, or has a sequence without
    messages, is computed as it comes.
    """

    model: SequenceClassifier

    def __init__(self, model: SequenceClassifier, loss: Loss, runtime: Runtime) -> None:
        """As Pass; the model's weights are to stay at their addresses, and have no gradients before each run."""
        super().__init__(model, loss, runtime)
        self._parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self._places: dict[tuple[Bucket, int], _Place] = {}
        self._records = runtime.device.type == "cuda"
        self._pool = torch.cuda.graph_pool_handle() if self._records else None
        # its own: the one that torch would take stays for ever on the device that was current first
        self._stream = torch.cuda.Stream(runtime.device) if self._records else None  # type: ignore[no-untyped-call]

    def run(self, batch: Batch, count: int) -> tuple[Tensor, Tensor]:
        """As Pass.run, but that a replay sets the parameters' gradients in place of adding to them."""
        # with numpy: torch would call its threads together for each of these, which takes a GPU's whole step
        lengths = batch.mask.numpy().sum(axis=1)
        if batch.features.ndim != 2 or not (lengths > 0).all():
            return super().run(batch, count)
        bucket = Bucket.of(lengths)
        place = self._places.get((bucket, count))
        is_known = place is not None
        if place is None:
            place = self._make_place(batch, bucket)
            if len(self._places) < MAX_PLACES:
                self._places[bucket, count] = place
        self._fill(place, batch, torch.from_numpy(bucket.fill_up(lengths)))
        if self._records and is_known and place.graph is None:
            self._record(place, bucket, count)
        if place.graph is None or place.results is None:
            return self._compute(place, bucket, count)
        place.graph.replay()
        for parameter, gradient in zip(self._parameters, place.gradients, strict=True):
            parameter.grad = gradient
        loss, logits = place.results
        return loss.clone(), logits.clone()  # the next replay writes over them

    def _make_place(self, batch: Batch, bucket: Bucket) -> _Place:
        device, count = self.runtime.device, bucket.sequences + bucket.fillers
        prior = None
        if batch.prior is not None:
            prior = torch.zeros(count, *batch.prior.shape[1:], dtype=batch.prior.dtype, device=device)
        return _Place(
            torch.zeros(bucket.rows, batch.features.shape[1], dtype=batch.features.dtype, device=device),
            torch.zeros(count, dtype=torch.int64, device=device),
            torch.zeros_like(batch.labels),
            prior,
        )

    def _fill(self, place: _Place, batch: Batch, lengths: Tensor) -> None:
        count = len(batch.features)
        place.rows[:count].copy_(batch.features)
        place.rows[count:].zero_()
        place.lengths.copy_(lengths, non_blocking=True)
        place.labels.copy_(batch.labels)
        if place.prior is not None and batch.prior is not None:
            place.prior[: len(batch)].copy_(batch.prior)

    def _compute(self, place: _Place, bucket: Bucket, count: int) -> tuple[Tensor, Tensor]:
        with self.runtime.autocast():
            logits = self.model.score_rows(place.rows, bucket.packing(place.lengths), place.prior)
        return self._backward(logits[: bucket.sequences], place.labels, count)

    def _record(self, place: _Place, bucket: Bucket, count: int) -> None:
        """Record what _compute does; random draws are taken up afterwards where they stood."""
        generators = {
            id(drawn): drawn for drawn in map(_generator_of, self.model.modules()) if drawn is not None
        }
        states = {key: generator.get_state() for key, generator in generators.items()}
        graph = torch.cuda.CUDAGraph()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # newer torch finds generators out itself, and says so
            for generator in generators.values():
                if hasattr(graph, "register_generator_state"):
                    graph.register_generator_state(generator)
        with (
            torch.cuda.device(self.runtime.device),
            # thread_local: the thread that brings batches goes on meanwhile
            torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"),
        ):
            place.results = self._compute(place, bucket, count)
        place.gradients = tuple(parameter.grad for parameter in self._parameters)
        for parameter in self._parameters:
            parameter.grad = None
        for key, generator in generators.items():
            generator.set_state(states[key])
        place.graph = graph
        place.held = self.model.positions.table(bucket.longest, torch.empty(0, device=self.runtime.device))


def _generator_of(module: nn.Module) -> torch.Generator | None:
    return module.generator if isinstance(module, Dropout) else None
