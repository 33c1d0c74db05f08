"""Predictions as Parquet files, whole or a part after another, and as CSV.

Knows nothing of how the scores came to be.
"""

from __future__ import annotations

import contextlib
import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from tenor.arrays import make_array, number_array, to_numpy
from tenor.errors import InputError, UsageError
from tenor.files import publish_file
from tenor.predictions.table import (
    ID_COLUMNS,
    Floats,
    Integers,
    Label,
    Predictions,
    require_unique_ids,
)
from tenor.strings import Strings

if TYPE_CHECKING:
    import pyarrow as pa

#: Written into every predictions file; a file with a higher number is refused.
FORMAT_VERSION = 1

_STRING_COLUMNS = ["conversation_id", "author", "group", "split"]
_METADATA_KEY = b"tenor.predictions"
_ABSTENTION_KEY = b"tenor.abstention"
_METADATA_TYPES: dict[str, tuple[type, ...]] = {
    "level": (str,),
    "classes": (list,),
    "threshold": (float, int, type(None)),
    "model": (str,),
    "model_hash": (str,),
}


@dataclass(frozen=True)
class PredictionSets:
    """Which classes a rule that may abstain leaves to each row, beside the predictions of those rows.

    Attributes:
        holds: (N, C) bool, true where the class is not ruled out.
        rule: how that was found, as JSON values.
    """

    holds: npt.NDArray[np.bool_]
    rule: Mapping[str, Any]

    @property
    def abstained(self) -> int:
        """How many rows have no decision: no class is left, or several are."""
        return int((self.holds.sum(axis=1) != 1).sum())


class WritePart(Protocol):
    """Writes one table of predictions, and its sets where the file has them."""

    def __call__(self, part: Predictions, sets: PredictionSets | None = None) -> None:
        """Write it after those written before."""


def write_predictions(
    predictions: Predictions, path: Path | str, *, sets: PredictionSets | None = None
) -> Path:
    """Write a Parquet file: ids, group, split, label as the user wrote it, length, logit, prob.

    Level, classes, threshold, model and format version stand in the schema's metadata as JSON. For several
    classes logit and prob are lists with one entry a class. With `sets` two columns are added, which read_predictions
    passes over: ``prediction_set``, the labels that are not ruled out, and ``decision``, the one label of a set of
    one, null where the rule abstains; the rule stands in the metadata under ``tenor.abstention``.

    Returns:
        The path.

    Raises:
        UsageError: two rows have the same id, or sets of other rows or classes.
        StorageError: the file cannot be written; an older file of that name is untouched.
    """
    require_unique_ids(predictions)
    with write_parts(path) as write:
        write(predictions, sets)
    return Path(path)


@contextlib.contextmanager
def write_parts(path: Path | str) -> Iterator[WritePart]:
    """Hand out a function that writes one table of predictions after another into one file, as its row groups.

    The file appears, whole, when all are written. That no two rows have the same id is the caller's affair.

    Raises:
        UsageError: tables of different level, classes, threshold or model, or some with sets and some without.
        StorageError: the file cannot be written; an older file of that name is untouched.
    """
    import pyarrow.parquet as pq

    with publish_file(Path(path)) as temporary, contextlib.ExitStack() as stack:
        writers: list[Any] = []

        def write(part: Predictions, sets: PredictionSets | None = None) -> None:
            table = to_arrow(part, sets)
            if not writers:
                writers.append(
                    stack.enter_context(pq.ParquetWriter(temporary, table.schema, compression="zstd"))
                )
            elif not table.schema.equals(writers[0].schema, check_metadata=True):
                raise UsageError("predictions of one file: expected parts of one model, found others")
            writers[0].write_table(table)

        yield write


def to_arrow(predictions: Predictions, sets: PredictionSets | None = None) -> pa.Table:
    """The columns of a predictions file as an Arrow table, with the metadata in its schema; see write_predictions.

    Raises:
        UsageError: classes that mix numbers and strings, or sets of other rows or classes.
    """
    import pyarrow as pa

    strings = any(isinstance(label, str) for label in predictions.classes)
    if strings and not all(isinstance(label, str) for label in predictions.classes):
        raise UsageError(f"predictions: classes mix numbers and strings: {list(predictions.classes)}")
    columns: dict[str, pa.Array] = {
        name: values.to_arrow() for name, values in _string_columns(predictions).items()
    }
    classes = make_array(predictions.classes, pa.string() if strings else pa.int64())
    columns["label"] = classes.take(number_array(predictions.labels, predictions.labels < 0))
    columns["length"] = number_array(predictions.lengths)
    for name, scores in (("logit", predictions.logits), ("prob", predictions.probs)):
        flat = number_array(scores.reshape(-1))
        columns[name] = flat if scores.ndim == 1 else pa.FixedSizeListArray.from_arrays(flat, scores.shape[1])
    metadata = {name: getattr(predictions, name) for name in _METADATA_TYPES}
    metadata["format_version"] = FORMAT_VERSION
    described = {_METADATA_KEY: json.dumps(metadata).encode()}
    if sets is not None:
        columns |= _set_columns(predictions, sets.holds, pa.string() if strings else pa.int64())
        described[_ABSTENTION_KEY] = json.dumps(dict(sets.rule)).encode()
    return pa.table(columns).replace_schema_metadata(described)


