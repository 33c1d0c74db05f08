"""What a caller hands in, of the kind that was asked for: True or False, a list and not one text, rows of a table.

Each says what was expected, what was found and the remedy. Knows nothing of what the arguments are for.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from tenor.errors import UsageError


def describe_found(value: object) -> str:
    """What was found in place of something else: its type, and of a text the text."""
    kind = type(value).__name__
    return f"{kind} {value[:80]!r}" if isinstance(value, str) else kind


def require_flags(**flags: object) -> None:
    """Refuse what is neither True nor False: a text such as 'no' would count as True.

    Args:
        flags: the arguments, by name.

    Raises:
        UsageError: naming the first one.
    """
    for name, value in flags.items():
        if not isinstance(value, bool | np.bool_):
            raise UsageError(f"{name}: expected True or False, found {value!r:.80}")


def require_list(value: object, what: str, of: str = "names") -> tuple[Any, ...]:
    """Several values as a tuple; one text alone would be taken for a list of its letters.

    Args:
        value: what was given.
        what: the argument's name.
        of: what the values are, in the plural.

    Raises:
        UsageError: a text, or what is no list at all.
    """
    if isinstance(value, str | bytes):
        raise UsageError(
            f"{what}: expected a list of {of}, such as [{value!r:.80}], found the text {value!r:.80}"
        )
    if not isinstance(value, Iterable):
        raise UsageError(f"{what}: expected a list of {of}, found {type(value).__name__}")
    return tuple(value)


def require_rows(value: object, rows: int) -> npt.NDArray[Any]:
    """Which rows of a table: a bool mask (rows,), or an array of int64 indices.

    Raises:
        UsageError: something else, such as a name, or a mask of another length.
    """
    index = np.asarray(value)
    if index.ndim == 1 and index.size == 0 and index.dtype != np.bool_:
        return index.astype(np.int64)
    if index.ndim != 1 or index.dtype.kind not in "biu":
        found = f"{index.dtype} of shape {index.shape}" if isinstance(value, np.ndarray) else ""
        raise UsageError(
            f"select: expected a mask of {rows} entries or indices of rows, found {found or describe_found(value)} "
            "(in_split gives the rows of a split)"
        )
    if index.dtype == np.bool_:
        if len(index) != rows:
            raise UsageError(f"select: expected a mask of {rows} entries, found {index.shape}")
        return index
    return index.astype(np.int64)
