from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tenor.corpus.corpus import Corpus, open_corpus
from tenor.corpus.growth import describe_hash, has_only_grown
from tenor.corpus.importing import import_corpus
from tenor.corpus.plan import SplitBy, SplitPlan, split_finder
from tenor.corpus.schema import Conversation, Level, Split
from tenor.corpus.views import view_sequences
from tenor.synthetic import SyntheticPlan, generate_conversations, write_jsonl

ROWS = list(generate_conversations(SyntheticPlan(conversations=60, messages=4, seed=3)))


def append(rows: list[Conversation], path: Path) -> Corpus:
    source = write_jsonl(rows, path.with_name(f"{rows[0].conversation_id}.jsonl"))
    return open_corpus(import_corpus(source, path, append=True))


def talk(identifier: str, author: str, split: Split | None) -> Conversation:
    return Conversation(identifier, [author, "x"], texts=["hello", "you"], label=1, split=split)


@pytest.fixture
def first(tmp_path: Path) -> Corpus:
    source = write_jsonl(ROWS[:30], tmp_path / "first.jsonl")
    return open_corpus(import_corpus(source, tmp_path / "corpus", seed=5))


def test_a_corpus_that_was_appended_to_has_only_grown(first: Corpus) -> None:
    hashes = [first.info.split_hash]
    for start in (30, 40, 50):
        grown = append(ROWS[start : start + 10], first.path)
        hashes.append(grown.info.split_hash)
        assert len(set(hashes)) == len(hashes)
        assert [has_only_grown(grown, each) for each in hashes] == [True] * len(hashes)
        assert not has_only_grown(grown, "0" * 64)
    assert not has_only_grown(first, hashes[1])  # nor has it shrunk


def test_a_corpus_divided_anew_has_not_only_grown_whatever_was_appended_since(
    first: Corpus, tmp_path: Path
) -> None:
    source = write_jsonl(ROWS[:30], tmp_path / "again.jsonl")
    anew = open_corpus(import_corpus(source, tmp_path / "anew", seed=6))
    assert not has_only_grown(anew, first.info.split_hash)
    grown = append(ROWS[30:], anew.path)
    assert not has_only_grown(grown, first.info.split_hash)
    assert has_only_grown(grown, anew.info.split_hash)


def test_a_corpus_divided_anew_after_it_had_grown_has_not_only_grown(first: Corpus, tmp_path: Path) -> None:
    grown = append(ROWS[30:], first.path)
    anew = open_corpus(import_corpus(grown.path, tmp_path / "anew", seed=6, columns={"split": None}))
    assert not has_only_grown(anew, first.info.split_hash)
    assert not has_only_grown(anew, grown.info.split_hash)


@pytest.mark.parametrize(("split", "expected"), [("train", True), ("test", False)])
def test_given_splits_that_move_a_group_are_no_growth(tmp_path: Path, split: Split, expected: bool) -> None:
    by: SplitBy = "author"
    rows = [talk("one", "ann\n\x1fe", "train"), talk("two", "bob", "test")]
    source = write_jsonl(rows, tmp_path / "first.jsonl")
    corpus = open_corpus(import_corpus(source, tmp_path / "corpus", split_by=by))
    grown = append([talk("three", "ann\n\x1fe", split)], corpus.path)
    assert has_only_grown(grown, corpus.info.split_hash) is expected


@pytest.mark.parametrize("by", [None, "conversation"])
def test_a_named_group_that_takes_a_known_author_to_test_is_no_growth(
    tmp_path: Path, by: SplitBy | None
) -> None:
    """Where authors stood in several splits at training already, as by conversation, it is nothing new."""
    source = write_jsonl([talk(f"c{i}", "ann", None) for i in range(20)], tmp_path / "first.jsonl")
    corpus = open_corpus(import_corpus(source, tmp_path / "corpus", split_by=by))
    rows = [replace(talk(f"d{i}", "ann", None), group=f"g{i}") for i in range(20)]
    grown = append(rows, corpus.path)
    assert has_only_grown(grown, corpus.info.split_hash) is (by is not None)


LEVELS: tuple[Level, ...] = ("conversation", "author")


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("by", [None, "author"])
def test_the_same_hash_divides_another_corpus_alike(tmp_path: Path, by: SplitBy | None, level: Level) -> None:
    """The rows of before, fewer of them and in another order, and new ones: nobody stands in another split."""
    sources = (ROWS[:40], [*ROWS[:10:-1]])
    paths = [write_jsonl(rows, tmp_path / f"{number}.jsonl") for number, rows in enumerate(sources)]
    one, two = (open_corpus(import_corpus(path, tmp_path / path.stem, split_by=by, seed=4)) for path in paths)
    views = [view_sequences(each, level) for each in (one, two)]
    assert describe_hash(views[0]) == describe_hash(views[1]) is not None
    assert not has_only_grown(two, one.info.split_hash)
    first, second = (dict(zip(each.groups, each.splits, strict=True)) for each in views)
    assert {name: second[name] for name in first.keys() & second.keys()} == {
        name: first[name] for name in first.keys() & second.keys()
    }
    other = open_corpus(import_corpus(paths[0], tmp_path / "other", split_by=by, seed=5))
    assert describe_hash(view_sequences(other, level)) != describe_hash(views[0])


def give_splits(rows: list[Conversation]) -> list[Conversation]:
    return [replace(row, split="train" if number else "test") for number, row in enumerate(rows)]


def give_hashed_splits(rows: list[Conversation]) -> list[Conversation]:
    find = split_finder(SplitPlan(seed=0))
    return [replace(row, split=find(row.conversation_id)) for row in rows]


def name_one_group(rows: list[Conversation]) -> list[Conversation]:
    return [replace(rows[0], group="match"), *rows[1:]]


@pytest.mark.parametrize(
    ("change", "options", "is_hashed"),
    [
        (give_hashed_splits, {}, True),
        (give_splits, {}, False),
        (name_one_group, {}, False),
        (name_one_group, {"split_by": "author"}, True),
        (list, {"split_by": "conversation"}, False),
        (list, {"strict": True}, False),
    ],
)
def test_what_an_id_does_not_decide_alone_has_no_hash(
    tmp_path: Path,
    change: Callable[[list[Conversation]], list[Conversation]],
    options: dict[str, object],
    is_hashed: bool,
) -> None:
    source = write_jsonl(change(ROWS), tmp_path / "rows.jsonl")
    corpus = open_corpus(import_corpus(source, tmp_path / "corpus", **options))  # type: ignore[arg-type]
    assert (describe_hash(view_sequences(corpus, "conversation")) is not None) is is_hashed
