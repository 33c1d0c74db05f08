"""One small corpus and two small trained models, for everything that is evaluated."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tenor.corpus.importing import import_corpus
from tenor.predictions import Predictions
from tenor.synthetic import SyntheticPlan, generate_conversations, write_jsonl
from tenor.training.train import train_model

SMALL: dict[str, Any] = {
    "hidden_size": 16,
    "num_layers": 1,
    "num_heads": 2,
    "kernel_sizes": (3,),
    "batch_size": 16,
    "learning_rate": 3e-3,
    "progress": False,
    "device": "cpu",
    "prior": "none",
}


@pytest.fixture(scope="session")
def train_small() -> Callable[..., Path]:
    """A function (level, corpus, epochs, model_path=..., **options) that trains a tiny model."""

    def train(level: str, corpus: Path, num_epochs: int, **options: Any) -> Path:  # noqa: ANN401 - handed on
        return train_model(level, corpus, num_epochs, **{**SMALL, **options})

    return train


@pytest.fixture(scope="session")
def evaluated_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """240 conversations of 90 authors, a third of them guilty, in half of their conversations; read-only."""
    folder = tmp_path_factory.mktemp("evaluated")
    plan = SyntheticPlan(
        conversations=240,
        messages=5,
        conversations_per_author=8,
        guilty_every=3,
        bad_share=0.5,
        input_size=8,
    )
    source = write_jsonl(generate_conversations(plan), folder / "chats.jsonl")
    return import_corpus(source, folder / "corpus", fractions=(0.4, 0.3, 0.3))


@pytest.fixture
def new_chats(tmp_path: Path) -> Path:
    """30 conversations of people whom nobody has labelled."""
    plan = SyntheticPlan(conversations=30, messages=5, input_size=8, seed=9)
    chats = [dataclasses.replace(chat, label=None, author_labels={}) for chat in generate_conversations(plan)]
    return import_corpus(write_jsonl(chats, tmp_path / "new.jsonl"), tmp_path / "new")


@pytest.fixture(scope="session")
def models(
    evaluated_corpus: Path, train_small: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """Level -> a model of three epochs: better than chance, far from perfect; read-only."""
    folder = tmp_path_factory.mktemp("models")
    return {
        level: train_small(level, evaluated_corpus, 3, model_path=folder / f"{level}.pt")
        for level in ("conversation", "author")
    }


@pytest.fixture
def corpus(evaluated_corpus: Path, tmp_path: Path) -> Path:
    """The corpus in a folder of its own, its test split never read."""
    unread = shutil.ignore_patterns("test_reads.jsonl")  # by tests that score the shared one
    return Path(shutil.copytree(evaluated_corpus, tmp_path / "corpus", ignore=unread))


@pytest.fixture(scope="session")
def simulate() -> Callable[..., Predictions]:
    """A function that simulates predictions of author sequences; see simulate_authors."""
    return simulate_authors


def simulate_authors(
    num_authors: int = 120,
    sequences: int = 6,
    *,
    strength: float = 1.0,
    bad_share: float = 1.0,
    guilty_share: float = 0.4,
    seed: int = 0,
) -> Predictions:
    """Half of the authors in validation, half in test; a guilty author's bad sequences have higher logits.

    Args:
        num_authors: how many.
        sequences: of each author.
        strength: how far the logits of bad sequences stand above the others, in standard deviations.
        bad_share: of a guilty author's sequences.
        guilty_share: of the authors.
        seed: of the logits; the rows and labels are the same for all seeds.
    """
    rows = np.random.default_rng(7)
    author = np.repeat(np.arange(num_authors), sequences)
    guilty = rows.random(num_authors) < guilty_share
    bad = guilty[author] & (rows.random(len(author)) < bad_share)
    logits = np.random.default_rng(seed).normal(-1.0, 1.0, len(author)) + strength * bad
    names = np.array([f"author-{number:04}" for number in author], dtype=object)
    return Predictions(
        level="author",
        classes=(0, 1),
        conversation_ids=np.array([f"c{index}" for index in range(len(author))], dtype=object),
        authors=names,
        groups=names,
        splits=np.where(author % 2 == 0, "validation", "test").astype(object),
        labels=guilty[author].astype(np.int64),
        lengths=np.full(len(author), 5),
        logits=logits,
        probs=1 / (1 + np.exp(-logits)),
        threshold=0.4,
        model="simulated",
        model_hash="",
    )
