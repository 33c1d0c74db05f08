"""The report's tables: metrics, aggregations, classes, confusion, subgroups, worst errors.

Numbers become text here. Knows nothing of pictures or of HTML.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tenor.metrics.scores import calculate_metrics
from tenor.metrics.subgroups import FEW_ROWS, LEAST_GROUPS
from tenor.report.content import ErrorMessage, LevelSection, Report, Subgroup, redact
from tenor.report.curves import confusion_matrix
from tenor.report.summaries import (
    HEADLINE,
    METRIC_NAMES,
    RANKING_METRICS,
    Measured,
    format_interval,
    format_number,
    labelled_rows,
)
from tenor.report.views import Cell, ConfusionView, ErrorView, MessageView, Row, Table

#: Steps of colour for contributions and for confusion matrices; the style sheet has a class for each.
STEPS = 5


#: So many messages of an error are printed on paper; the screen scrolls through all.
PRINTED = 20

#: The metric on validation that chooses an aggregation.
CHOSEN_BY = "average_precision"

#: Of the tables that have no room for all metrics, or are of single classes, where accuracy says little.
_WITHOUT_ACCURACY = tuple(metric for metric in METRIC_NAMES if metric != "accuracy")

_MINUS = f"{METRIC_NAMES[HEADLINE]}: model minus this"


def _cell(measured: Measured, metric: str) -> Cell:
    interval = measured.interval(metric)
    text = "" if interval is None else format_interval(interval)
    return Cell(format_number(measured.test[metric]), text, measured.reasons.get(metric, ""))


def metric_table(model: Measured, baselines: Sequence[Measured]) -> Table:
    """The model and its baselines on test, with the difference where one is given."""
    compared = _is_compared(baselines)
    columns = [*METRIC_NAMES.values()] + ([_MINUS] if compared else [])
    rows = []
    for measured in (model, *baselines):
        cells = [_cell(measured, metric) for metric in METRIC_NAMES]
        cells += [_difference_cell(measured)] if compared else []
        rows.append(Row(measured.name, "model" if measured is model else "other", tuple(cells)))
    return Table(tuple(columns), tuple(rows))


def aggregation_table(model: Measured, aggregations: Sequence[Measured]) -> Table:
    """The aggregations on test, on validation the metric by which one is chosen, and the one's lead."""
    compared = _is_compared(aggregations)
    columns = [
        f"Validation {METRIC_NAMES[CHOSEN_BY].lower()}",
        *(METRIC_NAMES[metric] for metric in _WITHOUT_ACCURACY),
    ]
    columns += [_MINUS] if compared else []
    rows = []
    for measured in aggregations:
        threshold = measured.scorer.predictions.threshold
        cells = [Cell(format_number(measured.validation.get(CHOSEN_BY)))]
        cells += [_cell(measured, metric) for metric in _WITHOUT_ACCURACY]
        cells += [_difference_cell(measured)] if compared else []
        cells.append(Cell(format_number(threshold)))
        rows.append(Row(measured.name, "model" if measured.is_same(model) else "other", tuple(cells)))
    return Table((*columns, "Threshold"), tuple(rows))


def _is_compared(others: Sequence[Measured]) -> bool:
    return any(HEADLINE in other.scorer.differences for other in others)


def _difference_cell(measured: Measured) -> Cell:
    difference = measured.scorer.differences.get(HEADLINE)
    if difference is None:
        return Cell("")
    text = "" if difference.interval is None else format_interval(difference.interval)
    return Cell(format_number(difference.value), text)


def confusion_view(section: LevelSection, names: tuple[str, ...]) -> ConfusionView:
    """Counts of true against predicted classes on test, with shares of the true class."""
    labels, probs = labelled_rows(section.model.predictions, "test")
    counts = confusion_matrix(labels, probs.argmax(axis=1), len(names))
    rows = []
    for name, row in zip(names, counts, strict=True):
        total = int(row.sum())
        shares = [int(count) / total if total else 0.0 for count in row]
        cells = [
            (f"{count:,}", f"{100 * share:.0f}%" if total else "–", colour_step(share))
            for count, share in zip(row.tolist(), shares, strict=True)
        ]
        rows.append((name, tuple(cells)))
    return ConfusionView(names, tuple(rows))


def colour_step(share: float) -> int:
    """A step of colour from -STEPS to STEPS for a share from -1 to 1; 0 only for 0."""
    return 0 if share == 0 else int(np.sign(share)) * max(1, round(abs(share) * STEPS))


