"""What the benchmarks share: real corpora made ready, repeats that take turns, the machine's own rates.

Knows nothing of any single claim.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tenor import __version__
from tenor.corpus.importing import import_corpus
from tenor.encoding.encode import encode_corpus
from tenor.synthetic import SyntheticPlan, generate_conversations, write_jsonl

#: Where the real corpora are, seen from the checkout; other people's data, read there and copied nowhere.
DATA_FOLDERS = [Path(__file__).parents[levels] / "shared" / "data" for levels in (1, 2, 3)]
#: Analyzed corpora of earlier scripts, so that each is encoded once.
CACHE = Path(tempfile.gettempdir()) / f"tenor-bench-{__version__}"

#: A corpus's name -> the plan of the generated one that stands in for it where it is missing.
STAND_INS = {
    "persuasion": SyntheticPlan(conversations=1_000, messages=20, seed=4),
    "conda": SyntheticPlan(conversations=10_000, messages=3.3, seed=1),
    "chitchat": SyntheticPlan(conversations=2_000, messages=60, seed=2),
    "switchboard": SyntheticPlan(conversations=1_100, messages=109, conversations_per_author=8, seed=3),
}


def parse_options(description: str | None) -> argparse.Namespace:
    """The options of every script."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="tiny sizes: to see that it runs, not how fast")
    parser.add_argument("--threads", type=int, help="of torch, for all loops alike (default: one a core)")
    return parser.parse_args()


def set_threads(options: argparse.Namespace) -> int:
    """Give torch every core, or what was asked for; returns how many threads it has.

    On a machine that others use, ask for fewer: torch's threads wait for one another, so that a core taken away
    costs every loop many times its share.
    """
    import torch

    cores = os.cpu_count()
    torch.set_num_threads(options.threads or (1 if options.quick or cores is None else cores))
    return torch.get_num_threads()


def find_file(name: str) -> Path | None:
    """A file by its path, or by its name among the real corpora; None where there is none."""
    places = [Path(name), *(data / f"{name}.jsonl.gz" for data in DATA_FOLDERS)]
    return next((path for path in places if path.is_file()), None)


def find_source(name: str, folder: Path, *, quick: bool = False) -> tuple[Path, str]:
    """A source file of a corpus and what to call it.

    Args:
        name: persuasion, conda, chitchat or switchboard, or as find_file takes it.
        folder: where a source that has to be written is put.
        quick: make a small generated one.
    """
    given = None if name in STAND_INS else find_file(name)
    if given is not None:
        return given, given.name
    if not quick and name == "chitchat":
        try:
            from tenor.demo import read_chats

            path = folder / "chitchat.jsonl"
            path.write_text("".join(json.dumps(chat) + "\n" for chat in read_chats()))
            return path, name
        except ImportError:
            print("chitchat-dataset is not installed: generated conversations instead", file=sys.stderr)
    for data in [] if quick else DATA_FOLDERS:
        if (data / f"{name}.jsonl.gz").is_file():
            return data / f"{name}.jsonl.gz", name
    plan = STAND_INS[name]
    if quick:
        # with guilty authors enough that each of five folds of the training ones has some
        plan = SyntheticPlan(
            conversations=300, messages=min(plan.messages, 20.0), guilty_every=5, seed=plan.seed
        )
    return write_jsonl(generate_conversations(plan), folder / f"{name}.jsonl.gz"), f"generated ({name})"


def analyzed_corpus(name: str, *, quick: bool = False) -> tuple[Path, str]:
    """A corpus with 256 lsa features a message, from the cache where an earlier script made it."""
    folder = CACHE / (f"{name}-quick" if quick else name)
    called = folder / "name.txt"
    if not called.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        source, title = find_source(name, folder, quick=quick)
        import_corpus(source, folder / "corpus", split_by=None, replace=True)
        encode_corpus(
            folder / "corpus",
            folder / "analyzed",
            encoder="lsa",
            input_size=256,
            replace=True,
            progress=False,
        )
        called.write_text(title)
    return folder / "analyzed", called.read_text()


def take_turns(contestants: Mapping[str, Callable[[], float]], repeats: int) -> dict[str, list[float]]:
    """Let contestants run one after another, `repeats` times round; each returns its own result."""
    results: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(repeats):
        for name, run in contestants.items():
            results[name].append(run())
    return results


