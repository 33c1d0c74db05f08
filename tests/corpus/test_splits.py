from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tenor.corpus.corpus import Corpus
from tenor.corpus.plan import split_finder
from tenor.corpus.schema import Conversation
from tenor.corpus.splits import (
    SplitBy,
    SplitPlan,
    assign_strict,
    describe_authors,
    hash_training_ids,
    summarize_splits,
    training_sequences,
)
from tenor.errors import UsageError
from tenor.seeding import fraction_hash

Write = Callable[..., Corpus]


def test_a_split_is_where_the_hash_falls() -> None:
    plan = SplitPlan(seed=5, fractions=(0.5, 0.2, 0.3))
    for index in range(200):
        position = fraction_hash(5)(f"g{index}")
        expected = "train" if position < 0.5 else "validation" if position < 0.7 else "test"
        assert split_finder(plan)(f"g{index}") == expected


def test_splits_of_known_ids_never_change() -> None:
    """These are in users' corpora: another hash would move groups from train to test."""
    plan = SplitPlan()
    assert [
        split_finder(plan)(name) for name in ("a", "b", "conversation-1", "conversation-2", "é")
    ] == GOLDEN


GOLDEN = ["train", "train", "train", "test", "test"]


def test_shares_are_near_the_fractions_and_seeds_are_independent() -> None:
    first, second = (
        np.array([split_finder(SplitPlan(seed))(f"g{i}") for i in range(20_000)]) for seed in (0, 1)
    )
    for split, fraction in zip(("train", "validation", "test"), (0.7, 0.1, 0.2), strict=True):
        assert abs((first == split).mean() - fraction) < 0.01  # 3 standard errors: 0.0097
        assert abs((second[first == split] == "train").mean() - 0.7) < 0.035


@pytest.mark.parametrize(
    ("fractions", "names"),
    [
        ((1, 0, 0), {"train"}),
        ((0.5, 0, 0.5), {"train", "test"}),
        ((0.5, 0.5, 0), {"train", "validation"}),
        ((0.9999999, 0, 0), {"train"}),
    ],
)
def test_a_fraction_of_zero_gets_nothing(fractions: tuple, names: set) -> None:
    plan = SplitPlan(fractions=fractions)
    assert {split_finder(plan)(str(i)) for i in range(1000)} == names


@pytest.mark.parametrize(
    "fractions",
    [(0.5, 0.5), (0.7, 0.1, 0.1), (0, 0.5, 0.5), (1.2, -0.1, -0.1), (float("nan"), 0.5, 0.5), ("1", 0, 0)],
)
def test_wrong_fractions_raise(fractions: tuple) -> None:
    with pytest.raises(UsageError, match="expected three numbers"):
        SplitPlan(fractions=fractions)


def test_wrong_plans_raise() -> None:
    with pytest.raises(UsageError, match="expected author, conversation or group, found 'day'"):
        SplitPlan(by="day")
    with pytest.raises(UsageError, match="expected an integer, found 1.5"):
        SplitPlan(seed=1.5)


def strict_of(edges: list[tuple[str, str]], plan: SplitPlan) -> tuple:
    """The assignment of (conversation, author) edges, given conversation by conversation."""
    names = list(dict.fromkeys(name for name, _ in edges))
    edges = sorted(edges, key=lambda edge: names.index(edge[0]))
    parents = np.array([names.index(name) for name, _ in edges])
    authors = np.array([author for _, author in edges], dtype=object)
    assignment = assign_strict(np.array(names, dtype=object), authors, parents, plan)
    return names, authors, parents, assignment


def test_small_components_go_whole_with_their_first_author() -> None:
    plan = SplitPlan()
    edges = [(f"c{i}.{j}", f"a{i}.{k}") for i in range(30) for j in range(2) for k in range(3)]
    names, authors, parents, found = strict_of(edges, plan)
    for row, name in enumerate(names):
        assert found.conversation_splits[row] == split_finder(plan)(f"a{name[1:].split('.')[0]}.0")
    assert (found.participant_splits == found.conversation_splits[parents]).all()