def class_table(section: LevelSection, names: Sequence[str]) -> Table:
    """Each class against the rest on test, its decisions being those of the highest score."""
    labels, probs = labelled_rows(section.model.predictions, "test")
    chosen = probs.argmax(axis=1)
    rows = []
    for code, name in enumerate(names):
        truth = (labels == code).astype(np.int64)
        ranked = calculate_metrics(truth, probs[:, code], 0.5)
        decided = calculate_metrics(truth, (chosen == code).astype(np.float64), 0.5)
        cells = [Cell(f"{int(truth.sum()):,}")]
        found = decided | {metric: ranked[metric] for metric in RANKING_METRICS}
        cells += [Cell(format_number(found[metric])) for metric in _WITHOUT_ACCURACY]
        rows.append(Row(name, "other", tuple(cells)))
    return Table(("Rows", *(METRIC_NAMES[metric] for metric in _WITHOUT_ACCURACY)), tuple(rows))


def subgroup_tables(subgroups: Sequence[Subgroup]) -> tuple[tuple[str, Table], ...]:
    """One table a column, with the gap between the best and the worst part in its last row.

    Parts of fewer than FEW_ROWS rows, or of fewer than LEAST_GROUPS groups, are marked, and left out of the gap.
    """
    tables = []
    for column in dict.fromkeys(subgroup.column for subgroup in subgroups):
        parts = [subgroup for subgroup in subgroups if subgroup.column == column]
        metrics = [metric for metric in METRIC_NAMES if any(metric in part.metrics for part in parts)]
        rows = [Row(part.value, "other", tuple(_subgroup_cells(part, metrics))) for part in parts]
        compared = [part for part in parts if not _describe_few(part)]
        if len(compared) > 1:
            gaps = tuple(Cell(format_number(_gap(compared, metric))) for metric in metrics)
            rows.append(Row("Largest gap", "gap", (Cell(""), Cell(""), *gaps)))
        names = tuple(METRIC_NAMES[metric] for metric in metrics)
        tables.append((column, Table(("Rows", "Positive", *names), tuple(rows))))
    return tuple(tables)


def _describe_few(part: Subgroup) -> str:
    """Why a part is in no gap; empty where it is."""
    if part.count < FEW_ROWS:
        return "few, in no gap"
    if part.groups is None or part.groups >= LEAST_GROUPS:
        return ""
    return f"of {part.groups} group{'s' if part.groups > 1 else ''}, in no gap"


def _subgroup_cells(part: Subgroup, metrics: Sequence[str]) -> list[Cell]:
    cells = [
        Cell(f"{part.count:,}", note=_describe_few(part)),
        Cell("–" if part.positives is None else f"{part.positives:,}"),
    ]
    for metric in metrics:
        interval = part.intervals.get(metric)
        text = "" if interval is None else format_interval(interval)
        cells.append(Cell(format_number(part.metrics.get(metric)), text))
    return cells


def _gap(parts: Sequence[Subgroup], metric: str) -> float | None:
    values = [value for part in parts if (value := part.metrics.get(metric)) is not None]
    return max(values) - min(values) if len(values) > 1 else None


def error_views(report: Report, section: LevelSection) -> tuple[ErrorView, ...]:
    """The worst errors with only what may be shown, coloured by contribution."""
    views = []
    for error in redact(section, with_text=report.with_text, with_names=report.with_names):
        name = " · ".join(part for part in (error.conversation_id, error.author) if part is not None)
        sizes = sorted((abs(message.contribution or 0.0) for message in error.messages), reverse=True)
        largest = sizes[0] if sizes else 0.0
        least = sizes[PRINTED - 1] if len(sizes) > PRINTED else 0.0
        views.append(
            ErrorView(
                name=name,
                label=report.class_name(error.label),
                predicted=report.class_name(error.predicted),
                prob=format_number(error.prob),
                messages=tuple(_message_view(message, largest, least) for message in error.messages),
            )
        )
    return tuple(views)


def _message_view(message: ErrorMessage, largest: float, least: float) -> MessageView:
    contribution = message.contribution
    if contribution is None:
        return MessageView(message.author, message.text, "", 0, True)
    share = contribution / largest if largest > 0 else 0.0
    signed = format_contribution(contribution, largest)
    return MessageView(message.author, message.text, signed, colour_step(share), abs(contribution) >= least)


def format_contribution(contribution: float, largest: float) -> str:
    """With its sign, in two decimals, or, where all of an error's are small, in two digits that tell them apart.

    Args:
        contribution: of one message or conversation.
        largest: the greatest magnitude among those beside it.
    """
    text = f"{contribution:+.2f}" if largest >= 0.1 or contribution == 0 else f"{contribution:+.2g}"
    return text.replace("-", "−")
