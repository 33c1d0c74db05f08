"""Predictions from Parquet files, strictly: what is missing, twice there or of another type is named with its line.

Knows nothing of how the scores came to be.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tenor.arguments import require_flags, require_list
from tenor.arrays import make_array, release_memory, to_numpy
from tenor.errors import InputError, UsageError
from tenor.files import require_path
from tenor.predictions.checksums import open_reader, read_columns, read_groups
from tenor.predictions.table import (
    ID_COLUMNS,
    SPLIT_NAMES,
    Floats,
    Integers,
    Label,
    Predictions,
    require_unique_ids,
)
from tenor.predictions.writing import (
    ABSTENTION_KEY,
    FINGERPRINT,
    FORMAT_VERSION,
    KNOWN_WORDS,
    METADATA_KEY,
    METADATA_TYPES,
    REMARKS,
    SET_COLUMN,
    PredictionSets,
)
from tenor.strings import Strings

if TYPE_CHECKING:
    import pyarrow as pa

#: What to do about a file that is damaged.
_DAMAGED = "predict again"


def read_predictions(
    path: Path | str, *, splits: Sequence[str] | None = None, fingerprints: bool = False
) -> Predictions:
    """Read a file of write_predictions, strictly.

    Args:
        path: the file.
        splits: only the rows of these are kept; None = all.
        fingerprints: read these too, where the file has them; an update of the scores needs them, nothing else does.

    Raises:
        InputError: no such file, no Parquet, no predictions, a newer format version, a column missing or of
            another type, a label outside the classes, a null where a value must stand, or, of those that are kept, an
            id twice.
        UsageError: `splits` is no list of splits, or `fingerprints` neither True nor False.
    """
    require_flags(fingerprints=fingerprints)
    path, splits = require_path(path, "predictions"), _require_splits(splits)
    if not path.is_file():
        raise InputError("there is no such file", path=path)
    with open_reader(path, remedy=_DAMAGED) as file:
        # A column at a time, and there a row group: in Arrow all take more than what they become.
        def read(name: str) -> Iterator[pa.ChunkedArray]:
            yield from (table.column(0) for table in read_groups(file, [name]))

        predictions = _assemble(file.schema_arrow, read, path, splits, fingerprints=fingerprints)
    release_memory()
    return predictions


def _require_splits(splits: Sequence[str] | None) -> tuple[str, ...] | None:
    """The splits to keep; any other name would keep no row, as if the file had none."""
    if splits is None:
        return None
    names = ", ".join(SPLIT_NAMES)
    if isinstance(splits, str):
        raise UsageError(f"splits: expected a list of {names}, found the text {splits!r}")
    wanted = require_list(splits, "splits", names)
    unknown = [name for name in wanted if name not in SPLIT_NAMES]
    if unknown:
        raise UsageError(f"splits: expected some of {names}, found {unknown[0]!r}")
    return wanted


def read_sets(path: Path | str) -> PredictionSets | None:
    """The prediction sets of a file, in the order of its rows; None where the model was not asked to abstain.

    Args:
        path: of a file that read_predictions reads.

    Raises:
        InputError: a rule that is no JSON object, or sets that are no lists of classes.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    with open_reader(Path(path), remedy=_DAMAGED) as file:
        schema = file.schema_arrow
        metadata = schema.metadata or {}
        if ABSTENTION_KEY not in metadata or SET_COLUMN not in schema.names:
            return None
        column = read_columns(file, [SET_COLUMN]).column(0).combine_chunks()
    try:
        rule = dict(json.loads(metadata[ABSTENTION_KEY]))
    except (ValueError, TypeError, RecursionError) as error:
        raise InputError("expected a JSON object", path=path, field=ABSTENTION_KEY.decode()) from error
    classes = _read_metadata(metadata, Path(path))["classes"]
    wanted = pa.list_(pa.string() if isinstance(classes[0], str) else pa.int64())
    if column.type != wanted:
        raise InputError(f"expected {wanted}, found {column.type}", path=path, field=SET_COLUMN)
    codes = pc.index_in(column.flatten(), make_array(classes, wanted.value_type))
    sizes = pc.list_value_length(column)
    if codes.null_count or sizes.null_count:
        raise InputError("expected lists of classes", path=path, field=SET_COLUMN)
    holds = np.zeros((len(column), len(classes)), dtype=np.bool_)
    holds[np.repeat(np.arange(len(column)), to_numpy(sizes)), to_numpy(codes)] = True
    return PredictionSets(holds, rule)


