"""Texts unlike the training's are scored, and said to be so: by row, by file, in test's and profiles' notes."""

from __future__ import annotations

import dataclasses
import json
import logging
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tenor
from tenor.corpus.corpus import open_corpus
from tenor.corpus.schema import Level
from tenor.corpus.views import view_sequences
from tenor.evaluation.familiarity import Familiarity
from tenor.evaluation.profile_files import profiles_to_file
from tenor.lexical.familiarity import summarize_shares
from tenor.lexical.weighting import SPACE
from tenor.models.model_file import load_model, read_metadata
from tenor.ngrams import list_ngrams

ENGLISH = "you are a fool and we will see who goes home first tonight my friend thanks for the game".split()
GERMAN = "ich gehe heute abend nicht nach hause weil morgen schule ist und du bist ja auch dabei".split()


def write_chats(
    path: Path, words: Sequence[str], count: int, *, empty: int = 0, labelled: bool = True
) -> Path:
    """Conversations of random words; the last `empty` of them of white space."""
    draw = random.Random(str(path.name))
    with path.open("w", encoding="utf-8") as handle:
        for index in range(count):
            is_bad = draw.random() < 0.4
            texts = [" ".join(draw.choices(words, k=draw.randint(3, 9))) for _ in range(4)]
            texts = [" "] * 4 if index >= count - empty else texts
            texts[0] += " fool" if is_bad and index < count - empty else ""
            authors = [f"a{index % 50}", f"b{index % 40}"] * 2
            messages = [{"author": who, "text": text} for who, text in zip(authors, texts, strict=True)]
            chat = {"conversation_id": f"{path.stem}-{index}", "messages": messages}
            if labelled:
                chat |= {"label": int(is_bad), "author_labels": {authors[0]: int(is_bad), authors[1]: 0}}
            handle.write(json.dumps(chat) + "\n")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``english``, and chats to be scored: ``german``, ``mixed`` (a third of it) and ``later`` English ones."""
    folder = tmp_path_factory.mktemp("familiarity")
    tenor.import_corpus(write_chats(folder / "english.jsonl", ENGLISH, 300), folder / "raw")
    tenor.encode_corpus(folder / "raw", folder / "english", input_size=8)
    write_chats(folder / "german.jsonl", GERMAN, 60, empty=6, labelled=False)
    later = write_chats(folder / "later.jsonl", ENGLISH, 140, labelled=False)
    german = write_chats(folder / "some.jsonl", GERMAN, 60, labelled=False)
    (folder / "mixed.jsonl").write_text(later.read_text() + german.read_text())
    for name in ("german", "mixed", "later"):
        tenor.import_corpus(folder / f"{name}.jsonl", folder / f"{name}-raw")
        tenor.encode_corpus(folder / f"{name}-raw", folder / name, encoder=f"like:{folder / 'english'}")
    for level in ("conversation", "author"):
        tenor.train_model(
            level, folder / "english", 1, model_path=folder / level, hidden_size=8, num_heads=2, copies="ignore",
            progress=False, device="cpu",
        )  # fmt: skip
    return folder


@pytest.mark.parametrize("level", ["conversation", "author"])
def test_shares_are_those_of_a_plain_loop(folder: Path, level: Level) -> None:
    lexical = load_model(folder / level).lexical
    assert lexical is not None
    columns = {int(column) for model in lexical.models.values() for column in model.columns}
    view = view_sequences(
        open_corpus(folder / "german"), level
    )  # an author's own messages, whatever stands beside
    found = lexical.read(view)[1]
    for texts, share in zip(view.texts(), found.tolist(), strict=True):
        words = [
            (column, times)
            for text in texts
            for _, column, times in list_ngrams(text, SPACE)
            if column < SPACE.word_columns
        ]
        total = sum(times for _, times in words)
        known = sum(times for column, times in words if column in columns)
        assert np.isnan(share) if total == 0 else share == pytest.approx(known / total)
    assert np.isnan(found).sum() == (6 if level == "conversation" else 12)
    assert len(set(found[~np.isnan(found)].tolist())) > 10
    order = np.random.default_rng(0).permutation(len(view))
    np.testing.assert_array_equal(lexical.read(view.select(order))[1], found[order])


def test_what_is_usual_leaves_out_who_says_nothing() -> None:
    shares = np.append(np.linspace(0, 1, 101), [np.nan, np.nan])
    expected = {"median": 0.5, "low": 0.05, "below": 5 / 101, "at_most": 6 / 101, "texts": 101}
    assert summarize_shares(shares) == pytest.approx(expected)
    zeros = summarize_shares(np.array([0.0] * 3 + [1.0] * 17))
    assert zeros == pytest.approx({"median": 1, "low": 0, "below": 0, "at_most": 0.15, "texts": 20})
    assert summarize_shares(np.array([np.nan])) is None


def test_another_language_is_said_by_row_and_by_file(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    usual = read_metadata(folder / "conversation").training["known_words"]
    assert usual["low"] > 0.6
    with caplog.at_level(logging.WARNING):
        german = tenor.predict(folder / "conversation", folder / "german", split="all")
    assert german.known_words is not None and german.known_words.dtype == np.float32
    assert np.isnan(german.known_words).sum() == 6
    assert np.nanmax(german.known_words) < usual["low"]
    train = tenor.predict(folder / "conversation", folder / "english", split="train").known_words
    validation = tenor.predict(folder / "conversation", folder / "english", split="validation").known_words
    assert train is not None and validation is not None
    assert usual == pytest.approx(summarize_shares(validation.astype(np.float64)))
    assert usual != pytest.approx(summarize_shares(train.astype(np.float64)))
    said = [record.getMessage() for record in caplog.records]
    assert any("54 of 54 sequences have less than" in line for line in said)
    assert any("6 sequences have no word" in line for line in said)
    caplog.clear()
    later = tenor.predict(folder / "conversation", folder / "later", split="all")
    tenor.predict(folder / "conversation", folder / "english", split="test")
    assert caplog.records == []
    assert later.known_words is not None and np.median(later.known_words) > 0.9


def test_the_command_and_inspect_say_it(
    folder: Path, tmp_path: Path, run_cli: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    def run(*arguments: object) -> str:
        done = run_cli(*arguments)
        assert done.code == 0, done.err
        return " ".join(done.out.split())

    output = tmp_path / "scores.parquet"
    command = ["predict", folder / "author", folder / "mixed", "--split", "all", "-o", output]
    said = run(*command)
    shares = tenor.read_predictions(output).known_words
    assert shares is not None
    below = int((shares < np.float32(read_metadata(folder / "author").training["known_words"]["low"])).sum())
    assert 120 <= below < 140
    assert f"unlike the training's texts: {below} of 400 sequences have less than" in said
    said = run("inspect", output, "--top", 3, "--csv", tmp_path / "scores.csv")
    assert "rows without a word 0" in said and "known words" in said.partition("highest scores")[2]
    header, *rows = (tmp_path / "scores.csv").read_text(encoding="utf-8-sig").splitlines()
    place = header.split(",").index("known_words")
    assert sum(float(row.split(",")[place]) < 0.5 for row in rows) == 120
    run("profile", folder / "author", output, "--output", tmp_path / "p.parquet")
    assert any(f"{below} of 400 sequences have less" in record.getMessage() for record in caplog.records)
    people, sequences = tenor.read_predictions(tmp_path / "p.parquet"), tenor.read_predictions(output)
    assert (
        people.known_words is not None and sequences.known_words is not None and sequences.authors is not None
    )
    for author in ("a0", "b7", "a49"):  # each sequence as often as it has messages
        for split in set(sequences.splits[sequences.authors == author].tolist()):
            rows = (sequences.authors == author) & (sequences.splits == split)
            mean = np.average(sequences.known_words[rows], weights=sequences.lengths[rows])
            found = people.known_words[(people.authors == author) & (people.splits == split)]
            np.testing.assert_allclose(found, [mean], rtol=1e-6)


def test_blocks_are_counted_together(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write() -> tuple[str, ...]:
        output = tmp_path / "scores.parquet"
        return tenor.evaluation.predict_to_file(
            folder / "author", folder / "mixed", output, split="all", device="cpu"
        ).doubts

    whole = write()
    monkeypatch.setattr("tenor.evaluation.streaming.BLOCK_MESSAGES", 100)
    assert write() == whole and "of 400 sequences" in whole[0]


def test_an_update_keeps_what_is_known(folder: Path, tmp_path: Path) -> None:
    old = tenor.predict(folder / "author", folder / "later", split="all")
    fresh = tenor.predict(folder / "author", folder / "mixed", split="all")
    marked = dataclasses.replace(old, known_words=np.full(len(old), 0.25, np.float32))
    updated = tenor.predict(folder / "author", folder / "mixed", split="all", update=marked)
    is_old = np.isin(updated.ids, old.ids)
    assert updated.known_words is not None and fresh.known_words is not None
    assert (updated.known_words[is_old] == np.float32(0.25)).all()
    np.testing.assert_array_equal(updated.known_words[~is_old], fresh.known_words[~is_old])
    anew = tenor.predict(folder / "author", folder / "mixed", split="all", update=old.select([]))
    np.testing.assert_array_equal(anew.known_words, fresh.known_words)
    silent = dataclasses.replace(old, known_words=None)  # as earlier versions wrote them
    assert tenor.predict(folder / "author", folder / "mixed", split="all", update=silent).known_words is None


def test_notes_of_test_and_of_profiles(folder: Path, tmp_path: Path) -> None:
    test = write_chats(tmp_path / "german.jsonl", GERMAN, 40)
    rows = [json.loads(line) | {"split": "test"} for line in test.read_text().splitlines()]
    trained = [json.loads(line) for line in (folder / "english.jsonl").read_text().splitlines()]
    rows += [row | {"split": "train" if i % 3 else "validation"} for i, row in enumerate(trained)]
    (tmp_path / "all.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    tenor.import_corpus(tmp_path / "all.jsonl", tmp_path / "raw", split_by="conversation")
    corpus = tenor.encode_corpus(tmp_path / "raw", tmp_path / "all", encoder=f"like:{folder / 'english'}")
    for model, level in ((folder / "conversation", "conversation"), (folder / "author", "author")):
        notes = tenor.test_model(level, model, corpus, baselines=False)["notes"]
        count = 40 if level == "conversation" else 80  # of test alone
        assert any(note.startswith(f"{count} of {count} sequences have less than") for note in notes)
    one = tenor.evaluate_profile_classifier(folder / "author", corpus, baselines=False)
    all_of_them = tenor.compare_aggregation_methods(folder / "author", corpus, baselines=False).values()
    of_all = [note for results in all_of_them for note in results.get("notes", ())]
    for notes in (one["notes"], of_all):
        assert len([note for note in notes if "80 of 80 sequences have less than" in note]) == 1
    report = tenor.report_run(folder / "conversation", corpus)
    assert any("40 of 40 sequences have less than" in note for note in report.sections[0].notes)
    english = tenor.test_model("author", folder / "author", folder / "english", baselines=False)
    assert not any("known words" in note for note in english["notes"])


def test_counts_add_up_and_chance_is_not_said(folder: Path) -> None:
    table = tenor.predict(folder / "conversation", folder / "later", split="all")

    def say(
        below: int, rows: int, texts: int, *, low: float = 0.5, usual: float = 0.05, lower: float = 0.0
    ) -> tuple[str, ...]:
        shares = np.full(rows, 1.0, np.float32)
        shares[:below] = low - lower
        part = table.select(np.arange(rows) % len(table))
        part = dataclasses.replace(part, known_words=shares, labels=np.full(rows, -1))
        of_validation = {"below": usual, "at_most": 1.0} if lower else {"below": 0.0, "at_most": usual}
        found = Familiarity({"median": 0.9, "low": low, "texts": texts, **of_validation})
        for some in (np.arange(rows // 3), np.arange(rows // 3, rows)):
            found.count(part.select(some))
        assert sum(map(len, found.shares)) == rows
        return found.remarks()

    assert say(100, 2000, 10_000) == ()  # as usual
    assert say(150, 2000, 10_000) == ()  # half as many again
    (said,) = say(160, 2000, 10_000)
    assert said.startswith(
        "160 of 2,000 sequences have at most 50% known words, as 5% of validation's had (the middle one has 100%, "
    )
    assert say(160, 2000, 100) == ()  # validation's own share is that unsure
    assert say(6, 40, 10_000) == () != say(7, 40, 10_000)  # three standard errors of 2
    assert say(300, 2000, 1000, low=0.0, usual=0.15) == ()  # short messages: many have no known word
    assert len(say(1900, 2000, 1000, low=0.0, usual=0.15)) == 1
    assert say(60, 2000, 1000, low=1.0, usual=0.03, lower=0.4) == ()  # long ones: most know every word
    (said,) = say(1900, 2000, 1000, low=1.0, usual=0.03, lower=0.4)
    assert said.startswith(
        "1,900 of 2,000 sequences have less than 100% known words, as 3% of validation's had"
    )
    without = dataclasses.replace(table, known_words=None)
    assert Familiarity(None).count(without).remarks() == ()
    metadata = read_metadata(folder / "conversation")
    assert Familiarity.of(metadata).usual == metadata.training["known_words"]
    for damaged in ({}, {"known_words": None}, {"known_words": {"low": "much"}}):
        assert Familiarity.of(dataclasses.replace(metadata, training=damaged)).usual is None


def test_what_the_model_was_trained_on_does_not_hide_the_rest(folder: Path) -> None:
    """Labelled training rows are left out; those of people whom nobody labelled stand in that split by chance."""
    table = tenor.predict(folder / "conversation", folder / "later", split="all")
    found = Familiarity(None).count(dataclasses.replace(table, labels=np.zeros(len(table), np.int64)))
    assert 0 < sum(map(len, found.shares)) == (table.splits != "train").sum() < len(table)
    assert sum(map(len, Familiarity(None).count(table).shares)) == len(table)


def test_files_hold_the_column_and_earlier_ones_do_not(folder: Path, tmp_path: Path) -> None:
    table = tenor.predict(folder / "conversation", folder / "german", split="all")
    path = tenor.write_predictions(table, tmp_path / "a.parquet")
    again = tenor.read_predictions(path)
    np.testing.assert_array_equal(again.known_words, table.known_words)
    of_test = tenor.read_predictions(path, splits=["test"])
    np.testing.assert_array_equal(of_test.known_words, table.in_split("test").known_words)
    bare = dataclasses.replace(table, known_words=None)
    assert tenor.read_predictions(tenor.write_predictions(bare, tmp_path / "b.parquet")).known_words is None
    halves = [table.select(np.arange(30)), bare.select(np.arange(30, 60))]
    assert tenor.concatenate_predictions(halves).known_words is None
    with pytest.raises(tenor.errors.UsageError, match="known_words must be in"):
        dataclasses.replace(table, known_words=np.full(len(table), 1.5, np.float32))


def test_a_profile_file_of_familiar_texts_is_silent(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tenor.predict(folder / "author", folder / "later", split="all", output=tmp_path / "s.parquet")
    profiles_to_file(folder / "author", tmp_path / "s.parquet", tmp_path / "p.parquet")
    assert not any("known words" in record.getMessage() for record in caplog.records)
