"""One level's part of the page: its tables, its pictures, its slider.

Turns a `LevelSection` into what the template prints, and leaves out whatever there is no data for. Knows
nothing of HTML.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tenor.evaluation.mistakes import describe_ranking
from tenor.report import figures, pictures, tables
from tenor.report.content import LevelSection, Report
from tenor.report.curves import threshold_table
from tenor.report.summaries import (
    HEADLINE,
    LEVEL_NAMES,
    Measured,
    SplitCounts,
    count_splits,
    format_count,
    format_number,
    judge_baselines,
    labelled_rows,
    measure,
    plain_name,
)
from tenor.report.views import LevelView, Picture, ThresholdView


def build_section(report: Report, section: LevelSection) -> LevelView:
    """Measure, draw and word one level."""
    model = measure(section.model)
    baselines = [measure(scorer) for scorer in section.baselines]
    aggregations = [measure(scorer) for scorer in section.aggregations]
    binary = len(section.classes) == 2
    counts = tuple(count_splits(section))
    names = tuple(report.class_name(label) for label in section.classes)
    legend, curves = (pictures.binary_curves if binary else pictures.class_curves)(section, names)
    return LevelView(
        level=section.level,
        title=LEVEL_NAMES[section.level][0],
        counts=counts,
        lead=_lead(counts, names),
        model=model,
        verdict=judge_baselines(model, baselines),
        rival=_rival(baselines),
        positive=names[1] if binary else "the class that was chosen",
        explained=any(
            message.contribution is not None for error in section.errors for message in error.messages
        ),
        table=tables.metric_table(model, baselines),
        notes=section.notes,
        legend=legend,
        curves=curves,
        threshold=_threshold_view(section, names) if binary else None,
        confusion=None if binary else tables.confusion_view(section, names),
        confidence=None if binary else pictures.confidence_picture(section),
        classes=None if binary else tables.class_table(section, names),
        comparison=pictures.dot_pictures(f"{section.level}-baselines", model, [model, *baselines])
        if baselines
        else (),
        training=pictures.training_pictures(section),
        aggregation=tables.aggregation_table(model, aggregations) if aggregations else None,
        aggregation_pictures=pictures.dot_pictures(f"{section.level}-aggregations", model, aggregations),
        subgroups=tables.subgroup_tables(section.subgroups),
        subgroup_pictures=pictures.subgroup_pictures(section, model),
        errors=tables.error_views(report, section),
        ranking=describe_ranking(section.model.predictions.in_split("test").labelled()),
    )


def _rival(baselines: Sequence[Measured]) -> str:
    known = [(value, other.name) for other in baselines if (value := other.test[HEADLINE]) is not None]
    if not known:
        return ""
    value, name = max(known)
    return f"Best baseline: {format_number(value)}, {plain_name(name)}"


def _lead(counts: Sequence[SplitCounts], names: Sequence[str]) -> str:
    _, one, several = LEVEL_NAMES[counts[-1].level]
    parts = []
    for split in reversed(counts):
        share = ""
        if split.positives is not None and split.labelled:
            percent = 100 * split.positives / split.labelled
            share = f", {split.positives:,} of them {plain_name(names[1])} ({percent:.0f}%)"
        groups = format_count(split.groups, "group", "groups")
        parts.append(
            f"{split.split.capitalize()}: {format_count(split.labelled, one, several)}{share}, in {groups}."
        )
    return " ".join(parts)


def _threshold_view(section: LevelSection, names: Sequence[str]) -> ThresholdView | None:
    predictions = section.model.predictions
    if predictions.threshold is None:
        return None
    splits = {split: labelled_rows(predictions, split) for split in ("validation", "test")}
    splits = {split: rows for split, rows in splits.items() if len(rows[0])}
    labels, scores = splits["test"]
    table = threshold_table(splits, predictions.threshold)
    parts = {names[0]: scores[labels == 0], names[1]: scores[labels == 1]}
    svg = figures.draw_histogram(f"{section.level}-histogram", parts, "Score", predictions.threshold)
    caption = "Test; each class as a share of its own. The line is the threshold."
    if table.cuts.max() > 1 and bool((table.cuts == table.cuts.round()).all()):
        digits = 0  # vote counts
    else:
        digits = 3 if len(np.unique(table.cuts.round(3))) > len(table.cuts) / 2 else 4
    return ThresholdView(
        table, Picture(svg, "Scores by class", caption), names[1], names[0], digits, "validation" in splits
    )
