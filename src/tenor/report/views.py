"""What the template prints: texts, SVGs and counts, with every number already worded.

Plain dataclasses. Knows nothing of how they are filled, nor of HTML beyond the SVGs inside.
"""

from __future__ import annotations

from dataclasses import dataclass

from tenor.metrics.verdict import Verdict
from tenor.report.canvas import Stroke
from tenor.report.curves import ThresholdTable
from tenor.report.summaries import Measured, SplitCounts


@dataclass(frozen=True)
class Picture:
    """An SVG with its heading and its caption."""

    svg: str
    title: str
    caption: str = ""


@dataclass(frozen=True)
class Cell:
    """A number as text, its interval as text, and a note such as why it is missing."""

    text: str
    interval: str = ""
    note: str = ""


@dataclass(frozen=True)
class Row:
    """A table row: kind is ``model``, ``other`` or ``part``."""

    name: str
    kind: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Table:
    """A table of metrics."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class LegendEntry:
    """A line's name and look."""

    name: str
    stroke: Stroke


@dataclass(frozen=True, eq=False)
class ThresholdView:
    """The slider: its counts, its histogram, and the names of the two classes."""

    table: ThresholdTable
    histogram: Picture
    positive: str
    negative: str
    digits: int
    validation: bool


@dataclass(frozen=True)
class ConfusionView:
    """A confusion matrix for several classes: (name, [(count, share, step of colour)]) a row."""

    names: tuple[str, ...]
    rows: tuple[tuple[str, tuple[tuple[str, str, int], ...]], ...]


@dataclass(frozen=True)
class MessageView:
    """A message of an error: step of colour from -5 (against the positive class) to 5 (for it).

    Of a long error only the strong messages are printed on paper.
    """

    author: str
    text: str | None
    contribution: str
    step: int
    is_strong: bool


@dataclass(frozen=True)
class ErrorView:
    """A wrongly scored row."""

    name: str
    label: str
    predicted: str
    prob: str
    messages: tuple[MessageView, ...]


@dataclass(frozen=True, eq=False)
class LevelView:
    """Everything that the template prints of one level; empty parts are left out."""

    level: str
    title: str
    counts: tuple[SplitCounts, ...]
    lead: str
    model: Measured
    verdict: Verdict | None
    rival: str
    positive: str
    explained: bool
    table: Table
    notes: tuple[str, ...]
    legend: tuple[LegendEntry, ...]
    curves: tuple[Picture, ...]
    threshold: ThresholdView | None
    confusion: ConfusionView | None
    confidence: Picture | None
    classes: Table | None
    comparison: tuple[Picture, ...]
    training: tuple[Picture, ...]
    aggregation: Table | None
    aggregation_pictures: tuple[Picture, ...]
    subgroups: tuple[tuple[str, Table], ...]
    subgroup_pictures: tuple[Picture, ...]
    errors: tuple[ErrorView, ...]
    ranking: str
