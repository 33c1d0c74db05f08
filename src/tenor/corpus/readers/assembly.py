"""From the raw values of one source row to a checked Conversation.

The one place where the rules of a conversation are applied, whatever the format. Knows nothing of files.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tenor.corpus.readers.columns import MESSAGE_FIELDS, ColumnMap
from tenor.corpus.readers.features import pack_features
from tenor.corpus.readers.records import Limits, RowError
from tenor.corpus.readers.tally import Tally
from tenor.corpus.readers.values import (
    label_attackers,
    parse_author_labels,
    parse_authors,
    parse_label,
    parse_name,
    parse_split,
    parse_texts,
    parse_timestamps,
)
from tenor.corpus.schema import Conversation, Label, Place


@dataclass(slots=True)
class RawConversation:
    """A conversation as a format gives it, nothing checked; lists have one entry a message.

    Attributes:
        conversation_id: see Conversation.
        authors: one a message.
        texts: one a message, or None.
        timestamps: one a message, or None.
        features: array (T, F), or T lists of F numbers, or None.
        label: of the conversation.
        author_labels: mapping or list of pairs, author -> label, or None.
        attackers: list of the authors with label 1, or None.
        group: see Conversation.
        split: see Conversation.
        feature_names: of the scalar columns that `features` was made of, or none.
        place: see Conversation.
    """

    conversation_id: object
    authors: object
    texts: object = None
    timestamps: object = None
    features: object = None
    label: object = None
    author_labels: object = None
    attackers: object = None
    group: object = None
    split: object = None
    feature_names: tuple[str, ...] = ()
    place: Place = field(default=Place("memory", 1))


def build_conversation(
    raw: RawConversation, limits: Limits, tally: Tally, *, surrogates: bool = False
) -> Conversation:
    """Check a raw conversation and make it one.

    Args:
        raw: the values.
        limits: on its size.
        tally: counts replaced surrogates and cut texts; remembers the features' names.
        surrogates: whether texts may hold halves of surrogate pairs.

    Raises:
        RowError: the first rule that it breaks.
    """
    conversation_id = parse_name(raw.conversation_id, "conversation_id")
    authors = parse_authors(_as_list(raw.authors, "authors"), limits)
    texts_given = _one_each(raw.texts, "text", authors)
    timestamps = parse_timestamps(_one_each(raw.timestamps, "timestamp", authors))
    features = pack_features(raw.features, len(authors), conversation_id)
    texts = parse_texts(texts_given, limits, tally, surrogates=surrogates)
    if texts is None and features is None:
        raise RowError("text", "expected a text or features for each message, found neither", index=0)
    conversation = Conversation(
        conversation_id=conversation_id,
        authors=authors,
        texts=texts,
        timestamps=timestamps,
        features=features,
        label=parse_label(raw.label, "label"),
        author_labels=_read_author_labels(raw, authors),
        group=None if raw.group is None else parse_name(raw.group, "group"),
        split=parse_split(raw.split),
        place=raw.place,
    )
    tally.agreement.check(conversation, raw.feature_names)
    tally.require_new(conversation_id, raw.place)
    return conversation


def _as_list(value: object, name: str) -> list[object]:
    if not isinstance(value, list):
        raise RowError(name, "missing" if value is None else "expected a list, one entry a message")
    return value


def _one_each(value: object, name: str, authors: list[str]) -> list[object] | None:
    if value is None:
        return None
    values = _as_list(value, name)
    if len(values) != len(authors):
        raise RowError(name, f"expected {len(authors)} entries, one a message, found {len(values)}")
    return values


def _read_author_labels(raw: RawConversation, authors: list[str]) -> dict[str, Label]:
    if raw.attackers is None:
        return parse_author_labels(raw.author_labels, authors)
    if raw.author_labels is not None:
        raise RowError("attackers", "expected author labels or attackers, found both")
    return label_attackers(raw.attackers, authors)


def name_field(error: RowError, columns: ColumnMap, *, message_objects: bool) -> str | None:
    """The field of a row's error in the user's own words, such as ``messages[3].author``.

    Args:
        error: what went wrong.
        columns: the user's names.
        message_objects: whether the row holds message objects rather than one list a column.
    """
    if error.field is None:
        return None
    name = columns.name_of(error.field)
    if error.index is None:
        return name
    if message_objects and error.field in MESSAGE_FIELDS:
        return f"{columns.messages}[{error.index}].{name}"
    if error.field == "author":
        name = columns.authors
    return f"{name}[{error.index}]"
