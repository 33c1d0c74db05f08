"""Dynamics: hand-computed values, and a plain loop on random conversations."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenor.corpus.schema import Conversation
from tenor.encoding.dynamics import DYNAMICS_FEATURES, DynamicsEncoder
from tenor.encoding.messages import flatten_conversations

LOG2 = math.log(2)


def test_values_by_hand() -> None:
    first = Conversation(
        "c",
        ["ann", "bob", "bob", "ann", "cyd"],
        ["hello you", "", "a", "x y z", "é"],
        [100.0, 101.0, 99.0, None, 7.0],
    )
    second = Conversation("d", ["ann"], ["one"], None)
    found = DynamicsEncoder().encode(flatten_conversations([first, second]))
    expected = {
        "reply_delay_log": [0, LOG2, 0, 0, 0, 0],
        "reply_delay_known": [0, 1, 1, 0, 0, 0],
        "characters_log": [math.log(10), 0, LOG2, math.log(6), LOG2, math.log(4)],
        "words_log": [math.log(3), 0, LOG2, math.log(4), LOG2, LOG2],
        "speaker_change": [0, 1, 0, 1, 1, 0],
        "author_share": [1, 1 / 2, 2 / 3, 2 / 4, 1 / 5, 1],
        "position_fraction": [0, 1 / 4, 2 / 4, 3 / 4, 1, 0],
        "position_log": [0, LOG2, math.log(3), math.log(4), math.log(5), 0],
    }
    assert list(expected) == list(DYNAMICS_FEATURES)
    np.testing.assert_allclose(found, np.array(list(expected.values())).T, rtol=1e-6)
    assert (found.dtype, found.shape) == (np.float32, (6, DynamicsEncoder().input_size))


def test_names_are_unique_and_documented() -> None:
    encoder = DynamicsEncoder()
    assert encoder.feature_names[0] == "dynamics.reply_delay_log"
    assert len(set(encoder.feature_names)) == encoder.input_size == len(DYNAMICS_FEATURES)
    assert all(DYNAMICS_FEATURES.values())


def test_no_message_at_all() -> None:
    assert DynamicsEncoder().encode(flatten_conversations([])).shape == (0, 8)


messages = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.text(max_size=8),
        st.one_of(st.none(), st.floats(0, 2e9, allow_subnormal=False)),
    ),
    min_size=1,
    max_size=7,
)


@given(st.lists(messages, min_size=1, max_size=4), st.booleans(), st.booleans())
def test_equals_a_plain_loop(
    dynamics_by_loop: Callable[..., list[list[float]]],
    drawn: list[list[tuple[str, str, float | None]]],
    has_texts: bool,
    has_timestamps: bool,
) -> None:
    rows, conversations = [], []
    for index, conversation in enumerate(drawn):
        authors, texts, timestamps = map(list, zip(*conversation, strict=True))
        given_texts, given_times = texts if has_texts else None, timestamps if has_timestamps else None
        rows += dynamics_by_loop(authors, given_texts, given_times)
        conversations.append(Conversation(str(index), authors, given_texts, given_times))
    found = DynamicsEncoder().encode(flatten_conversations(conversations))
    np.testing.assert_allclose(found, np.array(rows), rtol=1e-6, atol=1e-6)
    assert np.isfinite(found).all()


@pytest.mark.parametrize("position", [0, 1, 2])
def test_a_conversation_does_not_depend_on_its_neighbours(
    conversations: Callable[..., list[Conversation]], position: int
) -> None:
    rows = conversations(3)
    together = flatten_conversations(rows)
    start, stop = together.offsets[position : position + 2]
    alone = DynamicsEncoder().encode(flatten_conversations([rows[position]]))
    np.testing.assert_array_equal(DynamicsEncoder().encode(together)[start:stop], alone)
