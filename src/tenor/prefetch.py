"""Batches on the GPU before they are asked for, so that neither disk nor bus is waited for.

Knows nothing of models.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch

from tenor.batching import Batch, Step, StepLoader

#: Batches, and ends of steps, that are ahead of the batch in work: a bound of the GPU's memory.
_AHEAD = 4
#: Seconds after which a thread that waits looks whether anybody still wants its batches.
_LOOK = 0.1


@contextlib.contextmanager
def bring_steps(
    loader: StepLoader, device: torch.device, start: int = 0, *, ahead: bool | None = None
) -> Iterator[Iterator[tuple[Step, Iterator[Batch]]]]:
    """Each step with its batches on the device; those of one step are to be used up before the next is asked for.

    Args:
        loader: best one that was made for the device (see make_loader).
        device: where to.
        start: steps of the epoch to leave out.
        ahead: whether a thread makes and copies batches before they are asked for; None = for an NVIDIA GPU that does
            not hold the features itself.
    """
    if ahead is None:
        ahead = device.type == "cuda" and loader.dataset.held is None
    if not ahead:
        yield _bring_in_turn(loader.steps(start), device)
        return
    if device == torch.device("cuda"):  # a thread begins on the first one, whatever is current here
        device = torch.device("cuda", torch.cuda.current_device())
    bringer = _Bringer(device)
    thread = threading.Thread(target=bringer.run, args=(loader.steps(start),), name="prefetch", daemon=True)
    thread.start()
    try:
        yield bringer.steps()
    finally:
        bringer.ended.set()
        thread.join()


def _bring_in_turn(steps: Iterator[Step], device: torch.device) -> Iterator[tuple[Step, Iterator[Batch]]]:
    """Each step with its batches made as they are asked for; from features that a device holds, with the step."""
    for step in steps:
        batches = (batch.to(device) for batch in step)
        yield step, batches if step.dataset.held is None else iter(list(batches))


@dataclass(frozen=True)
class _Moved:
    """A batch that may still be on its way.

    Attributes:
        batch: on the GPU once `event` has passed.
        event: of the stream that copies; None on a CPU.
    """

    batch: Batch
    event: torch.cuda.Event | None


@dataclass
class _Bringer:
    """What the thread that makes batches and the one that uses them share: a short queue.

    In it stand each step, its batches, and None at its end; None after the last step, or what the thread died of.
    """

    device: torch.device
    ready: queue.Queue[Step | _Moved | BaseException | None] = field(
        default_factory=lambda: queue.Queue(_AHEAD)
    )
    ended: threading.Event = field(default_factory=threading.Event)

    def run(self, steps: Iterator[Step]) -> None:
        """Make and copy batches until all are there or nobody wants them."""
        try:
            is_gpu = self.device.type == "cuda"
            stream = torch.cuda.Stream(self.device) if is_gpu else None  # type: ignore[no-untyped-call]
            with torch.cuda.stream(stream):  # None is no stream
                for step in steps:
                    self._put(step)
                    for batch in step:
                        moved = batch.to(self.device)
                        self._put(_Moved(moved, None if stream is None else stream.record_event()))
                    self._put(None)
            self._put(None)
        except _NobodyWaits:
            pass
        except BaseException as error:  # whatever it is: the thread that waits raises it
            with contextlib.suppress(_NobodyWaits):
                self._put(error)

    def _put(self, item: Step | _Moved | BaseException | None) -> None:
        while not self.ended.is_set():
            with contextlib.suppress(queue.Full):
                self.ready.put(item, timeout=_LOOK)
                return
        raise _NobodyWaits

    def steps(self) -> Iterator[tuple[Step, Iterator[Batch]]]:
        """Each with its batches."""
        while isinstance(taken := self._take(), Step):
            yield taken, self._batches()

    def _take(self) -> Step | _Moved | None:
        item = self.ready.get()
        if isinstance(item, BaseException):
            raise item
        return item

    def _batches(self) -> Iterator[Batch]:
        """Those of the step that was taken last, each once it is there."""
        while isinstance(moved := self._take(), _Moved):
            if moved.event is not None:
                stream = torch.cuda.current_stream(self.device)
                stream.wait_event(moved.event)
                for tensor in (moved.batch.features, moved.batch.labels, moved.batch.prior):
                    if tensor is not None:
                        tensor.record_stream(stream)  # its memory was the copying stream's
            yield moved.batch


class _NobodyWaits(Exception):
    """The thread that uses the batches has ended."""