def test_a_giant_component_is_cut_and_what_is_elsewhere_is_left_out() -> None:
    generator = np.random.default_rng(0)
    edges = [
        (f"c{i}", f"a{k}") for i in range(300) for k in generator.choice(60, size=2 + i % 2, replace=False)
    ]
    plan = SplitPlan()
    names, authors, parents, found = strict_of(edges, plan)
    for row in range(len(names)):
        splits = [split_finder(plan)(author) for author in authors[parents == row]]
        counts = [splits.count(split) for split in ("train", "validation", "test")]
        tied = [s for s, n in zip(("train", "validation", "test"), counts, strict=True) if n == max(counts)]
        home = tied[int(fraction_hash(0)(names[row]) * len(tied))] if len(tied) > 1 else tied[0]
        expected = [split if split == home else "" for split in splits]
        assert found.participant_splits[parents == row].tolist() == expected
        assert found.conversation_splits[row] == (home if "" not in expected else "")
    assert min((splits == "").sum() for splits in (found.conversation_splits, found.participant_splits)) > 50


def test_conversations_of_a_named_group_stay_together(write_corpus: Write, loops: ModuleType) -> None:
    conversations = loops.make_conversations(number=120, num_authors=80, groups=True)
    corpus = write_corpus(conversations, SplitPlan(strict=True))
    homes: dict[str, set] = {}
    for conversation in corpus.conversations():
        placed = {split for split in conversation.author_splits.values() if split is not None}
        assert len(placed) <= 1
        homes.setdefault(conversation.group, set()).update(placed)
    assert all(len(splits) <= 1 for splits in homes.values())


def test_a_strict_corpus_says_what_is_left_out(write_corpus: Write, loops: ModuleType) -> None:
    corpus = write_corpus(loops.make_conversations(number=60), SplitPlan(strict=True))
    left_out = [one for one in corpus.conversations() if one.split is None]
    assert corpus.info.counts["left_out_conversations"] == len(left_out) > 0
    rows = {(row["level"], row["split"]): row for row in summarize_splits(corpus)}
    assert rows["conversation", "none"]["sequences"] == len(left_out)
    assert rows["author", "none"]["sequences"] > 0
    assert rows["conversation", "none"]["warning"] == ""


def test_summary_counts_by_hand(write_corpus: Write) -> None:
    conversations = [
        Conversation("c1", ["a", "b"], ["x", "y"], label=1, author_labels={"a": 1}, split="train"),
        Conversation("c2", ["a"], ["x"], label=0, author_labels={"a": 0}, split="train"),
        Conversation("c3", ["a"], ["x"], author_labels={"a": 0}, split="train"),
        Conversation("c4", ["d"], ["x"], label=0, author_labels={"d": 0}, split="validation"),
        Conversation("c5", ["e"], ["x"], split="test"),
        Conversation("c6", ["e"], ["x"], label=1, split="test"),
    ]
    rows = summarize_splits(write_corpus(conversations))
    assert [(row["level"], row["split"]) for row in rows] == [
        (level, split)
        for level in ("conversation", "author", "profile")
        for split in ("train", "validation", "test")
    ]
    keys = "sequences labelled positives positive_rate labels authors groups warning".split()
    assert [tuple(row[key] for key in keys) for row in rows] == [
        (3, 2, 1, 0.5, {"0": 1, "1": 1}, 2, 3, ""),
        (1, 1, 0, 0.0, {"0": 1, "1": 0}, 1, 1, "no positives"),
        (2, 1, 1, 1.0, {"0": 0, "1": 1}, 1, 2, "no negatives"),
        (4, 3, 1, 1 / 3, {"0": 2, "1": 1}, 2, 2, ""),
        (1, 1, 0, 0.0, {"0": 1, "1": 0}, 1, 1, "no positives"),
        (2, 0, 0, None, {"0": 0, "1": 0}, 1, 1, "no labels"),
        (2, 1, 0, 0.0, {"0": 1, "1": 0}, 2, 2, ""),
        (1, 1, 0, 0.0, {"0": 1, "1": 0}, 1, 1, ""),
        (1, 0, 0, None, {"0": 0, "1": 0}, 1, 1, "no labels"),
    ]


def test_a_profile_of_equal_votes_has_the_higher_class(write_corpus: Write) -> None:
    conversations = [
        Conversation(f"c{i}", ["a"], ["x"], author_labels={"a": label}, split="train")
        for i, label in enumerate([0, 1])
    ]
    row = next(row for row in summarize_splits(write_corpus(conversations)) if row["level"] == "profile")
    assert (row["sequences"], row["positives"]) == (1, 1)


