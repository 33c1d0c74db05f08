"""Corpora from outside of those on which tenor's defaults were chosen, in tenor's form, for `accuracy.py`.

Written from packages of PyPI, which are fetched and not installed:

- **reviews** (customers, 300), **editorials** (498), **films** (10,605 single sentences of reviews) and **tweets**
  (4,200): their sentences as messages; is the mean of what 20 raters gave each sentence positive, of editorials above
  the median? Hutto & Gilbert 2014, "VADER: A Parsimonious Rule-based Model for Sentiment Analysis of Social Media
  Text" (vaderSentiment 0.5);
- **office**: the talk of a television series, 20 lines a conversation, an episode in one split; is it of the sixth
  season or later, and is the speaker a woman? Speakers are told apart by episode (schrutepy 0.1.3).

    python benchmarks/outside.py --out outside
    python benchmarks/accuracy.py --corpora outside/*.jsonl.gz --seeds 5 --out bench-out/outside.jsonl
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import json
import statistics
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

PACKAGES = ("vaderSentiment==0.5", "schrutepy==0.1.3")
LINES = 20  # a conversation of the series; a rest of fewer than half is left out
WOMEN = frozenset(
    "Pam Angela Erin Phyllis Kelly Jan Meredith Holly Nellie Karen Jo Donna Carol Katy Val Helene Jessica "
    "Cathy Susan".split()
)
MEN = frozenset(
    "Michael Dwight Jim Andy Kevin Oscar Ryan Darryl Toby Stanley Gabe Robert Creed David Clark Charles Roy Pete "
    "Deangelo DeAngelo Danny Packer Josh Nate Brian Hank Nick".split()
)

Row = dict[str, Any]


def read_snippets(archive: tarfile.TarFile, name: str) -> dict[str, list[tuple[float, str]]]:
    """A document's sentences with their mean ratings, by its number."""
    file = archive.extractfile(f"hutto_ICWSM_2014/{name}_GroundTruth.txt")
    assert file is not None
    documents: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for line in file.read().decode("utf-8", errors="replace").splitlines():
        number, rating, text = line.split("\t", 2)
        documents[number.split("_")[0]].append((float(rating), text))
    return documents


def rate_documents(documents: dict[str, list[tuple[float, str]]], *, by_median: bool) -> Iterator[Row]:
    """A conversation a document: is its mean rating above 0, or above the median of all?"""
    means = {number: statistics.fmean(rating for rating, _ in found) for number, found in documents.items()}
    bound = statistics.median_high(means.values()) if by_median else 0.0
    for number, found in documents.items():
        messages = [{"author": f"writer {number}", "text": text} for _, text in found]
        yield {"conversation_id": number, "messages": messages, "label": int(means[number] > bound)}


def cut_episodes(lines: Iterable[dict[str, str]]) -> Iterator[Row]:
    """A conversation every LINES lines of an episode."""
    episodes: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for line in lines:
        episodes[f"{line['season']}x{line['episode']}"].append((line["character"], line["text"]))
    for episode, spoken in episodes.items():
        for first in range(0, len(spoken) - LINES // 2 + 1, LINES):
            part = spoken[first : first + LINES]
            speakers = {speaker for speaker, _ in part} & (WOMEN | MEN)
            yield {
                "conversation_id": f"{episode}-{first}",
                "group": episode,
                "messages": [{"author": f"{episode}:{speaker}", "text": text} for speaker, text in part],
                "label": int(int(episode.split("x")[0]) >= 6),
                "author_labels": {
                    f"{episode}:{speaker}": int(speaker in WOMEN) for speaker in sorted(speakers)
                },
            }


def write_corpus(path: Path, rows: Iterable[Row]) -> None:
    """One JSON line a conversation; says how many."""
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.writelines(lines)
    print(f"{path}: {len(lines):,} conversations")


def main() -> None:
    """Fetch the packages and write the corpora."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("outside"), help="folder of the corpora")
    out: Path = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        fetch = "pip download --quiet --no-deps --dest".split()
        subprocess.run([sys.executable, "-m", *fetch, scratch, *PACKAGES], check=True)
        with zipfile.ZipFile(Path(scratch) / "vaderSentiment-0.5.zip") as package:
            inner = package.read("vaderSentiment-0.5/additional_resources/hutto_ICWSM_2014.tar.gz")
        with tarfile.open(fileobj=io.BytesIO(inner)) as archive:
            for name, source in (
                ("reviews", "amazonReviewSnippets"),
                ("editorials", "nytEditorialSnippets"),
                ("films", "movieReviewSnippets"),
                ("tweets", "tweets"),
            ):
                documents = read_snippets(archive, source)
                write_corpus(
                    out / f"{name}.jsonl.gz", rate_documents(documents, by_median=name == "editorials")
                )
        with tarfile.open(Path(scratch) / "schrutepy-0.1.3.tar.gz") as archive:
            file = archive.extractfile("schrutepy-0.1.3/data/schrute.csv")
            assert file is not None
            lines = csv.DictReader(io.TextIOWrapper(file, encoding="utf-8", newline=""))
            write_corpus(out / "office.jsonl.gz", cut_episodes(lines))


if __name__ == "__main__":
    main()
