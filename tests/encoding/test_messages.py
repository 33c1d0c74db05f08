"""Conversations laid out as columns."""

from __future__ import annotations

import numpy as np

from tenor.corpus.schema import Conversation
from tenor.encoding.messages import flatten_conversations


def test_columns_of_two_conversations() -> None:
    messages = flatten_conversations(
        [
            Conversation("a", ["x", "y", "x"], ["1", "2", "3"], [1.0, None, 3.0]),
            Conversation("b", ["y"], ["4"]),
        ]
    )
    assert len(messages) == 4
    assert messages.texts == ["1", "2", "3", "4"]
    np.testing.assert_array_equal(messages.offsets, [0, 3, 4])
    np.testing.assert_array_equal(messages.lengths, [3, 1])
    np.testing.assert_array_equal(messages.authors[:3], [0, 1, 0])
    np.testing.assert_array_equal(messages.timestamps, [1.0, np.nan, 3.0, np.nan])


def test_texts_are_none_when_any_is_absent() -> None:
    rows = [Conversation("a", ["x"], ["1"]), Conversation("b", ["y"]), Conversation("c", ["z"], ["3"])]
    assert flatten_conversations(rows).texts is None
