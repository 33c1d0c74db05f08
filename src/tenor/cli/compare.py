"""``tenor compare``: whether one model is better than another on the same rows."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tenor.cli.options import JsonOption
from tenor.cli.output import print_json, print_line, print_metrics
from tenor.cli.standing import BootstrapSeedOption, print_differences, print_warnings
from tenor.errors import UsageError

if TYPE_CHECKING:
    from tenor.metrics.comparison import Difference
    from tenor.predictions import Predictions

SUMMARY = "Compare models by their predictions files."

EXAMPLES = """
\b
Examples:
  tenor compare old.parquet new.parquet
  tenor compare baseline.parquet small.parquet large.parquet --metric roc_auc --json
"""

#: What is compared unless asked otherwise.
METRICS = ("roc_auc", "average_precision", "f1")


def run(
    reference: Annotated[
        Path,
        typer.Argument(metavar="A", help="Predictions file (Parquet) that the others are compared with."),
    ],
    others: Annotated[list[Path], typer.Argument(metavar="B...", help="One predictions file or more.")],
    split: Annotated[
        Literal["train", "validation", "test", "all"], typer.Option(help="The rows to compare on.")
    ] = "test",
    metric: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="accuracy, precision, recall, f1, roc_auc, average_precision; repeatable. "
            f"By default {', '.join(METRICS)}.",
        ),
    ] = None,
    seed: BootstrapSeedOption = 0,
    json: JsonOption = False,
) -> None:
    """Each B minus A on the same labelled rows, paired by group: difference, 95% interval, p, Holm's p over all.

    Needs predictions alone, no model and no corpus.
    """
    from tenor.metrics.comparison import compare_many
    from tenor.metrics.scores import calculate_metrics

    metrics = METRICS if metric is None else tuple(metric)
    tables = read_tables([reference, *others], split)
    name = next(iter(tables))
    found = compare_many(tables, name, metrics=metrics, seed=seed)
    if json:
        print_json(to_json(name, split, found, tables))
        return
    known = {file: table.labelled() for file, table in tables.items()}
    rows = {
        file: calculate_metrics(table.labels, table.probs, table.threshold) for file, table in known.items()
    }
    groups = known[name].groups.count_distinct()
    where = "all rows" if split == "all" else f"split {split}"
    print_metrics(rows, title=f"{where}, {groups:,} groups")
    print_differences({file: {"differences": {name: plain(of_file)}} for file, of_file in found.items()})
    print_warnings(
        {
            file: {metric: each.warning for metric, each in of_file.items() if each.difference is not None}
            for file, of_file in found.items()
        }
    )
    for file, table in tables.items():
        if table.caution:
            print_line(f"{file}: {table.caution}")
    for file, of_file in found.items():
        print_line(describe(file, name, of_file))


def read_tables(paths: list[Path], split: str) -> dict[str, Predictions]:
    """Each file's rows of a split, by the file's path; a file that stands there twice gets a number.

    Raises:
        InputError: a file that holds no predictions.
        UsageError: predictions of different levels.
    """
    from tenor.predictions import read_predictions

    tables: dict[str, Predictions] = {}
    for path in paths:
        table = read_predictions(path)
        name, number = str(path), 1
        while name in tables:
            number += 1
            name = f"{path} ({number})"
        tables[name] = table if split == "all" else table.in_split(split)
        if len(table) and not len(tables[name]):
            found = ", ".join(sorted({each or "none" for each in table.splits.tolist()}))
            raise UsageError(
                f"{path}: expected rows of split {split}, found those of {found} only "
                "(tenor predict --split all scores all)"
            )
    levels = {name: table.level for name, table in tables.items()}
    if len(set(levels.values())) > 1:
        raise UsageError(
            "predictions of one level can be compared, found "
            + ", ".join(f"{level} in {name}" for name, level in levels.items())
        )
    return tables


def plain(found: dict[str, Difference]) -> dict[str, dict[str, object]]:
    """Differences as plain values."""
    return {metric: asdict(difference) for metric, difference in found.items()}


def to_json(
    name: str, split: str, found: dict[str, dict[str, Difference]], tables: dict[str, Predictions]
) -> dict[str, object]:
    """The reference, each other file's differences to it, and what to know before believing them."""
    return {
        "reference": name,
        "split": split,
        "differences": {file: plain(of_file) for file, of_file in found.items()},
        "cautions": {file: table.caution for file, table in tables.items() if table.caution},
    }


def describe(file: str, reference: str, found: dict[str, Difference]) -> str:
    """In which metrics a file is better or worse, by Holm's p below .05."""
    better: list[str] = []
    worse: list[str] = []
    for metric, difference in found.items():
        if difference.p_holm is not None and difference.difference is not None and difference.p_holm < 0.05:
            (better if difference.difference > 0 else worse).append(metric)
    parts = [f"better in {', '.join(better)}"] if better else []
    parts += [f"worse in {', '.join(worse)}"] if worse else []
    verdict = " and ".join(parts) if parts else "no difference that Holm's p below .05 would show"
    return f"{file} against {reference}: {verdict}"
