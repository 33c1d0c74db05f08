"""Other processes that fit n-gram models, so that all cores do: liblinear's random numbers are one sequence a process.

A helper is this package started anew. It reads jobs from its standard input and writes what it fitted to its standard
output, both as arrays, until the input ends: then it ends too, in the middle of a job, so it does not outlive the
process that asked. It finds, to the bit, what that process would have found. Knows nothing of corpora.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tenor.lexical.fitting import Recipe, fit_in_folds
from tenor.lexical.model import LexicalModel
from tenor.processes import count_cores, process_count

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

FloatArray = npt.NDArray[np.float64]
Tensors = dict[str, npt.NDArray[Any]]
#: A model, and the logits out of fold.
Fitted = tuple[LexicalModel, FloatArray]

logger = logging.getLogger(__name__)

#: Each imports some 150 MB and needs for its job what this process would.
MAX_HELPERS = 4
#: N-grams of a job, counted once a text, from which on it is handed out: smaller ones take less than a helper's start.
LEAST_COUNTS = 250_000

_PROGRAM = "import sys; sys.path[:] = sys.argv[1:]; from tenor.lexical.helpers import serve; serve()"
_SIZE_BYTES = 8
#: What a helper says first; what comes before was printed by something else as Python started.
_READY = b"tenor helper\n"


def count_helpers() -> int:
    """As many as this process has cores of its own, fewer where ``OMP_NUM_THREADS`` says so; one is none.

    None either where no Python is at hand to start them: embedded, or frozen into an application.
    """
    if not sys.executable or getattr(sys, "frozen", False):
        return 1
    asked = os.environ.get("OMP_NUM_THREADS", "")
    most = int(asked) if asked.isdecimal() and int(asked) > 0 else MAX_HELPERS
    return max(1, min(count_cores() // process_count(), most, MAX_HELPERS))


@dataclass(frozen=True, eq=False)
class Job:
    """What `fit_in_folds` is asked: see there."""

    counts: csr_matrix
    labels: npt.NDArray[np.int64]
    codes: npt.NDArray[np.int64]
    num_classes: int
    folds: int
    recipe: Recipe

    def run(self) -> Fitted:
        """Do it here."""
        return fit_in_folds(
            self.counts,
            self.labels,
            self.codes,
            num_classes=self.num_classes,
            folds=self.folds,
            recipe=self.recipe,
        )

    def to_bytes(self) -> bytes:
        """As arrays and JSON; from_bytes takes it back."""
        counts = self.counts
        tensors = {"data": counts.data, "indices": counts.indices, "indptr": counts.indptr}
        rest = {"num_classes": self.num_classes, "folds": self.folds, "columns": counts.shape[1]}
        settings = json.dumps({**rest, "recipe": asdict(self.recipe)})
        return _pack({**tensors, "labels": self.labels, "codes": self.codes, "settings": _as_array(settings)})

    @classmethod
    def from_bytes(cls, data: bytes) -> Job:
        """Take back what to_bytes gave."""
        from scipy.sparse import csr_matrix

        found = _unpack(data)
        settings = json.loads(found["settings"].tobytes())
        recipe = settings["recipe"]
        return cls(
            csr_matrix(
                (found["data"], found["indices"], found["indptr"]),
                shape=(len(found["indptr"]) - 1, settings["columns"]),
            ),
            found["labels"],
            found["codes"],
            settings["num_classes"],
            settings["folds"],
            Recipe(**{**recipe, "strengths": tuple(recipe["strengths"])}),
        )


def done(found: Fitted) -> Callable[[], Fitted]:
    """What waits for a result that is there."""
    return lambda: found


class Helpers:
    """Processes that fit, started with the first job that is worth it; ``with`` ends them."""

    def __init__(self, count: int) -> None:
        """With fewer than 2 every job is done here."""
        self._idle: list[subprocess.Popen[bytes]] = []
        self._all: list[subprocess.Popen[bytes]] = []
        self._threads = ThreadPoolExecutor(count, "helper") if count > 1 else None
        self._launching = threading.Lock()
        self._ended = False  # no more are to be launched
        self._room = threading.BoundedSemaphore(count + 1)  # a bound of the memory that waiting jobs take

    def __enter__(self) -> Helpers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
            with self._launching:
                self._ended = True
            for process in self._all:
                process.kill()
            self._threads.shutdown()
            for process in self._all:
                process.communicate()  # until it is gone

    def start(self, job: Job, when_done: Callable[[], None]) -> Callable[[], Fitted]:
        """Have a job done; what this gives waits for the result.

        Args:
            job: one too small to be worth it, or without helpers any, is done at once, here.
            when_done: called then, by any thread.
        """
        if self._threads is None or job.counts.nnz < LEAST_COUNTS:
            found = job.run()
            when_done()
            return done(found)
        self._room.acquire()  # `end` lets go of it
        future = self._threads.submit(self._ask, job)
        held = [job]  # until a helper has done it
        del job

        def end(ended: Future[Fitted]) -> None:
            if not ended.cancelled() and ended.exception() is None:
                held.clear()
            self._room.release()
            when_done()

        future.add_done_callback(end)

        def wait() -> Fitted:
            try:
                return future.result()
            except _HelperDied as error:  # of too little memory, say
                if error.args:
                    logger.warning("%s: its part is fitted in this process", error)
                return held[0].run()

        return wait

    def _ask(self, job: Job) -> Fitted:
        process = self._take_idle() or self._launch()
        try:
            _send(process.stdin, job.to_bytes())
            found = _unpack(_receive(process.stdout))
        except (OSError, EOFError) as error:
            raise _HelperDied(
                f"a helper process ended in the middle of a job (exit code {_exit_code(process)})"
            ) from error
        self._idle.append(process)
        logits = found.pop("logits")
        return LexicalModel.from_tensors(found), logits

    def _launch(self) -> subprocess.Popen[bytes]:
        """A new helper; Ctrl-C, which a terminal sends to all its processes, is for this one alone.

        Raises:
            _HelperDied: it does not start, and no other is tried, or this process is about to end them all.
        """
        with self._launching:
            if self._ended:
                raise _HelperDied
            try:
                process = subprocess.Popen(
                    [sys.executable, "-c", _PROGRAM, *sys.path],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )
            except OSError as error:
                self._ended = True
                raise _HelperDied(f"no helper process can be started ({error})") from error
            self._all.append(process)
        if process.stdout is None or not any(line == _READY for line in process.stdout):
            self._ended = True
            raise _HelperDied(f"a helper process ended as it started (exit code {_exit_code(process)})")
        return process

    def _take_idle(self) -> subprocess.Popen[bytes] | None:
        try:
            return self._idle.pop()
        except IndexError:  # another thread may have taken the last one
            return None


class _HelperDied(Exception):
    """A helper could not be started, or ended in the middle of a job; without words, where that was said before."""


def serve() -> None:
    """Do jobs from standard input until it ends: what a helper runs."""
    reader, writer = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what anything prints is no answer
    writer.write(b"\n" + _READY)
    writer.flush()
    jobs: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def read() -> None:
        with contextlib.suppress(EOFError):
            while True:
                jobs.put(_receive(reader))
        os._exit(0)  # nobody waits for the job in work

    threading.Thread(target=read, daemon=True).start()
    while True:
        model, logits = Job.from_bytes(jobs.get()).run()
        _send(writer, _pack({**model.to_tensors(), "logits": logits}))


def _exit_code(process: subprocess.Popen[bytes]) -> int | None:
    """Of a process that has closed its output; None = it goes on all the same."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        return process.wait(1)
    return None


def _send(stream: IO[bytes] | None, data: bytes) -> None:
    if stream is None:
        raise EOFError
    stream.write(len(data).to_bytes(_SIZE_BYTES, "little"))
    stream.write(data)
    stream.flush()


def _receive(stream: IO[bytes] | None) -> bytes:
    """What _send wrote.

    Raises:
        EOFError: the other side has ended.
    """
    if stream is None:
        raise EOFError
    size = stream.read(_SIZE_BYTES)
    data = stream.read(int.from_bytes(size, "little"))
    if len(size) < _SIZE_BYTES or len(data) < int.from_bytes(size, "little"):
        raise EOFError
    return data


def _as_array(text: str) -> npt.NDArray[np.uint8]:
    return np.frombuffer(text.encode(), np.uint8)


def _pack(tensors: Tensors) -> bytes:
    from safetensors.numpy import save

    return save({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()})


def _unpack(data: bytes) -> Tensors:
    from safetensors.numpy import load

    found: Tensors = load(data)
    return found
