"""What the commands print on standard output: tables for people, JSON for scripts.

Text of users (ids, authors, labels) reaches the terminal without control characters. Knows nothing of the
commands.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tenor.evaluation.sentences import group_remarks

#: Width of tables where no terminal says its own.
PLAIN_WIDTH = 140

#: Longer words, such as ids, may be broken where a table is too wide for its terminal.
_LONG_WORD = 16

_RANGE = re.compile(r"(?<=[0-9])–(?=[0-9])")

#: What words of headings become where a table would be too wide for its terminal otherwise.
SHORT_WORDS = {
    "positives": "pos.",
    "accuracy": "acc.",
    "precision": "prec.",
    "threshold": "thresh.",
}

#: Keys of the metrics that `print_metrics` shows, in this order, with their headings.
METRIC_HEADINGS = {
    "count": "count",
    "positives": "positives",
    "accuracy": "accuracy",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "roc_auc": "ROC AUC",
    "average_precision": "avg. precision",
    "selection_rate": "selection rate",
    "false_positive_rate": "false positive rate",
    "brier": "Brier score",
    "log_loss": "log loss",
    "threshold": "threshold",
}

#: Keys that several classes do not have, which the table's missing columns say.
BINARY_ONLY = frozenset({"positives", "threshold"})


def clean_line(text: str) -> str:
    """One line, with every character that a terminal would obey or hide written as its escape."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def format_cell(value: object) -> str:
    """A table cell: four digits after the point, thousands apart, a dash for what is not known."""
    if value is None:
        return "–"
    if isinstance(value, float):
        if 0 < abs(value) < 0.00005:  # which is not 0
            return "<0.0001" if value > 0 else ">-0.0001"
        return f"{value:.4f}" if math.isfinite(value) else str(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return clean_line(str(value))


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str = "", caption: str = ""
) -> None:
    """Print a table on standard output; columns of numbers are set flush right."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    by_column = list(zip(*rows, strict=True)) or [() for _ in columns]
    cells = [[format_cell(value) for value in values] for values in by_column]
    room = Console().width if sys.stdout.isatty() else PLAIN_WIDTH
    layout = _lay_out(columns, cells, room)
    table = Table(
        box=SIMPLE_HEAD,
        show_header=any(columns),
        show_edge=layout.is_roomy,
        padding=(0, 1 if layout.is_roomy else 0),
        title=Text(clean_line(title), style="bold"),
        title_justify="left",
        caption=Text(clean_line(caption)) if caption else None,
        caption_justify="left",
    )
    for heading, values, width in zip(layout.headings, by_column, layout.widths, strict=True):
        justify: Literal["left", "right"] = "right" if _are_numbers(values) else "left"
        table.add_column(Text(heading), justify=justify, overflow="fold", width=width)
    for row in zip(*layout.cells, strict=True):
        table.add_row(*map(Text, row))
    Console(width=max(room, layout.total), highlight=False).print(table)


def _are_numbers(values: Sequence[object]) -> bool:
    numbers = [isinstance(value, int | float) for value in values]
    return any(numbers) and all(value is None or found for value, found in zip(values, numbers, strict=True))


@dataclass(frozen=True, slots=True)
class _Layout:
    """How a table is set: headings, cells by column, how wide each is, and whether there is room for wide gaps."""

    headings: Sequence[str]
    cells: Sequence[Sequence[str]]
    widths: list[int]
    is_roomy: bool

    @property
    def total(self) -> int:
        """Characters a line."""
        return sum(self.widths) + _gaps(len(self.widths), self.is_roomy)


def _gaps(num_columns: int, is_roomy: bool) -> int:
    """What the space between and around columns takes."""
    return 3 * num_columns + 1 if is_roomy else num_columns - 1


def _lay_out(headings: Sequence[str], cells: Sequence[Sequence[str]], room: int) -> _Layout:
    """Fit columns into so many characters a line.

    Texts are broken between words, the widest column's first; then gaps shrink, words of headings become short, and
    ranges are broken after their dash. A number never is, for half of one reads as another: rather the table is wider
    than its terminal.
    """
    short = [" ".join(SHORT_WORDS.get(word, word) for word in heading.split()) for heading in headings]
    loose = [[_RANGE.sub("– ", text) for text in texts] for texts in cells]
    ways = ((headings, cells, True), (headings, cells, False), (short, cells, False), (short, loose, False))
    for said, shown, is_roomy in ways:
        columns = [[heading, *texts] for heading, texts in zip(said, shown, strict=True)]
        least = [_longest(word for text in texts for word in text.split()) for texts in columns]
        if sum(least) + _gaps(len(least), is_roomy) <= room:
            break
    widths = [max(_longest(texts, most=room), width) for texts, width in zip(columns, least, strict=True)]
    layout = _Layout(said, shown, widths, is_roomy)
    while layout.total > room and widths != least:
        wide = [index for index, width in enumerate(widths) if width > least[index]]
        widths[max(wide, key=widths.__getitem__)] -= 1
    return layout


def _longest(texts: Iterable[str], most: int = _LONG_WORD) -> int:
    """The width of the widest, at most `most`; a longer word may be broken."""
    from rich.cells import cell_len

    return min(max(map(cell_len, texts), default=1), most)


def print_fields(fields: Mapping[str, object], *, title: str = "") -> None:
    """Print names and values, one a line."""
    rows = [(name, format_cell(value)) for name, value in fields.items()]
    print_table(["", ""], rows, title=title)


def print_metrics(rows: Mapping[str, Mapping[str, Any]], *, title: str, caption: str = "") -> None:
    """Print one line of metrics a name, and under the table why any of them is not known."""
    from tenor.metrics.scores import explain_undefined

    keys = [key for key in METRIC_HEADINGS if any(metrics.get(key) is not None for metrics in rows.values())]
    table = [[name, *(metrics.get(key) for key in keys)] for name, metrics in rows.items()]
    print_table(["", *(METRIC_HEADINGS[key] for key in keys)], table, title=title, caption=caption)
    reasons = {
        name: {
            METRIC_HEADINGS[key]: reason
            for key, reason in explain_undefined(dict(metrics)).items()
            if key in METRIC_HEADINGS and key not in BINARY_ONLY
        }
        for name, metrics in rows.items()
    }
    if not any(metrics.get(key) is not None for metrics in rows.values() for key in BINARY_ONLY):
        print_line(
            "precision, recall, F1, ROC AUC and average precision are macro means, over the classes for which they are "
            "defined"
        )
    for names, missing, reason in group_remarks(reasons):
        who = "" if len(names) == len(rows) > 1 else f"{', '.join(names)}: "
        print_line(f"{who}no {', '.join(missing)}: {reason}")


def count_reads(metrics: Mapping[str, Any]) -> str:
    """How often the test split was read, as a sentence; empty where that is not counted."""
    reads = metrics.get("test_reads")
    if reads is None:
        return ""
    return (
        "the test split was read for the first time at this level"
        if reads == 1
        else f"the test split was read {reads} times at this level"
    )


def print_json(value: object) -> None:
    """Print a value as JSON on standard output."""
    sys.stdout.write(json.dumps(value, indent=2, allow_nan=False, default=_to_json) + "\n")


def _to_json(value: object) -> object:
    """Paths as strings, numpy's numbers and arrays as Python's."""
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"no JSON for {type(value).__name__}")


def print_line(text: str) -> None:
    """Print one line on standard output."""
    sys.stdout.write(clean_line(text) + "\n")
