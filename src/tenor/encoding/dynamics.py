"""How a conversation moves, whatever its words say: delays, lengths, turns, positions.

Nothing is fitted and no text is kept. Knows nothing of labels, files or other encoders.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from tenor.encoding.messages import Messages

#: Each feature with its definition; t is the message's place in its conversation, counted from 0, of T
#: messages.
DYNAMICS_FEATURES: dict[str, str] = {
    "reply_delay_log": "log(1 + seconds since the message before); 0 for the first, for times that run "
    "backwards, and where either time is missing",
    "reply_delay_known": "1 where both times of reply_delay_log are there, else 0",
    "characters_log": "log(1 + characters of the text); 0 where the corpus keeps no text",
    "words_log": "log(1 + words between white space); 0 where the corpus keeps no text",
    "speaker_change": "1 where the author is not the author of the message before, else 0; 0 for the first",
    "author_share": "share of the messages 0 to t that this message's author wrote",
    "position_fraction": "t / (T - 1); 0 in a conversation of one message",
    "position_log": "log(1 + t)",
}


@dataclass(frozen=True, slots=True)
class DynamicsEncoder:
    """The features of `DYNAMICS_FEATURES`, in that order; always computed on the whole conversation.

    At the author level too they say where in the whole conversation each of the author's messages stands.
    """

    name: ClassVar[str] = "dynamics"

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The keys of `DYNAMICS_FEATURES`, each after ``dynamics.``."""
        return tuple(f"dynamics.{feature}" for feature in DYNAMICS_FEATURES)

    @property
    def input_size(self) -> int:
        """F, the number of features."""
        return len(DYNAMICS_FEATURES)

    def encode(self, messages: Messages) -> npt.NDArray[np.float32]:
        """Describe each message.

        Returns:
            (M, F) float32, finite.
        """
        lengths = np.repeat(messages.lengths, messages.lengths)
        position = np.arange(len(messages)) - np.repeat(messages.offsets[:-1], messages.lengths)
        later = position > 0
        delay = np.diff(messages.timestamps, prepend=np.nan)
        known = later & np.isfinite(delay)
        columns = {
            "reply_delay_log": np.log1p(np.where(known, np.maximum(delay, 0.0), 0.0)),
            "reply_delay_known": known,
            "characters_log": np.log1p(_measure(messages, len)),
            "words_log": np.log1p(_measure(messages, lambda text: len(text.split()))),
            "speaker_change": later & (np.diff(messages.authors, prepend=-1) != 0),
            "author_share": _count_own_messages(messages) / (position + 1),
            "position_fraction": position / np.maximum(lengths - 1, 1),
            "position_log": np.log1p(position),
        }
        return np.stack([columns[feature] for feature in DYNAMICS_FEATURES], axis=1).astype(
            np.float32
        )  # (M, F)


def _measure(messages: Messages, size: Callable[[str], int]) -> npt.NDArray[np.float64]:
    if messages.texts is None:
        return np.zeros(len(messages))
    return np.fromiter(map(size, messages.texts), np.float64, len(messages))


def _count_own_messages(messages: Messages) -> npt.NDArray[np.int64]:
    """(M,) how many messages the author has written in the conversation so far, this one included."""
    conversation = np.repeat(np.arange(len(messages.lengths)), messages.lengths)
    order = np.lexsort((messages.authors, conversation))  # stable: messages of a participant stay in order
    starts = np.flatnonzero(
        (np.diff(conversation[order], prepend=-1) != 0) | (np.diff(messages.authors[order], prepend=-1) != 0)
    )
    sizes = np.diff(starts, append=len(order))
    counts = np.empty(len(order), np.int64)
    counts[order] = np.arange(len(order)) - np.repeat(starts, sizes) + 1
    return counts
