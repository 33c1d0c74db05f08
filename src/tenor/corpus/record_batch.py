"""Conversations on their way to disk, column by column, until they are one Arrow record batch.

A column is one flat list of strings or numbers. Lists a conversation would be millions of objects, which Python's
garbage collector walks through again and again. Knows nothing of files and of how splits are assigned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tenor.arrays import make_array, make_list_array, number_array
from tenor.corpus.schema import Conversation, Label, Place, Split
from tenor.errors import InputError

#: The split of a conversation, and of each of its participants.
Assigned = tuple[Split | None, dict[str, Split | None]]

#: Rough sizes in memory of a message and of a conversation beside their text and features.
_MESSAGE_BYTES, _CONVERSATION_BYTES = 96, 256

_SCALARS = ("conversation_id", "label", "group", "split")
_LISTS = ("authors", "text", "timestamp", "participants", "participant_labels", "participant_splits")


@dataclass(slots=True)
class _Lists:
    """A column of lists: their entries one after another, and how many each row has; None = the row is null."""

    entries: list[Any] = field(default_factory=list)
    lengths: list[int | None] = field(default_factory=list)

    def add(self, entries: Sequence[Any] | None) -> None:
        """Add a row."""
        if entries is None:
            self.lengths.append(None)
        else:
            self.lengths.append(len(entries))
            self.entries += entries


class RowBuffer:
    """Checked conversations of one record batch.

    Attributes:
        num_bytes: about how much memory they take.
    """

    def __init__(self) -> None:
        self.num_bytes = 0
        self._places: list[Place] = []
        self._scalars: dict[str, list[Any]] = {name: [] for name in _SCALARS}
        self._lists = {name: _Lists() for name in _LISTS}
        self._features: list[npt.NDArray[np.floating[Any]]] = []

    def __len__(self) -> int:
        return len(self._places)

    def add(self, row: Conversation, assigned: Assigned) -> None:
        """Take a conversation in, with the splits that it was given."""
        split, splits = assigned
        self._places.append(row.place)
        scalars, lists = self._scalars, self._lists
        scalars["conversation_id"].append(row.conversation_id)
        scalars["label"].append(_plain_label(row.label))
        scalars["group"].append(row.group)
        scalars["split"].append(split)
        lists["authors"].add(row.authors)
        lists["text"].add(row.texts)
        lists["timestamp"].add(row.timestamps)
        lists["participants"].add(list(splits))
        lists["participant_labels"].add([_plain_label(label) for label in map(row.author_labels.get, splits)])
        lists["participant_splits"].add(list(splits.values()))
        if row.features is not None:
            self._features.append(row.features)
        self.num_bytes += _estimate_bytes(row)

    def make_batch(self, schema: pa.Schema, dtype: np.dtype[Any]) -> pa.RecordBatch:
        """Make the record batch.

        Args:
            schema: the corpus's columns.
            dtype: of features.

        Raises:
            InputError: a text that is no Unicode, a half of a surrogate pair, or more entries than Arrow counts.
        """
        arrays = [self._make_column(column, dtype) for column in schema]
        return pa.record_batch(arrays, schema=schema)

    def _make_column(self, column: pa.Field, dtype: np.dtype[Any]) -> pa.Array:
        if column.name == "features":
            return _features_array(self._features, column, dtype)
        try:
            if column.name in self._scalars:
                return make_array(self._scalars[column.name], column.type)
            lists = self._lists[column.name]
            return make_list_array(lists.entries, lists.lengths, column.type)
        except UnicodeEncodeError as error:
            raise _error(
                self._find_surrogate(column.name),
                column.name,
                "expected Unicode, found half of a surrogate pair",
                "replace it by U+FFFD",
            ) from error
        except OverflowError as error:
            rule = f"too large a conversation: {error} bytes or entries"
            raise _error(self._places[-1], column.name, rule, "split the conversation") from error

    def _find_surrogate(self, name: str) -> Place:
        """The place of the first row with a text that cannot be encoded."""
        if name in self._scalars:
            entries, rows = self._scalars[name], np.arange(len(self))
        else:
            entries = self._lists[name].entries
            rows = np.repeat(np.arange(len(self)), [length or 0 for length in self._lists[name].lengths])
        broken = next(index for index, entry in enumerate(entries) if not _is_unicode(entry))
        return self._places[int(rows[broken])]


def _is_unicode(value: object) -> bool:
    return not isinstance(value, str) or value.encode(errors="ignore").decode() == value


def _error(place: Place, name: str, rule: str, remedy: str) -> InputError:
    return InputError(rule, path=place.path, line=place.line, field=name, remedy=remedy)


def _estimate_bytes(conversation: Conversation) -> int:
    """About how much memory a conversation takes, in bytes, until it is written."""
    total = _CONVERSATION_BYTES + _MESSAGE_BYTES * len(conversation.authors)
    if conversation.texts is not None:
        total += sum(map(len, conversation.texts))
    if conversation.features is not None:
        total += conversation.features.nbytes
    return total


def _plain_label(label: Label | None) -> Label | None:
    return int(label) if isinstance(label, bool) else label


def _features_array(
    features: list[npt.NDArray[np.floating[Any]]], column: pa.Field, dtype: np.dtype[Any]
) -> pa.Array:
    """The column of one batch: one flat (M, F) buffer, with offsets, and no Python loop a number."""
    lengths = [len(array) for array in features]
    flat = np.concatenate([array.astype(dtype, copy=False) for array in features])  # (M, F)
    vectors = pa.FixedSizeListArray.from_arrays(number_array(flat.reshape(-1)), type=column.type.value_type)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.ListArray.from_arrays(number_array(offsets), vectors, type=column.type)
