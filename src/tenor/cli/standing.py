"""What ``tenor test`` and ``tenor profile`` print beside the metrics: intervals, baselines, the verdict.

Knows nothing of how the numbers came to be.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from tenor.cli.output import (
    METRIC_HEADINGS,
    count_reads,
    print_line,
    print_metrics,
    print_table,
)
from tenor.evaluation.sentences import describe_result, describe_warnings

BaselinesOption = Annotated[
    bool, typer.Option(help="Fit baselines on the training split and show them beside the model.")
]
RuleOption = Annotated[
    str | None,
    typer.Option(
        metavar="RULE",
        help="Choose the threshold on validation by f1, f_beta:2, cost:1:20, recall_at_precision:0.9, "
        "precision_at_recall:0.8 or alarms_per_thousand:5; by default as the model did.",
    ),
]
AbstainOption = Annotated[
    float | None,
    typer.Option(
        metavar="ALPHA",
        help="Also make decisions that may abstain: the true class is ruled out this often at most.",
    ),
]
BootstrapSeedOption = Annotated[int, typer.Option(help="Seed of the resampling.")]

#: What the tables of intervals show: metrics.weighted.METRICS, without loading numpy for `tenor --help`.
INTERVAL_METRICS = ("accuracy", "precision", "recall", "f1", "roc_auc", "average_precision")


def print_standing(rows: Mapping[str, Mapping[str, Any]], *, title: str) -> None:
    """Print metrics, then their intervals, then what else is known of each row, in sentences.

    Args:
        rows: name -> metrics as of test_model or compare_aggregation_methods.
        title: of the first table.
    """
    first = next(iter(rows.values()))
    shown: dict[str, Mapping[str, Any]] = dict(rows)
    for metrics in rows.values():
        shown |= metrics.get("baselines", {})
    print_metrics(shown, title=title, caption=count_reads(first))
    print_intervals(shown)
    print_differences(rows)
    print_doubts(rows)
    for name, metrics in rows.items():
        for sentence in describe_result(metrics):
            print_line(sentence if len(rows) == 1 else f"{name}: {sentence}")


def print_intervals(rows: Mapping[str, Mapping[str, Any]]) -> None:
    """Print the 95% intervals of each row, and under the table what to know of them."""
    table = []
    for name, metrics in rows.items():
        found = metrics["intervals"]
        table.append([name, *(format_range(found[key]) for key in INTERVAL_METRICS)])
    intervals = next(iter(rows.values()))["intervals"]
    groups = max(interval["groups"] for interval in intervals.values())
    headings = ["", *(METRIC_HEADINGS[key] for key in INTERVAL_METRICS)]
    print_table(headings, table, title=f"95% intervals, by resampling {groups:,} groups")
    warnings = {
        key: interval["warning"] for key, interval in intervals.items() if interval["value"] is not None
    }
    print_warnings({"": warnings})


def print_doubts(rows: Mapping[str, Mapping[str, Any]]) -> None:
    """Print why not to lean on differences, where the intervals of the rows themselves have not said it."""
    said = {found["warning"] for metrics in rows.values() for found in metrics["intervals"].values()}
    doubts = {
        f"{name} minus {other}": {
            metric: None if found["warning"] in said else found["warning"]
            for metric, found in of_other.items()
        }
        for name, metrics in rows.items()
        for other, of_other in metrics.get("differences", {}).items()
    }
    print_warnings(doubts)


def print_warnings(warnings: Mapping[str, Mapping[str, str | None]]) -> None:
    """Print why not to lean on intervals, each reason once, with the metrics that it is about.

    Args:
        warnings: row's name -> metric -> warning, None = there is none.
    """
    for sentence in describe_warnings(warnings, METRIC_HEADINGS, metrics=len(INTERVAL_METRICS)):
        print_line(sentence)


def format_range(interval: Mapping[str, Any]) -> str:
    """Such as ``0.771–0.849``."""
    low, high = interval["low"], interval["high"]
    return "–" if low is None or high is None else f"{low:.3f}–{high:.3f}"


def format_ends(low: float | None, high: float | None) -> str:
    """Such as ``-0.771 to 0.849``, with the minus sign of the table's other numbers."""
    return "–" if low is None or high is None else f"{low:.3f} to {high:.3f}"


def print_differences(rows: Mapping[str, Mapping[str, Any]]) -> None:
    """Print how far each row is ahead of those that it was compared with."""
    table: list[list[object]] = []
    keys: list[str] = []
    for name, metrics in rows.items():
        for other, found in metrics.get("differences", {}).items():
            keys = list(found)
            line: list[object] = [f"{name} minus {other}"]
            for key in keys:
                of_key = found[key]
                line += [of_key["difference"], format_ends(of_key["low"], of_key["high"]), of_key["p_holm"]]
            table.append(line)
    headings = [""]
    for key in keys:
        headings += [METRIC_HEADINGS[key], "95% interval", "Holm's p"]
    if table:
        adjusted = "each interval is of one difference, Holm's p is adjusted for all of them"
        print_table(headings, table, title=f"differences, paired by group; {adjusted}")
