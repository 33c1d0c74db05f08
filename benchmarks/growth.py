"""Time and memory of every stage as the corpus grows: each linear in messages, memory flat.

    python benchmarks/growth.py --sizes 10000,100000,1000000 --picture docs/images/growth.svg

Generated messages (tenor.synthetic), 64 lsa features a message; linear models are fitted on at most 2 million
characters. Peak memory is the process's anonymous memory; mapped files are not in it.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from _common import print_machine, print_table
from _stages import Job, Measured, run_stage

STAGES = ("import", "encode", "train", "predict", "profile", "evaluate")


def measure(sizes: list[int], folder: Path) -> dict[str, dict[int, Measured]]:
    """Stage -> messages -> what it took."""
    found: dict[str, dict[int, Measured]] = {stage: {} for stage in STAGES}
    for size in sizes:
        with tempfile.TemporaryDirectory(dir=folder) as name:
            job = Job(Path(name))
            job.make_source(size)
            for stage, arguments in job.commands().items():
                found[stage][size] = run_stage(arguments)
                print(f"{stage}, {size:,} messages: {found[stage][size]}", flush=True)
    return found


def draw(found: dict[str, dict[int, Measured]], path: Path) -> None:
    """Seconds and megabytes over messages, both on log axes."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams["svg.hashsalt"] = "tenor"
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    time, memory = figure.subplots(1, 2)
    marks = "osD^vP"
    for (stage, rows), mark in zip(found.items(), marks, strict=True):
        sizes = sorted(rows)
        time.loglog(sizes, [rows[size].seconds for size in sizes], marker=mark, label=stage)
        memory.loglog(sizes, [rows[size].peak_bytes / 2**20 for size in sizes], marker=mark, label=stage)
    sizes = sorted(next(iter(found.values())))
    top = max(rows[sizes[-1]].seconds for rows in found.values())
    time.loglog(sizes, [2 * top * size / sizes[-1] for size in sizes], "k:", label="linear")
    time.set(title="time", xlabel="messages", ylabel="seconds")
    memory.set(title="memory held", xlabel="messages", ylabel="MiB", ylim=(30, 20_000))
    for axes in (time, memory):
        axes.grid(True, which="major", color="0.9")
    time.legend(fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="tiny sizes: to see that it runs")
    parser.add_argument("--sizes", default="10000,100000,1000000", help="messages, with commas between")
    parser.add_argument(
        "--folder", type=Path, default=Path(tempfile.gettempdir()), help="where files lie meanwhile"
    )
    parser.add_argument("--picture", type=Path, help="an SVG or PNG to draw")
    parser.add_argument("--results", type=Path, help="a JSON file to write, and to go on from")
    options = parser.parse_args()
    sizes = [2_000, 6_000] if options.quick else [int(size) for size in options.sizes.split(",")]
    print_machine()
    found: dict[str, dict[int, Measured]] = {stage: {} for stage in STAGES}
    if options.results is not None and options.results.is_file():
        known = json.loads(options.results.read_text())
        found = {
            stage: {int(size): Measured(*row) for size, row in rows.items()} for stage, rows in known.items()
        }
    new = measure([size for size in sizes if size not in found["import"]], options.folder)
    found = {stage: rows | new[stage] for stage, rows in found.items()}
    sizes = sorted(found["import"])
    if options.results is not None:
        plain = {
            stage: {size: [row.seconds, row.peak_bytes] for size, row in rows.items()}
            for stage, rows in found.items()
        }
        options.results.write_text(json.dumps(plain, indent=1) + "\n")
    rows = [
        [
            stage,
            *(
                f"{found[stage][size].seconds:.1f} s, {found[stage][size].peak_bytes >> 20:,} MiB"
                for size in sizes
            ),
        ]
        for stage in STAGES
    ]
    print()
    print_table(["stage", *(f"{size:,} messages" for size in sizes)], rows)
    if options.picture is not None:
        draw(found, options.picture)


if __name__ == "__main__":
    main()
