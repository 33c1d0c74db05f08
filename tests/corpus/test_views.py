from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from tenor.corpus.audit import audit_corpus
from tenor.corpus.corpus import Corpus, open_corpus
from tenor.corpus.plan import SplitPlan
from tenor.corpus.schema import Conversation
from tenor.corpus.views import SequenceView, view_sequences
from tenor.errors import CorpusError, UsageError
from tenor.synthetic import SyntheticPlan, generate_conversations

Write = Callable[..., Corpus]

SIZES = {"batch_bytes": 2500, "file_bytes": 9000}


def assert_equals_loop(view: SequenceView, sequences: list, classes: tuple) -> None:
    assert view.conversation_ids.tolist() == [one.conversation_id for one in sequences]
    if view.authors is not None:
        assert view.authors.tolist() == [one.author for one in sequences]
    assert view.groups.tolist() == [one.group for one in sequences]
    assert view.splits.tolist() == [one.split for one in sequences]
    assert view.labels.tolist() == [
        -1 if one.label is None else classes.index(one.label) for one in sequences
    ]
    assert view.lengths.tolist() == [len(one.texts) for one in sequences]
    assert list(view.texts()) == [one.texts for one in sequences]
    features = view.gather_features(np.arange(len(view)))
    assert features.tolist() == [vector for one in sequences for vector in one.features]
    for index in range(0, len(view), 5):
        times = [math.nan if time is None else time for time in sequences[index].timestamps]
        np.testing.assert_array_equal(view.timestamps([index]), times)


@pytest.mark.parametrize("level", ["conversation", "author"])
@pytest.mark.parametrize("by", [None, "author", "conversation", "group"])
@pytest.mark.parametrize("sizes", [{}, SIZES])
def test_views_equal_plain_loops(
    write_corpus: Write, loops: ModuleType, level: str, by: str | None, sizes: dict
) -> None:
    plan = SplitPlan(seed=3, by=by)
    conversations = loops.make_conversations(groups=by == "group")
    conversations[5].split = "validation"
    view = view_sequences(write_corpus(conversations, plan, **sizes), level)
    assert (view.level, view.classes) == (level, (0, 1))
    assert_equals_loop(view, loops.loop_sequences(conversations, level, plan), (0, 1))


@pytest.mark.parametrize("level", ["conversation", "author"])
def test_string_classes_and_some_named_groups(write_corpus: Write, loops: ModuleType, level: str) -> None:
    classes = ("ham", "scam", "spam")
    conversations = loops.make_conversations(classes=classes, groups=True)
    for conversation in conversations[::2]:
        conversation.group = None
    view = view_sequences(write_corpus(conversations, **SIZES), level)
    assert view.classes == classes
    assert_equals_loop(view, loops.loop_sequences(conversations, level, SplitPlan()), classes)


@pytest.mark.parametrize("level", ["conversation", "author"])
@pytest.mark.parametrize("sizes", [{}, SIZES])
def test_gathering_follows_the_given_order(
    write_corpus: Write, loops: ModuleType, level: str, sizes: dict
) -> None:
    conversations = loops.make_conversations()
    view = view_sequences(write_corpus(conversations, **sizes), level)
    sequences = loops.loop_sequences(conversations, level, SplitPlan())
    generator = np.random.default_rng(0)
    for size in (0, 1, 2, 50):
        indices = generator.integers(0, len(view), size)
        expected = [vector for index in indices for vector in sequences[index].features]
        found = view.gather_features(indices)
        assert found.dtype == np.float16
        assert found.shape == (view.lengths[indices].sum(), 4)
        assert found.tolist() == expected
        assert list(view.texts(indices)) == [sequences[index].texts for index in indices]


@pytest.mark.parametrize("level", ["conversation", "author"])
def test_selections_equal_selections_of_the_loop(write_corpus: Write, loops: ModuleType, level: str) -> None:
    conversations = loops.make_conversations()
    corpus = write_corpus(conversations, **SIZES)
    view, sequences = (
        view_sequences(corpus, level),
        loops.loop_sequences(conversations, level, SplitPlan()),
    )
    for split in ("train", "validation", "test"):
        kept = [one for one in sequences if one.split == split]
        assert_equals_loop(view.in_split(split), kept, (0, 1))
        assert_equals_loop(view_sequences(corpus, level, split), kept, (0, 1))
        labelled = [one for one in kept if one.label is not None]
        assert_equals_loop(view.in_split(split).labelled(), labelled, (0, 1))
    assert_equals_loop(view.select([5, 1, 1]), [sequences[i] for i in (5, 1, 1)], (0, 1))
    assert_equals_loop(view.select([]), [], (0, 1))
    assert_equals_loop(view.select(np.zeros(len(view), bool)), [], (0, 1))


def test_rows_lead_back_to_the_conversation(write_corpus: Write, loops: ModuleType) -> None:
    conversations = loops.make_conversations()
    view = view_sequences(write_corpus(conversations, **SIZES), "author").select(slice_of(30))
    ids = [conversations[row].conversation_id for row in view.conversation_rows()]
    assert ids == view.conversation_ids.tolist()
    starts = np.cumsum([0, *(len(one.authors) for one in conversations)])
    for index in range(len(view)):
        (row,) = view.select([index]).conversation_rows()
        inside = view.message_rows([index]) - starts[row]
        assert {conversations[row].authors[i] for i in inside} == {view.authors[index]}
        assert (np.diff(inside) > 0).all()


