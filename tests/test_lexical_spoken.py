"""What is said in a block of sequences, counted once: the counts of each voice's joined texts, to the last one."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenor.corpus.corpus import open_corpus
from tenor.corpus.schema import Level
from tenor.corpus.views import view_sequences
from tenor.corpus.voices import VOICES, read_voice
from tenor.lexical.spoken import SpokenCounts
from tenor.lexical.weighting import SPACE, count_texts
from tenor.ngrams import count_messages

texts = st.text("ab ?\n\tσΣé漢", max_size=6) | st.sampled_from(["", " ", "\n", "\n\n", "so, yes!", "ΟΔΟΣ"])


@given(st.lists(texts, min_size=1, max_size=8), st.data())
def test_counts_of_joined_messages_are_sums(messages: list[str], data: st.DataObject) -> None:
    sequences = data.draw(st.lists(st.lists(st.integers(0, len(messages) - 1), max_size=6), max_size=4))
    owners = np.repeat(np.arange(len(sequences)), [len(each) for each in sequences])
    positions = np.array([place for each in sequences for place in each], dtype=np.int64)
    nobody = np.empty(0, np.int64)
    counts = count_messages(messages, SPACE)
    spoken = SpokenCounts(counts, {"own": (positions, owners)}, len(sequences), nobody)
    found = spoken.count("own")
    expected = count_texts(["\n".join(messages[place] for place in each) for each in sequences])
    assert found.dtype == expected.dtype and found.shape == expected.shape
    for name in ("indptr", "indices", "data"):  # as a model weighs them: sorted, none of them zero
        assert getattr(found, name).tolist() == getattr(expected, name).tolist()


@pytest.mark.parametrize("level", ["conversation", "author"])
def test_a_view_s_voices_are_counted_as_they_are_read(small_corpus: Path, level: Level) -> None:
    view = view_sequences(open_corpus(small_corpus), level)
    shortened = dataclasses.replace(
        view, lengths=np.maximum(view.lengths - 1, 0)
    )  # each leaves its last message out
    for sequences in (view, shortened, view.select(np.zeros(0, np.int64))):
        spoken = SpokenCounts.of(sequences, VOICES[level])
        for voice in VOICES[level]:
            joined = ["\n".join(said) for said in read_voice(sequences, voice)]
            assert (spoken.count(voice) != count_texts(joined)).nnz == 0


def test_the_authors_in_conversations_are_counted_as_their_own_sequences_are(small_corpus: Path) -> None:
    conversations = view_sequences(open_corpus(small_corpus), "conversation")
    some = conversations.select(np.arange(len(conversations))[::-2])  # in any order
    spoken = SpokenCounts.of(some, (), with_authors=True)
    counts = spoken.count("authors")
    authors = view_sequences(some.corpus, "author")
    names = np.asarray(authors.authors)
    for place, row in enumerate(some.rows.tolist()):
        own = np.flatnonzero(authors.rows == row)
        own = own[np.argsort(names[own])]
        expected = count_texts(["\n".join(said) for said in authors.texts(own)])
        assert (counts[spoken.conversations == place] != expected).nnz == 0
        assert np.count_nonzero(spoken.conversations == place) == len(own) > 0
    nobody = SpokenCounts.of(some.select(np.zeros(0, np.int64)), (), with_authors=True)
    assert nobody.count("authors").shape == (0, SPACE.num_columns)