def from_arrow(table: pa.Table, path: Path | str) -> Predictions:
    """Take back what `to_arrow` gave, strictly.

    Args:
        table: with the metadata in its schema.
        path: of the file, for errors.

    Raises:
        InputError: as `read_predictions`.
    """
    return _assemble(table.schema, lambda name: iter([table.column(name)]), Path(path))


def _assemble(
    schema: pa.Schema,
    read: Callable[[str], Iterator[pa.ChunkedArray]],
    path: Path,
    splits: Sequence[str] | None = None,
    *,
    fingerprints: bool = False,
) -> Predictions:
    """Predictions from columns that `read` gives by name, a part at a time; see `from_arrow` and `read_predictions`."""
    metadata = _read_metadata(schema.metadata, path)
    level, classes, threshold = metadata["level"], metadata["classes"], metadata["threshold"]
    _check_types(schema, level, classes, path)
    columns = _Columns(schema, read, path)
    if splits is not None:
        columns = columns.of_splits(splits)
    strings = {name: Strings.of(columns[name]) for name in (*ID_COLUMNS[level], "group", "split")}
    try:
        predictions = Predictions(
            classes=tuple(classes),
            conversation_ids=strings.get("conversation_id"),
            authors=strings.get("author"),
            groups=strings["group"],
            splits=strings["split"],
            labels=_read_labels(columns, classes),
            lengths=to_numpy(columns["length"]),
            logits=_to_floats(columns["logit"]),
            probs=_to_floats(columns["prob"]),
            threshold=None if threshold is None else float(threshold),
            known_words=_read_known_words(columns),
            fingerprints=_read_fingerprints(columns) if fingerprints else None,
            **{name: metadata[name] for name in ("level", "model", "model_hash", *REMARKS)},
        )
        require_unique_ids(predictions)
    except UsageError as error:
        raise InputError(str(error), path=path) from error
    return predictions


