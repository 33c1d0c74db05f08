"""Buffered conversations as one Arrow record batch.

Knows nothing of files and of how splits are assigned.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tenor.arrays import make_array, number_array
from tenor.corpus.schema import Conversation, Label, Split
from tenor.errors import InputError

#: The split of a conversation, and of each of its participants.
Assigned = tuple[Split | None, dict[str, Split | None]]

#: Rough sizes in memory of a message and of a conversation beside their text and features.
_MESSAGE_BYTES, _CONVERSATION_BYTES = 96, 256


def estimate_bytes(conversation: Conversation) -> int:
    """About how much memory a conversation takes, in bytes, until it is written."""
    total = _CONVERSATION_BYTES + _MESSAGE_BYTES * len(conversation.authors)
    if conversation.texts is not None:
        total += sum(map(len, conversation.texts))
    if conversation.features is not None:
        total += conversation.features.nbytes
    return total


def make_batch(
    rows: list[Conversation],
    assigned: list[Assigned],
    schema: pa.Schema,
    dtype: np.dtype[Any],
) -> pa.RecordBatch:
    """Make one record batch.

    Args:
        rows: conversations that were checked.
        assigned: the splits of each.
        schema: the corpus's columns.
        dtype: of features.

    Raises:
        InputError: a text that is no Unicode, a half of a surrogate pair, or more entries than Arrow counts.
    """
    values: dict[str, Any] = {
        "conversation_id": [row.conversation_id for row in rows],
        "authors": [row.authors for row in rows],
        "text": [row.texts for row in rows],
        "timestamp": [row.timestamps for row in rows],
        "label": [_plain_label(row.label) for row in rows],
        "participants": [list(splits) for _, splits in assigned],
        "participant_labels": [
            [_plain_label(row.author_labels.get(name)) for name in splits]
            for row, (_, splits) in zip(rows, assigned, strict=True)
        ],
        "participant_splits": [list(splits.values()) for _, splits in assigned],
        "group": [row.group for row in rows],
        "split": [split for split, _ in assigned],
    }
    arrays = []
    for field in schema:
        if field.name == "features":
            arrays.append(
                _features_array([row.features for row in rows if row.features is not None], field, dtype)
            )
            continue
        try:
            arrays.append(make_array(values[field.name], field.type))
        except UnicodeEncodeError:
            _raise_unicode_error(rows, values[field.name], field)
            raise
        except OverflowError as error:
            place = rows[-1].place
            raise InputError(
                f"too large a conversation: {error} bytes or entries",
                path=place.path,
                line=place.line,
                field=field.name,
                remedy="split the conversation",
            ) from error
    return pa.record_batch(arrays, schema=schema)


def _raise_unicode_error(rows: list[Conversation], values: list[Any], field: pa.Field) -> None:
    for row, value in zip(rows, values, strict=True):
        try:
            make_array([value], field.type)
        except UnicodeEncodeError as error:
            raise InputError(
                "expected Unicode, found half of a surrogate pair",
                path=row.place.path,
                line=row.place.line,
                field=field.name,
                remedy="replace it by U+FFFD",
            ) from error


def _plain_label(label: Label | None) -> Label | None:
    return int(label) if isinstance(label, bool) else label


def _features_array(
    features: list[npt.NDArray[np.floating[Any]]], field: pa.Field, dtype: np.dtype[Any]
) -> pa.Array:
    """The column of one batch: one flat (M, F) buffer, with offsets, and no Python loop a number."""
    lengths = [len(array) for array in features]
    flat = np.concatenate([array.astype(dtype, copy=False) for array in features])  # (M, F)
    vectors = pa.FixedSizeListArray.from_arrays(number_array(flat.reshape(-1)), type=field.type.value_type)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.ListArray.from_arrays(number_array(offsets), vectors, type=field.type)
