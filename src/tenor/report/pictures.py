"""Which pictures a level has, and what their captions say.

Takes rows out of predictions and hands arrays to ``figures``. Knows nothing of matplotlib or of HTML.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tenor.metrics.reliability import ERROR_BINS, brier_score, calibration_error
from tenor.report import figures
from tenor.report.canvas import BASELINE_STROKES, TEST_STROKE, VALIDATION_STROKE, Stroke
from tenor.report.content import LevelSection
from tenor.report.curves import Floats, Integers
from tenor.report.figures import Dot, Line
from tenor.report.summaries import HEADLINE, METRIC_NAMES, Measured, format_number, labelled_rows, plain_name
from tenor.report.views import LegendEntry, Picture

#: Metrics that get a dot plot.
_COMPARED = ("roc_auc", "average_precision", "f1")

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

#: Classes that get a curve of their own, at most.
_MAX_CURVES = 8


def dot_pictures(prefix: str, model: Measured, scorers: Sequence[Measured]) -> tuple[Picture, ...]:
    """A dot plot of the scorers for each compared metric; the one with the model's name is marked."""
    pictures = []
    for metric in _COMPARED:
        dots = [
            Dot(
                measured.name,
                measured.test[metric],
                measured.interval(metric),
                measured.validation.get(metric),
                "model" if measured.is_same(model) else "ink",
            )
            for measured in scorers
        ]
        svg = figures.draw_dots(f"{prefix}-{metric}", dots, METRIC_NAMES[metric])
        if svg is not None:
            pictures.append(Picture(svg, METRIC_NAMES[metric], _dot_caption(dots)))
    return tuple(pictures)


def _dot_caption(dots: Iterable[Dot]) -> str:
    dots = list(dots)
    parts = ["Filled: test"]
    if any(dot.interval is not None for dot in dots):
        parts[0] += " with 95% interval"
    if any(dot.validation is not None for dot in dots):
        parts.append("hollow: validation")
    return "; ".join(parts) + "."


def _is_probability(scores: Floats) -> bool:
    return bool(len(scores)) and float(scores.max()) <= 1.0


def binary_curves(
    section: LevelSection, names: Sequence[str]
) -> tuple[tuple[LegendEntry, ...], tuple[Picture, ...]]:
    """ROC, precision-recall and reliability of the model and its baselines, and the legend of their lines."""
    predictions, level = section.model.predictions, section.level
    labels, scores = labelled_rows(predictions, "test")
    lines = [Line(f"{section.model.name}, test", labels, scores, TEST_STROKE)]
    held_out = labelled_rows(predictions, "validation")
    if len(held_out[0]):
        lines.append(Line(f"{section.model.name}, validation", *held_out, VALIDATION_STROKE))
    for scorer, stroke in zip(section.baselines, BASELINE_STROKES, strict=False):
        lines.append(Line(scorer.name, *labelled_rows(scorer.predictions, "test"), stroke))
    roc_mark = recall_mark = None
    if predictions.threshold is not None and len(np.unique(labels)) == 2:
        alarms = scores >= predictions.threshold
        hits, false_alarms = int((alarms & (labels == 1)).sum()), int((alarms & (labels == 0)).sum())
        recall = hits / int((labels == 1).sum())
        roc_mark = (false_alarms / int((labels == 0).sum()), recall)
        recall_mark = (recall, hits / (hits + false_alarms) if hits + false_alarms else 1.0)
    dot = " The dot is the threshold." if roc_mark else ""
    share = float(labels.mean())
    pictures = [
        _picture(
            figures.draw_roc(f"{level}-roc", lines, roc_mark),
            "ROC",
            f"The grey diagonal is chance.{dot}",
        ),
        _picture(
            figures.draw_precision_recall(f"{level}-pr", lines, recall_mark),
            "Precision and recall",
            f"The grey line is the share of {plain_name(names[1])} in test, {share:.3f}.{dot}",
        ),
    ]
    if _is_probability(scores):
        calibrated = [line for line in lines if _is_probability(line.scores)]
        pictures.append(
            _picture(
                figures.draw_reliability(f"{level}-reliability", calibrated),
                "Reliability",
                f"On the diagonal, probabilities hold. Ten bins of equal count. {_calibration(labels, scores)}",
            )
        )
    legend = tuple(LegendEntry(line.name, line.stroke) for line in lines)
    return legend, tuple(picture for picture in pictures if picture is not None)


def _calibration(labels: Integers, probs: Floats) -> str:
    error, brier = calibration_error(labels, probs), brier_score(labels, probs)
    return (
        f"Test: calibration error {format_number(error)}, Brier score {format_number(brier)}; bars: 95%. "
        f"The calibration error is over {ERROR_BINS} bins of equal width. The bars are Wilson's, which take rows as "
        "independent: where rows of one group are alike they are too short."
    )


def _picture(svg: str | None, title: str, caption: str) -> Picture | None:
    return None if svg is None else Picture(svg, title, caption)


