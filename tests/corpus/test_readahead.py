from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import pytest

from tenor.corpus import readahead
from tenor.corpus.corpus import Corpus, open_corpus
from tenor.corpus.views import view_sequences
from tenor.synthetic import SyntheticPlan, generate_conversations


def test_a_large_corpus_gives_the_same_features(
    write_corpus: Callable[..., Corpus], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = SyntheticPlan(conversations=50, input_size=4)
    corpus = write_corpus(generate_conversations(plan), batch_bytes=4000)
    indices = np.array([40, 3, 17, 3])
    assert not corpus.features.is_read_ahead
    view = view_sequences(corpus, "author")
    expected, texts = view.gather_features(indices), list(view.texts(indices))
    monkeypatch.setattr(readahead, "LEAST_BYTES", 0)
    asked: list[tuple[int, int, int]] = []
    advise = readahead._advise

    def note(address: int, size: int, advice: int) -> None:
        asked.append((advice, address, size))
        advise(address, size, advice)

    monkeypatch.setattr(readahead, "_advise", note)
    large = open_corpus(corpus.path, verify=False)
    assert large.features.is_read_ahead
    assert (1, corpus.info.files[0].num_bytes) in [
        (advice, size) for advice, _, size in asked
    ]  # all of the file
    asked.clear()
    view = view_sequences(large, "author")
    features = [chunk.ctypes.data for chunk in large.feature_chunks]
    assert not any(address in features for _, address, _ in asked)  # a view reads none
    assert np.array_equal(view.gather_features(indices), expected)
    assert list(view.texts(indices)) == texts


def test_what_is_read_next_is_brought_in_order_and_in_bounds() -> None:
    size, asked = readahead._BYTES_AHEAD // 4, list[int]()
    handed = []
    for item in readahead.bring_ahead(range(20), asked.append, lambda _: size):
        handed.append(item)
        assert len(asked) <= item + 4  # itself and three, which with it are as many bytes as may be
    assert handed == asked == list(range(20))
    large = readahead.bring_ahead(range(3), lambda _: None, lambda _: 100 * size)
    assert list(large) == [0, 1, 2]
    assert list(readahead.bring_ahead([], asked.append, lambda _: size)) == []


def test_what_fails_while_it_is_brought_is_raised_in_its_turn() -> None:
    def fail(item: int) -> None:
        if item == 2:
            raise OSError("the disk has gone")

    handed = readahead.bring_ahead(range(5), fail, lambda _: 0)
    assert [next(handed), next(handed)] == [0, 1]
    with pytest.raises(OSError, match="the disk has gone"):
        next(handed)


def test_who_stops_early_waits_for_one_item_at_most() -> None:
    begun, go_on = list[int](), threading.Event()

    def hold(item: int) -> None:
        begun.append(item)
        if item > 0:
            go_on.wait(60)

    handed = readahead.bring_ahead(range(20), hold, lambda _: 0)
    assert next(handed) == 0
    threading.Timer(0.2, go_on.set).start()
    handed.close()
    assert begun in ([0], [0, 1])


def test_what_is_larger_than_may_be_ahead_is_not_brought() -> None:
    brought = list[int]()
    sizes = [1, readahead._BYTES_AHEAD + 1, 2]
    assert list(readahead.bring_ahead(range(3), brought.append, sizes.__getitem__)) == [0, 1, 2]
    assert brought == [0, 2]
