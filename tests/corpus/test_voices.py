"""Who speaks, in groups too large for everything to be read beside every author."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tenor.corpus import voices
from tenor.corpus.corpus import open_corpus
from tenor.corpus.importing import import_corpus
from tenor.corpus.views import SequenceView, view_sequences
from tenor.corpus.voices import count_spoken, lay_out_turns, read_voice


@pytest.fixture
def group_chats(tmp_path: Path) -> SequenceView:
    """Three chats of one to twelve authors, one of whom only speaks once; texts are positions."""
    generator = np.random.default_rng(0)
    lines = []
    for chat, (authors, messages) in enumerate([(12, 150), (1, 8), (2, 9)]):
        names = [f"a{number}" for number in generator.integers(0, authors, messages)]
        names[messages // 2] = "once"
        found = [{"author": name, "text": f"{chat}.{place}"} for place, name in enumerate(names)]
        lines.append(json.dumps({"conversation_id": f"c{chat}", "messages": found}))
    source = tmp_path / "chats.jsonl"
    source.write_text("\n".join(lines))
    return view_sequences(open_corpus(import_corpus(source, tmp_path / "corpus", progress=False)), "author")


def heard_by_loop(names: list[str], author: str, least: int, each: int) -> list[int]:
    """The places of others' messages nearest to one of the author's own: the earlier of two that are as near."""
    own = [place for place, name in enumerate(names) if name == author]
    others = [place for place, name in enumerate(names) if name != author]
    near = sorted(others, key=lambda place: (min(abs(place - mine) for mine in own), place))
    return sorted(near[: max(least, each * len(own))])


@pytest.mark.parametrize(("least", "each"), [(4, 0), (2, 1), (0, 3), (100, 10)])
def test_beside_an_author_the_nearest_messages_are_heard(
    group_chats: SequenceView, monkeypatch: pytest.MonkeyPatch, least: int, each: int
) -> None:
    monkeypatch.setattr(voices, "_LEAST_HEARD", least)
    monkeypatch.setattr(voices, "_HEARD_A_MESSAGE", each)
    view = group_chats
    chats = {chat.conversation_id: chat.authors for chat in view.corpus.conversations()}
    assert view.authors is not None
    rows, owners, is_central = lay_out_turns(view)
    counts = count_spoken(view)
    for index, (chat, author, heard) in enumerate(
        zip(view.conversation_ids, view.authors, read_voice(view, "others"), strict=True)
    ):
        expected = heard_by_loop(list(chats[chat]), author, least, each)
        assert heard == [f"{chat[1:]}.{place}" for place in expected]
        own = [place for place, name in enumerate(chats[chat]) if name == author]
        start = view.corpus.message_offsets[view.conversation_rows()[index]]
        assert (rows[owners == index] - start).tolist() == sorted(own + expected)
        assert (rows[(owners == index) & is_central] - start).tolist() == own
        assert counts[index] == len(own) + len(expected)


def test_an_author_without_any_message_left_hears_the_first(
    group_chats: SequenceView, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where an explanation leaves out all of them."""
    import dataclasses

    monkeypatch.setattr(voices, "_LEAST_HEARD", 5)
    view = group_chats.select([0])
    mute = dataclasses.replace(view, lengths=np.zeros(1, np.int64))
    first = list(next(view.corpus.conversations()).authors[:5])
    heard = [f"0.{place}" for place, name in enumerate(first) if name != view.authors.tolist()[0]]  # type: ignore[union-attr]
    assert list(read_voice(mute, "others")) == [heard]
