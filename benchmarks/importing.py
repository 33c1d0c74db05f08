"""JSONL.gz to a corpus with every check on, beside datasets.load_dataset("json") and save_to_disk.

Claims: at least as fast, with at most half the peak memory. Every run has a process of its own; seconds are those of
the work, without the start of the interpreter and the loading of libraries; memory is the process's peak.

    python benchmarks/importing.py [--quick]
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from _common import find_source, median, parse_options, print_claims, print_machine, print_table
from tenor.synthetic import SyntheticPlan, generate_conversations, write_jsonl

TENOR = """
import json, resource, sys, time
from tenor.corpus.importing import import_corpus
source, folder = sys.argv[1:]
begin = time.perf_counter()
import_corpus(source, folder + "/corpus")
seconds = time.perf_counter() - begin
print(json.dumps([seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024]))
"""

DATASETS = """
import json, resource, sys, time
import datasets
datasets.disable_progress_bars()
source, folder = sys.argv[1:]
begin = time.perf_counter()
data = datasets.load_dataset("json", data_files=source, split="train", cache_dir=folder + "/cache")
data.save_to_disk(folder + "/saved")
seconds = time.perf_counter() - begin
print(json.dumps([seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024]))
"""


def run_once(code: str, source: Path) -> tuple[float, float]:
    """Seconds and peak bytes of a fresh process."""
    with tempfile.TemporaryDirectory() as folder:
        found = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code, str(source), folder],
            check=True,
            capture_output=True,
            text=True,
        )
    seconds, peak = json.loads(found.stdout.splitlines()[-1])
    return seconds, peak


def main() -> None:
    """Print, for every source, seconds and peak memory of both and the ratios."""
    options = parse_options(__doc__)
    print_machine()
    rows, claims = [], []
    with tempfile.TemporaryDirectory() as folder:
        sources = [find_source(name, Path(folder), quick=options.quick) for name in ("conda", "switchboard")]
        plan = SyntheticPlan(conversations=500 if options.quick else 30_000, messages=12.0)
        large = write_jsonl(generate_conversations(plan), Path(folder) / "large.jsonl.gz")
        sources.append((large, f"generated, {plan.conversations:,} conversations"))
        for source, title in sources:
            own, other = [], []
            for _ in range(1 if options.quick else 3):
                own.append(run_once(TENOR, source))
                other.append(run_once(DATASETS, source))
            seconds, peak = (median([run[part] for run in own]) for part in (0, 1))
            other_seconds, other_peak = (median([run[part] for run in other]) for part in (0, 1))
            claims.append((f"import of {title}: times datasets", 1.0, other_seconds / seconds))
            claims.append((f"import of {title}: datasets' memory / tenor's", 2.0, other_peak / peak))
            rows.append(
                (
                    title,
                    f"{seconds:.2f}",
                    f"{other_seconds:.2f}",
                    f"{other_seconds / seconds:.2f}",
                    f"{peak / 2**20:.0f}",
                    f"{other_peak / 2**20:.0f}",
                    f"{peak / other_peak:.2f}",
                )
            )
    print_table(
        ("source", "tenor, s", "datasets, s", "times faster", "tenor, MiB", "datasets, MiB", "of its memory"),
        rows,
    )
    print_claims(claims)


if __name__ == "__main__":
    main()
