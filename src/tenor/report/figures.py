"""The report's pictures, as inline SVGs of one width on one grid.

Drawn with matplotlib's object interface: no window, no global figure. Each function takes plain arrays and
returns an SVG element as text, or None where there is nothing to draw. Knows nothing of predictions, of
HTML, or of where a picture stands.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tenor.metrics.reliability import bin_reliability
from tenor.report.canvas import (
    BOTTOM,
    NAME_WIDTH,
    ROW_HEIGHT,
    TOP,
    Stroke,
    draw_line,
    mark_point,
    new_axes,
    place_mark,
    use_unit_axes,
)
from tenor.report.curves import Floats, Integers, precision_recall_points, roc_points, wilson_interval
from tenor.report.svg import COLOURS, drawing_style, inline_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Characters of a line of a name beside a dot plot.
NAME_LENGTH = 18


@dataclass(frozen=True, eq=False)
class Line:
    """One curve to draw: labels (N,) 0 or 1, scores (N,), and how the line looks."""

    name: str
    labels: Integers
    scores: Floats
    stroke: Stroke


@dataclass(frozen=True)
class Dot:
    """One row of a dot plot: a value on test with its interval, and the value on validation."""

    name: str
    value: float | None
    interval: tuple[float, float] | None = None
    validation: float | None = None
    role: str = "ink"


def draw_roc(prefix: str, lines: Sequence[Line], mark: tuple[float, float] | None = None) -> str | None:
    """ROC curves.

    Args:
        prefix: of the ids; unique in the page.
        lines: drawn in order, the first one on top.
        mark: false and true positive rate at the threshold, which the slider moves; None draws none.
    """
    curves = [(line, roc_points(line.labels, line.scores)) for line in lines]
    names = ("False positive rate", "True positive rate")
    return _draw_unit_curves(prefix, "ROC curves", curves, names, mark, (0.0, 1.0))


def draw_precision_recall(
    prefix: str, lines: Sequence[Line], mark: tuple[float, float] | None = None, *, baseline: bool = True
) -> str | None:
    """Precision-recall curves, as staircases.

    Args:
        prefix: of the ids; unique in the page.
        lines: drawn in order, the first one on top.
        mark: recall and precision at the threshold, which the slider moves; None draws none.
        baseline: draw the share of positives of the first line, which is the precision of chance.
    """
    curves = [(line, precision_recall_points(line.labels, line.scores)) for line in lines]
    share = float(lines[0].labels.mean())
    chance = (share, share) if baseline else None
    return _draw_unit_curves(prefix, "Precision-recall curves", curves, ("Recall", "Precision"), mark, chance)


def _draw_unit_curves(
    prefix: str,
    title: str,
    curves: Sequence[tuple[Line, tuple[Floats, Floats] | None]],
    labels: tuple[str, str],
    mark: tuple[float, float] | None,
    chance: tuple[float, float] | None,
) -> str | None:
    """Curves in the unit square; `chance` is the height of the grey line at its two ends."""
    if curves[0][1] is None:
        return None
    with drawing_style():
        figure, axes = new_axes()
        use_unit_axes(axes, *labels)
        if chance is not None:
            axes.plot([0, 1], chance, color=COLOURS["grid"], linewidth=1.6, zorder=1)
        for rank, (line, points) in enumerate(curves):
            if points is not None:
                draw_line(axes, *points, line.stroke, zorder=9 - rank / len(curves))
        attributes = {} if mark is None else mark_point(axes, f"{prefix}-point", *mark)
        return inline_svg(figure, prefix, title, attributes)


def draw_reliability(
    prefix: str, lines: Sequence[Line], *, x_label: str = "Predicted probability"
) -> str | None:
    """Share of positives against the mean probability, in ten bins of equal count.

    Args:
        prefix: of the ids; unique in the page.
        lines: scores in [0, 1]; the first is drawn with dots and Wilson intervals.
        x_label: of the horizontal axis.
    """
    if not lines:
        return None
    with drawing_style():
        figure, axes = new_axes()
        use_unit_axes(axes, x_label, "Observed share")
        axes.plot([0, 1], [0, 1], color=COLOURS["grid"], linewidth=1.2, zorder=1)
        for rank, line in enumerate(lines):
            found = bin_reliability(line.labels, line.scores, bins=10, binning="mass")
            means, shares, counts = found.mean_probs, found.rates, found.counts.astype(np.float64)
            marker = "o" if rank == 0 or len(means) == 1 else None
            draw_line(
                axes,
                means,
                shares,
                line.stroke,
                zorder=9 - rank / len(lines),
                marker=marker,
                markersize=5 if rank == 0 else 3,
            )
            if rank == 0:
                low, high = wilson_interval(shares * counts, counts)
                axes.vlines(means, low, high, color=COLOURS[line.stroke.role], linewidth=1.2, alpha=0.55)
        return inline_svg(figure, prefix, "Reliability diagram")


def draw_histogram(
    prefix: str,
    scores: Mapping[str, Floats],
    x_label: str,
    threshold: float | None = None,
    roles: Sequence[str] = ("negative", "positive"),
) -> str:
    """Scores of each class as shares of the class, with the threshold as a line that the slider moves.

    Args:
        prefix: of the ids; unique in the page.
        scores: class -> its scores, in the order of `roles`.
        x_label: of the horizontal axis.
        threshold: None draws no line.
        roles: colours of the classes.
    """
    values = np.concatenate(list(scores.values()))
    low, high = (
        (0.0, 1.0) if values.min() >= 0 and values.max() <= 1 else (float(values.min()), float(values.max()))
    )
    whole = high > 1 and bool((values == values.round()).all()) and high - low <= 60
    edges = np.arange(low - 0.5, high + 1.0) if whole else np.linspace(low, high, 26)
    with drawing_style():
        figure, axes = new_axes()
        tallest = 0.0
        for part, role in zip(scores.values(), roles, strict=False):
            if len(part) == 0:
                continue
            shares = np.histogram(part, bins=edges)[0] / len(part)
            tallest = max(tallest, float(shares.max()))
            colour = COLOURS[role]
            axes.stairs(shares, edges, fill=True, color=colour, alpha=0.22, linewidth=0)
            axes.stairs(shares, edges, color=colour, linewidth=1.6)
        axes.set_xlim(edges[0], edges[-1])
        axes.set_ylim(0, tallest * 1.08)
        if not whole and high == 1:
            axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", ".25", ".5", ".75", "1"])
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f}%")
        axes.locator_params(axis="y", nbins=5)
        axes.grid(visible=False, axis="x")
        axes.set_xlabel(x_label, labelpad=6)
        attributes = {}
        if threshold is not None:
            gid = f"{prefix}-line"
            axes.axvline(threshold, color=COLOURS["ink"], linewidth=1.4, gid=gid, zorder=10)
            attributes[gid] = {"data-mark": gid, **place_mark(axes, threshold, 0.0)}
        return inline_svg(figure, prefix, "Score histograms by class", attributes)


def draw_history(
    prefix: str,
    epochs: Floats,
    series: Mapping[str, tuple[Floats, Stroke]],
    y_label: str,
    *,
    best_epoch: int | None = None,
    from_zero: bool = False,
) -> str | None:
    """Values over the epochs.

    Args:
        prefix: of the ids; unique in the page.
        epochs: (E,) rising.
        series: name -> values (E,), NaN where absent, and how the line looks; several get a legend.
        y_label: of the vertical axis.
        best_epoch: marked by a vertical line; None marks none.
        from_zero: begin the vertical axis at 0.
    """
    drawn = {name: (values, stroke) for name, (values, stroke) in series.items() if np.isfinite(values).any()}
    if not drawn or len(epochs) == 0:
        return None
    from matplotlib.ticker import MaxNLocator

    with drawing_style():
        figure, axes = new_axes(left=54)
        for values, stroke in drawn.values():
            single = {"marker": "o", "markersize": 4} if len(epochs) == 1 else {}
            draw_line(axes, epochs, values, stroke, **single)
        if best_epoch is not None:
            axes.axvline(best_epoch, color=COLOURS["muted"], linewidth=1.0, linestyle=(0, (2, 2)), zorder=1)
        if from_zero:
            axes.set_ylim(bottom=0)
        axes.locator_params(axis="y", nbins=5)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True, min_n_ticks=1))
        axes.set_xlabel("Epoch", labelpad=6)
        axes.set_ylabel(y_label, labelpad=6)
        if len(drawn) > 1:
            names = [name.replace("_", " ") for name in drawn]
            axes.legend(
                axes.get_lines()[: len(names)],
                names,
                handlelength=1.8,
                borderaxespad=0.1,
                facecolor=COLOURS["paper"],
                edgecolor="none",
                framealpha=1,
            )
        return inline_svg(figure, prefix, f"{y_label} over the epochs")


def draw_dots(
    prefix: str, dots: Sequence[Dot], x_label: str, *, reference: float | None = None
) -> str | None:
    """A dot plot with intervals: filled = test, hollow = validation.

    Args:
        prefix: of the ids; unique in the page.
        dots: from top to bottom; those without a value keep their row and show a dash.
        x_label: what is measured.
        reference: a thin vertical line, such as the value of all rows together; None draws none.
    """
    known = [dot for dot in dots if dot.value is not None]
    if not known:
        return None
    with drawing_style():
        figure, axes = new_axes(height=TOP + BOTTOM + ROW_HEIGHT * len(dots), left=NAME_WIDTH)
        if reference is not None:
            axes.axvline(reference, color=COLOURS["muted"], linewidth=1.0, linestyle=(0, (2, 2)), zorder=1)
        for row, dot in enumerate(dots):
            colour = COLOURS[dot.role]
            if dot.interval is not None:
                axes.hlines(row, *dot.interval, color=colour, linewidth=1.8, alpha=0.55)
            if dot.validation is not None:
                axes.plot(
                    [dot.validation], [row], marker="o", markersize=6.5, linestyle="none", zorder=3,
                    color=COLOURS["paper"], markeredgecolor=colour, markeredgewidth=1.3,
                )  # fmt: skip
            if dot.value is not None:
                axes.plot(
                    [dot.value], [row], marker="o", markersize=7, color=colour, linestyle="none", zorder=4
                )
        axes.set_xlim(*_dot_range(known, reference))
        axes.set_ylim(len(dots) - 0.4, -0.6)
        axes.set_yticks([])
        texts: dict[str, str] = {}
        for row, dot in enumerate(dots):
            texts |= _write_name(axes, row, dot)
        axes.grid(visible=False, axis="y")
        axes.spines["left"].set_visible(False)
        axes.locator_params(axis="x", nbins=5)
        axes.set_xlabel(x_label, labelpad=6)
        return inline_svg(figure, prefix, f"{x_label}, compared", texts=texts)


def _dot_range(dots: Sequence[Dot], reference: float | None) -> tuple[float, float]:
    values = [
        value
        for dot in dots
        for value in (dot.value, dot.validation, *(dot.interval or ()))
        if value is not None
    ]
    if reference is not None:
        values.append(reference)
    low, high = min(values), max(values)
    pad = max(0.06 * (high - low), 0.01)
    return low - pad, high + pad


def _write_name(axes: Axes, row: int, dot: Dot) -> dict[str, str]:
    """Write a name at the left of its row, in two lines at most; stand-ins and the texts they stand for."""
    lines = textwrap.wrap(dot.name, NAME_LENGTH, max_lines=2, placeholder="…")
    places = ("center",) if len(lines) < 2 else ("bottom", "top")
    texts = {f"name {row} {place}": line for place, line in zip(places, lines, strict=False)}
    for place, stand_in in zip(places, texts, strict=False):
        axes.text(
            -0.03, row, stand_in, transform=axes.get_yaxis_transform(), ha="right", va=place,
            fontsize=10.5, fontweight="bold" if dot.role == "model" else "normal",
        )  # fmt: skip
    return texts
