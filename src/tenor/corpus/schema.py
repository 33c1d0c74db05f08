"""What a conversation is, in memory and on disk: names, columns, types.

Knows nothing of files: reading is in ``readers``, writing in ``writer``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

Level = Literal["conversation", "author", "profile"]
LEVELS: tuple[Level, ...] = ("conversation", "author", "profile")

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")

#: A label as the user wrote it: 0 or 1 (binary), or a string for a class of several.
Label = int | str

#: Written into every corpus; a corpus with a higher number is refused.
FORMAT_VERSION = 1

#: The code of "no label" in every integer label array of the package.
UNLABELLED = -1


@dataclass(frozen=True, slots=True)
class Place:
    """Where a conversation was read: for error messages and for the rejects file."""

    path: str
    line: int


@dataclass(slots=True)
class Conversation:
    """One conversation as a reader hands it on; every list has one entry a message, in order.

    Attributes:
        conversation_id: unique in a corpus, never empty.
        authors: who wrote each message, never empty strings.
        texts: the messages' texts; None when the source has none.
        timestamps: seconds since 1970 UTC, None where a message has none; None when the source has none.
        features: (T, F) float32 or float16; None before encoding.
        label: of the conversation; None = unlabelled.
        author_labels: author -> label; authors not in it are unlabelled.
        group: the named group (match, thread, household); None when there is none.
        split: the split that the user gave; None when tenor is to choose.
        author_splits: author -> split at level author (None = left out), where a corpus has assigned them
            already and is being copied: then `split` and these are kept as they are. Readers leave it None.
        place: where it was read.
    """

    conversation_id: str
    authors: list[str]
    texts: list[str] | None = None
    timestamps: list[float | None] | None = None
    features: npt.NDArray[np.floating] | None = None
    label: Label | None = None
    author_labels: dict[str, Label] = field(default_factory=dict)
    group: str | None = None
    split: Split | None = None
    author_splits: dict[str, Split | None] | None = None
    place: Place = field(default=Place("memory", 1))
