"""Results in plain sentences, for a terminal or a page.

Knows nothing of how the numbers came to be.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def describe_result(metrics: Mapping[str, Any]) -> Iterator[str]:
    """What is known of a result beyond its metrics: caution, verdict, notes, threshold, calibration, abstention.

    Args:
        metrics: as of test_model.
    """
    if metrics.get("caution"):
        yield metrics["caution"]
    if metrics.get("verdict"):
        yield metrics["verdict"]
    yield from metrics.get("notes", ())
    choice = metrics.get("threshold_choice")
    if choice is not None and choice["objective"] is not None:
        yield describe_choice(choice)
    if metrics.get("cost") is not None:
        yield describe_cost(metrics["cost"])
    calibration = metrics.get("calibration")
    if calibration is not None:
        yield describe_calibration(calibration)
    abstention = metrics.get("abstention")
    if abstention is not None:
        yield describe_abstention(abstention)


def describe_cost(found: Mapping[str, Any]) -> str:
    """What decisions on test cost a row, the baselines' beside them; see measure_costs."""
    alarm, miss = found["prices"]
    own, others = found["model"], found["baselines"]
    doubt = "" if own["warning"] is None else f"; {own['warning']}"
    sure = "" if own["low"] is None else f" (95% interval {own['low']:.4f} to {own['high']:.4f}{doubt})"
    beside = {**others, "nobody flagged": found["nobody"], "everybody flagged": found["everybody"]}
    listed = ", ".join(f"{name} {cost['per_row']:.4f}" for name, cost in beside.items())
    return (
        f"At {alarm:g} a false alarm and {miss:g} a miss the decisions on test cost {own['per_row']:.4f} a row{sure}, "
        f"{own['total']:g} in all; beside: {listed}."
    )


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
    """How often sets hold the true class, overall and of each class, and how often decisions are made and wrong.

    Args:
        found: as of measure_abstention.
    """
    of_each = ", ".join(
        f"{label}: {format_share(coverage)}"
        for label, coverage in zip(found["classes"], found["by_class"], strict=True)
    )
    warning = f" ({found['warning']})" if found["warning"] else ""
    return (
        f"with alpha {found['alpha']:g}: sets hold the true class in {format_share(found['coverage'])} "
        f"({of_each}; wanted {1 - found['alpha']:g} of each), no decision in "
        f"{format_share(found['abstained'])}, wrong decisions {format_share(found['error'])}{warning}"
    )


def format_share(value: float | None) -> str:
    """Four digits, or a dash for what is not known."""
    return "–" if value is None else f"{value:.4f}"


def describe_choice(choice: Mapping[str, Any]) -> str:
    """A threshold, how sure it is, and by what it was chosen."""
    rule = ":".join([choice["objective"], *(f"{value:g}" for value in choice["parameters"])])
    sure = ""
    if choice["low"] is not None:
        sure = f" (95% interval {choice['low']:.4f} to {choice['high']:.4f})"
    warning = "" if choice["warning"] is None else f"; {choice['warning']}"
    rows = choice.get("chosen_on", "validation")
    return f"The threshold {choice['value']:.4f}{sure} was chosen on {rows} by {rule}{warning}."


def describe_warnings(
    warnings: Mapping[str, Mapping[str, str | None]], names: Mapping[str, str], *, metrics: int
) -> Iterator[str]:
    """Why not to lean on intervals, each reason once, with the metrics that it is about.

    Args:
        warnings: row's name -> metric -> warning, None = there is none.
        names: metric -> what a reader calls it.
        metrics: how many a row has; a warning of so many is of all.
    """
    remarks = {
        name: {names[key]: warning for key, warning in of_row.items() if warning is not None}
        for name, of_row in warnings.items()
    }
    for rows, about, warning in group_remarks(remarks):
        who = "" if len(rows) == len(warnings) else f"{', '.join(rows)}: "
        where = "" if len(about) == metrics else f" of {', '.join(about)}"
        yield f"{who}the intervals{where}: {warning}"


def group_remarks(
    remarks: Mapping[str, Mapping[str, str]],
) -> list[tuple[tuple[str, ...], tuple[str, ...], str]]:
    """Remarks on metrics of several rows, each said once.

    Args:
        remarks: row's name -> metric -> remark.

    Returns:
        (names, metrics, remark): it is made of each of these metrics of each of these rows.
    """
    names: dict[tuple[str, str], list[str]] = {}
    for name, of_row in remarks.items():
        for metric, remark in of_row.items():
            names.setdefault((metric, remark), []).append(name)
    metrics: dict[tuple[tuple[str, ...], str], list[str]] = {}
    for (metric, remark), holders in names.items():
        metrics.setdefault((tuple(holders), remark), []).append(metric)
    return [(holders, tuple(found), remark) for (holders, remark), found in metrics.items()]
