"""Generated corpora: the truth, the rates, the same bytes for the same plan, and evidence that can be found."""

from __future__ import annotations

import gzip
import itertools
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tenor.corpus.corpus import open_corpus
from tenor.corpus.importing import import_corpus
from tenor.errors import UsageError
from tenor.lexical import fit_lexical
from tenor.synthetic import (
    ORDER_WORDS,
    TELLING_WORDS,
    WORDS,
    SyntheticPlan,
    generate_conversations,
    to_record,
    write_jsonl,
)


def is_guilty(author: str, plan: SyntheticPlan) -> bool:
    """The truth, which follows from the number in the name."""
    return int(author.rsplit("-", 1)[1]) % plan.guilty_every == 0


def test_words_are_distinct() -> None:
    assert len({*WORDS, *TELLING_WORDS, *ORDER_WORDS}) == len(WORDS) + len(TELLING_WORDS) + 2


def test_counts_and_labels() -> None:
    plan = SyntheticPlan(conversations=2000, messages=8, guilty_every=5, bad_share=0.3, seed=1)
    conversations = list(generate_conversations(plan))
    assert len({conversation.conversation_id for conversation in conversations}) == 2000
    sizes = [len(conversation.authors) for conversation in conversations]
    assert min(sizes) >= 1
    assert np.mean(sizes) == pytest.approx(8, rel=0.1)
    authors = {author for conversation in conversations for author in conversation.authors}
    assert len(authors) == pytest.approx(plan.num_authors, rel=0.01)
    guilty = [is_guilty(author, plan) for author in authors]
    assert np.mean(guilty) == pytest.approx(0.2, abs=0.02)
    for conversation in conversations:
        assert len(conversation.texts) == len(conversation.timestamps) == len(conversation.authors)
        assert conversation.author_labels.keys() == set(conversation.authors)
        assert all(label == is_guilty(author, plan) for author, label in conversation.author_labels.items())
        assert all(early <= late for early, late in itertools.pairwise(conversation.timestamps))
        assert conversation.label <= max(conversation.author_labels.values())
    held = [c.label for c in conversations if sum(c.author_labels.values()) == 1]
    assert np.mean(held) == pytest.approx(0.3, abs=0.06)


def test_telling_words_without_difficulty_come_from_the_guilty_alone() -> None:
    plan = SyntheticPlan(conversations=400, difficulty=0.0, guilty_every=3)
    told = {True: 0, False: 0}
    total = dict(told)
    for conversation in generate_conversations(plan):
        for author, text in zip(conversation.authors, conversation.texts, strict=True):
            told[is_guilty(author, plan)] += any(word in TELLING_WORDS for word in text.split())
            total[is_guilty(author, plan)] += 1
    assert told[False] == 0
    assert told[True] / total[True] == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("evidence", ["words", "order", "timing"])
def test_full_difficulty_leaves_no_trace(evidence: str) -> None:
    plan = SyntheticPlan(conversations=600, difficulty=1.0, guilty_every=2, evidence=evidence, input_size=3)
    features, delays, labels = [], [], []
    for conversation in generate_conversations(plan):
        features.append(conversation.features.astype(np.float64).mean())
        delays.append(
            np.log1p(np.diff(conversation.timestamps)).mean() if len(conversation.authors) > 1 else 2.5
        )
        labels.append(conversation.label)
    assert 0.4 < roc_auc_score(labels, features) < 0.6
    assert 0.4 < roc_auc_score(labels, delays) < 0.6


def author_sequences(plan: SyntheticPlan) -> tuple[list[list[str]], np.ndarray]:
    texts, labels = [], []
    for conversation in generate_conversations(plan):
        for author, label in conversation.author_labels.items():
            pairs = zip(conversation.authors, conversation.texts, strict=True)
            texts.append([text for name, text in pairs if name == author])
            labels.append(label)
    return texts, np.array(labels)


def test_order_evidence_is_in_the_order_only() -> None:
    texts, labels = author_sequences(
        SyntheticPlan(conversations=600, difficulty=0.1, guilty_every=2, evidence="order", seed=2)
    )
    joined = ["\n".join(messages) for messages in texts]
    half = len(joined) // 2
    lexical = fit_lexical(joined[:half], labels[:half]).logits(joined[half:])
    assert roc_auc_score(labels[half:], lexical) < 0.6
    places = [
        [next((i for i, text in enumerate(messages) if word in text), -1) for word in ORDER_WORDS]
        for messages in texts
    ]
    scores = [(late > early) - (late < early) for early, late in places]
    assert roc_auc_score(labels, scores) > 0.8


