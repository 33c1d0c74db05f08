"""Strings sorted in bounded memory: as Python sorts them, whatever their number, and nothing is left behind."""

from __future__ import annotations

import tempfile
import tracemalloc
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import IO

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenor.corpus import finishing, sorting
from tenor.corpus.importing import import_corpus
from tenor.corpus.plan import SplitPlan
from tenor.corpus.schema import Conversation
from tenor.corpus.sorting import StringSorter
from tenor.corpus.writer import CorpusWriter
from tenor.errors import CorpusError, StorageError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sorting")


@given(st.lists(st.lists(st.text(max_size=3)), max_size=6), st.integers(0, 40))
def test_strings_come_back_sorted_each_as_often_as_it_was_added(
    folder: Path, parts: list[list[str]], run_bytes: int
) -> None:
    sorter = StringSorter(folder, run_bytes=run_bytes)
    for part in parts:
        sorter.add(pa.array(part, pa.string()))
    assert list(sorter) == sorted(text for part in parts for text in part)
    assert list(folder.iterdir()) == []


def test_a_corpus_with_an_id_twice_leaves_no_file_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[IO[bytes]] = []

    def open_file(dir: Path) -> IO[bytes]:  # noqa: A002 - as tempfile names it
        opened.append(tempfile.TemporaryFile(dir=dir))
        return opened[-1]

    monkeypatch.setattr(finishing, "StringSorter", partial(StringSorter, run_bytes=10))
    monkeypatch.setattr(sorting, "tempfile", SimpleNamespace(TemporaryFile=open_file))
    with (
        pytest.raises(CorpusError, match="'c3' more than once"),
        CorpusWriter(tmp_path / "corpus", split=SplitPlan(), has_text=True) as writer,
    ):
        for number in (*range(20), 3):
            writer.write(Conversation(f"c{number}", ["first author", "second author"], texts=["x", "y"]))
    assert len(opened) == 4
    assert all(file.closed for file in opened)


def test_many_runs_of_many_blocks_are_merged_with_little_of_them_in_memory(folder: Path) -> None:
    generator = np.random.default_rng(0)
    sorter = StringSorter(folder, run_bytes=1 << 20)
    numbers = generator.integers(0, 300_000, (12, 50_000))  # some equal within a run, some across
    for row in numbers:
        sorter.add(pa.array([f"author-{number:06d}" for number in row.tolist()]))
    expected = np.sort(numbers, axis=None)
    pool = pa.default_memory_pool()
    before, place = pool.bytes_allocated(), 0
    tracemalloc.start()
    for text in sorter:
        assert int(text[7:]) == expected[place]
        place += 1
        if place % 10_000 == 0:
            assert pool.bytes_allocated() - before < 2 << 20  # all strings take 11 MB
    assert place == expected.size
    assert tracemalloc.get_traced_memory()[1] < 4 << 20
    tracemalloc.stop()


def test_a_disk_that_fills_up_while_ids_are_sorted_leaves_nothing(
    small_source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def open_full(dir: Path) -> IO[bytes]:  # noqa: A002 - as tempfile names it
        assert dir.parent == tmp_path
        return open("/dev/full", "w+b", buffering=0)

    monkeypatch.setattr(finishing, "StringSorter", partial(StringSorter, run_bytes=10))
    monkeypatch.setattr(sorting, "tempfile", SimpleNamespace(TemporaryFile=open_full))
    with pytest.raises(StorageError, match=f"cannot write {tmp_path / 'corpus'}: No space left on device"):
        import_corpus(small_source, tmp_path / "corpus")
    assert list(tmp_path.iterdir()) == []
