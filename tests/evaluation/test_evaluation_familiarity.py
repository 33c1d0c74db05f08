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
    """``english``, and chats to be scored: ``german``, ``mixed`` (an eighth of it) and ``later`` English ones."""
    folder = tmp_path_factory.mktemp("familiarity")
    tenor.import_corpus(write_chats(folder / "english.jsonl", ENGLISH, 300), folder / "raw")
    tenor.encode_corpus(folder / "raw", folder / "english", input_size=8)
    write_chats(folder / "german.jsonl", GERMAN, 60, empty=6, labelled=False)
    later = write_chats(folder / "later.jsonl", ENGLISH, 140, labelled=False)
    german = write_chats(folder / "some.jsonl", GERMAN, 20, labelled=False)
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
    assert summarize_shares(shares) == {"median": 0.5, "low": pytest.approx(0.05), "texts": 101}
    assert summarize_shares(np.array([np.nan])) is None


def test_another_language_is_said_by_row_and_by_file(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    usual = read_metadata(folder / "conversation").training["known_words"]
    assert usual["low"] > 0.6
    with caplog.at_level(logging.WARNING):
        german = tenor.predict(folder / "conversation", folder / "german", split="all")
    assert german.known_words is not None and german.known_words.dtype == np.float32
    assert np.isnan(german.known_words).sum() == 6
    assert np.nanmax(german.known_words) < usual["low"]
    said = [record.getMessage() for record in caplog.records]
    assert any(
        "54 of 54 sequences have fewer words in common with training than 95%" in line for line in said
    )
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
    below = int((shares < read_metadata(folder / "author").training["known_words"]["low"]).sum())
    assert 40 <= below < 60
    assert f"unlike the training's texts: {below} of 320 sequences have fewer words" in said
    said = run("inspect", output, "--top", 3, "--csv", tmp_path / "scores.csv")
    assert "rows without a word 0" in said and "known words" in said.partition("highest scores")[2]
    header, *rows = (tmp_path / "scores.csv").read_text(encoding="utf-8-sig").splitlines()
    place = header.split(",").index("known_words")
    assert sum(float(row.split(",")[place]) < 0.5 for row in rows) == 40
    run("profile", folder / "author", output, "--output", tmp_path / "p.parquet")
    assert any(f"{below} of 320 sequences have fewer" in record.getMessage() for record in caplog.records)
    assert tenor.read_predictions(tmp_path / "p.parquet").known_words is None


def test_an_update_keeps_what_is_known(folder: Path, tmp_path: Path) -> None:
    old = tenor.predict(folder / "author", folder / "later", split="all")
    fresh = tenor.predict(folder / "author", folder / "mixed", split="all")
    marked = dataclasses.replace(old, known_words=np.full(len(old), 0.25, np.float32))
    updated = tenor.predict(folder / "author", folder / "mixed", split="all", update=marked)
    is_old = np.isin(updated.ids, old.ids)
    assert updated.known_words is not None and fresh.known_words is not None
    assert (updated.known_words[is_old] == np.float32(0.25)).all()
    np.testing.assert_array_equal(updated.known_words[~is_old], fresh.known_words[~is_old])
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
        assert any("sequences have fewer words in common with training" in note for note in notes)
    one = tenor.evaluate_profile_classifier(folder / "author", corpus, baselines=False)
    all_of_them = tenor.compare_aggregation_methods(folder / "author", corpus, baselines=False).values()
    of_all = [note for results in all_of_them for note in results.get("notes", ())]
    for notes in (one["notes"], of_all):
        assert len([note for note in notes if "80 of 80 sequences have fewer words" in note]) == 1
    report = tenor.report_run(folder / "conversation", corpus)
    assert any("40 of 40 sequences have fewer words" in note for note in report.sections[0].notes)
    english = tenor.test_model("author", folder / "author", folder / "english", baselines=False)
    assert not any("fewer words" in note for note in english["notes"])


def test_counts_add_up_and_chance_is_not_said(folder: Path) -> None:
    table = tenor.predict(folder / "conversation", folder / "later", split="all").select(range(40))
    low = np.full(len(table), 0.9, np.float32)

    def below(count: int) -> tuple[str, ...]:
        shares = low.copy()
        shares[:count] = 0.1
        half = len(table) // 2
        found, rows = Familiarity(0.5), dataclasses.replace(table, known_words=shares)
        for part in (np.arange(half), np.arange(half, len(table))):
            found.count(rows.select(part))
        assert (found.with_words, found.below, found.wordless) == (40, count, 0)
        return found.remarks()

    assert below(2) == below(6) == ()  # two are usual, and six within three standard deviations of that
    assert len(below(7)) == 1
    without = dataclasses.replace(table, known_words=None)
    assert Familiarity(0.5).count(without).remarks() == ()
    metadata = read_metadata(folder / "conversation")
    for damaged in ({}, {"known_words": None}, {"known_words": {"low": "much"}}):
        assert Familiarity.of(dataclasses.replace(metadata, training=damaged)).low is None


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
    assert not any("fewer words" in record.getMessage() for record in caplog.records)
