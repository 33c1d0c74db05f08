"""JSON Lines: one object a line, a conversation or a message each.

Strict JSON: a duplicate key, NaN or Infinity is an error. Lines are cut by us, so the line number in an error
is the physical one. Knows nothing of what the values must be.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import Any

import msgspec

from tenor.corpus.readers.assembly import RawConversation, build_conversation, name_field
from tenor.corpus.readers.columns import MESSAGE_FIELDS, ColumnMap
from tenor.corpus.readers.features import pack_vector, stack_columns
from tenor.corpus.readers.grouping import BrokenRow, MessageRow, group_messages
from tenor.corpus.readers.records import Item, Limits, Reject, RowError, hash_row
from tenor.corpus.readers.streams import Line, check_length, decode_line, read_lines
from tenor.corpus.readers.tally import Tally
from tenor.corpus.readers.values import describe, pair_labels, parse_name
from tenor.corpus.schema import Place

JsonObject = dict[str, Any]


def read_jsonl(
    path: Path, columns: ColumnMap | None = None, limits: Limits | None = None, tally: Tally | None = None
) -> Iterator[Item]:
    """Read a JSONL file (plain, .gz or .zst) as conversations; blank lines are skipped.

    An object is a conversation with ``messages`` (objects) or ``authors``, ``text``, ... (lists), or a
    message with ``author`` (then the messages of a conversation stand together); the first sound line says
    which. Fields that tenor does not know are ignored and counted.

    Yields:
        Conversations, and Rejects for lines that break a rule; both in the order of the file.

    Raises:
        InputError: the file is truncated, damaged or unpacks to too much, or messages of one conversation are
            apart.
    """
    columns, limits, tally = columns or ColumnMap(), limits or Limits(), tally or Tally()
    rows, conversations = _parse_lines(path, limits), _Conversations(path, columns, limits, tally)
    head: list[tuple[Line, JsonObject | RowError]] = []  # at most a faulty line, then the first sound one
    for row in rows:
        head.append(row)
        if isinstance(row[1], dict):
            break
        if len(head) == 2:
            yield conversations.read(*head.pop(0))
    if head and _is_message(head[-1][1], columns):
        tally.begin(str(path), "message")
        messages = (_pick_message(path, line, value, columns, tally) for line, value in chain(head, rows))
        yield from group_messages(messages, str(path), columns, limits, tally)
        return
    tally.begin(str(path), "conversation")
    for line, value in chain(head, rows):
        yield conversations.read(line, value)


def _parse_lines(path: Path, limits: Limits) -> Iterator[tuple[Line, JsonObject | RowError]]:
    for line in read_lines(path, limits):
        if not line.data.strip():
            continue
        try:
            check_length(line, limits)
            yield line, _parse_object(line)
        except RowError as error:
            yield line, error


def _unique(pairs: list[tuple[str, Any]]) -> JsonObject:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise RowError(None, "expected each key once in an object, found a duplicate key")
    return value


def _refuse_constant(name: str) -> None:
    raise RowError(None, f"expected JSON numbers, found {name}", "write null for a missing value")


_STRICT = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse_constant)
_FAST = msgspec.json.Decoder()
_SPACED_COLON = re.compile(rb'"[ \t\r]+:')


def _decode_fast(data: bytes) -> JsonObject | None:
    """An object that is sound and has each key once; None where only the strict decoder can tell.

    What sees every pair takes most of the reading time. Without it a duplicate shows in numbers: every pair has the
    characters ``":``, unless a space stands between, and these may stand in a text besides. So where nothing
    stands between a quote and a colon and there are no more ``":`` than keys, no key is there twice.
    """
    if (b" :" in data or b"\t:" in data or b"\r:" in data) and _SPACED_COLON.search(data):
        return None
    try:
        value = _FAST.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return value if isinstance(value, dict) and _count_keys(value) == data.count(b'":') else None


def _count_keys(value: JsonObject) -> int:
    """The keys of an object, of the objects in it and of those in its lists; never too many."""
    count = len(value)
    for part in value.values():
        if type(part) is dict:
            count += len(part)
        elif type(part) is list and part and type(part[0]) is dict:
            count += sum([len(entry) for entry in part if type(entry) is dict])
    return count


def _parse_object(line: Line) -> JsonObject:
    """One line as an object.

    Raises:
        RowError: no UTF-8, no JSON, not strict JSON, nested too deep, or no object.
    """
    value = _decode_fast(line.data)
    return _parse_strictly(decode_line(line)) if value is None else value


def _parse_strictly(text: str) -> JsonObject:
    try:
        value = _STRICT.decode(text)
    except json.JSONDecodeError as error:
        rule = f"expected JSON, found a fault at character {error.pos + 1}: {error.msg}"
        raise RowError(None, rule, "write one JSON object a line") from error
    except RecursionError as error:
        raise RowError(None, "expected a conversation, found JSON nested too deep") from error
    except ValueError as error:  # the only one left: an integer of thousands of digits
        raise RowError(None, "expected numbers, found an integer of too many digits") from error
    if not isinstance(value, dict):
        raise RowError(None, f"expected an object, found {describe(value)}", "write one JSON object a line")
    return value


def _is_message(value: object, columns: ColumnMap) -> bool:
    return (
        isinstance(value, dict)
        and columns.author in value
        and columns.messages not in value
        and columns.authors not in value
    )


def _reject(path: Path, line: Line, field: str | None, error: RowError) -> Reject:
    digest = None if line.too_long else hash_row(line.data)
    return Reject(Place(str(path), line.number), field, error.rule, error.remedy, sha256=digest)


class _Conversations:
    """Reads the objects of one file that hold a conversation each.

    Rows of a file mostly have the same keys, so what follows from a message's keys is worked out once for them all.
    """

    def __init__(self, path: Path, columns: ColumnMap, limits: Limits, tally: Tally) -> None:
        self._path, self._columns, self._limits, self._tally = path, columns, limits, tally
        self._path_name = str(path)
        self._row_fields = _row_fields(columns)
        self._keys: set[str] = set()
        self._features: tuple[str, ...] = ()
        self._has_unknown = False

    def read(self, line: Line, value: JsonObject | RowError) -> Item:
        """The conversation of a line, or why there is none."""
        self._tally.rows += 1
        if isinstance(value, RowError):
            return _reject(self._path, line, None, value)
        self._tally.note_names(value.keys(), self._columns)
        by_message = self._columns.messages in value
        surrogates = b"\\u" in line.data and (b"\\ud" in line.data or b"\\uD" in line.data)
        try:
            raw = self._from_messages(value) if by_message else self._from_lists(value)
            raw.place = Place(self._path_name, line.number)
            return build_conversation(raw, self._limits, self._tally, surrogates=surrogates)
        except RowError as error:
            field = name_field(error, self._columns, message_objects=by_message)
            return _reject(self._path, line, field, error)

    def _from_row(self, value: JsonObject, authors: object) -> RawConversation:
        """The values of a conversation that are the same in both forms."""
        columns = self._columns
        labels = value.get(columns.author_labels)
        if columns.participant_labels in value:
            if labels is not None:
                raise RowError(
                    "participant_labels", "expected one kind of author labels, found author_labels too"
                )
            labels = pair_labels(value.get(columns.participants), value[columns.participant_labels])
        return RawConversation(
            conversation_id=value.get(columns.conversation_id),
            authors=authors,
            label=value.get(columns.label),
            author_labels=labels,
            attackers=value.get(columns.attackers),
            group=None if columns.group is None else value.get(columns.group),
            split=None if columns.split is None else value.get(columns.split),
        )

    def _from_messages(self, value: JsonObject) -> RawConversation:
        columns = self._columns
        messages = value[columns.messages]
        if not isinstance(messages, list):
            raise RowError("messages", f"expected a list of messages, found {describe(messages)}")
        if set(map(type, messages)) - {dict}:
            index = next(index for index, message in enumerate(messages) if type(message) is not dict)
            rule = f"expected a message object, found {describe(messages[index])}"
            raise RowError("messages", rule, index=index)
        raw = self._from_row(value, _pick(messages, columns.author))
        keys = set(chain.from_iterable(messages))
        if keys != self._keys:
            self._learn_keys(keys)
        if columns.text in keys:
            raw.texts = _pick(messages, columns.text)
        if columns.timestamp in keys:
            raw.timestamps = _pick(messages, columns.timestamp)
        if columns.features in keys:
            raw.features = _pick(messages, columns.features)
        if self._features:
            _use_scalars(raw, [(name, _pick(messages, name)) for name in self._features])
        if not value.keys() <= self._row_fields:
            _count_unknown(value, self._row_fields, "", self._tally)
        if self._has_unknown:
            known = _message_fields(columns, self._features)
            for message in messages:
                _count_unknown(message, known, f"{columns.messages}[].", self._tally)
        return raw

    def _learn_keys(self, keys: set[str]) -> None:
        self._tally.note_names(keys, self._columns)
        self._keys = keys
        self._features = self._columns.pick_features(keys)
        self._has_unknown = not keys <= _message_fields(self._columns, self._features)

    def _from_lists(self, value: JsonObject) -> RawConversation:
        columns = self._columns
        if columns.authors not in value:
            remedy = f"expected {columns.messages} or {columns.authors}, or {columns.author} where a row is a message"
            raise RowError("messages", "missing", remedy)
        raw = self._from_row(value, value[columns.authors])
        raw.texts = value.get(columns.text)
        raw.timestamps = value.get(columns.timestamp)
        raw.features = value.get(columns.features)
        names = columns.pick_features(value)
        if names:
            _use_scalars(raw, [(name, value.get(name)) for name in names])
        lists = {columns.text, columns.timestamp, columns.features, columns.authors}
        _count_unknown(value, self._row_fields | lists.union(names), "", self._tally)
        return raw


def _pick(messages: list[JsonObject], name: str) -> list[Any]:
    """A field of every message, None where one has none."""
    try:
        return list(map(itemgetter(name), messages))  # the common case, in one pass of C
    except KeyError:
        return [message.get(name) for message in messages]


def _row_fields(columns: ColumnMap) -> frozenset[str]:
    """Keys that a conversation's object may hold beside its lists of messages."""
    names = (
        columns.conversation_id,
        columns.messages,
        columns.label,
        columns.author_labels,
        columns.participants,
        columns.participant_labels,
        columns.attackers,
        columns.group,
        columns.split,
    )
    return frozenset(name for name in names if name is not None)


