"""Names that stand for authors who are not known: import says that each counts as one person."""

from __future__ import annotations

import json
from pathlib import Path

from tenor.corpus.corpus import open_corpus
from tenor.corpus.importing import import_corpus, import_with_summary


def write(authors: list[list[str]], path: Path) -> Path:
    rows = [
        {
            "conversation_id": f"{path.stem}{number}",
            "messages": [{"author": name, "text": "hi"} for name in names],
        }
        for number, names in enumerate(authors)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_names_of_nobody_are_counted_by_sequence(tmp_path: Path) -> None:
    authors = [["[deleted]", "ann", "[deleted]"], ["ann", "[Deleted] "], ["none", "nonesuch"], ["bob"]]
    summary = import_with_summary(write(authors, tmp_path / "a.jsonl"), tmp_path / "corpus")
    assert (summary.nobody_sequences, summary.author_sequences) == (3, 7)
    said = [line for line in summary.lines() if "stands for nobody" in line]
    assert said == [
        "3 of 7 author sequences are of a name that stands for nobody ([deleted], unknown, none, ...), each "
        "of which counts as one person who spoke in all of them: give each row a name of its own, or leave it out"
    ]


def test_an_append_counts_the_whole_corpus(tmp_path: Path) -> None:
    one, two = (write([["[deleted]", name]], tmp_path / f"{name}.jsonl") for name in ("ann", "bob"))
    corpus = import_corpus(one, tmp_path / "corpus")
    assert open_corpus(corpus).info.counts["nobody_sequences"] == 1
    summary = import_with_summary(two, corpus, append=True)
    assert (summary.nobody_sequences, summary.author_sequences) == (2, 4)


def test_one_nobody_or_none_is_not_worth_a_word(tmp_path: Path) -> None:
    for number, authors in enumerate(([["unknown", "ann"]], [["ann"], ["deleted-1"]])):
        summary = import_with_summary(
            write(authors, tmp_path / f"{number}.jsonl"), tmp_path / f"corpus{number}"
        )
        assert not any("stands for nobody" in line for line in summary.lines())
    assert "nobody_sequences" not in open_corpus(tmp_path / "corpus1").info.counts