def seconds_of(function: Callable[[], object]) -> float:
    """Wall-clock seconds of one call."""
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def median(values: Sequence[float]) -> float:
    """The middle one."""
    return statistics.median(values)


def print_machine(threads: int | None = None) -> None:
    """The first line of every result: where it was measured."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    threads_said = "" if threads is None else f", {threads} threads"
    print(f"{time.strftime('%Y-%m-%d %H:%M')}, {cores} cores{threads_said}, {platform.machine()}, ", end="")
    print(f"load {load:.1f} at the start, tenor {__version__}\n")


def print_table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A Markdown table; numbers stand to the right."""
    print("| " + " | ".join(head) + " |")
    print("| " + " | ".join("---" if index == 0 else "---:" for index in range(len(head))) + " |")
    for row in rows:
        print("| " + " | ".join(map(str, row)) + " |")
    print(flush=True)


def print_claims(rows: Sequence[tuple[str, float, float]]) -> None:
    """The table that `make bench` collects: claim, least ratio asked for, ratio measured, and whether it is met."""
    head = ("claim", "goal", "measured", "met")
    print_table(
        head,
        [
            (claim, f"≥ {goal:g}", f"{found:.3g}", "yes" if found >= goal else "**no**")
            for claim, goal, found in rows
        ],
    )


def gemm_rate(*, quick: bool = False) -> float:
    """The machine's fp32 matrix rate, FLOP/s: the best shape's median of torch.mm."""
    import torch

    sides = [(512, 256, 256)] if quick else [(2048, 256, 1024), (4096, 1024, 256), (2048, 2048, 2048)]
    best = 0.0
    for rows, inner, columns in sides:
        left, right, out = torch.randn(rows, inner), torch.randn(inner, columns), torch.empty(rows, columns)
        flops = 2 * rows * inner * columns
        calls = max(1, int((1e8 if quick else 1e10) // flops))

        def multiply(left=left, right=right, out=out, calls=calls) -> None:  # noqa: ANN001
            for _ in range(calls):
                torch.mm(left, right, out=out)

        multiply()
        best = max(best, flops * calls / median([seconds_of(multiply) for _ in range(7)]))
    return best


def memcpy_rate(num_bytes: int = 1 << 28) -> float:
    """Bytes a second that one thread copies from one large array to another."""
    source, target = np.ones(num_bytes, np.uint8), np.ones(num_bytes, np.uint8)
    return num_bytes / median([seconds_of(lambda: np.copyto(target, source)) for _ in range(7)])


def count_flops(
    lengths: np.ndarray,
    *,
    input_size: int = 256,
    hidden: int = 256,
    layers: int = 2,
    kernel_sizes: Sequence[int] = (3, 5, 7),
    training: bool,
    on_gpu: bool = False,
) -> float:
    """The FLOPs that sequences of these lengths need in a SequenceClassifier, none spent on padding.

    Counted are matrix products only, 2 a multiplication: for each message the projection (F H), each block's
    12 H^2, attention's 2 T H a block, and of each convolution the taps inside the sequence; for each sequence
    the head. The backward pass costs twice the forward, the projection's once (features need no gradient), and that
    of the convolutions of long sequences on a CPU nothing: no matrices are multiplied there (nn/convolved_maxima.py).
    """
    from tenor.nn.convolved_maxima import MESSAGES  # here, for other scripts measure without torch

    total = float(lengths.sum())
    square = hidden * hidden
    attention = 2.0 * hidden * float((lengths.astype(np.float64) ** 2).sum())
    taps = 0.0
    for size in kernel_sizes:
        for shift in range(-(size // 2), size // 2 + 1):
            taps += float(np.maximum(lengths - abs(shift), 0).sum())
    head = len(lengths) * ((len(kernel_sizes) + 1) * square + 2 * square + hidden)
    rest = layers * (12 * square * total + attention) + head
    convolutions = taps * square
    projection = input_size * hidden * total
    if not training:
        return 2.0 * (rest + convolutions + projection)
    passes = 1 if lengths.mean() >= MESSAGES and not on_gpu else 3
    return 2.0 * (3 * rest + passes * convolutions + 2 * projection)
