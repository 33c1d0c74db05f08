"""``tenor splits``: what each split holds."""

from __future__ import annotations

from tenor.cli.options import CorpusArgument, JsonOption
from tenor.cli.output import print_json, print_table

SUMMARY = "Show what each split holds."

EXAMPLES = """
\b
Examples:
  tenor splits corpus
  tenor splits corpus --json
"""


def run(corpus: CorpusArgument, json: JsonOption = False) -> None:
    """Show counts, positives and authors of each split, at each level."""
    from tenor.corpus.corpus import open_corpus
    from tenor.corpus.splits import summarize_splits

    rows = [dict(row) for row in summarize_splits(open_corpus(corpus))]
    if json:
        print_json(rows)
        return
    columns = list(rows[0])
    print_table(columns, [list(row.values()) for row in rows], title=f"splits of {corpus}")
