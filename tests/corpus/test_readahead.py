from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tenor.corpus import readahead
from tenor.corpus.corpus import Corpus
from tenor.corpus.views import view_sequences
from tenor.synthetic import SyntheticPlan, generate_conversations


def test_the_pages_of_wanted_rows_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    array = np.memmap(
        tmp_path / "array", np.float32, "w+", shape=(1000, 1024)
    )  # a row is one page of 4096 bytes
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(readahead, "_advise", lambda address, size, advice: asked.append((address, size)))
    base = array.ctypes.data
    readahead.will_need(array, np.array([700, 3, 5, 4, 3, 12, 400]))
    assert asked == [(base + 3 * 4096, 10 * 4096), (base + 400 * 4096, 4096), (base + 700 * 4096, 4096)]
    readahead.will_need(array, np.array([], dtype=np.int64))
    assert len(asked) == 3


def test_a_large_corpus_gives_the_same_features(
    write_corpus: Callable[..., Corpus], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = SyntheticPlan(conversations=50, input_size=4)
    corpus = write_corpus(generate_conversations(plan), batch_bytes=4000)
    indices = np.array([40, 3, 17, 3])
    assert not corpus.is_read_ahead
    expected = view_sequences(corpus, "author").gather_features(indices)
    monkeypatch.setattr(readahead, "LEAST_BYTES", 0)
    large = type(corpus)(corpus.path, corpus.info, corpus.table, corpus.is_verified)
    assert large.is_read_ahead
    assert np.array_equal(view_sequences(large, "author").gather_features(indices), expected)
