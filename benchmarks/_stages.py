"""Every stage of the job as a process of its own: how long it takes and how much memory it holds.

What a process holds is its anonymous memory (``RssAnon``); pages of mapped files are the kernel's to take back.
Knows nothing of sizes and claims.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tenor.synthetic import SyntheticPlan, generate_conversations, write_jsonl

#: A network small enough that reading, not arithmetic, is what a step waits for.
NETWORK = "--hidden-size 32 --num-layers 1 --num-heads 2 --kernel-sizes 3 --prior auto".split()


@dataclass(frozen=True, slots=True)
class Measured:
    """One run of one stage: seconds, and the largest anonymous memory in bytes."""

    seconds: float
    peak_bytes: int


@dataclass(frozen=True)
class Job:
    """The files of one run of all stages, and what each stage is told."""

    folder: Path
    input_size: int = 64
    dtype: str = "float16"
    fit_characters: int = 2_000_000

    def commands(self) -> dict[str, list[str]]:
        """Stage -> the arguments of ``tenor``, in order."""
        path = {
            name: str(self.folder / name) for name in ("chats.jsonl", "corpus", "analyzed", "a.safetensors")
        }
        model, data = path["a.safetensors"], path["analyzed"]
        fit, quiet = ["--fit-characters", str(self.fit_characters)], "--no-progress"
        encode = ["--input-size", str(self.input_size), "--dtype", self.dtype, "--replace", quiet]
        scores = str(self.folder / "scores.parquet")
        return {
            "import": ["import", path["chats.jsonl"], path["corpus"], "--replace", quiet],
            "encode": ["encode", path["corpus"], data, *encode],
            "train": ["train", "author", data, "--model", model, "--epochs", "1", *NETWORK, *fit, quiet],
            "predict": ["predict", model, data, "--split", "all", "--output", scores, quiet],
            "profile": ["profile", model, data, "--predictions", scores, "--no-baselines", quiet],
            "evaluate": ["test", model, data, *fit, quiet],
        }

    def make_source(self, messages: int, seed: int = 1) -> Path:
        """About so many generated messages, 12 a conversation."""
        plan = SyntheticPlan(conversations=max(1, messages // 12), seed=seed)
        return write_jsonl(generate_conversations(plan), self.folder / "chats.jsonl")


def run_stage(arguments: Sequence[str], *, before: Callable[[int], None] | None = None) -> Measured:
    """Run ``tenor`` with some arguments to its end.

    Args:
        arguments: of the command.
        before: is told the process's id before it begins.

    Raises:
        subprocess.CalledProcessError: it failed, or was killed for its memory.
    """
    command = [sys.executable, "-m", "tenor", *arguments]
    hold = "import os, signal, sys; os.kill(os.getpid(), signal.SIGSTOP); os.execv(sys.argv[1], sys.argv[1:])"
    child = subprocess.Popen(
        [sys.executable, "-c", hold, *command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    os.waitpid(child.pid, os.WUNTRACED)
    if before is not None:
        before(child.pid)
    peak, done = [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            try:
                lines = Path(f"/proc/{child.pid}/status").read_text().splitlines()
            except OSError:
                return
            held = [int(line.split()[1]) << 10 for line in lines if line.startswith("RssAnon")]
            peak[0] = max(peak[0], *held, 0)

    watcher = threading.Thread(target=watch)
    begin = time.perf_counter()
    os.kill(child.pid, signal.SIGCONT)
    watcher.start()
    _, errors = child.communicate()
    seconds = time.perf_counter() - begin
    done.set()
    watcher.join()
    if child.returncode:
        sys.stderr.write(errors.decode(errors="replace")[-2000:])
        raise subprocess.CalledProcessError(child.returncode, command)
    return Measured(seconds, peak[0])
