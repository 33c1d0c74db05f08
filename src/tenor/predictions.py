"""Scores with their ids, groups, splits and labels: the table that stands between models and metrics.

Everything right of this table (metrics, calibration, aggregation, reports) runs from the file alone. Knows
nothing of torch, of corpora, or of how the scores came to be.
"""

from __future__ import annotations

import csv
import dataclasses
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from tenor.errors import InputError, UsageError
from tenor.files import publish_file

if TYPE_CHECKING:
    import pyarrow as pa

Level = Literal["conversation", "author", "profile"]
Label = int | str
Strings = npt.NDArray[np.object_]
Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

#: Written into every predictions file; a file with a higher number is refused.
FORMAT_VERSION = 1

#: Stands between the parts of an id made of several (conversation and author); printed as " / ".
ID_SEPARATOR = "\x1f"

_METADATA_KEY = b"tenor.predictions"
_SPLITS = ("train", "validation", "test")
_ID_COLUMNS: dict[str, tuple[str, ...]] = {
    "conversation": ("conversation_id",),
    "author": ("conversation_id", "author"),
    "profile": ("author",),
}
_ARRAYS = ("conversation_ids", "authors", "groups", "splits", "labels", "lengths", "logits", "probs")
_METADATA_TYPES: dict[str, tuple[type, ...]] = {
    "level": (str,),
    "classes": (list,),
    "threshold": (float, int, type(None)),
    "model": (str,),
    "model_hash": (str,),
}


@dataclass(frozen=True, eq=False)
class Predictions:
    """One model's scores of N rows: conversations, author sequences or profiles.

    Attributes:
        level: what a row is.
        classes: the labels as the user wrote them; the index is the integer label, binary is (0, 1).
        conversation_ids: (N,) strings; None at level profile.
        authors: (N,) strings; None at level conversation.
        groups: (N,) strings: what is resampled for intervals.
        splits: (N,) strings: train, validation or test.
        labels: (N,) int64; -1 = unlabelled.
        lengths: (N,) int64: messages of the sequence; at level profile the number of sequences.
        logits: (N,) float64 for two classes, else (N, C).
        probs: like logits, in [0, 1]; at level profile a score of 0 or more (a vote count may exceed 1).
        threshold: a row is positive at probs >= threshold; None when there is none (several classes).
        model: the model's name.
        model_hash: what the model's file hashes to; empty when there is no file.
    """

    level: Level
    classes: tuple[Label, ...]
    conversation_ids: Strings | None
    authors: Strings | None
    groups: Strings
    splits: Strings
    labels: Integers
    lengths: Integers
    logits: Floats
    probs: Floats
    threshold: float | None
    model: str
    model_hash: str

    def __post_init__(self) -> None:
        dtypes = {"labels": np.int64, "lengths": np.int64, "logits": np.float64, "probs": np.float64}
        for name in _ARRAYS:
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, np.asarray(value, dtype=dtypes.get(name, np.object_)))
        object.__setattr__(self, "classes", tuple(self.classes))
        _check(self)

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self.labels)

    @property
    def ids(self) -> Strings:
        """(N,) strings, each unique: conversation; conversation and author; author and split.

        The parts of an id are joined by ``ID_SEPARATOR``.
        """
        columns = [self.conversation_ids, self.authors, self.splits if self.level == "profile" else None]
        ids = np.empty(len(self), dtype=object)
        rows = zip(*(column.tolist() for column in columns if column is not None), strict=True)
        ids[:] = [ID_SEPARATOR.join(parts) for parts in rows]
        return ids

    def select(self, rows: npt.NDArray[Any] | Sequence[int]) -> Predictions:
        """The rows of a bool mask (N,) or of an array of indices, in that order."""
        index = np.asarray(rows)
        if index.size == 0 and index.dtype != np.bool_:
            index = index.astype(np.int64)
        arrays: dict[str, Any] = {name: values[index] for name, values in _columns(self).items()}
        return dataclasses.replace(self, **arrays)

    def in_split(self, split: str) -> Predictions:
        """The rows of one split.

        Raises:
            UsageError: `split` is no split.
        """
        if split not in _SPLITS:
            raise UsageError(f"split must be one of {', '.join(_SPLITS)}, not {split!r}")
        return self.select(self.splits == split)

    def labelled(self) -> Predictions:
        """The rows that have a label."""
        return self.select(self.labels >= 0)


def _columns(table: Predictions) -> dict[str, npt.NDArray[Any]]:
    """The arrays that the level has, by the attribute's name."""
    return {name: getattr(table, name) for name in _ARRAYS if getattr(table, name) is not None}


