"""What the report's pictures share: their size, their strokes, their axes, and marks that a script can move.

Knows nothing of what is drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from tenor.report.svg import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Size of a picture and of its margins in CSS pixels; all pictures share them, so that axes align.
WIDTH, HEIGHT = 352, 264
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 10, 42

#: Room for the names at the left of a dot plot, and the height of one of its rows.
NAME_WIDTH, ROW_HEIGHT = 128, 32


@dataclass(frozen=True)
class Stroke:
    """How a scorer's line looks, in the pictures and in the legend.

    Attributes:
        role: of the colour, see ``svg.ROLES``.
        width: CSS pixels.
        dash: lengths on and off, in CSS pixels; empty = solid.
    """

    role: str
    width: float
    dash: tuple[float, ...] = ()


#: The model on test and on validation; the baselines in turn, each its own colour and its own dashes.
TEST_STROKE = Stroke("model", 2.2)
VALIDATION_STROKE = Stroke("validation", 1.4, (5, 3))
BASELINE_STROKES = tuple(
    Stroke(f"series-{number}", 1.1, dash)
    for number, dash in enumerate(
        [(), (6, 2), (2, 2), (8, 2, 2, 2), (4, 1.5), (1, 1.5), (10, 3), (3, 3)], start=1
    )
)


def new_axes(height: int = HEIGHT, left: int = LEFT) -> tuple[Figure, Axes]:
    """A figure of the page's width with one set of axes; `height` and the `left` margin in CSS pixels."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH / 72, height / 72), dpi=72)
    box = (left / WIDTH, BOTTOM / height, (WIDTH - left - RIGHT) / WIDTH, (height - TOP - BOTTOM) / height)
    return figure, figure.add_axes(box)


def draw_line(
    axes: Axes,
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    stroke: Stroke,
    **more: Any,  # noqa: ANN401 - any of plot's
) -> None:
    """Draw a curve; `more` goes on to matplotlib's plot."""
    style: Any = "-"
    if stroke.dash:  # matplotlib counts dashes in line widths
        style = (0, tuple(length / stroke.width for length in stroke.dash))
    axes.plot(x, y, color=COLOURS[stroke.role], linewidth=stroke.width, linestyle=style, **more)


def use_unit_axes(axes: Axes, x_label: str, y_label: str) -> None:
    """Both axes from 0 to 1, with the same ticks in every picture."""
    ticks = [0, 0.25, 0.5, 0.75, 1]
    names = ["0", ".25", ".5", ".75", "1"]
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.015, 1.015)
    axes.set_xticks(ticks, names)
    axes.set_yticks(ticks, names)
    axes.set_xlabel(x_label, labelpad=6)
    axes.set_ylabel(y_label, labelpad=6)


def mark_point(axes: Axes, gid: str, x: float, y: float) -> dict[str, dict[str, str]]:
    """Draw a point that the page's script can move, and say where it is and how long a unit is."""
    axes.plot(
        [x], [y], marker="o", markersize=9, gid=gid, linestyle="none", zorder=10, clip_on=False,
        color=COLOURS["paper"], markeredgecolor=COLOURS["model"], markeredgewidth=2.4,
    )  # fmt: skip
    return {gid: {"data-mark": gid, **place_mark(axes, x, y)}}


def place_mark(axes: Axes, x: float, y: float) -> dict[str, str]:
    """Attributes for the script: where a mark stands in data units, and how many pixels a unit is."""
    origin, unit = axes.transData.transform([(0.0, 0.0), (1.0, 1.0)])
    width, height = unit - origin
    return {
        "data-x": f"{x:.9g}",
        "data-y": f"{y:.9g}",
        "data-dx": f"{width:.6g}",
        "data-dy": f"{-height:.6g}",
    }
