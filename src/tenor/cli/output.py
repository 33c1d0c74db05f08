"""What the commands print on standard output: tables for people, JSON for scripts.

Text of users (ids, authors, labels) reaches the terminal without control characters. Knows nothing of the
commands.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

#: Width of tables where no terminal says its own.
PLAIN_WIDTH = 140

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

    rows = [list(row) for row in rows]
    heading = Text(clean_line(title), style="bold")
    table = Table(box=SIMPLE_HEAD, show_header=any(columns), title=heading, title_justify="left")
    if caption:
        table.caption, table.caption_justify = Text(clean_line(caption)), "left"
    for position, column in enumerate(columns):
        cells = [row[position] for row in rows]
        numeric = any(isinstance(c, int | float) for c in cells)
        numeric = numeric and all(c is None or isinstance(c, int | float) for c in cells)
        table.add_column(Text(column), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(format_cell(cell)) for cell in row))
    is_terminal = sys.stdout.isatty()
    Console(width=None if is_terminal else PLAIN_WIDTH, highlight=False).print(table)


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
    for name, metrics in rows.items():
        for key, reason in explain_undefined(dict(metrics)).items():
            if key in METRIC_HEADINGS and key not in BINARY_ONLY:
                print_line(f"{name}: no {METRIC_HEADINGS[key]}: {reason}")


def count_reads(metrics: Mapping[str, Any]) -> str:
    """How often the test split was read, as a sentence; empty where that is not counted."""
    reads = metrics.get("test_reads")
    if reads is None:
        return ""
    return (
        "the test split was read for the first time"
        if reads == 1
        else f"the test split was read {reads} times"
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