def _check(table: Predictions) -> None:
    """Raise UsageError unless the arrays agree with one another and with the level."""
    if table.level not in get_args(Level):
        raise UsageError(f"level must be one of {', '.join(get_args(Level))}, not {table.level!r}")
    wanted = _ID_COLUMNS[table.level]
    for name, column in (("conversation_ids", "conversation_id"), ("authors", "author")):
        if (getattr(table, name) is not None) != (column in wanted):
            verb = "needs" if column in wanted else "has no"
            raise UsageError(f"predictions at level {table.level}: the level {verb} {name}")
    rows, classes = len(table.labels), len(table.classes)
    if classes < 2:
        raise UsageError(f"predictions need two classes or more, found {list(table.classes)}")
    for name, value in _columns(table).items():
        expected = (rows, classes) if name in ("logits", "probs") and classes > 2 else (rows,)
        if value.shape != expected:
            raise UsageError(f"predictions: {name} must have shape {expected}, found {value.shape}")
    _check_values(table)


def _check_values(table: Predictions) -> None:
    classes = len(table.classes)
    if table.threshold is not None and not math.isfinite(table.threshold):
        raise UsageError(f"predictions: the threshold must be finite or None, found {table.threshold}")
    unknown = sorted(map(str, set(table.splits.tolist()) - set(_SPLITS)))
    if unknown:
        raise UsageError(f"predictions: splits must be among {', '.join(_SPLITS)}, found {unknown[:3]}")
    if ((table.labels < -1) | (table.labels >= classes)).any():
        raise UsageError(f"predictions: labels must be -1 (unlabelled) to {classes - 1}, found others")
    if np.isnan(table.logits).any():
        raise UsageError(f"predictions: {int(np.isnan(table.logits).sum())} logits are not a number")
    highest = np.inf if table.level == "profile" else 1.0
    if not (np.isfinite(table.probs) & (table.probs >= 0) & (table.probs <= highest)).all():
        raise UsageError("predictions: probs must be finite and in [0, 1] (scores of profiles: 0 or more)")


def require_unique_ids(predictions: Predictions) -> None:
    """Raise UsageError naming up to three examples when two rows have the same id."""
    seen: set[str] = set()
    repeated: list[str] = []
    for identifier in predictions.ids:
        if identifier in seen:
            repeated.append(identifier.replace(ID_SEPARATOR, " / "))
        seen.add(identifier)
    if repeated:
        examples = ", ".join(repr(x) for x in repeated[:3])
        raise UsageError(f"predictions: {len(repeated)} rows repeat the id of another, such as {examples}")


def concatenate_predictions(parts: Sequence[Predictions]) -> Predictions:
    """Join the rows of several tables of one model (its validation and its test rows, say).

    Raises:
        UsageError: nothing to join; tables of different level, classes, threshold or model; an id twice.
    """
    if not parts:
        raise UsageError("nothing to concatenate: pass one table of predictions or more")
    first = parts[0]
    for name in ("level", "classes", "threshold", "model", "model_hash"):
        found = {getattr(part, name) for part in parts}
        if len(found) > 1:
            raise UsageError(f"predictions to concatenate differ in {name}: {sorted(map(str, found))}")
    tables = [_columns(part) for part in parts]
    arrays: dict[str, Any] = {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}
    joined = dataclasses.replace(first, **arrays)
    require_unique_ids(joined)
    return joined


