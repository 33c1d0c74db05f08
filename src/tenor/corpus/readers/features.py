"""Feature vectors as a source gives them, checked and packed: (T, F) finite numbers of one width.

Knows nothing of formats; an error names the conversation and the message.
"""

from __future__ import annotations

from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from tenor.corpus.readers.records import RowError
from tenor.corpus.readers.values import describe

Features = npt.NDArray[np.floating[Any]]


def pack_features(value: object, num_messages: int, conversation_id: str) -> Features | None:
    """The features of a conversation's messages.

    Args:
        value: an array (T, F), or a list of T lists of F numbers; None, or a list of None only, = no
            features.
        num_messages: T.
        conversation_id: for the message of the error.

    Returns:
        float16 when an array of float16 came in, else float32, (T, F); None when there are none.

    Raises:
        RowError: ragged, not numbers, not finite (in float32 either), or not one vector a message.
    """
    if value is None or (isinstance(value, list) and value and value.count(None) == len(value)):
        return None
    if isinstance(value, np.ndarray):
        features = _cast(value)
    elif isinstance(value, list):
        features = _pack_lists(value, conversation_id)
    else:
        raise RowError("features", f"expected one list of numbers a message, found {describe(value)}")
    if len(features) != num_messages:
        rule = (
            f"conversation {conversation_id[:80]!r}: expected {num_messages} vectors, one a message, "
            f"found {len(features)}"
        )
        raise RowError("features", rule)
    if features.shape[1] == 0:
        raise _feature_error(conversation_id, 0, "expected numbers, found an empty vector")
    finite = np.isfinite(features).all(axis=1)
    if not finite.all():
        index = int(np.argmin(finite))
        raise _feature_error(conversation_id, index, "expected finite numbers, found NaN or an infinite one")
    return features


def _cast(values: npt.NDArray[Any]) -> Features:
    with np.errstate(over="ignore"):  # what overflows is infinite, and found by the caller
        return values if values.dtype == np.float16 else values.astype(np.float32)


def _pack_lists(rows: list[Any], conversation_id: str) -> Features:
    kinds = set(map(type, rows))
    if kinds <= {list} and len(set(map(len, rows))) <= 1:
        if set(map(type, chain.from_iterable(rows))) <= {int, float}:
            try:
                return _cast(np.array(rows, dtype=np.float64).reshape(len(rows), -1 if rows else 0))
            except OverflowError:  # an integer beyond float64
                pass
    raise _find_fault(rows, conversation_id)


def _find_fault(rows: list[Any], conversation_id: str) -> RowError:
    width: int | None = None
    for index, row in enumerate(rows):
        if not isinstance(row, list):
            return _feature_error(
                conversation_id, index, f"expected a list of numbers, found {describe(row)}"
            )
        if width is not None and len(row) != width:
            return _feature_error(conversation_id, index, f"expected {width} numbers, found {len(row)}")
        width = len(row)
        for number in row:
            if type(number) not in (int, float):
                return _feature_error(conversation_id, index, f"expected numbers, found {describe(number)}")
    return _feature_error(conversation_id, 0, "expected finite numbers, found an integer beyond all floats")


def _feature_error(conversation_id: str, index: int, rule: str) -> RowError:
    where = f"conversation {conversation_id[:80]!r}, message {index + 1}: "
    return RowError("features", where + rule, index=index)


def pack_vector(value: object) -> Features:
    """The feature vector of one message, (F,) float32; `pack_features` refuses what is not finite.

    Raises:
        RowError: no list of numbers.
    """
    if not isinstance(value, list):
        raise RowError("features", f"expected a list of numbers, found {describe(value)}")
    for number in value if not set(map(type, value)) <= {int, float} else ():
        if type(number) not in (int, float):
            raise RowError("features", f"expected numbers, found {describe(number)}")
    try:
        return _cast(np.array(value, dtype=np.float64))
    except OverflowError as error:
        raise RowError("features", "expected finite numbers, found an integer beyond all floats") from error


def stack_vectors(vectors: list[Features | None], conversation_id: str) -> Features | None:
    """One array (T, F) out of T vectors; None when no message has one.

    Raises:
        RowError: only some messages have one, or the widths differ.
    """
    first = vectors[0]
    for index, vector in enumerate(vectors):
        expected, found = _describe_width(first), _describe_width(vector)
        if expected != found:
            raise _feature_error(conversation_id, index, f"expected {expected}, found {found}")
    return None if first is None else np.stack([vector for vector in vectors if vector is not None])


def _describe_width(vector: Features | None) -> str:
    return "no features" if vector is None else f"{len(vector)} numbers"


def stack_columns(columns: list[tuple[str, Any]], conversation_id: str) -> Features | list[Any]:
    """One vector a message out of scalar columns, each with one number a message.

    Args:
        columns: F pairs (name, list or array of T numbers).
        conversation_id: for the message of the error.

    Returns:
        (T, F) array, or a list of T lists for `pack_features` to check.

    Raises:
        RowError: a column is no list, or the columns differ in length.
    """
    length: int | None = None
    for name, values in columns:
        if not isinstance(values, list | np.ndarray):
            raise RowError(name, f"expected a list of numbers, one a message, found {describe(values)}")
        if length is not None and len(values) != length:
            rule = f"conversation {conversation_id[:80]!r}: expected {length} numbers, found {len(values)}"
            raise RowError(name, rule)
        length = len(values)
    if all(isinstance(values, np.ndarray) for _, values in columns):
        return np.stack([values for _, values in columns], axis=1)
    return [list(row) for row in zip(*(values for _, values in columns), strict=True)]
