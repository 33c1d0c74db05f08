"""What a caller hands in, of the kind that was asked for: a flag, a number, a list and not one text, rows of a table.

Each says what was expected, what was found and the remedy. Knows nothing of what the arguments are for.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from tenor.errors import UsageError

#: The least and the highest seed.
SEEDS = (-(2**63), 2**63 - 1)


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
        UsageError: something else, such as a name, a mask of another length, or an index of no row.
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
    outside = index[(index >= rows) | (index < -rows)]
    if outside.size:
        raise UsageError(
            f"select: expected indices of rows, each below {rows}, found {outside[0]} "
            "(in_split gives the rows of a split)"
        )
    return index.astype(np.int64)


def check_whole(name: str, value: object, least: int, most: int) -> int:
    """A whole number within bounds.

    Raises:
        UsageError: it is none, or outside; with both bounds.
    """
    if isinstance(value, int | np.integer) and not isinstance(value, bool) and least <= value <= most:
        return int(value)
    raise UsageError(f"{name} must be a whole number from {least} to {most}, not {show_value(value)}")


def check_real(
    name: str, value: object, least: float, with_least: bool, most: float, with_most: bool
) -> float:
    """A finite number within bounds, each of which may itself be allowed or not.

    Raises:
        UsageError: it is none, or outside; with both bounds.
    """
    number = math.nan
    if isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool):
        with contextlib.suppress(OverflowError):  # an integer of hundreds of digits
            number = float(value)
    above = number >= least if with_least else number > least
    below = number <= most if with_most else number < most
    if not (above and below):  # nan is neither
        low = f"at least {least:g}" if with_least else f"above {least:g}"
        high = f"at most {most:g}" if with_most else f"below {most:g}"
        raise UsageError(f"{name} must be a number {low} and {high}, not {show_value(value)}")
    return number


def check_seed(seed: object) -> int:
    """A run's one seed; None or a text would seed as well, with another stream of numbers and no word said.

    Raises:
        UsageError: no whole number of 64 bits.
    """
    return check_whole("seed", seed, *SEEDS)


def show_value(value: object) -> str:
    """A value as Python writes it, cut where it is long."""
    if isinstance(value, int) and abs(value) >= 10**30:
        return "a number of over 30 digits"
    return repr(value)[:80]
