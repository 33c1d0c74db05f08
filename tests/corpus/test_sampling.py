from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from tenor.corpus.corpus import open_corpus
from tenor.corpus.importing import import_corpus
from tenor.corpus.ordering import blocks_of_messages
from tenor.corpus.sampling import join_texts, mean_characters, sample_groups
from tenor.corpus.views import SequenceView, view_sequences
from tenor.errors import UsageError
from tenor.synthetic import SyntheticPlan, generate_conversations, write_jsonl


@pytest.fixture(scope="module")
def view(tmp_path_factory: pytest.TempPathFactory) -> SequenceView:
    folder = tmp_path_factory.mktemp("sampling")
    plan = SyntheticPlan(conversations=200, messages=5, guilty_every=20)
    source = write_jsonl(generate_conversations(plan), folder / "chats.jsonl")
    return view_sequences(open_corpus(import_corpus(source, folder / "corpus")), "author")


def test_a_small_view_is_taken_whole(view: SequenceView, caplog: pytest.LogCaptureFixture) -> None:
    assert sample_groups(view, seed=0).tolist() == list(range(len(view)))
    assert not caplog.records


def test_whole_groups_are_drawn_and_it_is_said(view: SequenceView, caplog: pytest.LogCaptureFixture) -> None:
    texts = [text for texts in view.texts() for text in texts]
    mean = sum(map(len, texts)) / len(texts)
    assert mean_characters(view) == pytest.approx(max(mean, 40))
    with caplog.at_level(logging.WARNING):
        rows = sample_groups(view, seed=0, max_characters=20_000, what="the fit")
    groups = view.groups
    inside, outside = set(groups[rows]), set(np.delete(groups, rows))
    assert not inside & outside
    characters = view.lengths[rows].sum() * mean_characters(view)
    assert 10_000 < characters <= 20_000
    (record,) = caplog.records
    assert f"the fit reads {len(rows)} of {len(view)} sequences" in record.getMessage()
    assert (np.diff(rows) > 0).all()
    assert rows.tolist() == sample_groups(view, seed=0, max_characters=20_000).tolist()
    assert rows.tolist() != sample_groups(view, seed=1, max_characters=20_000).tolist()


def test_what_is_read_beside_a_sequence_counts(view: SequenceView) -> None:
    rows = sample_groups(view, seed=0, max_characters=20_000)
    fewer = sample_groups(view, seed=0, max_characters=20_000, lengths=3 * view.lengths)
    assert 2.5 * view.lengths[fewer].sum() < view.lengths[rows].sum()


def test_a_class_is_never_lost(view: SequenceView) -> None:
    for seed in range(5):
        rows = sample_groups(view, seed=seed, max_characters=400)
        assert set(view.labels[rows]) == {0, 1}


def test_blocks_and_texts_come_in_order_and_whole(view: SequenceView) -> None:
    blocks = list(blocks_of_messages(view.lengths, 50))
    assert np.concatenate(blocks).tolist() == list(range(len(view)))
    assert max(view.lengths[block].sum() for block in blocks) <= 50 + view.lengths.max()
    found = [text for _, texts in join_texts(view) for text in texts]
    assert found == ["\n".join(texts) for texts in view.texts()]


def test_no_characters_raise(view: SequenceView, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected 1 or more, found 0"):
        sample_groups(view, seed=0, max_characters=0)
