"""Parts of test by the user's own columns and by length: their metrics, and the gaps that are no accident.

Columns come from a CSV or Parquet file of the user's, joined on ``conversation_id``, ``author``, or both. Knows
nothing of how a report looks.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tenor.corpus.readers.csv import DELIMITERS
from tenor.errors import InputError, UsageError
from tenor.files import require_path
from tenor.metrics.subgroups import FEW_ROWS, LEAST_GROUPS, Gap, bin_lengths, measure_subgroups
from tenor.metrics.verdict import format_signed
from tenor.predictions import Predictions
from tenor.report.content import Subgroup
from tenor.report.summaries import METRIC_NAMES, RANKING_METRICS, format_interval, join_words

Strings = npt.NDArray[np.object_]

#: Column of the file -> what a row of predictions is found by.
KEYS = {"conversation_id": "conversation_ids", "author": "authors"}

#: A column with more values than this makes no subgroups.
MAX_VALUES = 20

_REPLICATES = 1000


@dataclass(frozen=True)
class Attributes:
    """The user's columns.

    Attributes:
        path: of the file.
        keys: which of KEYS the file has.
        columns: the columns asked for.
        rows: one value a key and column -> one value a column; None = missing.
    """

    path: Path
    keys: tuple[str, ...]
    columns: tuple[str, ...]
    rows: Mapping[tuple[str, ...], tuple[str | None, ...]]

    def join(self, predictions: Predictions) -> dict[str, Strings] | None:
        """Each column's values for rows of predictions, (N,) strings or None; None where the keys do not fit.

        A file with one row an author says nothing of a whole conversation, nor one with one row a conversation of
        an author's profile.

        Raises:
            UsageError: no row of the predictions is in the file, or a column with too many values.
        """
        names = [KEYS[key] for key in self.keys]
        if any(getattr(predictions, name) is None for name in names):
            return None
        ids = list(zip(*(getattr(predictions, name).tolist() for name in names), strict=True))
        if len(ids) and not any(key in self.rows for key in ids):
            raise UsageError(
                f"{self.path}: none of its {len(self.rows):,} rows is of the predictions: {', '.join(self.keys)} must "
                "be written as in the corpus"
            )
        missing = (None,) * len(self.columns)
        found = np.array([self.rows.get(key, missing) for key in ids], dtype=object).reshape(len(ids), -1)
        for position, column in enumerate(self.columns):
            count = len(set(found[:, position].tolist()))
            if count > MAX_VALUES:
                raise UsageError(
                    f"{self.path}: column {column} has {count} different values in the predictions, more than "
                    f"{MAX_VALUES} (bin them first)"
                )
        return {column: found[:, position] for position, column in enumerate(self.columns)}


def read_attributes(path: str | Path, columns: Sequence[str]) -> Attributes:
    """Read the columns asked for, and the keys, of a CSV or Parquet file with a header.

    Raises:
        InputError: no such file, no key column, a column that is not there, or a key twice.
        UsageError: no column was asked for, or a file of another kind.
    """
    path = require_path(path, "attributes")
    if not columns:
        raise UsageError(f"name the columns of {path} that make subgroups (by=...)")
    if not path.is_file():
        raise InputError("there is no such file", path=path)
    readers = {".csv": _read_csv, ".parquet": _read_parquet}
    if path.suffix.lower() not in readers:
        raise UsageError(f"{path}: attributes are read from .csv and .parquet files")
    header, lines = readers[path.suffix.lower()](path)
    keys = tuple(key for key in KEYS if key in header)
    if not keys:
        raise InputError(
            f"expected a column {' or '.join(KEYS)}, found {', '.join(header)}", path=path, line=1
        )
    absent = [column for column in columns if column not in header]
    if absent:
        raise InputError(f"there is no column {absent[0]}, but {', '.join(header)}", path=path, line=1)
    rows: dict[tuple[str, ...], tuple[str | None, ...]] = {}
    for line, values in lines:
        key = tuple(str(values[name]) for name in keys)
        if key in rows:
            raise InputError(
                f"expected each {' and '.join(keys)} once, found one again",
                path=path,
                line=line,
                field=keys[0],
            )
        rows[key] = tuple(_to_text(values[column]) for column in columns)
    return Attributes(path, keys, tuple(columns), rows)


def _read_csv(path: Path) -> tuple[list[str], Iterator[tuple[int, dict[str, Any]]]]:
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise InputError(f"invalid UTF-8 at byte offset {error.start}", path=path, line=line) from error
    delimiter = max(DELIMITERS, key=text.partition("\n")[0].count)  # as an import finds it
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    lines = _number_lines(reader, path)
    _, header = next(lines, (1, []))

    def rows() -> Iterator[tuple[int, dict[str, Any]]]:
        for line, values in lines:
            if len(values) != len(header):
                rule = f"expected {len(header)} columns, found {len(values)}"
                raise InputError(rule, path=path, line=line)
            yield line, dict(zip(header, values, strict=True))

    return header, rows()


def _number_lines(reader: Any, path: Path) -> Iterator[tuple[int, list[str]]]:  # noqa: ANN401 - csv has no type
    """Each row of a csv.reader with the line it ends on; empty lines are none."""
    try:
        for values in reader:
            if values:
                yield reader.line_num, values
    except csv.Error as error:
        raise InputError(f"no sound CSV: {error}", path=path, line=reader.line_num) from error


def _read_parquet(path: Path) -> tuple[list[str], Iterator[tuple[int, dict[str, Any]]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path, partitioning=None)
    except (pa.ArrowException, OSError) as error:
        raise InputError("expected a Parquet file, and it cannot be read as one", path=path) from error
    return table.column_names, enumerate(table.to_pylist(), start=1)


def _to_text(value: object) -> str | None:
    return None if value is None or value == "" else str(value)


def measure_columns(
    predictions: Predictions, columns: Mapping[str, Strings], *, seed: int = 0
) -> tuple[tuple[Subgroup, ...], tuple[str, ...]]:
    """Measure every part of every column on test.

    Args:
        predictions: with test rows.
        columns: name -> a value for each labelled test row; None = missing.
        seed: of the bootstrap.

    Returns:
        The parts, those of one column together; and a sentence for each gap whose interval leaves out 0, at a level
        of 95% for all pairs, metrics and columns together, then one on the columns that have no such gap. Parts of
        fewer than FEW_ROWS rows, or of fewer than LEAST_GROUPS groups, have none.
    """
    test = predictions.in_split("test").labelled()
    binary = test.probs.ndim == 1
    metrics = RANKING_METRICS if binary and test.threshold is None else tuple(METRIC_NAMES)
    parts: list[Subgroup] = []
    sentences: list[str] = []
    quiet: list[str] = []
    for column, values in columns.items():
        found = measure_subgroups(
            test.labels,
            test.probs,
            test.groups,
            values,
            test.threshold,
            metrics=metrics,
            comparisons=len(metrics) * len(columns),
            least_rows=FEW_ROWS,
            least_groups=LEAST_GROUPS,
            replicates=_REPLICATES,
            seed=seed,
        )
        names = np.array(["(missing)" if value is None else str(value) for value in values], dtype=object)
        for name, measured in found.metrics.items():
            positives = int(test.labels[names == name].sum()) if binary else None
            intervals = {
                metric: (interval.low, interval.high)
                for metric, interval in measured.items()
                if interval.low is not None and interval.high is not None
            }
            values_of = {metric: interval.value for metric, interval in measured.items()}
            groups = test.groups[names == name].count_distinct()
            parts.append(Subgroup(column, name, found.counts[name], positives, values_of, intervals, groups))
        sure = {metric: gap for metric, gap in found.gaps.items() if _is_sure(gap)}
        sentences += [_describe_gap(column, metric, gap) for metric, gap in sure.items()]
        if not sure and any(gap.difference is not None for gap in found.gaps.values()):
            quiet.append(column)
    if quiet:
        sentences.append(
            f"By {join_words(quiet)}, no gap between parts is clearly more than chance (at 95% for all gaps together)."
        )
    return tuple(parts), tuple(sentences)


def bin_test_lengths(predictions: Predictions) -> dict[str, Strings]:
    """The column by which every report divides test: messages of a sequence, conversations of a profile."""
    test = predictions.in_split("test").labelled()
    name = "conversations" if predictions.level == "profile" else "messages"
    return {name: bin_lengths(test.lengths)}


def _is_sure(gap: Gap) -> bool:
    return gap.low is not None and gap.low > 0 and gap.warning is None


def _describe_gap(column: str, metric: str, gap: Gap) -> str:
    low, high = gap.low, gap.high
    interval = (
        ""
        if low is None or high is None
        else f" ({format_interval((low, high))} at 95% for all gaps together)"
    )
    difference = 0.0 if gap.difference is None else gap.difference
    return (
        f"By {column}, {METRIC_NAMES[metric]} is higher for {gap.highest} than for {gap.lowest}, by "
        f"{format_signed(difference)}{interval}."
    )
