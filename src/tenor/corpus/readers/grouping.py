"""Sources with one row a message: consecutive rows of one conversation become that conversation.

The rows of a conversation must stand together, so memory holds one conversation whatever the file's length. A
row that breaks a rule takes its whole conversation with it: a conversation is read whole or not at all. Knows
nothing of formats.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from tenor.corpus.readers.assembly import RawConversation, build_conversation
from tenor.corpus.readers.columns import ColumnMap
from tenor.corpus.readers.features import Features, stack_vectors
from tenor.corpus.readers.records import Item, Limits, Reject, RowError, hash_row
from tenor.corpus.readers.tally import Tally
from tenor.corpus.readers.values import parse_label, parse_name, parse_split
from tenor.corpus.schema import Conversation, Label, Place
from tenor.errors import InputError

#: So many different ids of broken rows are told apart between two sound ones.
MAX_CANDIDATES = 100

#: What to do about rows of a conversation that differ in what is the whole conversation's.
_DIFFERENT = {
    "split": "a given split belongs to the conversation, not to an author: give its rows one, or ignore the column "
    "with --column split=",
    "label": "give its rows one label; that of an author is author_label",
    "group": "give its rows one group",
}


@dataclass(slots=True)
class MessageRow:
    """One message as a format gives it, nothing checked but that it names its conversation.

    Attributes:
        line: where it stands.
        conversation_id: a checked name.
        author: of the message.
        text: of the message, or None.
        timestamp: of the message, or None.
        features: (F,), or None.
        feature_names: of the scalar columns that `features` was made of, or none.
        label: of the conversation; every row that gives one must give the same.
        author_label: of the author in this conversation, likewise.
        group: of the conversation, likewise.
        split: of the conversation, likewise.
        data: the row's bytes, for its hash; empty where a format has none.
        fault: a rule that the row was found to break already.
    """

    line: int
    conversation_id: str
    author: object = None
    text: object = None
    timestamp: object = None
    features: Features | None = None
    feature_names: tuple[str, ...] = ()
    label: object = None
    author_label: object = None
    group: object = None
    split: object = None
    data: bytes = b""
    fault: RowError | None = None


@dataclass(slots=True)
class BrokenRow:
    """A row of which nothing is sure, and the text that stands where its conversation's id should."""

    reject: Reject
    candidate: str | None = None


@dataclass(slots=True)
class _Group:
    """The rows of the conversation that is being read."""

    conversation_id: str
    line: int
    rows: list[MessageRow] = field(default_factory=list)
    count: int = 0
    characters: int = 0
    spoiled_at: int | None = None
    refused: RowError | None = None

    def add(self, row: MessageRow, limits: Limits) -> None:
        """Take one row in; a group over the limits counts it only."""
        self.count += 1
        if isinstance(row.text, str):
            self.characters += len(row.text)
        if self.count <= limits.max_messages and self.characters <= limits.max_row_bytes:
            self.rows.append(row)

    def spoil(self, line: int) -> None:
        """Remember the first broken row that may be one of its."""
        if self.spoiled_at is None:
            self.spoiled_at = line


def group_messages(
    rows: Iterable[MessageRow | BrokenRow], path: str, columns: ColumnMap, limits: Limits, tally: Tally
) -> Iterator[Item]:
    """Gather the rows of one file into conversations, in order.

    A broken row is rejected by itself. The conversation around it is rejected too; between two conversations,
    the one whose id the broken row shows, or both when it shows neither's.

    Raises:
        InputError: rows of one conversation do not stand together; the error names both places.
    """
    group: _Group | None = None
    broken: dict[str | None, int] = {}  # id shown -> line, of the broken rows since the last sound one
    for row in rows:
        tally.rows += 1
        if isinstance(row, BrokenRow):
            yield row.reject
            room = len(broken) < MAX_CANDIDATES or row.candidate in broken
            broken.setdefault(row.candidate if room else None, row.reject.place.line)
            continue
        if group is not None and row.conversation_id == group.conversation_id:
            for line in broken.values():
                group.spoil(line)
        else:
            following = _Group(row.conversation_id, row.line)
            for candidate, line in broken.items():
                if group is not None and candidate != following.conversation_id:
                    group.spoil(line)
                if group is None or candidate != group.conversation_id:
                    following.spoil(line)
            if group is not None:
                yield _close(group, path, columns, limits, tally)
            following.refused = _check_new(row, path, columns, tally)
            group = following
        broken.clear()
        group.add(row, limits)
    if group is not None:
        for line in broken.values():
            group.spoil(line)
        yield _close(group, path, columns, limits, tally)


