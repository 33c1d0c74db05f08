"""The messages of several conversations as flat columns: what every encoder reads.

Knows nothing of files, labels or splits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tenor.corpus.schema import Conversation
from tenor.errors import CorpusError


@dataclass(frozen=True, slots=True)
class Messages:
    """M messages of C conversations, one conversation after another, each in order.

    Attributes:
        offsets: (C + 1,) int64; conversation c holds the messages offsets[c] to offsets[c + 1] - 1.
        authors: (M,) int64; within a conversation, equal numbers are the same author.
        timestamps: (M,) float64 seconds since 1970 UTC; NaN where a message has none.
        texts: M texts; None when the corpus keeps none.
    """

    offsets: npt.NDArray[np.int64]
    authors: npt.NDArray[np.int64]
    timestamps: npt.NDArray[np.float64]
    texts: list[str] | None

    def __len__(self) -> int:
        """M, the number of messages."""
        return len(self.authors)

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """(C,) messages of each conversation."""
        return np.diff(self.offsets)


def flatten_conversations(conversations: Sequence[Conversation]) -> Messages:
    """Lay out conversations as columns; texts are None when any conversation has none."""
    lengths = np.array([len(conversation.authors) for conversation in conversations], np.int64)
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    codes: dict[str, int] = {}
    authors = [codes.setdefault(author, len(codes)) for each in conversations for author in each.authors]
    timestamps = np.full(len(authors), np.nan)
    for conversation, start, stop in zip(conversations, offsets[:-1], offsets[1:], strict=True):
        if conversation.timestamps is not None:
            timestamps[start:stop] = np.array(conversation.timestamps, np.float64)  # None becomes NaN
    texts: list[str] | None = []
    for conversation in conversations:
        if conversation.texts is None or texts is None:
            texts = None
        else:
            texts.extend(conversation.texts)
    return Messages(offsets, np.array(authors, np.int64), timestamps, texts)


def require_texts(messages: Messages, encoder: str) -> list[str]:
    """The messages' texts.

    Raises:
        CorpusError: the corpus keeps no text.
    """
    if messages.texts is None:
        raise CorpusError(
            f"the encoder {encoder} reads texts, and this corpus keeps none: import it again with its texts, "
            "or use the encoder dynamics"
        )
    return messages.texts
