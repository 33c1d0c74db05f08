"""Predictions to Parquet files, whole or a part after another, and to CSV.

Knows nothing of how the scores came to be.
"""

from __future__ import annotations

import contextlib
import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from tenor.arrays import make_array, number_array
from tenor.errors import UsageError
from tenor.files import publish_file, require_path, require_replaceable
from tenor.predictions.checksums import open_writer
from tenor.predictions.table import (
    Floats,
    Integers,
    Label,
    Predictions,
    find_predicted,
    require_predictions,
    require_unique_ids,
)
from tenor.strings import Strings

if TYPE_CHECKING:
    import pyarrow as pa

#: Written into every predictions file; a file with a higher number is refused.
FORMAT_VERSION = 1

#: Under it stands in the schema's metadata, as JSON, what is true of all rows; and of which types that is.
METADATA_KEY = b"tenor.predictions"
METADATA_TYPES: dict[str, tuple[type, ...]] = {
    "level": (str,),
    "classes": (list,),
    "threshold": (float, int, type(None)),
    "model": (str,),
    "model_hash": (str,),
}
#: Stand there too where there is something to say (see Predictions).
REMARKS = ("calibration", "caution", "threshold_rule")
#: Columns of files whose rows say how much of their words the model knows, and what was scored (see Predictions).
KNOWN_WORDS, FINGERPRINT = "known_words", "fingerprint"

#: Endings of names under which nobody would look for Parquet.
_OTHER_FORMATS = (".csv", ".tsv", ".json", ".jsonl", ".txt", ".xlsx")

_STRING_COLUMNS = ["conversation_id", "author", "group", "split"]
#: How the first line of an exported CSV begins, which is read of no file further than this.
_HEADER = re.compile(
    b"(?:\xef\xbb\xbf)?"
    + b"".join(b"(?:%b,)?" % name.encode() for name in _STRING_COLUMNS)
    + b'label,length,"?logit'
)
_HEADER_BYTES = 256
#: Under it stands, as JSON, the rule of the prediction sets, which this column holds.
ABSTENTION_KEY, SET_COLUMN = b"tenor.abstention", "prediction_set"


@dataclass(frozen=True)
class PredictionSets:
    """Which classes a rule that may abstain leaves to each row, beside the predictions of those rows.

    Attributes:
        holds: (N, C) bool, true where the class is not ruled out.
        rule: how that was found, as JSON values.
    """

    holds: npt.NDArray[np.bool_]
    rule: Mapping[str, Any]

    def decide(self) -> Integers:
        """(N,) the class that is left, as an index; -1 where none is, or several are."""
        return np.where(self.holds.sum(axis=1) == 1, self.holds.argmax(axis=1), -1)

    @property
    def abstained(self) -> int:
        """How many rows have no decision."""
        return int((self.decide() < 0).sum())


class WritePart(Protocol):
    """Writes one table of predictions, and its sets where the file has them."""

    def __call__(self, part: Predictions, sets: PredictionSets | None = None) -> None:
        """Write it after those written before."""


def write_predictions(
    predictions: Predictions, path: Path | str, *, sets: PredictionSets | None = None
) -> Path:
    """Write a Parquet file: ids, group, split, label as the user wrote it, length, logit, prob.

    Where the predictions have them, also known_words, null where there is no word, and fingerprint.
    Level, classes, threshold and its rule, model, calibration, caution and format version stand in the schema's
    metadata as JSON.
    For several classes logit and prob are lists with one entry a class. With `sets` two columns are added, which
    read_predictions passes over: ``prediction_set``, the labels that are not ruled out, and ``decision``, the one label
    of a set of one, null where the rule abstains; the rule stands in the metadata under ``tenor.abstention``.

    Returns:
        The path.

    Raises:
        UsageError: two rows have the same id, sets of other rows or classes, a name for another format, or one at which
            stands a file without predictions.
        StorageError: the file cannot be written; an older file of that name is untouched.
    """
    require_predictions(predictions, "predictions to write")
    require_unique_ids(predictions)
    with write_parts(path) as write:
        write(predictions, sets)
    return Path(path)


def require_output(path: Path | str | None) -> None:
    """Refuse a name that says another format than Parquet, or at which another file would be lost; None passes.

    Raises:
        UsageError: with the way to a CSV, or as require_replaceable.
        StorageError: as require_replaceable.
    """
    if path is None:
        return
    path = require_path(path, "output")
    if path.suffix.lower() in _OTHER_FORMATS:
        renamed = path.with_suffix(".parquet")
        raise UsageError(
            f"predictions are written as Parquet: expected a name such as {renamed}, found {path} "
            f"(a CSV for spreadsheets is then made by: tenor inspect {renamed} --csv {renamed.with_suffix('.csv')})"
        )
    require_replaceable(path, "output", "predictions", _holds_predictions)


def _holds_predictions(path: Path) -> bool:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return METADATA_KEY in (pq.read_schema(path).metadata or {})
    except (pa.ArrowException, OSError):
        return False