def _check_new(row: MessageRow, path: str, columns: ColumnMap, tally: Tally) -> RowError | None:
    """Why a conversation is refused that the corpus holds to which is appended."""
    earlier = tally.seen.add(row.conversation_id, Place(path, row.line))
    if earlier is not None and earlier.path == tally.appended_to:
        return tally.used_before(earlier)
    if earlier is not None:
        raise InputError(
            f"rows of a conversation must stand together: this one's began at {earlier.path}:{earlier.line}",
            path=path,
            line=row.line,
            field=columns.conversation_id,
            remedy=f"sort the rows by {columns.conversation_id}, and there by time",
        )
    return None


def _close(group: _Group, path: str, columns: ColumnMap, limits: Limits, tally: Tally) -> Item:
    try:
        if group.refused is not None:
            raise group.refused
        if group.count > len(group.rows):
            rule = f"expected at most {limits.max_messages} messages and {limits.max_row_bytes} characters"
            raise RowError(None, f"{rule} in a conversation, found {group.count} and {group.characters}")
        if group.spoiled_at is not None:
            raise RowError(
                None, f"the row at line {group.spoiled_at} is broken and may be of this conversation"
            )
        return _build(group, Place(path, group.line), limits, tally)
    except RowError as error:
        row = None if error.index is None else group.rows[error.index]
        return Reject(
            Place(path, group.line if row is None else row.line),
            None if error.field is None else columns.name_of(error.field),
            error.rule,
            error.remedy,
            rows=group.count,
            sha256=hash_row(row.data) if row is not None and row.data else None,
        )


def _build(group: _Group, place: Place, limits: Limits, tally: Tally) -> Conversation:
    rows = group.rows
    for index, row in enumerate(rows):
        if row.fault is not None:
            raise RowError(row.fault.field, row.fault.rule, row.fault.remedy, index=index)
        if row.feature_names != rows[0].feature_names:
            raise RowError(
                "features", "expected the feature columns of the conversation's first row", index=index
            )
    raw = RawConversation(
        conversation_id=group.conversation_id,
        authors=[row.author for row in rows],
        texts=[row.text for row in rows],
        timestamps=[row.timestamp for row in rows],
        features=stack_vectors([row.features for row in rows], group.conversation_id),
        label=_agree("label", [row.label for row in rows], rows),
        author_labels=_gather_author_labels(rows),
        group=_agree("group", [row.group for row in rows], rows),
        split=_agree("split", [row.split for row in rows], rows),
        feature_names=rows[0].feature_names,
        place=place,
    )
    surrogates = any(b"\\u" in row.data for row in rows)
    return build_conversation(raw, limits, tally, surrogates=surrogates)


def _agree(name: str, values: list[object], rows: list[MessageRow]) -> object:
    """The one value that a conversation's rows give; rows may leave it out."""
    found: object = None
    where = 0
    for index, value in enumerate(values):
        if value is None or value == found:
            continue
        parsed = _parse(name, value, index)
        if found is not None and parsed != _parse(name, found, where):
            rule = f"differs from line {rows[where].line}'s: rows of one conversation must agree"
            raise RowError(name, rule, _DIFFERENT[name], index=index)
        if found is None:
            found, where = value, index
    return found


def _parse(name: str, value: object, index: int) -> object:
    try:
        if name == "split":
            return parse_split(value)
        if name == "label":
            return parse_label(value, name, index=index)
        return parse_name(value, name, index=index)
    except RowError as error:
        raise RowError(error.field, error.rule, error.remedy, index=index) from error


def _gather_author_labels(rows: list[MessageRow]) -> dict[object, Label]:
    labels: dict[object, Label] = {}
    where: dict[object, int] = {}
    for index, row in enumerate(rows):
        if row.author_label is None:
            continue
        author = parse_name(row.author, "author", index=index)
        label = parse_label(row.author_label, "author_label", index=index)
        if label is None or labels.get(author) == label:
            continue
        if author in labels:
            rule = f"differs from line {rows[where[author]].line}'s: rows of one author must agree"
            remedy = "give an author one label in a conversation, on one or all of the rows"
            raise RowError("author_label", rule, remedy, index=index)
        labels[author], where[author] = label, index
    return labels