def _set_columns(
    predictions: Predictions, holds: npt.NDArray[np.bool_], label: pa.DataType
) -> dict[str, pa.Array]:
    """The columns ``prediction_set`` and ``decision`` of sets (N, C)."""
    import pyarrow as pa

    expected = (len(predictions), len(predictions.classes))
    if holds.shape != expected:
        raise UsageError(f"prediction sets must have shape {expected}, found {holds.shape}")
    sizes = holds.sum(axis=1)
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
    names = make_array(predictions.classes, label)
    chosen = number_array(holds.argmax(axis=1), sizes != 1)
    return {
        "prediction_set": pa.ListArray.from_arrays(
            number_array(offsets), names.take(number_array(np.nonzero(holds)[1]))
        ),
        "decision": names.take(chosen),
    }


def _string_columns(predictions: Predictions) -> dict[str, Strings]:
    """The columns of strings, by their names in files."""
    columns = (predictions.conversation_ids, predictions.authors, predictions.groups, predictions.splits)
    return {name: column for name, column in zip(_STRING_COLUMNS, columns, strict=True) if column is not None}


def neutralize_cell(text: str) -> str:
    """Put an apostrophe before text that a spreadsheet would run: it begins with = + - @, tab or CR.

    Source: OWASP, "CSV Injection".
    """
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def export_csv(predictions: Predictions, path: Path | str) -> Path:
    """Write a CSV for spreadsheets, its cells of text neutralised (neutralize_cell), so that ids may differ.

    Returns:
        The path.

    Raises:
        StorageError: the file cannot be written.
    """
    scores: dict[str, Floats] = {}
    for name, found in (("logit", predictions.logits), ("prob", predictions.probs)):
        if found.ndim == 1:
            scores[name] = found
        else:
            scores |= {f"{name} {c}": found[:, i] for i, c in enumerate(predictions.classes)}
    names: list[Label | None] = [*predictions.classes, None]  # index -1 is the unlabelled
    labels = (names[code] for code in predictions.labels)
    strings = _string_columns(predictions)
    with publish_file(Path(path)) as temporary, temporary.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow([*strings, "label", "length", *scores])
        for row in zip(*strings.values(), labels, predictions.lengths, *scores.values(), strict=True):
            writer.writerow([neutralize_cell(cell) if isinstance(cell, str) else cell for cell in row])
    return Path(path)


