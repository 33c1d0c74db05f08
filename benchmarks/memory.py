"""All stages on a corpus many times larger than the memory they may use, against the same without a limit.

    python benchmarks/memory.py --messages 600000 --limit-mib 96

The limit is a memory cgroup (version 1 or 2) beneath this process's own, so the page cache of mapped files counts. It
is set to what an interpreter with tenor, torch and its libraries holds before any data, and --limit-mib more: that is
the allowed memory. Files are dropped from the page cache before each run. Also printed: what a view holds a sequence.
Linear models are fitted on a draw of --fit-characters, with the limit and without.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from _common import print_machine, print_table
from _stages import Job, Measured, run_stage

BASELINE = (
    "import accelerate, datasets, sklearn.linear_model, scipy.sparse.csgraph, pyarrow.parquet, matplotlib; "
    "import tenor.training.train, tenor.evaluation, tenor.evaluation.sequences, tenor.encoding.encode, torch._dynamo"
)


def find_own_group() -> tuple[Path, str]:
    """The folder of this process's memory cgroup, and the name of the file that limits it.

    Raises:
        SystemExit: there is none that can be written.
    """
    files = {"memory": "memory.limit_in_bytes", "": "memory.max"}  # of version 1, of version 2
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers in files:
            folder = Path("/sys/fs/cgroup", controllers, path.lstrip("/"))
            if (folder / files[controllers]).is_file() and os.access(folder, os.W_OK):
                return folder, files[controllers]
    raise SystemExit("no memory cgroup can be written here: run as root, or under systemd-run --user --scope")


@contextlib.contextmanager
def limited(limit_bytes: int) -> Iterator[Callable[[int], None]]:
    """A cgroup of so many bytes beneath our own; hands out a function that moves a process into it."""
    parent, file = find_own_group()
    group = parent / f"tenor-benchmark-{os.getpid()}"
    group.mkdir()
    try:
        (group / file).write_text(str(limit_bytes))
        yield lambda process: (group / "cgroup.procs").write_text(str(process)) and None
    finally:
        group.rmdir()


def drop_from_cache(folder: Path) -> None:
    """Let the kernel forget the files' pages, so that no run reads what another has paid for."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as handle:
                os.fsync(handle.fileno())
                os.posix_fadvise(handle.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def measure_baseline() -> int:
    """Bytes that an interpreter holds with everything imported."""
    code = (
        f"{BASELINE}\nprint([l.split()[1] for l in open('/proc/self/status') if l.startswith('RssAnon')][0])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return int(done.stdout.split()[-1]) << 10


def print_bytes_a_sequence(corpus: Path, scores: Path) -> None:
    """What a view of each level, and a predictions file that was read, hold in arrays and names, a sequence."""
    import numpy as np

    from tenor.corpus.corpus import open_corpus
    from tenor.corpus.views import view_sequences
    from tenor.predictions import read_predictions

    for level in ("conversation", "author"):
        view = view_sequences(open_corpus(corpus), level)  # type: ignore[arg-type]
        arrays = sum(value.nbytes for value in vars(view).values() if isinstance(value, np.ndarray))
        names = 0 if view.author_names is None else view.author_names.nbytes
        print(f"{level}: {len(view):,} sequences, {(arrays + names) / len(view):.0f} bytes each (goal: 64)")
    if scores.exists():
        table = read_predictions(scores)
        held = sum(getattr(column, "nbytes", 0) for column in vars(table).values())
        print(f"predictions: {len(table):,} sequences, {held / len(table):.0f} bytes each (goal: 64)")


def describe(stage: str, ways: dict[str, Measured]) -> list[str]:
    """A row of the table."""
    if "limited" not in ways or "free" not in ways:
        return [stage, "", "failed", "0", ""]
    free, limit = ways["free"], ways["limited"]
    share = f"{free.seconds / limit.seconds:.2f}"
    return [stage, f"{free.seconds:.1f} s", f"{limit.seconds:.1f} s", share, f"{limit.peak_bytes >> 20} MiB"]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="tiny sizes: to see that it runs")
    parser.add_argument("--messages", type=int, default=600_000)
    parser.add_argument(
        "--limit-mib", type=int, default=96, help="allowed beyond the interpreter with its libraries"
    )
    parser.add_argument("--input-size", type=int, default=768)
    parser.add_argument("--fit-characters", type=int, default=200_000)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    options = parser.parse_args()
    if options.quick:
        options.messages, options.limit_mib = 3_000, 512
    print_machine()
    held, allowed = measure_baseline(), options.limit_mib << 20
    found: dict[str, dict[str, Measured]] = {}
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        job = Job(Path(name), options.input_size, "float32", options.fit_characters)
        job.make_source(options.messages)
        with limited(held + allowed) as enter:
            for stage, arguments in job.commands().items():
                found[stage] = {}
                for way, before in (("free", None), ("limited", enter)):
                    drop_from_cache(job.folder)
                    try:
                        found[stage][way] = run_stage(arguments, before=before)
                    except subprocess.CalledProcessError:
                        print(f"{stage}, {way}: failed")
                        continue
                    print(f"{stage}, {way}: {found[stage][way]}", flush=True)
        size = sum(path.stat().st_size for path in (job.folder / "analyzed").iterdir())
        print(f"\nheld before any data: {held >> 20} MiB; allowed beyond: {allowed >> 20} MiB")
        print(
            f"analyzed corpus: {size >> 20:,} MiB, {size / allowed:.0f} times what is allowed beyond, ",
            end="",
        )
        print(f"{size / (held + allowed):.1f} times all\n")
        rows = [describe(stage, ways) for stage, ways in found.items()]
        print_table(["stage", "without a limit", "with it", "throughput (goal: 0.8)", "held"], rows)
        print_bytes_a_sequence(job.folder / "analyzed", job.folder / "scores.parquet")


if __name__ == "__main__":
    main()
