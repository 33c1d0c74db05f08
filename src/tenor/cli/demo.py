"""``tenor demo``: the whole job on real chats."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
    seed: Annotated[int, typer.Option(help="Seed of splits and training.")] = 0,
) -> None:
    """Import 2,257 real rated chats, encode, train both levels, compare aggregations, draw a report.

    Needs the extra [demo]; takes a few minutes on two cores.
    """
    from tenor.demo import run_demo

    run_demo(out, seed)