@contextlib.contextmanager
def write_parts(path: Path | str) -> Iterator[WritePart]:
    """Hand out a function that writes one table of predictions after another into one file, as its row groups.

    The file appears, whole, when all are written. That no two rows have the same id is the caller's affair.

    Raises:
        UsageError: tables of different level, classes, threshold or model, some with sets and some without, a name
            for another format, or one at which stands a file without predictions.
        StorageError: the file cannot be written; an older file of that name is untouched.
    """
    path = require_path(path, "output")
    require_output(path)
    with publish_file(path) as temporary, contextlib.ExitStack() as stack:
        writers: list[Any] = []

        def write(part: Predictions, sets: PredictionSets | None = None) -> None:
            table = to_arrow(part, sets)
            if not writers:
                writers.append(stack.enter_context(open_writer(temporary, table.schema)))
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
        raise UsageError(
            f"predictions: classes mix numbers and strings: {', '.join(map(repr, predictions.classes))}"
        )
    columns: dict[str, pa.Array] = {
        name: values.to_arrow() for name, values in _string_columns(predictions).items()
    }
    classes = make_array(predictions.classes, pa.string() if strings else pa.int64())
    columns["label"] = classes.take(number_array(predictions.labels, predictions.labels < 0))
    columns["length"] = number_array(predictions.lengths)
    for name, scores in (("logit", predictions.logits), ("prob", predictions.probs)):
        flat = number_array(scores.reshape(-1))
        columns[name] = flat if scores.ndim == 1 else pa.FixedSizeListArray.from_arrays(flat, scores.shape[1])
    if predictions.known_words is not None:
        columns[KNOWN_WORDS] = number_array(predictions.known_words, np.isnan(predictions.known_words))
    if predictions.fingerprints is not None:
        columns[FINGERPRINT] = number_array(predictions.fingerprints)
    metadata = {name: getattr(predictions, name) for name in METADATA_TYPES}
    metadata["format_version"] = FORMAT_VERSION
    metadata |= {name: said for name in REMARKS if (said := getattr(predictions, name)) is not None}
    described = {METADATA_KEY: json.dumps(metadata).encode()}
    if sets is not None:
        columns |= _set_columns(predictions, sets, pa.string() if strings else pa.int64())
        described[ABSTENTION_KEY] = json.dumps(dict(sets.rule)).encode()
    return pa.table(columns).replace_schema_metadata(described)


def _set_columns(predictions: Predictions, sets: PredictionSets, label: pa.DataType) -> dict[str, pa.Array]:
    """The columns ``prediction_set`` and ``decision`` of sets (N, C)."""
    import pyarrow as pa

    expected = (len(predictions), len(predictions.classes))
    if sets.holds.shape != expected:
        raise UsageError(f"prediction sets must have shape {expected}, found {sets.holds.shape}")
    offsets = np.concatenate([[0], np.cumsum(sets.holds.sum(axis=1))]).astype(np.int32)
    names = make_array(predictions.classes, label)
    decided = sets.decide()
    return {
        SET_COLUMN: pa.ListArray.from_arrays(
            number_array(offsets), names.take(number_array(np.nonzero(sets.holds)[1]))
        ),
        "decision": names.take(number_array(decided, decided < 0)),
    }


def _describe_sets(classes: Sequence[Label], sets: PredictionSets) -> dict[str, Sequence[Any]]:
    """The columns of sets as texts and labels; of those of several labels, or none, the decision is empty."""
    held = [
        [label for label, holds in zip(classes, row, strict=True) if holds] for row in sets.holds.tolist()
    ]
    return {
        SET_COLUMN: ["; ".join(map(str, labels)) for labels in held],
        "decision": [None if code < 0 else classes[code] for code in sets.decide()],
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


def _is_exported(path: Path) -> bool:
    """Whether a CSV's first line is one that export_csv writes."""
    with path.open("rb") as handle:
        first = handle.readline(_HEADER_BYTES)
    return _HEADER.match(first) is not None


def export_csv(predictions: Predictions, path: Path | str, *, sets: PredictionSets | None = None) -> Path:
    """Write a CSV for spreadsheets, its cells of text neutralised (neutralize_cell), so that ids may differ.

    In UTF-8 with a byte order mark, without which Excel takes another encoding. The columns are those of
    write_predictions but the fingerprints, and ``predicted``, the class that the threshold or the highest score decides
    for, where there is either. With `sets`, ``prediction_set`` is one text, such as ``a; b``.

    Returns:
        The path.

    Raises:
        UsageError: at the path stands a file that is no such CSV.
        StorageError: the file cannot be written; an older file of that name is untouched.
    """
    require_predictions(predictions, "predictions to write")
    path = require_replaceable(path, "output", "a CSV of predictions", _is_exported)
    scores: dict[str, Sequence[Any] | Floats] = {}
    for name, found in (("logit", predictions.logits), ("prob", predictions.probs)):
        if found.ndim == 1:
            scores[name] = found
        else:
            scores |= {f"{name} {c}": found[:, i] for i, c in enumerate(predictions.classes)}
    names: list[Label | None] = [*predictions.classes, None]  # index -1 is the unlabelled
    labels = (names[code] for code in predictions.labels)
    if predictions.known_words is not None:
        scores[KNOWN_WORDS] = ["" if np.isnan(share) else f"{share:.4g}" for share in predictions.known_words]
    codes = find_predicted(predictions)
    if codes is not None:
        scores["predicted"] = [predictions.classes[code] for code in codes]
    if sets is not None:
        scores |= _describe_sets(predictions.classes, sets)
    strings = _string_columns(predictions)
    with (
        publish_file(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8-sig") as handle,
    ):
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow([*strings, "label", "length", *scores])
        for row in zip(*strings.values(), labels, predictions.lengths, *scores.values(), strict=True):
            writer.writerow([neutralize_cell(cell) if isinstance(cell, str) else cell for cell in row])
    return path