def _message_fields(columns: ColumnMap, features: tuple[str, ...]) -> set[str]:
    """Keys that a message's object may hold."""
    return {getattr(columns, name) for name in MESSAGE_FIELDS}.union(features)


def _use_scalars(raw: RawConversation, scalars: list[tuple[str, Any]]) -> None:
    if raw.features is not None:
        raise RowError("features", "expected one kind of features, found scalar feature columns too")
    raw.features = stack_columns(scalars, str(raw.conversation_id))
    raw.feature_names = tuple(name for name, _ in scalars)


def _count_unknown(value: Iterable[str], known: Collection[str | None], prefix: str, tally: Tally) -> None:
    for name in value:
        if name not in known:
            tally.count_unknown(prefix + name)


def _pick_message(
    path: Path, line: Line, value: JsonObject | RowError, columns: ColumnMap, tally: Tally
) -> MessageRow | BrokenRow:
    """The message of a line, or why there is none."""
    if isinstance(value, RowError):
        return BrokenRow(_reject(path, line, None, value))
    tally.note_names(value.keys(), columns)
    try:
        conversation_id = parse_name(value.get(columns.conversation_id), "conversation_id")
    except RowError as error:
        return BrokenRow(_reject(path, line, columns.conversation_id, error))
    names = columns.pick_features(value)
    row = MessageRow(
        line=line.number,
        conversation_id=conversation_id,
        author=value.get(columns.author),
        text=value.get(columns.text),
        timestamp=value.get(columns.timestamp),
        label=value.get(columns.label),
        author_label=value.get(columns.author_label),
        group=None if columns.group is None else value.get(columns.group),
        split=None if columns.split is None else value.get(columns.split),
        feature_names=names,
        data=line.data,
    )
    vector = [value.get(name) for name in names] if names else value.get(columns.features)
    try:
        if vector is not None:
            row.features = pack_vector(vector)
    except RowError as error:
        row.fault = error
    known: set[str | None] = {columns.conversation_id, columns.author, columns.text, columns.timestamp}
    known.add(columns.features)
    known |= {columns.label, columns.author_label, columns.group, columns.split, *names}
    _count_unknown(value, known, "", tally)
    return row
