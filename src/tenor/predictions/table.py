"""Scores with their ids, groups, splits and labels: the table that stands between models and metrics.

Everything right of this table (metrics, calibration, aggregation, reports) runs from the file alone. Knows
nothing of torch, of corpora, or of how the scores came to be.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from tenor.arguments import require_list, require_rows
from tenor.errors import UsageError, describe_value
from tenor.strings import Strings as Strings
from tenor.strings import concatenate_strings, join_strings, number_rows

Level = Literal["conversation", "author", "profile"]
Label = int | str
Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

#: Stands between the parts of an id made of several (conversation and author); printed as " / ".
ID_SEPARATOR = "\x1f"

SPLIT_NAMES = ("train", "validation", "test")
ID_COLUMNS: dict[str, tuple[str, ...]] = {
    "conversation": ("conversation_id",),
    "author": ("conversation_id", "author"),
    "profile": ("author",),
}
_STRINGS = ("conversation_ids", "authors", "groups", "splits")
_DTYPES: dict[str, type[np.generic]] = {
    "labels": np.int64,
    "lengths": np.int64,
    "logits": np.float64,
    "probs": np.float64,
    "known_words": np.float32,
    "fingerprints": np.uint64,
}


@dataclass(frozen=True, eq=False)
class Predictions:
    """One model's scores of N rows: conversations, author sequences or profiles.

    A row takes some 50 bytes beside the distinct strings. What is passed for strings may be any sequence of them.

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
        calibration: the method that mended logits and probs; None = they are as the model gives them.
        caution: what to know before measuring on the rows, in a sentence; None = nothing.
        known_words: (N,) float32, the share of the words in a row's own messages that the model has a weight for, NaN
            where there is no word; None = not known.
        fingerprints: (N,) uint64, hashes of the conversations that were scored (corpus.fingerprints); None = not known.
        threshold_rule: the rule that the threshold was chosen by, such as ``cost:1:20``; None = not known, as in
            files of earlier versions.
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
    calibration: str | None = None
    caution: str | None = None
    known_words: npt.NDArray[np.float32] | None = None
    fingerprints: npt.NDArray[np.uint64] | None = None
    threshold_rule: str | None = None

    def __post_init__(self) -> None:
        for name, values in _columns(self).items():
            dtype = _DTYPES.get(name)
            column = Strings.of(values) if dtype is None else _read_column(name, values, dtype)
            object.__setattr__(self, name, column)
        object.__setattr__(self, "classes", _read_classes(self.classes))
        object.__setattr__(self, "threshold", _read_threshold(self.threshold))
        _check(self)

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self.labels)

    def __repr__(self) -> str:
        """One line, without names."""
        known = int((self.labels >= 0).sum())
        return f"Predictions({self.model!r}, level {self.level}, {len(self):,} rows, {known:,} labelled)"

    @property
    def ids(self) -> Strings:
        """(N,) strings, each unique: conversation; conversation and author; author and split.

        The parts of an id are joined by ``ID_SEPARATOR``.
        """
        return join_strings(self.id_columns, ID_SEPARATOR)

    @property
    def id_columns(self) -> tuple[Strings, ...]:
        """What an id is made of: a column for each of its parts."""
        columns = (self.conversation_ids, self.authors, self.splits if self.level == "profile" else None)
        return tuple(column for column in columns if column is not None)

    def select(self, rows: npt.NDArray[Any] | Sequence[int]) -> Predictions:
        """The rows of a bool mask (N,) or of an array of indices, in that order.

        Raises:
            UsageError: neither, such as the name of a split, or a mask of another length.
        """
        index = require_rows(rows, len(self))
        arrays: dict[str, Any] = {name: values[index] for name, values in _columns(self).items()}
        return dataclasses.replace(self, **arrays)

    def in_split(self, split: str) -> Predictions:
        """The rows of one split.

        Raises:
            UsageError: `split` is no split.
        """
        if split not in SPLIT_NAMES:
            raise UsageError(f"split must be one of {', '.join(SPLIT_NAMES)}, not {split!r}")
        return self.select(self.splits == split)

    def labelled(self) -> Predictions:
        """The rows that have a label."""
        return self.select(self.labels >= 0)


def _columns(table: Predictions) -> dict[str, Any]:
    """The columns that the level has, by the attribute's name."""
    columns = {name: getattr(table, name) for name in (*_STRINGS, *_DTYPES)}
    return {name: column for name, column in columns.items() if column is not None}


def _read_column(name: str, values: object, dtype: type[np.generic]) -> npt.NDArray[Any]:
    """Numbers in the column's type, none of which is changed by it: no fraction is cut off, no text parsed."""
    given: npt.NDArray[Any] = np.asarray(values)
    if given.dtype == dtype:
        return given
    if given.dtype == np.object_:  # such as a column of pandas: what its values are
        given = np.asarray(given.tolist())
    is_whole = np.issubdtype(dtype, np.integer)
    if given.size and given.dtype.kind not in "biuf":
        kinds = "whole numbers" if is_whole else "numbers"
        raise UsageError(f"predictions: {name} must be {kinds}, found {given.dtype} (convert them first)")
    if is_whole and given.dtype.kind == "f":
        wrong = given[given != np.floor(given)]  # nan too
        if wrong.size:
            raise UsageError(f"predictions: {name} must be whole numbers, found {wrong[0]} (round them)")
    return given.astype(dtype)


