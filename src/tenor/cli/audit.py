"""``tenor audit``: whether anything leaks from one split into another."""

from __future__ import annotations

import typer

from tenor.cli.options import CorpusArgument, JsonOption
from tenor.cli.output import print_json, print_line, print_table

SUMMARY = "Look for leaks between the splits."

EXAMPLES = """
\b
Examples:
  tenor audit corpus
  tenor audit analyzed --json
"""


def run(corpus: CorpusArgument, json: JsonOption = False) -> None:
    """Look for groups, conversations and near-duplicate texts that stand in two splits."""
