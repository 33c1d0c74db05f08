from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tenor.corpus.corpus import Corpus, open_corpus
from tenor.corpus.growth import has_only_grown
from tenor.corpus.importing import import_corpus
from tenor.corpus.plan import SplitBy
from tenor.corpus.schema import Conversation, Split
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
