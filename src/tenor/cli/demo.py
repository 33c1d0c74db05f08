"""``tenor demo``: the whole job on real chats."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tenor.cli.options import ProgressOption
from tenor.cli.output import print_line, print_metrics

SUMMARY = "Run the whole job on real chats."

EXAMPLES = """
\b
Example:
  tenor demo --out demo-out
"""


def run(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for everything that it makes.")] = Path(
        "demo-out"
    ),
    seed: Annotated[int, typer.Option(help="Seed of splits, encoder and training.")] = 0,
    progress: ProgressOption = True,
) -> None:
    """Import 2,257 real rated chats, encode, train both levels, compare aggregations, draw a report.

    Needs the extra [demo]; takes a few minutes on two cores.
    """
    from tenor.demo import run_demo

    result = run_demo(out, seed=seed, progress=progress)
    rows = {level: result.metrics[level] for level in ("conversation", "author")}
    rows |= {f"profile, {name}": metrics for name, metrics in result.metrics["profile"].items()}
    print_metrics(rows, title="which chats leave a participant unimpressed: test split")
    print_line(f"report: {result.report}")