def test_authors_of_several_labels_and_of_several_splits_are_counted(write_corpus: Write) -> None:
    def make(splits: list[Any], by: SplitBy | None = None) -> Corpus:
        return write_corpus(
            [
                Conversation("c1", ["a", "b"], ["x", "y"], author_labels={"a": 1, "b": 0}, split=splits[0]),
                Conversation("c2", ["a", "b"], ["x", "y"], author_labels={"a": 0, "b": 0}, split=splits[1]),
                Conversation("c3", ["a", "c"], ["x", "y"], author_labels={"c": 1}, split=splits[2]),
            ],
            SplitPlan(by=by, fractions=(0.4, 0.3, 0.3)),
        )

    mixed = (
        "1 of 3 authors has different labels in different conversations: a profile has the label of most of its "
        "conversations, and ties go to the last of 0, 1"
    )
    assert describe_authors(make([None, None, None])) == [mixed]
    shared = (
        "stand in several splits at level author, and count in each: test is then not of people never seen"
    )
    assert describe_authors(make(["train", "test", "train"])) == [
        mixed,
        f"2 of 3 authors {shared} (for that, import without the given splits: --column split=)",
    ]
    assert describe_authors(make(["train", "train", "test"]))[1].startswith(
        "1 of 3 authors stands in several"
    )
    by_conversation = make([None, None, None], by="conversation")
    assert len(set(by_conversation.column("split").to_pylist())) > 1
    assert describe_authors(by_conversation)[1].endswith("never seen (for that, import --split-by author)")
    plain = [Conversation("c1", ["a"], ["x"], author_labels={"a": 1}), Conversation("c2", ["b"], ["x"])]
    assert describe_authors(write_corpus(plain)) == []


def test_a_rate_far_off_is_reported(write_corpus: Write) -> None:
    conversations = [
        Conversation(f"{split}{i}", [f"{split}{i}"], ["x"], label=int(i < positives), split=split)
        for split, number, positives in (("train", 100, 50), ("validation", 50, 20), ("test", 50, 10))
        for i in range(number)
    ]
    warnings = [row["warning"] for row in summarize_splits(write_corpus(conversations))[:3]]
    assert warnings == ["", "", "positives are 20% here and 40% over all splits"]


def test_several_classes_are_counted_each(write_corpus: Write) -> None:
    labels = {"train": "aabc", "validation": "ab", "test": ""}
    conversations = [
        Conversation(f"{split}{i}", ["x"], ["x"], label=label, split=split)
        for split, letters in labels.items()
        for i, label in enumerate(letters)
    ]
    rows = summarize_splits(write_corpus(conversations))[:3]
    assert [row["labels"] for row in rows] == [
        {"a": 2, "b": 1, "c": 1},
        {"a": 1, "b": 1, "c": 0},
        {"a": 0, "b": 0, "c": 0},
    ]
    assert [row["positives"] for row in rows] == [None] * 3
    assert [row["warning"] for row in rows] == ["", "no sequence of class c", "empty"]


def test_training_sequences_are_in_train_at_both_levels(write_corpus: Write, loops: ModuleType) -> None:
    conversations = loops.make_conversations()
    corpus = write_corpus(conversations)
    plan = SplitPlan()
    expected = [
        (one.conversation_id, author)
        for one in conversations
        for author in dict.fromkeys(one.authors)
        if split_finder(plan)(one.conversation_id) == split_finder(plan)(author) == "train"
    ]
    view = training_sequences(corpus)
    assert list(zip(view.conversation_ids, view.authors, strict=True)) == expected
    assert hash_training_ids(corpus) == loops.hash_ids(expected)


def test_split_hash_follows_groups_and_splits_alone(write_corpus: Write) -> None:
    def make(**changes: object) -> list[Conversation]:
        fields = {"texts": ["x", "y"]} | changes
        return [Conversation("one", ["a", "b"], **fields), Conversation("two", ["b"], ["z"])]

    first = write_corpus(make()).info.split_hash
    assert write_corpus(make(texts=["p", "q"], label=1)[::-1]).info.split_hash == first
    assert write_corpus(make(), SplitPlan(seed=1)).info.split_hash != first
    assert write_corpus(make(group="g")).info.split_hash != first