def test_timing_evidence_is_in_the_delays() -> None:
    plan = SyntheticPlan(conversations=500, difficulty=0.0, guilty_every=2, evidence="timing")
    quick: dict[bool, list[float]] = {True: [], False: []}
    for conversation in generate_conversations(plan):
        for author, delay in zip(conversation.authors[1:], np.diff(conversation.timestamps), strict=True):
            quick[is_guilty(author, plan)].append(delay)
    assert np.median(quick[True]) == pytest.approx(0.1 * np.median(quick[False]), rel=0.2)


def test_features_of_bad_messages_are_shifted() -> None:
    plan = SyntheticPlan(conversations=300, guilty_every=2, difficulty=0.0, input_size=16)
    found: dict[bool, list[float]] = {True: [], False: []}
    for conversation in generate_conversations(plan):
        assert conversation.features.dtype == np.float16
        assert conversation.features.shape == (len(conversation.authors), 16)
        for author, vector in zip(conversation.authors, conversation.features, strict=True):
            found[is_guilty(author, plan)].append(float(vector.astype(np.float64).sum()) / 4)
    assert np.mean(found[True]) - np.mean(found[False]) == pytest.approx(2, abs=0.1)


def test_same_plan_same_bytes_other_seed_others(tmp_path: Path) -> None:
    plan = SyntheticPlan(conversations=30, input_size=2)
    first = write_jsonl(generate_conversations(plan), tmp_path / "a.jsonl.gz").read_bytes()
    again = write_jsonl(generate_conversations(plan), tmp_path / "b.jsonl.gz").read_bytes()
    assert first == again
    plain = write_jsonl(generate_conversations(plan), tmp_path / "c.jsonl").read_bytes()
    assert gzip.decompress(first) == plain
    other = SyntheticPlan(conversations=30, input_size=2, seed=1)
    assert write_jsonl(generate_conversations(other), tmp_path / "d.jsonl").read_bytes() != plain


def test_generation_streams() -> None:
    plan = SyntheticPlan(conversations=10**9)
    assert [c.conversation_id for c in itertools.islice(generate_conversations(plan), 2)] == [
        "conversation-0",
        "conversation-1",
    ]
    assert list(generate_conversations(SyntheticPlan(conversations=0))) == []


def test_import_gives_the_same_conversations(tmp_path: Path) -> None:
    plan = SyntheticPlan(conversations=40, input_size=3)
    source = write_jsonl(generate_conversations(plan), tmp_path / "source.jsonl")
    corpus = open_corpus(import_corpus(source, tmp_path / "corpus"))
    for made, read in zip(generate_conversations(plan), corpus.conversations(), strict=True):
        assert read.conversation_id == made.conversation_id
        assert read.authors == made.authors
        assert read.texts == made.texts
        assert read.label == made.label
        assert read.author_labels == made.author_labels
        np.testing.assert_array_equal(read.features, made.features)
        np.testing.assert_allclose(read.timestamps, made.timestamps)


def test_record_leaves_out_what_is_not_there() -> None:
    (conversation,) = generate_conversations(SyntheticPlan(conversations=1))
    conversation.texts, conversation.timestamps, conversation.label = None, None, None
    conversation.author_labels = {}
    record = to_record(conversation)
    assert record.keys() == {"conversation_id", "messages"}
    assert all(message.keys() == {"author"} for message in record["messages"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"difficulty": 1.5}, r"difficulty must be in \[0, 1\], not 1.5"),
        ({"bad_share": -0.1}, r"bad_share must be in \[0, 1\], not -0.1"),
        ({"evidence": "tone"}, "evidence must be one of words, order, timing, not 'tone'"),
        ({"input_size": 0}, "input_size must be 1 or more, not 0"),
        ({"guilty_every": 0}, "guilty_every must be 1 or more, not 0"),
    ],
)
def test_bad_plans_raise(options: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        SyntheticPlan(conversations=1, **options)
