"""``tenor import``: a source of chats becomes a corpus."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from tenor.cli.options import ProgressOption, ReplaceOption, parse_numbers, refuse_given
from tenor.cli.output import print_line

SUMMARY = "Read a source of chats into a corpus."

EXAMPLES = """
\b
Columns: a row is a message:       conversation_id, author, text, timestamp, label, author_label
  or a conversation:               conversation_id, messages, label, author_labels
  or one with a list a column:     conversation_id, authors, text, timestamp, participants, participant_labels
  and in any of them:              group, split, features, feature_prefix, feature_columns, attackers

\b
Examples:
  tenor import chats.jsonl.gz corpus
  tenor import messages.csv corpus --column author=user --column text=body
  tenor import chats.jsonl corpus --split-by author --fractions 0.8,0.1,0.1 --on-error quarantine
  tenor import chats.jsonl corpus --positive abusive
  tenor import today.jsonl corpus --append
"""


def run(
    context: typer.Context,
    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", help="File, folder or pattern of conversations.")
    ],
    dest: Annotated[Path, typer.Argument(metavar="DEST", help="Folder of the corpus to make.")],
    format: Annotated[
        Literal["jsonl", "csv", "parquet", "arrow", "huggingface", "corpus"] | None,
        typer.Option(help="By default from the name."),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=COLUMN", help="The source's name of one of tenor's columns; repeatable."),
    ] = None,
    on_error: Annotated[
        Literal["raise", "quarantine"],
        typer.Option(help="Stop at a bad row, or set it aside in rejects.jsonl and count it."),
    ] = "raise",
    rejects: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Where to list what was set aside, instead.")
    ] = None,
    split_by: Annotated[
        Literal["author", "conversation", "group"] | None,
        typer.Option(help="Split both levels by one thing instead of each by its own."),
    ] = None,
    fractions: Annotated[
        str | None,
        typer.Option(
            metavar="TRAIN,VALIDATION,TEST",
            help="Shares of the groups in each split, by default 0.7,0.1,0.2.",
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the splits, by default 0.")] = None,
    strict: Annotated[
        bool | None,
        typer.Option(
            "--strict/--no-strict",
            help="Share neither an author nor a conversation between splits, by default not.",
        ),
    ] = None,
    positive: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="The positive one of two named classes, by default the last in order; repeatable.",
        ),
    ] = None,
    replace: ReplaceOption = False,
    append: Annotated[
        bool, typer.Option("--append", help="Add to the corpus DEST, split by its own plan.")
    ] = False,
    progress: ProgressOption = True,
) -> None:
    """Read JSONL (plain, .gz, .zst), CSV, Parquet or a Hugging Face dataset folder into a corpus.

    Splits into train, validation and test are made here, by a hash of each group's id. With --replace, what is not
    asked for of splits and positive class is taken over from the corpus that is replaced.
    """
    if append:
        refuse_given(context, "replace", reason="with --append")
    shares = None if fractions is None else parse_numbers(fractions, "--fractions", float)
    if shares is not None and len(shares) != 3:
        raise typer.BadParameter(f"expected three numbers, not {fractions!r}", param_hint="--fractions")
    from tenor.corpus.importing import import_with_summary
    from tenor.corpus.plan import PlanRequest
    from tenor.corpus.readers.columns import ColumnMap

    summary = import_with_summary(
        source,
        dest,
        format=format,
        columns=None if column is None else ColumnMap.from_strings(column),
        on_error=on_error,
        plan=PlanRequest(seed=seed, fractions=shares, by=split_by, strict=strict),
        positive=() if positive is None else positive,
        rejects=rejects,
        replace=replace,
        append=append,
        progress=progress,
    )
    for line in summary.lines():
        print_line(line)
