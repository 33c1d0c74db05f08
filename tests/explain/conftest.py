"""A corpus with one telling message a bad conversation, models that found it, and models with random weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tenor.corpus.importing import import_corpus
from tenor.lexical import LexicalPrior, fit_lexical
from tenor.lexical.surface import SURFACE_FEATURES, SurfaceModel
from tenor.linear import LinearModel
from tenor.models.model_file import ModelMetadata, save_model
from tenor.models.sequence import SequenceClassifier
from tenor.training.train import train_model

WORDS = "yes no maybe fine later today game match talk think read play good hello thanks sure why".split()
INPUT_SIZE = 6


def make_planted_records(count: int = 240, *, seed: int = 0) -> list[dict[str, Any]]:
    """Conversations of two authors; every third author is guilty and gives one message of each away."""
    generator = np.random.default_rng(seed)
    records = []
    for index in range(count):
        pair = [int(number) for number in generator.choice(60, size=2, replace=False)]
        turns = [0, 1, *generator.integers(0, 2, size=int(generator.integers(2, 7))).tolist()]
        telling = {
            int(generator.choice(np.flatnonzero(np.array(turns) == side)))
            for side in (0, 1)
            if pair[side] % 3 == 0
        }
        messages = []
        for position, side in enumerate(turns):
            vector = generator.normal(size=INPUT_SIZE)
            vector[0] += 4.0 * (position in telling)
            words = [str(word) for word in generator.choice(WORDS, size=4)]
            text = " ".join(words + ["villain"] * (position in telling))
            features = [float(np.float16(value)) for value in vector]
            messages.append({"author": f"author-{pair[side]}", "text": text, "features": features})
        labels = {f"author-{number}": int(number % 3 == 0) for number in pair}
        record = {"conversation_id": f"chat-{index}", "messages": messages, "author_labels": labels}
        records.append(record | {"label": int(bool(telling)), "telling": sorted(telling)})
    return records


def write_corpus(folder: Path, records: list[dict[str, Any]]) -> Path:
    """Import records (but for the key telling) into folder / corpus."""
    folder.mkdir(exist_ok=True)
    source = folder / "chats.jsonl"
    plain = [{key: value for key, value in record.items() if key != "telling"} for record in records]
    source.write_text("".join(json.dumps(record) + "\n" for record in plain))
    return import_corpus(source, folder / "corpus")


@pytest.fixture(scope="session")
def planted_records() -> list[dict[str, Any]]:
    return make_planted_records()


@pytest.fixture(scope="session")
def planted_corpus(planted_records: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The corpus of planted_records; read-only."""
    return write_corpus(tmp_path_factory.mktemp("planted"), planted_records)


@pytest.fixture(scope="session")
def make_corpus(tmp_path_factory: pytest.TempPathFactory) -> Callable[[list[dict[str, Any]]], Path]:
    """A function (records) that imports them and returns the corpus."""
    return lambda records: write_corpus(tmp_path_factory.mktemp("records"), records)


@pytest.fixture(scope="session")
def trained(planted_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Conversation models that found the planted message: by features alone, and by words."""
    folder = tmp_path_factory.mktemp("trained")
    settings: dict[str, Any] = {"num_layers": 1, "num_heads": 2, "kernel_sizes": (3,), "dropout": 0.1}
    settings |= {
        "hidden_size": 16,
        "batch_size": 16,
        "learning_rate": 1e-2,
        "device": "cpu",
        "progress": False,
    }
    epochs = {"none": 12, "lexical": 1}
    return {
        prior: train_model(
            "conversation", planted_corpus, epochs[prior], model_path=folder / prior, prior=prior, **settings
        )
        for prior in epochs
    }


@pytest.fixture(scope="session")
def random_model(
    planted_records: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Path]:
    """A function (level, num_classes, prior, threshold) that writes a model with random weights, its path."""
    texts = ["\n".join(message["text"] for message in record["messages"]) for record in planted_records]

    def make(
        level: str = "conversation", num_classes: int = 2, prior: bool = True, threshold: float | None = None
    ) -> Path:
        with torch.random.fork_rng():
            torch.manual_seed(3)
            model = SequenceClassifier(
                input_size=INPUT_SIZE,
                hidden_size=8,
                num_layers=1,
                num_heads=2,
                kernel_sizes=(3, 5),
                num_classes=num_classes,
                has_prior=prior,
            )
        model.set_scaling(np.linspace(-0.5, 0.5, INPUT_SIZE), np.linspace(0.5, 2.0, INPUT_SIZE))
        metadata = ModelMetadata(
            level=level,  # type: ignore[arg-type]
            config=model.config(),
            classes=tuple(range(num_classes)),
            threshold=threshold,
        )
        labels = [
            int("villain" in text) if num_classes == 2 else i % num_classes for i, text in enumerate(texts)
        ]
        parts = ("own", "others", "peak") if level == "author" else ("own", "peak")
        models = {
            part: fit_lexical(texts[shift:], labels[shift:], num_classes=num_classes)
            for shift, part in enumerate(parts)
        }
        draws = np.random.default_rng(4).normal(
            0, 0.1, (len(SURFACE_FEATURES), 1 if num_classes == 2 else num_classes)
        )
        bounds = np.repeat([[0.1], [4.0]], len(SURFACE_FEATURES), axis=1)
        surface = SurfaceModel(LinearModel(draws, 1 + draws.mean(axis=0)), bounds)
        lexical = LexicalPrior(models, surface) if prior else None  # type: ignore[arg-type]
        path = tmp_path_factory.mktemp("model") / f"{level}.safetensors"
        return save_model(path, model, metadata, lexical=lexical)

    return make