@dataclass(frozen=True)
class _Columns:
    """A file's columns, of all rows or of some splits' alone.

    Attributes:
        schema: of the file.
        read: name -> the column, a part after another.
        path: of the file, for errors.
        kept: which rows of each part; None = all.
    """

    schema: pa.Schema
    read: Callable[[str], Iterator[pa.ChunkedArray]]
    path: Path
    kept: Sequence[pa.ChunkedArray] | None = None

    def of_splits(self, splits: Sequence[str]) -> _Columns:
        """Those of the rows of some splits.

        Raises:
            InputError: a row without a split.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        wanted = make_array(list(splits), pa.string())
        return replace(self, kept=[pc.is_in(part, wanted) for part in self.parts("split")])

    def __getitem__(self, name: str) -> pa.ChunkedArray:
        """A column without nulls.

        Raises:
            InputError: a null in it.
        """
        import pyarrow as pa

        chunks = [chunk for part in self.keep(self.parts(name)) for chunk in part.chunks]
        return pa.chunked_array(chunks, self.schema.field(name).type)

    def parts(self, name: str) -> Iterator[pa.ChunkedArray]:
        """A column's parts, all rows of them.

        Raises:
            InputError: a null in one.
        """
        first = 0
        for part in self.read(name):
            if part.null_count:
                line = first + _find_first(part.is_null()) + 1
                raise InputError("a value is missing", path=self.path, line=line, field=name)
            yield part
            first += len(part)

    def keep(self, parts: Iterable[pa.ChunkedArray]) -> Iterator[pa.ChunkedArray]:
        """The kept rows of each part."""
        if self.kept is None:
            yield from parts
        else:
            yield from (part.filter(kept) for part, kept in zip(parts, self.kept, strict=True))


def _read_metadata(schema_metadata: dict[bytes, bytes] | None, path: Path) -> dict[str, Any]:
    remedy = "make one with `tenor predict`"
    if schema_metadata is None or METADATA_KEY not in schema_metadata:
        raise InputError("this Parquet file holds no predictions of tenor", path=path, remedy=remedy)
    try:
        metadata: dict[str, Any] = dict(json.loads(schema_metadata[METADATA_KEY]))
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
    for name, types in METADATA_TYPES.items():
        if name not in metadata or not isinstance(metadata[name], types) or isinstance(metadata[name], bool):
            raise InputError("missing or of a wrong type", path=path, field=f"metadata.{name}", remedy=remedy)
    metadata = {**dict.fromkeys(REMARKS), **metadata}
    for name in REMARKS:
        if not isinstance(metadata[name], str | None):
            raise InputError("of a wrong type", path=path, field=f"metadata.{name}", remedy=remedy)
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


def _read_labels(columns: _Columns, classes: list[Label]) -> Integers:
    """(N,) indices into the classes, -1 for null."""
    import pyarrow.compute as pc

    try:
        known = make_array(classes, columns.schema.field("label").type)
    except (OverflowError, UnicodeEncodeError) as error:
        rule = "a class that no column can hold"
        raise InputError(rule, path=columns.path, field="metadata.classes") from error

    def find_codes() -> Iterator[pa.ChunkedArray]:
        first = 0
        for part in columns.read("label"):
            codes = pc.index_in(part, known)
            if codes.null_count > part.null_count:
                line = first + _find_first(pc.xor(part.is_valid(), codes.is_valid())) + 1
                raise InputError(
                    f"expected one of {', '.join(map(str, classes))} or null",
                    path=columns.path,
                    line=line,
                    field="label",
                )
            yield codes
            first += len(part)

    found = [to_numpy(codes, null=-1).astype(np.int64) for codes in columns.keep(find_codes())]
    return np.concatenate([np.empty(0, np.int64), *found])


def _read_fingerprints(columns: _Columns) -> npt.NDArray[np.uint64] | None:
    """(N,) or None where the file has no such column; one of another type or meaning is not tenor's."""
    import pyarrow as pa

    schema = columns.schema
    if schema.names.count(FINGERPRINT) != 1 or schema.field(FINGERPRINT).type != pa.uint64():
        return None
    found: npt.NDArray[np.uint64] = to_numpy(columns[FINGERPRINT])
    return found


def _read_known_words(columns: _Columns) -> npt.NDArray[np.float32] | None:
    """(N,), NaN for null, or None where the file has no such column; one of another type is not tenor's."""
    import pyarrow as pa

    schema = columns.schema
    if schema.names.count(KNOWN_WORDS) != 1 or schema.field(KNOWN_WORDS).type != pa.float32():
        return None
    parts = [to_numpy(part, null=np.nan) for part in columns.keep(columns.read(KNOWN_WORDS))]
    return np.concatenate([np.empty(0, np.float32), *parts])


def _find_first(flags: pa.ChunkedArray) -> int:
    """Where the first true stands."""
    import pyarrow.compute as pc

    return int(pc.index(flags, True).as_py())


def _to_floats(column: pa.ChunkedArray) -> Floats:
    """(N,) numbers, or (N, C) where the column holds lists."""
    if column.type == "double":
        return to_numpy(column)
    scores = to_numpy(column.combine_chunks().flatten(), null=np.nan)  # which Predictions refuses
    return scores.reshape(len(column), column.type.list_size)
