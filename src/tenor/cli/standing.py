"""What ``tenor test`` and ``tenor profile`` print beside the metrics: intervals, baselines, the verdict.

Knows nothing of how the numbers came to be.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import typer

from tenor.cli.output import METRIC_HEADINGS, count_reads, print_line, print_metrics, print_table

BaselinesOption = Annotated[
    bool, typer.Option(help="Fit baselines on the training split and show them beside the model.")
]
RuleOption = Annotated[
    str | None,
    typer.Option(
        metavar="RULE",
        help="Choose the threshold on validation by f1, f_beta:2, cost:1:20, recall_at_precision:0.9, "
        "precision_at_recall:0.8 or alarms_per_thousand:5.",
    ),
]
BootstrapSeedOption = Annotated[int, typer.Option(help="Seed of the resampling.")]

#: What the tables of intervals show.
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
    for name, metrics in rows.items():
        for sentence in describe_row(metrics):
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
    warned: dict[str, list[str]] = {}
    for key, interval in intervals.items():
        if interval["value"] is not None and interval["warning"]:
            warned.setdefault(interval["warning"], []).append(METRIC_HEADINGS[key])
    for warning, names in warned.items():
        where = "" if len(names) == len(INTERVAL_METRICS) else f" of {', '.join(names)}"
        print_line(f"the intervals{where}: {warning}")


def format_range(interval: Mapping[str, Any]) -> str:
    """Such as ``0.771–0.849``."""
    low, high = interval["low"], interval["high"]
    return "–" if low is None or high is None else f"{low:.3f}–{high:.3f}"


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
        print_table(headings, table, title="differences, paired by group")


def describe_row(metrics: Mapping[str, Any]) -> Iterable[str]:
    """What is known of a row beyond its numbers, in sentences."""
    if metrics.get("verdict"):
        yield metrics["verdict"]
    yield from metrics.get("notes", ())
    choice = metrics.get("threshold_choice")
    if choice is not None and choice["objective"] is not None:
        rule = ":".join([choice["objective"], *(f"{value:g}" for value in choice["parameters"])])
        ends = format_ends(choice["low"], choice["high"])
        sure = "" if choice["low"] is None else f", 95% interval {ends}"
        warning = f" ({choice['warning']})" if choice["warning"] else ""
        yield f"threshold {choice['value']:.4f}{sure}, chosen on validation by {rule}{warning}"
    calibration = metrics.get("calibration")
    if calibration is not None:
        yield describe_calibration(calibration)
    abstention = metrics.get("abstention")
    if abstention is not None:
        yield describe_abstention(abstention)


def describe_calibration(found: Mapping[str, Any]) -> str:
    """Brier score, log loss and calibration error, as they are and calibrated."""

    def word(values: Mapping[str, Any]) -> str:
        parts = (("Brier", "brier"), ("log loss", "log_loss"), ("calibration error", "calibration_error"))
        return ", ".join(f"{name} {format_share(values[key])}" for name, key in parts)

    calibrated = found.get("calibrated")
    if calibrated is None or found["method"] == "identity":
        return word(found)
    return f"{word(found)}; calibrated on validation ({found['method']}): {word(calibrated)}"


def describe_abstention(found: Mapping[str, Any]) -> str:
    """How often decisions are made and how often those are wrong."""
    warning = f" ({found['warning']})" if found["warning"] else ""
    return (
        f"with alpha {found['alpha']:g}: sets hold the true class in {format_share(found['coverage'])}, no decision in "
        f"{format_share(found['abstained'])}, wrong decisions {format_share(found['error'])}{warning}"
    )


def format_share(value: float | None) -> str:
    """Four digits, or a dash for what is not known."""
    return "–" if value is None else f"{value:.4f}"


def format_ends(low: float | None, high: float | None) -> str:
    """Such as ``0.771 to 0.849``."""
    return "–" if low is None or high is None else f"{low:.3f} to {high:.3f}".replace("-", "−")
