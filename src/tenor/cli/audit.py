"""``tenor audit``: whether anything leaks from one split into another."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from tenor.cli.options import CorpusArgument, JsonOption
from tenor.cli.output import print_json, print_line, print_table

SUMMARY = "Look for leaks between the splits."

EXAMPLES = """
\b
Examples:
  tenor audit corpus
  tenor audit analyzed --no-near-duplicates --json
"""


def run(
    corpus: CorpusArgument,
    near_duplicates: Annotated[
        bool, typer.Option(help="Compare texts across splits (extra [audit]).")
    ] = True,
    json: JsonOption = False,
) -> None:
    """Look for groups, authors, conversations and near-duplicate texts that stand in two splits.

    Exits with 1 when it finds an error: something that must be mended before a fit.
    """
    from tenor.corpus.audit import audit_corpus
    from tenor.corpus.corpus import open_corpus

    report = audit_corpus(open_corpus(corpus), near_duplicates=near_duplicates)
    if json:
        print_json({"is_clean": report.is_clean, **asdict(report)})
    else:
        rows = [
            (finding.severity, finding.level, finding.count, finding.message) for finding in report.findings
        ]
        if rows:
            print_table(["", "level", "count", "finding"], rows, title=f"audit of {corpus}")
        for check in report.checks:
            print_line(f"checked: {check}")
        print_line("nothing leaks" if report.is_clean else "see the findings above")
    if any(finding.severity == "error" for finding in report.findings):
        raise typer.Exit(1)
