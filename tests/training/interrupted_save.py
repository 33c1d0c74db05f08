"""A save that is interrupted at one of the calls by which it changes the disk: by an error, or by SIGKILL.

Tests take Interrupter from here; run as a script (KIND FOLDER CALL), it saves and is killed at call number CALL.
"""

from __future__ import annotations

import builtins
import contextlib
import errno
import io
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import torch

from tenor.models.model_file import ModelMetadata, save_model
from tenor.models.sequence import SequenceClassifier
from tenor.nn.initialization import initialize_weights
from tenor.training.checkpoint import Checkpoint, RunFolder

FUNCTIONS = ("fsync", "replace", "rename", "mkdir", "open", "chmod")


class Interrupter:
    """Counts fsync, rename, mkdir, open, chmod and write, and interrupts the one of number `at` (None = none)."""

    def __init__(self, at: int | None, how: Literal["error", "kill"] = "error") -> None:
        self.at, self.how = at, how
        self.calls: list[str] = []

    def count(self, name: str, before: Callable[[], object] | None = None) -> None:
        """Enter one call; interrupt it, after half of its work where that can be done by half."""
        self.calls.append(name)
        if len(self.calls) != self.at:
            return
        if before is not None:
            before()
        if self.how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Count what the body does; afterwards everything is as before."""
        plain = {name: getattr(os, name) for name in FUNCTIONS}
        plain_open = builtins.open

        def counted(name: str) -> Callable[..., Any]:
            def call(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401
                if name != "open" or arguments[1] & os.O_CREAT:
                    self.count(name)
                return plain[name](*arguments, **options)

            return call

        def open_counted(file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:  # noqa: ANN401
            handle = plain_open(file, mode, *arguments, **options)
            return handle if mode in ("r", "rb") else CountedHandle(handle, self)

        for name in FUNCTIONS:
            setattr(os, name, counted(name))
        builtins.open = io.open = open_counted
        try:
            yield
        finally:
            builtins.open = io.open = plain_open
            for name, function in plain.items():
                setattr(os, name, function)


class CountedHandle:
    """A file whose writes are counted; an interrupted one has written half."""

    def __init__(self, handle: Any, interrupter: Interrupter) -> None:  # noqa: ANN401
        self.handle, self.interrupter = handle, interrupter

    def write(self, data: Any) -> int:  # noqa: ANN401
        def write_half() -> None:
            self.handle.write(data[: len(data) // 2])
            self.handle.flush()

        self.interrupter.count("write", write_half)
        written: int = self.handle.write(data)
        return written

    def __enter__(self) -> CountedHandle:
        return self

    def __exit__(self, *error: object) -> None:
        self.handle.close()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self.handle, name)


def make_checkpoint(step: int) -> Checkpoint:
    """A checkpoint that can be told from those of other steps."""
    generator = torch.Generator().manual_seed(step)
    return Checkpoint(step, {"weight": torch.rand(5000, generator=generator)}, {"loss": 0.1 * step})


def save_checkpoint(folder: Path, number: int) -> None:
    """Save checkpoint `number` of the run in `folder`."""
    RunFolder(folder / "m.run").save(make_checkpoint(number))


def save_small_model(folder: Path, number: int) -> None:
    """Save a model whose weights follow from `number` in `folder`."""
    model = SequenceClassifier(4, hidden_size=8, num_layers=1, num_heads=2, kernel_sizes=(3,))
    initialize_weights(model, torch.Generator().manual_seed(number))
    metadata = ModelMetadata(level="author", config=model.config(), training={"number": number})
    save_model(folder / "m.pt", model, metadata)


SAVES = {"checkpoint": save_checkpoint, "model": save_small_model}

if __name__ == "__main__":
    kind, place, number = sys.argv[1:]
    with Interrupter(int(number), "kill").watching():
        SAVES[kind](Path(place), 3)