def write_predictions(predictions: Predictions, path: Path | str) -> Path:
    """Write a Parquet file: ids, group, split, label as the user wrote it, length, logit, prob.

    Level, classes, threshold, model and format version stand in the schema's metadata as JSON. For several
    classes logit and prob are lists with one entry a class.

    Returns:
        The path.

    Raises:
        UsageError: two rows have the same id.
        StorageError: the file cannot be written; an older file of that name is untouched.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    require_unique_ids(predictions)
    strings = any(isinstance(label, str) for label in predictions.classes)
    if strings and not all(isinstance(label, str) for label in predictions.classes):
        raise UsageError(f"predictions: classes mix numbers and strings: {list(predictions.classes)}")
    columns: dict[str, pa.Array] = {}
    for name, values in _readable_columns(predictions).items():
        number = name == "length" or (name == "label" and not strings)
        columns[name] = pa.array(values, pa.int64() if number else pa.string())
    for name, scores in (("logit", predictions.logits), ("prob", predictions.probs)):
        flat = pa.array(scores.reshape(-1), pa.float64())
        columns[name] = flat if scores.ndim == 1 else pa.FixedSizeListArray.from_arrays(flat, scores.shape[1])
    metadata = {name: getattr(predictions, name) for name in _METADATA_TYPES}
    metadata["format_version"] = FORMAT_VERSION
    table = pa.table(columns).replace_schema_metadata({_METADATA_KEY: json.dumps(metadata).encode()})
    with publish_file(Path(path)) as temporary:
        pq.write_table(table, temporary, compression="zstd")
    return Path(path)


def _readable_columns(predictions: Predictions) -> dict[str, Any]:
    """Every column but the scores, by its name in files; labels as the user wrote them."""
    columns: dict[str, Any] = {}
    for name, values in (("conversation_id", predictions.conversation_ids), ("author", predictions.authors)):
        if values is not None:
            columns[name] = values.tolist()
    names: list[Label | None] = [*predictions.classes, None]  # index -1 is the unlabelled
    columns["group"], columns["split"] = predictions.groups.tolist(), predictions.splits.tolist()
    columns["label"] = [names[code] for code in predictions.labels.tolist()]
    columns["length"] = predictions.lengths.tolist()
    return columns


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
    columns = _readable_columns(predictions)
    for name, scores in (("logit", predictions.logits), ("prob", predictions.probs)):
        if scores.ndim == 1:
            columns[name] = scores.tolist()
        else:
            columns |= {f"{name} {c}": scores[:, i].tolist() for i, c in enumerate(predictions.classes)}
    with publish_file(Path(path)) as temporary, temporary.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(columns)
        for row in zip(*columns.values(), strict=True):
            writer.writerow([neutralize_cell(cell) if isinstance(cell, str) else cell for cell in row])
    return Path(path)


def read_predictions(path: Path | str) -> Predictions:
    """Read a file of write_predictions, strictly.

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
        table = pq.read_table(path, partitioning=None)
    except (pa.ArrowException, OSError) as error:
        raise InputError("expected a Parquet file, and it cannot be read as one", path=path) from error
    metadata = _read_metadata(table.schema.metadata, path)
    _check_columns(table, metadata["level"], len(metadata["classes"]), path)
    labels = _read_labels(table.column("label"), metadata["classes"], path)
    ids = {name: _strings(table, name) for name in _ID_COLUMNS[metadata["level"]]}
    threshold = metadata["threshold"]
    try:
        predictions = Predictions(
            classes=tuple(metadata["classes"]),
            conversation_ids=ids.get("conversation_id"),
            authors=ids.get("author"),
            groups=_strings(table, "group"),
            splits=_strings(table, "split"),
            labels=labels,
            lengths=table.column("length").to_numpy(),
            logits=_floats(table, "logit"),
            probs=_floats(table, "prob"),
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
    if metadata["level"] not in get_args(Level):
        raise InputError(f"unknown level {metadata['level']!r}", path=path, field="metadata.level")
    classes = metadata["classes"]
    if not (all(type(x) is int for x in classes) or all(type(x) is str for x in classes)):
        raise InputError("expected all integers or all strings", path=path, field="metadata.classes")
    if len(classes) < 2 or len(set(classes)) < len(classes):
        raise InputError("expected two different classes or more", path=path, field="metadata.classes")
    return metadata


def _check_columns(table: pa.Table, level: str, num_classes: int, path: Path) -> None:
    import pyarrow as pa

    score = pa.float64() if num_classes == 2 else pa.list_(pa.float64(), num_classes)
    wanted: dict[str, pa.DataType | None] = {name: pa.string() for name in _ID_COLUMNS[level]}
    wanted |= {"group": pa.string(), "split": pa.string(), "label": None, "length": pa.int64()}
    wanted |= {"logit": score, "prob": score}
    missing = [name for name in wanted if table.column_names.count(name) != 1]
    if missing:
        rule = f"expected one column each of {', '.join(missing)}; found {', '.join(table.column_names)}"
        raise InputError(rule, path=path)
    for name, dtype in wanted.items():
        column = table.column(name)
        if dtype is not None and column.type != dtype:
            raise InputError(f"expected {dtype}, found {column.type}", path=path, field=name)
        if name != "label" and column.null_count:
            row = column.is_null().to_pylist().index(True) + 1
            raise InputError("a value is missing", path=path, line=row, field=name)


def _read_labels(column: pa.ChunkedArray, classes: list[Label], path: Path) -> Integers:
    codes: dict[Label | None, int] = {label: code for code, label in enumerate(classes)}
    codes[None] = -1
    labels = column.to_pylist()
    for row, label in enumerate(labels, start=1):
        if isinstance(label, bool | float) or label not in codes:
            raise InputError(f"expected one of {classes} or null", path=path, line=row, field="label")
    return np.fromiter((codes[label] for label in labels), dtype=np.int64, count=len(labels))


def _strings(table: pa.Table, name: str) -> Strings:
    return np.asarray(table.column(name).to_numpy(), dtype=object)


def _floats(table: pa.Table, name: str) -> Floats:
    column = table.column(name).combine_chunks()
    if column.type == "double":
        return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64)
    flat = np.asarray(column.flatten().to_numpy(zero_copy_only=False), dtype=np.float64)
    return flat.reshape(len(column), column.type.list_size)
