"""Small corpora for the tests of this folder, and the plain loops to compare them with."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tenor.corpus.corpus import Corpus, open_corpus
from tenor.corpus.plan import SplitPlan
from tenor.corpus.schema import Conversation
from tenor.corpus.writer import CorpusWriter


@pytest.fixture(scope="session")
def loops() -> ModuleType:
    """tests/reference/corpus_loop.py"""
    path = Path(__file__).parents[1] / "reference" / "corpus_loop.py"
    spec = importlib.util.spec_from_file_location("corpus_loop", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["corpus_loop"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def write_corpus(tmp_path: Path) -> Callable[..., Corpus]:
    """A function (conversations, plan, **options of CorpusWriter) that writes and opens a corpus."""

    def write(conversations: list[Conversation], plan: SplitPlan | None = None, **options: Any) -> Corpus:  # noqa: ANN401 - handed on
        path = tmp_path / f"corpus-{len(list(tmp_path.iterdir()))}"
        with CorpusWriter(path, split=SplitPlan() if plan is None else plan, **options) as writer:
            for conversation in conversations:
                writer.write(conversation)
        return open_corpus(path)

    return write