def read_predictions(path: Path | str, *, splits: Sequence[str] | None = None) -> Predictions:
    """Read a file of write_predictions, strictly.

    Args:
        path: the file.
        splits: only the rows of these are kept, and nothing is said of the others; None = all.

    Raises:
        InputError: no such file, no Parquet, no predictions, a newer format version, a column missing or of
            another type, a label outside the classes, a null where a value must stand, or an id twice.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = Path(path)
    if not path.is_file():
        raise InputError("there is no such file", path=path)
    try:
        # A column at a time, and there a row group: in Arrow all take more than what they become.
        with pq.ParquetFile(path, pre_buffer=False) as file:
            groups = range(file.num_row_groups)

            def read(name: str) -> pa.ChunkedArray:
                parts = (file.read_row_group(group, [name], use_threads=False) for group in groups)
                chunks = [chunk for part in parts for chunk in part.column(0).chunks]
                return pa.chunked_array(chunks, file.schema_arrow.field(name).type)

            predictions = _assemble(file.schema_arrow, read, path, splits)
    except (pa.ArrowException, OSError) as error:
        raise InputError("expected a Parquet file, and it cannot be read as one", path=path) from error
    pa.default_memory_pool().release_unused()
    return predictions


def from_arrow(table: pa.Table, path: Path | str) -> Predictions:
    """Take back what `to_arrow` gave, strictly.

    Args:
        table: with the metadata in its schema.
        path: of the file, for errors.

    Raises:
        InputError: as `read_predictions`.
    """
    return _assemble(table.schema, table.column, Path(path))


def _assemble(
    schema: pa.Schema,
    read: Callable[[str], pa.ChunkedArray],
    path: Path,
    splits: Sequence[str] | None = None,
) -> Predictions:
    """Predictions from columns that `read` gives by name; see `from_arrow` and `read_predictions`."""
    import pyarrow as pa
    import pyarrow.compute as pc

    metadata = _read_metadata(schema.metadata, path)
    level, classes, threshold = metadata["level"], metadata["classes"], metadata["threshold"]
    _check_types(schema, level, classes, path)

    def read_full(name: str) -> pa.ChunkedArray:
        column = read(name)
        if column.null_count:
            row = pc.index(column.is_null(), True).as_py() + 1
            raise InputError("a value is missing", path=path, line=row, field=name)
        return column if kept is None else column.filter(kept)

    kept: pa.ChunkedArray | None = None
    if splits is not None:
        kept = pc.is_in(read_full("split"), make_array(list(splits), pa.string()))
    strings = {name: Strings.of(read_full(name)) for name in (*ID_COLUMNS[level], "group", "split")}
    labels = _read_labels(read("label"), classes, path)
    try:
        predictions = Predictions(
            classes=tuple(classes),
            conversation_ids=strings.get("conversation_id"),
            authors=strings.get("author"),
            groups=strings["group"],
            splits=strings["split"],
            labels=labels if kept is None else labels[to_numpy(kept)],
            lengths=to_numpy(read_full("length")),
            logits=_to_floats(read_full("logit")),
            probs=_to_floats(read_full("prob")),
            threshold=None if threshold is None else float(threshold),
            **{name: metadata[name] for name in ("level", "model", "model_hash")},
        )
        require_unique_ids(predictions)
    except UsageError as error:
        raise InputError(str(error), path=path) from error
    return predictions


def _read_metadata(schema_metadata: dict[bytes, bytes] | None, path: Path) -> dict[str, Any]:
    remedy = "make one with `tenor predict`"
    if schema_metadata is None or _METADATA_KEY not in schema_metadata:
        raise InputError("this Parquet file holds no predictions of tenor", path=path, remedy=remedy)
    try:
        metadata: dict[str, Any] = dict(json.loads(schema_metadata[_METADATA_KEY]))
    except (ValueError, TypeError, RecursionError) as error:
        raise InputError(
            "the metadata is no JSON object", path=path, field="metadata", remedy=remedy
        ) from error
    version = metadata.get("format_version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise InputError("the metadata has no format_version", path=path, field="metadata", remedy=remedy)
    if version > FORMAT_VERSION:
        rule = f"format_version {version} is newer than {FORMAT_VERSION}, the newest this tenor reads"
        raise InputError(rule, path=path, field="format_version", remedy="upgrade tenor")
    for name, types in _METADATA_TYPES.items():
        if name not in metadata or not isinstance(metadata[name], types) or isinstance(metadata[name], bool):
            raise InputError("missing or of a wrong type", path=path, field=f"metadata.{name}", remedy=remedy)
    if metadata["level"] not in ID_COLUMNS:
        raise InputError(f"unknown level {metadata['level']!r}", path=path, field="metadata.level")
    classes = metadata["classes"]
    if not (all(type(x) is int for x in classes) or all(type(x) is str for x in classes)):
        raise InputError("expected all integers or all strings", path=path, field="metadata.classes")
    if len(classes) < 2 or len(set(classes)) < len(classes):
        raise InputError("expected two different classes or more", path=path, field="metadata.classes")
    return metadata


def _check_types(schema: pa.Schema, level: str, classes: list[Label], path: Path) -> None:
    """Refuse columns that are absent, twice there, or of another type."""
    import pyarrow as pa

    score = pa.float64() if len(classes) == 2 else pa.list_(pa.float64(), len(classes))
    wanted: dict[str, pa.DataType] = {name: pa.string() for name in (*ID_COLUMNS[level], "group", "split")}
    wanted["label"] = pa.string() if isinstance(classes[0], str) else pa.int64()
    wanted |= {"length": pa.int64(), "logit": score, "prob": score}
    missing = [name for name in wanted if schema.names.count(name) != 1]
    if missing:
        rule = f"expected one column each of {', '.join(missing)}; found {', '.join(schema.names)}"
        raise InputError(rule, path=path)
    for name, dtype in wanted.items():
        if schema.field(name).type != dtype:
            rule = f"expected {dtype}, found {schema.field(name).type}"
            raise InputError(rule, path=path, field=name)


def _read_labels(column: pa.ChunkedArray, classes: list[Label], path: Path) -> Integers:
    """(N,) indices into the classes, -1 for null."""
    import pyarrow.compute as pc

    try:
        known = make_array(classes, column.type)
    except (OverflowError, UnicodeEncodeError) as error:
        raise InputError("a class that no column can hold", path=path, field="metadata.classes") from error
    found = pc.index_in(column, known)
    if found.null_count > column.null_count:
        row = pc.index(pc.xor(pc.is_valid(column), pc.is_valid(found)), True).as_py() + 1
        raise InputError(f"expected one of {classes} or null", path=path, line=row, field="label")
    return to_numpy(found, null=-1).astype(np.int64)


def _to_floats(column: pa.ChunkedArray) -> Floats:
    """(N,) numbers, or (N, C) where the column holds lists."""
    if column.type == "double":
        return to_numpy(column)
    scores = to_numpy(column.combine_chunks().flatten(), null=np.nan)  # which Predictions refuses
    return scores.reshape(len(column), column.type.list_size)
