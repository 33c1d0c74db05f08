"""What is printed of several trainings that differ in their seed: mean and spread.

Knows nothing of how they were trained.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tenor.cli.output import METRIC_HEADINGS, print_line, print_table
from tenor.cli.standing import INTERVAL_METRICS, format_ends


def print_seeds(seeds: Mapping[str, Mapping[str, Any]], *, title: str) -> None:
    """Print mean, standard deviation and the mean's interval of each metric.

    Args:
        seeds: metric -> SeedSummary as plain values.
        title: of the table.
    """
    rows = [
        [
            METRIC_HEADINGS[key],
            seeds[key]["mean"],
            seeds[key]["std"],
            format_ends(seeds[key]["low"], seeds[key]["high"]),
            seeds[key]["count"],
        ]
        for key in INTERVAL_METRICS
        if key in seeds
    ]
    print_table(["", "mean", "std", "95% interval of the mean", "seeds"], rows, title=title)
    print_line(
        "these intervals are of the seeds alone, on these very rows: how far other rows may differ tenor test says of "
        "one model, beside its baselines"
    )
    known = [seeds[key] for key in INTERVAL_METRICS if key in seeds and seeds[key]["std"] is not None]
    if known and all(each["count"] > 1 and each["std"] == 0 for each in known):
        print_line("all seeds gave the same scores: this spread of 0 says nothing of other data")
