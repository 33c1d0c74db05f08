"""``tenor splits``: what each split holds."""

from __future__ import annotations

from typing import Any

from tenor.cli.options import CorpusArgument, JsonOption
from tenor.cli.output import print_json, print_line, print_table

SUMMARY = "Show what each split holds."

EXAMPLES = """
\b
Examples:
  tenor splits corpus
  tenor splits corpus --json
"""

#: Key of a row of `summarize_splits` -> heading, in order; a column without a single value is left out.
HEADINGS = {
    "level": "level",
    "split": "split",
    "sequences": "sequences",
    "labelled": "labelled",
    "positives": "positives",
    "positive_rate": "share",
    "classes": "classes",
    "authors": "authors",
    "groups": "groups",
}


def run(corpus: CorpusArgument, json: JsonOption = False) -> None:
    """Show counts, positives and authors of each split, at each level."""
    from tenor.corpus.corpus import open_corpus
    from tenor.corpus.splits import describe_authors, summarize_splits

    opened = open_corpus(corpus)
    rows = summarize_splits(opened)
    if json:
        print_json(rows)
        return
    shown = [{**row, "classes": describe_classes(row)} for row in rows]
    keys = [key for key in HEADINGS if any(row[key] is not None for row in shown)]
    table = [[row[key] for key in keys] for row in shown]
    print_table([HEADINGS[key] for key in keys], table, title=f"splits of {corpus}")
    for row in rows:
        if row["warning"]:
            print_line(f"warning: level {row['level']}, split {row['split']}: {row['warning']}")
    for sentence in describe_authors(opened):
        print_line(sentence)


def describe_classes(row: dict[str, Any]) -> str | None:
    """How often each class occurs, as text; None for binary labels, whose positives say it."""
    if row["positives"] is not None or not row["labels"]:
        return None
    return ", ".join(f"{name} {count:,}" for name, count in row["labels"].items())