def _read_classes(given: object) -> tuple[Label, ...]:
    """The classes as Python's own whole numbers and texts: of others no file can be read again."""
    classes: list[Label] = []
    for label in require_list(given, "classes", "labels"):
        if isinstance(label, bool | np.bool_) or not isinstance(label, int | np.integer | str):
            raise UsageError(
                f"predictions: classes must be whole numbers or texts, found {type(label).__name__} {label!r:.80} "
                "(such as (0, 1) or ('no', 'yes'))"
            )
        classes.append(str(label) if isinstance(label, str) else int(label))
    if len(set(classes)) < len(classes):
        raise UsageError(
            f"predictions: classes must differ, found {', '.join(map(repr, classes))} (name each once)"
        )
    return tuple(classes)


def _read_threshold(given: object) -> float | None:
    """The threshold as Python's own number, or None."""
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, Real) or not math.isfinite(given):
        raise UsageError(f"predictions: the threshold must be finite or None, found {given!r:.80}")
    return float(given)


def _check(table: Predictions) -> None:
    """Raise UsageError unless the arrays agree with one another and with the level."""
    if table.level not in get_args(Level):
        raise UsageError(f"level must be one of {', '.join(get_args(Level))}, not {table.level!r}")
    wanted = ID_COLUMNS[table.level]
    for name, column in (("conversation_ids", "conversation_id"), ("authors", "author")):
        if (getattr(table, name) is not None) != (column in wanted):
            verb = "needs" if column in wanted else "has no"
            raise UsageError(f"predictions at level {table.level}: the level {verb} {name}")
    rows, classes = len(table.labels), len(table.classes)
    if classes < 2:
        raise UsageError(
            f"predictions need two classes or more, found {', '.join(map(str, table.classes)) or 'none'}"
        )
    for name, value in _columns(table).items():
        expected = (rows, classes) if name in ("logits", "probs") and classes > 2 else (rows,)
        if value.shape != expected:
            raise UsageError(f"predictions: {name} must have shape {expected}, found {value.shape}")
    _check_values(table)


def _check_values(table: Predictions) -> None:
    classes = len(table.classes)
    unknown = sorted(set(table.splits.rank()[1]) - set(SPLIT_NAMES))
    if unknown:
        raise UsageError(
            f"predictions: splits must be among {', '.join(SPLIT_NAMES)}, found {', '.join(map(repr, unknown[:3]))}"
        )
    if ((table.labels < -1) | (table.labels >= classes)).any():
        raise UsageError(f"predictions: labels must be -1 (unlabelled) to {classes - 1}, found others")
    if (table.lengths < 0).any():
        raise UsageError(
            f"predictions: lengths must be 0 or more, found {int(table.lengths.min())} (count messages)"
        )
    if np.isnan(table.logits).any():
        raise UsageError(f"predictions: {int(np.isnan(table.logits).sum())} logits are not a number")
    highest = np.inf if table.level == "profile" else 1.0
    if not (np.isfinite(table.probs) & (table.probs >= 0) & (table.probs <= highest)).all():
        raise UsageError("predictions: probs must be finite and in [0, 1] (scores of profiles: 0 or more)")
    if table.known_words is not None and ((table.known_words < 0) | (table.known_words > 1)).any():
        raise UsageError("predictions: known_words must be in [0, 1], or NaN where there is no word")


def find_predicted(predictions: Predictions) -> Integers | None:
    """Each row's class, (N,) indices, by the threshold or, of several classes, by the highest score; None without."""
    if len(predictions.classes) > 2:
        codes: Integers = predictions.probs.argmax(axis=1)
        return codes
    if predictions.threshold is None:
        return None
    return (predictions.probs >= predictions.threshold).astype(np.int64)


def require_predictions(value: object, what: str) -> None:
    """Refuse anything but a table of predictions, such as the path of its file.

    Raises:
        UsageError: naming the type.
    """
    if not isinstance(value, Predictions):
        raise UsageError(
            f"{what}: expected predictions, such as tenor.read_predictions(FILE) gives, found {type(value).__name__}"
        )


def require_unique_ids(predictions: Predictions) -> None:
    """Raise UsageError naming up to three examples when two rows have the same id."""
    keys = number_rows(predictions.id_columns)
    order = np.argsort(keys, kind="stable")
    repeated = np.sort(order[1:][np.diff(keys[order]) == 0])
    if len(repeated):
        found = predictions.select(repeated[:3]).ids
        examples = ", ".join(repr(x.replace(ID_SEPARATOR, " / ")) for x in found)
        raise UsageError(f"predictions: {len(repeated)} rows repeat the id of another, such as {examples}")


def concatenate_predictions(parts: Iterable[Predictions]) -> Predictions:
    """Join the rows of several tables of one model (its validation and its test rows, say).

    Raises:
        UsageError: nothing to join; tables of different level, classes, threshold or model; an id twice.
    """
    listed: tuple[Predictions, ...] = require_list(parts, "predictions to concatenate", "them")
    if not listed:
        raise UsageError("nothing to concatenate: pass one table of predictions or more")
    for part in listed:
        require_predictions(part, "predictions to concatenate")
    first = listed[0]
    for name in ("level", "classes", "threshold", "model", "model_hash", "calibration"):
        found = {getattr(part, name) for part in listed}
        if len(found) > 1:
            raise UsageError(
                f"predictions to concatenate differ in {name}: {'; '.join(sorted(map(describe_value, found)))}"
            )
    tables = [_columns(part) for part in listed]
    arrays: dict[str, Any] = {
        name: (concatenate_strings if name in _STRINGS else np.concatenate)([table[name] for table in tables])
        for name in tables[0]
        if all(name in table for table in tables)
    }
    caution = next((part.caution for part in listed if part.caution is not None), None)
    rules = {part.threshold_rule for part in listed} - {None}  # a part of an earlier version does not say
    arrays = {"known_words": None, "fingerprints": None, **arrays}
    arrays["threshold_rule"] = rules.pop() if len(rules) == 1 else None
    joined = dataclasses.replace(first, caution=caution, **arrays)
    require_unique_ids(joined)
    return joined
