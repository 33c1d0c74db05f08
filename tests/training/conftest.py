"""Real processes, cheaply: forked from a server that has imported torch once, each running ``tenor``."""

from __future__ import annotations

import multiprocessing
import os
import runpy
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent

#: What a run imports sooner or later; a child of the server finds it imported.
PRELOADED = [
    "torch._dynamo",
    "torch.distributed",
    "pyarrow.parquet",
    "rich.progress",
    "safetensors.torch",
    "sklearn.linear_model",
    "accelerate",
    "tenor.cli.app",
    "tenor.evaluation",
    "tenor.encoding.encode",
    "tenor.training.train",
]


@dataclass
class Worker:
    """A process that was forked to run a script."""

    process: Any
    printed: Path
    errors: Path

    def wait(self, timeout: float = 60.0) -> int:
        """Its exit code, negative for a signal; the test fails if it is still there after `timeout` seconds."""
        self.process.join(timeout)
        if self.process.exitcode is None:
            self.kill()
            pytest.fail(f"still running after {timeout} s: {self.err}")
        code: int = self.process.exitcode
        return code

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.join()

    @property
    def out(self) -> str:
        """What it printed so far."""
        return self.printed.read_text() if self.printed.exists() else ""

    @property
    def err(self) -> str:
        """What it said of errors so far, but for the warning that every corpus as small as these earns."""
        lines = self.errors.read_text().splitlines(keepends=True) if self.errors.exists() else []
        return "".join(line for line in lines if not line.startswith("validation has only "))


Launch = Callable[..., list[Worker]]


@pytest.fixture(scope="session")
def launch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launch]:
    """A function (*arguments, count=1, fault="", script=worker.py, own={rank: arguments}) that starts processes.

    Those of one call know of each other, as if torchrun had started them.
    """
    folder = tmp_path_factory.mktemp("workers")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    started: list[Worker] = []

    def start(
        *arguments: object,
        count: int = 1,
        fault: str = "",
        script: str | Path = "worker.py",
        own: dict[int, Sequence[object]] | None = None,
        environment: dict[str, str] | None = None,
    ) -> list[Worker]:
        port = free_port()
        workers = []
        for rank in range(count):
            variables = {"OMP_NUM_THREADS": "1", "TENOR_FAULT": fault, **(environment or {})}
            if count > 1:
                variables |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count)}
                variables |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
            out, err = (folder / f"{len(started)}.{kind}" for kind in ("out", "err"))
            values = [str(value) for value in (own or {}).get(rank, arguments)]
            child = (str(HERE / script), values, variables, str(out), str(err))
            process = context.Process(
                target=runpy.run_path,
                args=(str(HERE / "forked.py"),),
                kwargs={"init_globals": {"CHILD": child}},
            )
            process.start()
            workers.append(Worker(process, out, err))
            started.append(workers[-1])
        return workers

    yield start
    for worker in started:
        if worker.process.is_alive():
            worker.kill()


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
