"""CSV: one row a message, with a header; RFC 4180 quoting, read by our own few lines of parser.

The standard library's parser has one global limit for field sizes and does not say where a quote was opened.
The delimiter is the one of ``,``, ``;`` and tab that the header holds most of. Every value is text as it
stands: "NA", "null" and "None" are words; an empty label, timestamp, group or split is a missing one. Knows nothing
of how rows become conversations.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tenor.corpus.readers.columns import ColumnMap
from tenor.corpus.readers.features import Features, pack_vector
from tenor.corpus.readers.grouping import BrokenRow, MessageRow, group_messages
from tenor.corpus.readers.records import Item, Limits, Reject, RowError, hash_row
from tenor.corpus.readers.streams import Line, check_length, decode_line, read_lines
from tenor.corpus.readers.tally import Tally
from tenor.corpus.readers.values import label_from_text, parse_name
from tenor.corpus.schema import Place
from tenor.errors import InputError

DELIMITERS = (",", ";", "\t")

#: More columns are refused, so that a line of delimiters alone does not fill the memory.
MAX_COLUMNS = 20_000

#: A carriage return that ends no line, outside of quotes.
_QUOTED, _LONE_CR = re.compile(rb'"(?:[^"]|"")*"'), re.compile(rb"\r(?!\n)")


@dataclass(slots=True)
class Record:
    """One CSV record.

    Attributes:
        line: physical line where it begins.
        parts: bytes of its physical lines.
        fields: its values, at most `MAX_COLUMNS`; fewer than the record has where it is at fault.
        width: how many values it has.
        fault: the rule that it breaks; None when it is sound.
    """

    line: int
    parts: list[bytes]
    fields: list[str] = field(default_factory=list)
    width: int = 0
    fault: RowError | None = None

    @property
    def data(self) -> bytes:
        """Its bytes."""
        return self.parts[0] if len(self.parts) == 1 else b"\n".join(self.parts)

    def add(self, value: str) -> None:
        """Take in one more field."""
        self.width += 1
        if self.width <= MAX_COLUMNS:
            self.fields.append(value)


def read_csv(
    path: Path, columns: ColumnMap | None = None, limits: Limits | None = None, tally: Tally | None = None
) -> Iterator[Item]:
    """Read a CSV file (plain, .gz or .zst) as conversations.

    Columns, by the names of the map: conversation_id and author; text and/or scalar feature columns;
    timestamp, label, author_label, group, split where there are any. The rows of a conversation stand
    together.

    Yields:
        Conversations, and Rejects for rows that break a rule; both in the order of the file.

    Raises:
        InputError: no header, a column missing or named twice, a quote never closed, rows of one conversation
            apart, other columns than an earlier file's, or the file is truncated, damaged or unpacks to too
            much.
    """
    columns, limits, tally = columns or ColumnMap(), limits or Limits(), tally or Tally()
    tally.begin(str(path), "message")
    records = _Parser(path, limits)
    header = _read_header(records, path, columns)
    tally.agree_on_columns(dict.fromkeys(header, "text"), str(path))
    picker = _Picker(header, columns)
    rows_before = tally.rows
    yield from group_messages((picker.pick(r, path) for r in records), str(path), columns, limits, tally)
    for name in picker.unknown:
        tally.count_unknown(name, tally.rows - rows_before)


def _read_header(records: _Parser, path: Path, columns: ColumnMap) -> list[str]:
    header = next(records, None)
    if header is None:
        raise InputError("expected a header line, found an empty file", path=path)
    if _LONE_CR.search(_QUOTED.sub(b"", header.data).rstrip(b"\r")):
        raise InputError(
            "expected lines that end in LF or in CR and LF, found CR alone, so that the whole file is one line",
            path=path,
            line=header.line,
            remedy="convert them: tr '\\r' '\\n' < FILE > NEW",
        )
    if header.fault is not None:
        raise InputError(header.fault.rule, path=path, line=header.line, remedy=header.fault.remedy)
    names = header.fields
    if header.width > MAX_COLUMNS:
        rule = f"expected at most {MAX_COLUMNS} columns, found {header.width}"
        raise InputError(rule, path=path, line=header.line)
    first: dict[str, int] = {}
    for number, name in enumerate(names, start=1):
        if first.setdefault(name, number) != number:
            # by their places: a file without a header has a message where a name should be
            found = f"the same {'name' if name else 'empty name'} in columns {first[name]} and {number}"
            raise InputError(
                f"expected columns, all different, found {found} of {len(names)}",
                path=path,
                line=header.line,
                remedy="rename one of them, or remove it",
            )
    needed = {"conversation_id": columns.conversation_id, "author": columns.author}
    if not columns.pick_features(names):
        needed["text"] = columns.text
    absent = {field: name for field, name in needed.items() if name not in names}
    for name in (*absent.values(), *columns.find_missing(names)):
        options = " ".join(f"--column {field}=YOURS" for field in absent or ("NAME",))
        # the names that are there are not shown: a file without a header has a message in their place
        raise InputError(
            f"expected a column {name!r} in the header, found {len(names)} columns without it",
            path=path,
            line=header.line,
            remedy=f"give the first line the columns' names, or say which yours are: {options}",
        )
    return names


class _Picker:
    """Which field of a record is what."""

    def __init__(self, header: list[str], columns: ColumnMap) -> None:
        self.width = len(header)
        self.feature_names = columns.pick_features(header)
        self.features = [header.index(name) for name in self.feature_names]
        self.id_field = columns.conversation_id
        places = {name: index for index, name in enumerate(header)}
        self.conversation_id, self.author = places[columns.conversation_id], places[columns.author]
        names = (
            columns.text,
            columns.timestamp,
            columns.label,
            columns.author_label,
            columns.group,
            columns.split,
        )
        self.others = [None if name is None else places.get(name) for name in names]
        known = {columns.conversation_id, columns.author, *names, *self.feature_names}
        self.unknown = [name for name in header if name not in known]

    def pick(self, record: Record, path: Path) -> MessageRow | BrokenRow:
        """The message of a record, or why there is none."""
        fields, fault = record.fields, record.fault
        if fault is None and record.width != self.width:
            rule = f"expected {self.width} columns as in the header, found {record.width}"
            fault = RowError(None, rule, "quote a field that holds the delimiter, a quote or a line break")
        shown = fields[self.conversation_id] if len(fields) > self.conversation_id else None
        if fault is None:
            try:
                conversation_id = parse_name(shown, "conversation_id")
            except RowError as error:
                fault = RowError(self.id_field, error.rule, error.remedy)
        if fault is not None:
            digest = hash_row(record.data)
            place = Place(str(path), record.line)
            reject = Reject(place, fault.field, fault.rule, fault.remedy, sha256=digest)
            return BrokenRow(reject, shown)
        text, timestamp, label, author_label, group, split = (
            None if index is None else fields[index] for index in self.others
        )
        row = MessageRow(
            line=record.line,
            conversation_id=conversation_id,
            author=fields[self.author],
            text=text,
            timestamp=timestamp or None,  # an empty field is a missing value
            label=None if label is None else label_from_text(label),
            author_label=None if author_label is None else label_from_text(author_label),
            group=group or None,
            split=split or None,
            feature_names=self.feature_names,
            data=record.data,
        )
        if self.features:
            try:
                row.features = _parse_features([fields[index] for index in self.features])
            except RowError as error:
                row.fault = error
        return row


def _parse_features(values: list[str]) -> Features | None:
    if not any(values):
        return None
    try:
        return pack_vector([float(value) for value in values])
    except ValueError as error:
        raise RowError("features", "expected numbers in every feature column, found another text") from error


class _Parser:
    """Cuts a file into records: an iterator that goes on behind a faulty one."""

    def __init__(self, path: Path, limits: Limits) -> None:
        self._path, self._limits = path, limits
        self._lines = read_lines(path, limits)
        self._delimiter = ""
        self._held = self._number = 0  # bytes of the record that is being read, and its last line so far

    def __iter__(self) -> Iterator[Record]:
        return self

    def __next__(self) -> Record:
        for line in self._lines:
            if line.data not in (b"", b"\r"):  # a byte order mark alone leaves nothing
                self._held, self._number = line.num_bytes, line.number
                return self._read_record(line)
        raise StopIteration

    def _read_record(self, line: Line) -> Record:
        record = Record(line.number, [line.data])
        try:
            check_length(line, self._limits)
            text = self._decode(line, record)
            if not self._delimiter:
                self._delimiter = max(DELIMITERS, key=text.count)
            if '"' in text:
                self._split_quoted(text, record)
            else:
                record.width = text.count(self._delimiter) + 1
                record.fields = text.removesuffix("\r").split(self._delimiter, MAX_COLUMNS)[:MAX_COLUMNS]
        except RowError as error:
            record.fault = error
        return record

    def _decode(self, line: Line, record: Record) -> str:
        """The line's text; invalid bytes are a fault of the record, but its quotes still count."""
        try:
            return decode_line(line)
        except RowError as error:
            record.fault = record.fault or error
            return line.data.decode("utf-8", "replace")

    def _split_quoted(self, text: str, record: Record) -> None:
        """Split a record with quotes into its fields, reading on where a quoted field spans lines."""
        position = 0
        while True:
            if text.startswith('"', position):
                value, text, position = self._read_quoted(text, position + 1, record)
                record.add(value)
                if text.startswith("\r", position) or position == len(text):
                    return
                if not text.startswith(self._delimiter, position):
                    raise self._bad_quote(record, "a field goes on after its closing quote")
            else:
                end = text.find(self._delimiter, position)
                value = text[position:end] if end >= 0 else text[position:].removesuffix("\r")
                if '"' in value:
                    raise self._bad_quote(record, "a quote inside a field that is not quoted")
                record.add(value)
                if end < 0:
                    return
                position = end
            position += 1

    def _bad_quote(self, record: Record, what: str) -> RowError:
        rule = f"column {record.width}: {what}"
        return RowError(None, rule, "quote the whole field and double the quotes inside it")

    def _read_quoted(self, text: str, position: int, record: Record) -> tuple[str, str, int]:
        """A quoted field from behind its opening quote: value, the line it ends in, the place behind it."""
        values: list[str] = []
        opened = self._number
        while True:
            end = text.find('"', position)
            if end < 0:
                line = self._read_on(opened, record)
                values += (text[position:], "\n" * (line.number - self._number))
                self._number = line.number
                text, position = self._decode(line, record), 0
                continue
            values.append(text[position:end])
            position = end + 1
            if not text.startswith('"', position):
                return "".join(values), text, position
            values.append('"')
            position += 1

    def _read_on(self, opened: int, record: Record) -> Line:
        """The next line that is not empty, of a record whose quoted field, opened in a line before, goes on."""
        line = next(self._lines, None)
        num_empty = 0 if line is None else line.number - self._number - 1
        self._held += 0 if line is None else line.num_bytes + num_empty
        if line is None or self._held > self._limits.max_row_bytes:
            within = "before the end of the file" if line is None else f"within {self._held} bytes"
            raise InputError(
                f"a quote is opened here and not closed {within}",
                path=self._path,
                line=opened,
                remedy="close the quote, or double a quote that is part of a text",
            )
        if num_empty:
            record.parts.append(b"\n" * (num_empty - 1))
        record.parts.append(line.data)
        return line
