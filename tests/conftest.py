"""What every test may use: hypothesis profiles, and small corpora with planted evidence.

The evidence is simple on purpose: a guilty author's messages are shifted in every feature and say a telling
word, so that a model that works finds it within a few epochs.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "default",
    max_examples=100,
    deadline=None,  # the machine is shared: slow is no failure
    derandomize="CI" in os.environ,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("long", settings.get_profile("default"), max_examples=2000)
settings.load_profile("default")

WORDS = (
    "yes no maybe fine later today game match talk think read play good hello thanks sure why when".split()
)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Tensors as small as the tests' cost more to share out than to compute."""
    import torch

    torch.set_num_threads(1)


@dataclass(frozen=True)
class Finished:
    """What a command left: its exit code and what it printed."""

    code: int
    out: str
    err: str


@pytest.fixture
def run_cli(capsys: pytest.CaptureFixture[str]) -> Callable[..., Finished]:
    """A function (*arguments) that runs ``tenor`` in this process and returns what a shell would see."""
    from tenor.cli import main

    def run(*arguments: object) -> Finished:
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        code = caught.value.code
        return Finished(code if isinstance(code, int) else 0 if code is None else 1, printed.out, printed.err)

    return run


def make_records(
    num_conversations: int = 80, *, num_authors: int = 40, input_size: int | None = 8, seed: int = 0
) -> list[dict[str, Any]]:
    """Conversations as the JSONL objects that a user writes, a third of the authors guilty.

    Args:
        num_conversations: how many.
        num_authors: the authors to draw two to three participants from.
        input_size: width of the features; None = texts only.
        seed: of everything.
    """
    generator = np.random.default_rng(seed)
    guilty = {f"author-{i}" for i in range(0, num_authors, 3)}
    records = []
    for index in range(num_conversations):
        chosen = generator.choice(num_authors, size=int(generator.integers(2, 4)), replace=False)
        participants = [f"author-{i}" for i in chosen]
        turns = participants + [
            str(a) for a in generator.choice(participants, size=int(generator.integers(0, 8)))
        ]
        messages = []
        for turn, author in enumerate(turns):
            words = [str(word) for word in generator.choice(WORDS, size=4)] + ["villain"] * (author in guilty)
            message: dict[str, Any] = {
                "author": author,
                "text": " ".join(words),
                "timestamp": 1e9 + index * 1e4 + turn,
            }
            if input_size is not None:
                vector = generator.normal(size=input_size) + 2.0 * (author in guilty)
                message["features"] = [float(np.float16(value)) for value in vector]
            messages.append(message)
        labels = {author: int(author in guilty) for author in participants}
        record = {"conversation_id": f"conversation-{index}", "messages": messages}
        records.append(record | {"label": int(any(labels.values())), "author_labels": labels})
    return records


def write_jsonl(path: Path, records: list[dict[str, Any]]) -> Path:
    """Write records as JSON lines."""
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def write_source() -> Callable[..., Path]:
    """A function (path, **options of make_records) that writes a JSONL source and returns its path."""

    def write(path: Path, **options: Any) -> Path:  # noqa: ANN401 - handed on
        return write_jsonl(path, make_records(**options))

    return write


@pytest.fixture(scope="session")
def small_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A JSONL file of 80 conversations with texts and 8 features a message; read-only."""
    return write_jsonl(tmp_path_factory.mktemp("source") / "small.jsonl", make_records())


@pytest.fixture(scope="session")
def small_corpus(small_source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The analyzed corpus of small_source; read-only."""
    from tenor.corpus.importing import import_corpus

    return import_corpus(small_source, tmp_path_factory.mktemp("corpus") / "small")


@pytest.fixture(scope="session")
def prior_by_loop() -> Callable[..., np.ndarray]:
    found: Callable[..., np.ndarray] = load_reference("prior_loop").prior_by_loop
    return found


@pytest.fixture(scope="session")
def surface_by_loop() -> Callable[..., dict[str, float]]:
    found: Callable[..., dict[str, float]] = load_reference("surface_loop").surface_by_loop
    return found


def load_reference(name: str) -> ModuleType:
    """A module of tests/reference."""
    folder = str(Path(__file__).parent / "reference")
    sys.path.insert(0, folder)  # they may import each other
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(folder)
