"""Feature scaling: numpy's mean and std, whatever the chunks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tenor.corpus.corpus import open_corpus
from tenor.corpus.schema import Conversation
from tenor.corpus.views import SequenceView, view_sequences
from tenor.encoding import scaling
from tenor.encoding.scaling import feature_scaling
from tenor.errors import CorpusError


@pytest.fixture
def view(conversations: Callable[..., list[Conversation]], write_corpus: Callable[..., Path]) -> SequenceView:
    """Author sequences with a constant, a far-off and an ordinary feature."""
    generator = np.random.default_rng(0)
    rows = conversations(40)
    for row in rows:
        values = generator.normal(size=(len(row.authors), 4)) * [0, 1e-3, 1, 5] + [0.1, 1000, 0, -2]
        row.features = values.astype(np.float32)
    return view_sequences(open_corpus(write_corpus(rows, feature_dtype="float32")), "author")


@pytest.mark.parametrize("chunk_messages", [1, 7, 50, 10**6])
def test_equals_numpy(view: SequenceView, chunk_messages: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scaling, "_CHUNK_MESSAGES", chunk_messages)
    train = view.in_split("train")
    values = train.gather_features(np.arange(len(train))).astype(np.float64)
    mean, std = feature_scaling(train)
    assert (mean.dtype, std.dtype) == (np.float64, np.float64)
    np.testing.assert_allclose(mean, values.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(std[1:], values.std(axis=0)[1:], rtol=1e-9)
    assert std[0] == 1.0  # constant


@pytest.mark.parametrize("chunk_messages", [1, 7])
def test_sequences_without_messages_change_nothing(
    view: SequenceView, chunk_messages: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever they stand, at the end of a chunk or of all too."""
    monkeypatch.setattr(scaling, "_CHUNK_MESSAGES", chunk_messages)
    lengths = view.lengths.copy()
    lengths[[0, 5, 6, -2, -1]] = 0
    found = feature_scaling(dataclasses.replace(view, lengths=lengths))
    for numbers, expected in zip(found, feature_scaling(view.select(lengths > 0)), strict=True):
        np.testing.assert_allclose(numbers, expected, rtol=1e-12)


def test_only_the_given_sequences_count(view: SequenceView) -> None:
    one = view.select([3])
    values = one.gather_features([0]).astype(np.float64)
    np.testing.assert_allclose(feature_scaling(one)[0], values.mean(axis=0), rtol=1e-12)


def test_no_sequences_is_an_error(view: SequenceView) -> None:
    with pytest.raises(CorpusError, match="expected sequences to scale features by, found none"):
        feature_scaling(view.select(np.zeros(len(view), bool)))


def test_no_features_is_an_error(
    conversations: Callable[..., list[Conversation]], write_corpus: Callable[..., Path]
) -> None:
    corpus = open_corpus(write_corpus(conversations(5)))
    with pytest.raises(CorpusError, match="expected messages with features, found none"):
        feature_scaling(view_sequences(corpus, "conversation"))