def class_curves(
    section: LevelSection, names: Sequence[str]
) -> tuple[tuple[LegendEntry, ...], tuple[Picture, ...]]:
    """One curve a class against the rest, and how far the chosen class's probability can be believed."""
    level = section.level
    labels, probs = labelled_rows(section.model.predictions, "test")
    order = np.argsort(-np.bincount(labels, minlength=len(names)), kind="stable")[:_MAX_CURVES]
    lines = [
        Line(names[code], (labels == code).astype(np.int64), probs[:, code], stroke)
        for code, stroke in zip(sorted(order.tolist()), _class_strokes(), strict=False)
        if 0 < int((labels == code).sum()) < len(labels)
    ]
    if not lines:
        return (), ()
    most = f" The {_MAX_CURVES} most frequent classes." if len(names) > _MAX_CURVES else ""
    confidence, right = probs.max(axis=1), (probs.argmax(axis=1) == labels).astype(np.int64)
    pictures = [
        _picture(figures.draw_roc(f"{level}-roc", lines), "ROC", f"Each class against the rest, test.{most}"),
        _picture(
            figures.draw_precision_recall(f"{level}-pr", lines, baseline=False),
            "Precision and recall",
            f"Each class against the rest, test.{most}",
        ),
    ]
    if _is_probability(confidence):
        line = Line("confidence", right, confidence, TEST_STROKE)
        pictures.append(
            _picture(
                figures.draw_reliability(
                    f"{level}-reliability", [line], x_label="Probability of the chosen class"
                ),
                "Reliability",
                f"Share of right answers in ten bins of equal count. {_calibration(labels, probs)}",
            )
        )
    legend = tuple(LegendEntry(line.name, line.stroke) for line in lines)
    return legend, tuple(picture for picture in pictures if picture is not None)


def confidence_picture(section: LevelSection) -> Picture | None:
    """For several classes: how high the chosen class scored where it was right and where it was wrong."""
    labels, probs = labelled_rows(section.model.predictions, "test")
    confidence, right = probs.max(axis=1), probs.argmax(axis=1) == labels
    if not _is_probability(confidence):
        return None
    parts = {"wrong": confidence[~right], "right": confidence[right]}
    svg = figures.draw_histogram(f"{section.level}-histogram", parts, "Probability of the chosen class")
    return Picture(svg, "Scores", "Right answers (orange) and wrong ones (grey), each as a share of its own.")


def _class_strokes() -> list[Stroke]:
    return [Stroke(stroke.role, 1.8, stroke.dash) for stroke in BASELINE_STROKES]


def training_pictures(section: LevelSection) -> tuple[Picture, ...]:
    """Loss, validation metrics and learning rate over the epochs, as far as the history has them."""
    history, level = section.history, section.level
    if not history:
        return ()
    epochs = np.array([float(record["epoch"]) for record in history])
    losses = {
        name: (_column(history, f"{name}_loss"), stroke)
        for name, stroke in (
            ("train", Stroke("model", 2.0)),
            ("validation", Stroke("validation", 1.6, (5, 3))),
        )
    }
    found = {metric for record in history for metric in (record.get("validation") or {})}
    strokes = (Stroke("model", 2.0), Stroke("series-1", 1.6, (6, 2)), Stroke("series-2", 1.6, (2, 2)))
    metrics = {
        METRIC_NAMES[metric]: (_column([r.get("validation") or {} for r in history], metric), stroke)
        for metric, stroke in zip(_COMPARED, strokes, strict=True)
        if metric in found
    }
    rate = _column(history, "learning_rate")
    highest = np.nanmax(rate) if np.isfinite(rate).any() else 0.0
    exponent = int(np.floor(np.log10(highest))) if highest > 0 else 0
    unit = f"Learning rate, 10{str(exponent).translate(_SUPERSCRIPTS)}" if exponent else "Learning rate"
    rates = {"learning rate": (rate / 10.0**exponent, Stroke("model", 2.0))}
    best = section.best_epoch
    kept = "" if best is None else f" The weights of epoch {best} were kept."
    drawn = [
        (
            figures.draw_history(f"{level}-loss", epochs, losses, "Loss", best_epoch=best),
            "Loss",
            kept.strip(),
        ),
        (
            figures.draw_history(f"{level}-metrics", epochs, metrics, "On validation", best_epoch=best),
            "Metrics on validation",
            "",
        ),
        (
            figures.draw_history(f"{level}-rate", epochs, rates, unit, best_epoch=best, from_zero=True),
            "Learning rate",
            "",
        ),
    ]
    return tuple(Picture(svg, title, caption) for svg, title, caption in drawn if svg is not None)


def _column(records: Sequence[Mapping[str, Any]], name: str) -> Floats:
    """One value a record, NaN where it is absent or no positive number can be drawn from it."""
    return np.array([np.nan if (value := record.get(name)) is None else float(value) for record in records])


def subgroup_pictures(section: LevelSection, model: Measured) -> tuple[Picture, ...]:
    """A dot plot a column; the dashed line is all of test."""
    drawn = []
    for number, column in enumerate(dict.fromkeys(part.column for part in section.subgroups)):
        parts = [part for part in section.subgroups if part.column == column]
        dots = [Dot(p.value, p.metrics.get(HEADLINE), p.intervals.get(HEADLINE)) for p in parts]
        overall = model.test[HEADLINE]
        prefix = f"{section.level}-subgroups-{number}"
        svg = figures.draw_dots(prefix, dots, METRIC_NAMES[HEADLINE], reference=overall)
        if svg is not None:
            drawn.append(
                Picture(svg, f"{METRIC_NAMES[HEADLINE]} by {column}", "The dashed line is all of test.")
            )
    return tuple(drawn)
