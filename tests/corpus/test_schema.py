from __future__ import annotations

from tenor.corpus.schema import FORMAT_VERSION, LEVELS, SPLITS, UNLABELLED, Conversation, Place


def test_a_conversation_needs_only_an_id_and_authors() -> None:
    conversation = Conversation("c", ["a", "b", "a"])
    assert (conversation.texts, conversation.timestamps, conversation.features) == (None, None, None)
    assert (conversation.label, conversation.author_labels, conversation.group) == (None, {}, None)
    assert (conversation.split, conversation.author_splits) == (None, None)
    assert conversation.place == Place("memory", 1)


def test_conversations_do_not_share_their_labels() -> None:
    first, second = Conversation("a", ["x"]), Conversation("b", ["x"])
    first.author_labels["x"] = 1
    assert second.author_labels == {}


def test_the_words_of_the_package() -> None:
    assert LEVELS == ("conversation", "author", "profile")
    assert SPLITS == ("train", "validation", "test")
    assert (UNLABELLED, FORMAT_VERSION) == (-1, 1)
