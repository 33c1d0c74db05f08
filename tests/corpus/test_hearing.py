"""Groups whose authors hear the same messages are one group."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tenor.corpus.corpus import Corpus
from tenor.corpus.hearing import count_torn, join_hearers
from tenor.corpus.schema import Conversation
from tenor.corpus.views import SequenceView, view_sequences

Write = Callable[..., Corpus]


def chat(name: str, *authors: str, group: str | None = None, labelled: str | None = None) -> Conversation:
    known = authors if labelled is None else tuple(labelled)
    return Conversation(
        name, list(authors), ["x"] * len(authors), group=group, author_labels=dict.fromkeys(known, 1)
    )


def groups_of(view: SequenceView) -> dict[tuple[str, str], str]:
    assert view.authors is not None
    return dict(
        zip(
            zip(view.conversation_ids.tolist(), view.authors.tolist(), strict=True),
            join_hearers(view).groups.tolist(),
            strict=True,
        )
    )


def test_talk_of_two_joins_nobody(write_corpus: Write) -> None:
    view = view_sequences(write_corpus([chat("c1", "a", "b", "a"), chat("c2", "b", "c")]), "author")
    assert join_hearers(view) is view


def test_three_are_joined_and_whoever_they_are_joined_with(write_corpus: Write) -> None:
    conversations = [
        chat("c1", "d", "b", "c"),
        chat("c2", "c", "e", "f"),
        chat("c3", "g", "h"),  # of two
        chat("c4", "f", "g"),
        chat("c5", "i"),
    ]
    found = groups_of(view_sequences(write_corpus(conversations), "author"))
    one = {author for (_, author), group in found.items() if group == "b"}
    assert one == {"b", "c", "d", "e", "f"}
    assert {found[pair] for pair in (("c3", "h"), ("c4", "g"), ("c5", "i"))} == {"h", "g", "i"}


def test_a_third_without_a_label_is_heard_too(write_corpus: Write) -> None:
    conversations = [chat("c1", "a", "b", "z", labelled="ab"), chat("c2", "c", "d", "z", labelled="c")]
    view = view_sequences(write_corpus(conversations), "author").labelled()
    assert groups_of(view) == {("c1", "a"): "a", ("c1", "b"): "a", ("c2", "c"): "c"}


def test_named_groups_that_hold_whole_conversations_stay(write_corpus: Write) -> None:
    conversations = [chat("c1", "a", "b", "c", group="m1"), chat("c2", "d", "e", "f", group="m2")]
    view = view_sequences(write_corpus(conversations), "author")
    assert join_hearers(view) is view


def test_any_graph_is_joined_as_by_a_plain_loop(write_corpus: Write) -> None:
    generator = np.random.default_rng(0)
    for _ in range(5):
        conversations = [
            chat(
                f"c{i}", *(f"a{n:02}" for n in generator.choice(60, generator.integers(1, 5), replace=False))
            )
            for i in range(25)
        ]
        home = {author: author for conversation in conversations for author in conversation.authors}
        for _ in home:  # until nothing moves any more
            for conversation in conversations:
                if len(conversation.authors) > 2:
                    first = min(home[author] for author in conversation.authors)
                    home |= dict.fromkeys(conversation.authors, first)
        found = groups_of(view_sequences(write_corpus(conversations), "author"))
        assert all(group == home[author] for (_, author), group in found.items())


def test_sequences_of_groups_in_several_splits_are_counted(write_corpus: Write) -> None:
    conversations = [chat("c1", "a", "b", "c"), chat("c2", "d", "e")]
    for conversation, split in zip(conversations, ("train", "test"), strict=True):
        conversation.split = split  # type: ignore[assignment]
    view = view_sequences(write_corpus(conversations), "author")
    assert count_torn(view) == 0
    torn = view.split_codes.copy()
    torn[0] = 2
    object.__setattr__(view, "split_codes", torn)
    assert count_torn(view) == 0  # a's group is a's alone
    assert count_torn(join_hearers(view)) == 3
    assert count_torn(view.select([])) == 0
