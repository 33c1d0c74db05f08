"""Fields that a conversation may lack: which of them it has, and which ones a corpus has.

Where a corpus has one and nothing that is appended to it does, its column was perhaps renamed. Knows nothing of
sources.
"""

from __future__ import annotations

from tenor.corpus.corpus import Corpus
from tenor.corpus.schema import Conversation

#: By the names of their columns in a source.
OPTIONAL_FIELDS = ("timestamp", "label", "author_label", "group")


def find_carried(conversation: Conversation) -> set[str]:
    """The optional fields that a conversation has."""
    times = conversation.timestamps
    found = (
        times is not None and any(time is not None for time in times),
        conversation.label is not None,
        bool(conversation.author_labels),
        conversation.group is not None,
    )
    return {name for name, is_there in zip(OPTIONAL_FIELDS, found, strict=True) if is_there}


def find_optional(corpus: Corpus) -> list[str]:
    """The optional fields that some conversation of a corpus has."""
    found = (
        corpus.info.has_timestamps,
        bool(corpus.info.classes["conversation"]),
        bool(corpus.info.classes["author"]),
        corpus.column("group").null_count < len(corpus),
    )
    return [name for name, is_there in zip(OPTIONAL_FIELDS, found, strict=True) if is_there]