def slice_of(number: int) -> np.ndarray:
    return np.arange(number)[::-1]


def test_an_author_of_one_message_and_a_silent_participant(write_corpus: Write) -> None:
    conversation = Conversation("c", ["a", "b", "a"], ["1", "2", "3"], author_labels={"b": 1, "silent": 1})
    view = view_sequences(write_corpus([conversation]), "author")
    assert view.authors.tolist() == ["a", "b"]
    assert view.labels.tolist() == [-1, 1]
    assert list(view.texts()) == [["1", "3"], ["2"]]
    assert (view.starts.tolist(), view.order.tolist()) == ([0, 2], [0, 2, 1])


def test_an_author_in_several_conversations_has_a_sequence_in_each(write_corpus: Write) -> None:
    view = view_sequences(write_corpus([Conversation(name, ["a"], [name]) for name in "xyz"]), "author")
    assert view.conversation_ids.tolist() == ["x", "y", "z"]
    assert set(view.groups) == {"a"}
    assert len(set(view.splits)) == 1


def test_a_corpus_without_labels_has_no_classes(write_corpus: Write) -> None:
    view = view_sequences(write_corpus([Conversation("c", ["a"], ["x"])]), "conversation")
    assert (view.classes, view.labels.tolist()) == ((), [-1])
    assert len(view.labelled()) == 0


def test_labels_can_be_written_to(write_corpus: Write, loops: ModuleType) -> None:
    for level in ("conversation", "author"):
        view = view_sequences(write_corpus(loops.make_conversations()), level)
        assert (view.labels.dtype, view.labels.flags.writeable) == (np.int64, True)
        assert (view.lengths.dtype, view.starts.dtype) == (np.int64, np.int32)


def test_what_a_strict_plan_leaves_out_is_in_no_split(write_corpus: Write, loops: ModuleType) -> None:
    corpus = write_corpus(loops.make_conversations(number=60), SplitPlan(strict=True), **SIZES)
    view = view_sequences(corpus, "author")
    assert corpus.info.counts["left_out_author_sequences"] >= (view.splits == "").sum() > 0
    kept = sum(len(view.in_split(split)) for split in ("train", "validation", "test"))
    assert kept == (view.splits != "").sum()


def test_wrong_arguments_raise(write_corpus: Write) -> None:
    corpus = write_corpus([Conversation("c", ["a"], ["x"])])
    with pytest.raises(UsageError, match="expected conversation or author, found 'profile'"):
        view_sequences(corpus, "profile")
    view = view_sequences(corpus, "conversation")
    with pytest.raises(UsageError, match="found 'dev'"):
        view.in_split("dev")
    with pytest.raises(UsageError, match="a mask of 1 entries"):
        view.select(np.ones(2, bool))
    with pytest.raises(CorpusError, match="encode it first"):
        view.gather_features([0])


@pytest.mark.parametrize("level", ["conversation", "author"])
def test_a_sequence_takes_at_most_64_bytes(write_corpus: Callable[..., Corpus], level: str) -> None:
    plan = SyntheticPlan(conversations=2000, messages=12, seed=1)
    view = view_sequences(write_corpus(generate_conversations(plan)), level)
    arrays = [value for value in vars(view).values() if isinstance(value, np.ndarray)]
    assert sum(array.nbytes for array in arrays) <= 64 * len(view)
    if level == "author":  # ids, and groups of conversations, stay on disk
        assert view.author_names is not None
        assert view.author_names.nbytes <= 20 * len(set(view.authors))


def test_groups_of_one_name_have_one_number(write_corpus: Callable[..., Corpus]) -> None:
    named = ["b", None, "a", None, "b"]
    rows = [
        Conversation(f"c{number}", ["a", "b"], texts=["x", "y"], group=group)
        for number, group in enumerate(named)
    ]
    view = view_sequences(write_corpus(rows), "author")
    assert view.groups.tolist() == ["b", "b", "a", "b", "a", "a", "a", "b", "b", "b"]
    numbers = dict(zip(view.groups.tolist(), view.group_codes.tolist(), strict=True))
    assert [numbers[name] for name in view.groups] == view.group_codes.tolist()
    assert len(set(numbers.values())) == 2
    conversations = view_sequences(view.corpus, "conversation")
    assert conversations.groups.tolist() == ["b", "c1", "a", "c3", "b"]
    assert conversations.group_codes[0] == conversations.group_codes[4]


def test_a_folder_stands_for_its_corpus(small_corpus: Path) -> None:
    opened = view_sequences(open_corpus(small_corpus), "author", "test")
    for path in (small_corpus, str(small_corpus)):
        found = view_sequences(path, "author", "test")
        assert found.conversation_ids.tolist() == opened.conversation_ids.tolist()
        assert (
            audit_corpus(path, near_duplicates=False).checks
            == audit_corpus(open_corpus(path), near_duplicates=False).checks
        )
