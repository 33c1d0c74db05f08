"""Arrow record batches as conversations: whole columns are unpacked at once, then cut into rows.

Shared by Parquet and Hugging Face datasets. Knows nothing of files beyond their name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tenor.corpus.readers.assembly import RawConversation, build_conversation, name_field
from tenor.corpus.readers.cells import (
    Lists,
    Unpack,
    check_structure,
    unpack,
    unpack_labels,
    unpack_times,
    unpack_vectors,
)
from tenor.corpus.readers.columns import ColumnMap
from tenor.corpus.readers.features import Features, pack_vector, stack_columns
from tenor.corpus.readers.grouping import BrokenRow, MessageRow, group_messages
from tenor.corpus.readers.kinds import object_names
from tenor.corpus.readers.records import ARROW_ERRORS, Item, Limits, Reject, RowError
from tenor.corpus.readers.tally import Tally, Unit
from tenor.corpus.readers.values import pair_labels, parse_name
from tenor.corpus.schema import Place
from tenor.errors import InputError

#: A batch is cut until its texts take no more than this, and it has no more rows than that.
PART_BYTES, PART_ROWS = 32 << 20, 1024


def check_batches(batches: Iterable[pa.RecordBatch], path: Path) -> Iterator[pa.RecordBatch]:
    """The batches, each proven sound before anything else is done with it; invalid UTF-8 is let pass.

    Raises:
        InputError: one is damaged.
    """
    for batch in batches:
        try:
            check_structure(batch)
        except ARROW_ERRORS as error:
            raise InputError("damaged: offsets or codes lead outside the file's data", path=path) from error
        yield batch


def read_batches(
    batches: Iterable[pa.RecordBatch], path: str, columns: ColumnMap, limits: Limits, tally: Tally, unit: Unit
) -> Iterator[Item]:
    """The conversations of one file's record batches, whose schema was checked.

    Args:
        batches: in order, each through `check_batches`.
        path: the file, for places; rows count from 1.
        columns: which column is which.
        limits: on size.
        tally: counts.
        unit: what a row is.

    Raises:
        InputError: all texts together are far larger than the file, or rows of one conversation are apart.
    """
    if unit == "message":
        yield from group_messages(
            _read_messages(batches, path, columns, limits), path, columns, limits, tally
        )
        return
    for row, part in _read_parts(batches, path, limits):
        if isinstance(part, Reject):
            tally.rows += 1
            yield part
        else:
            yield from _read_conversations(part, path, row, columns, limits, tally)


def _read_parts(
    batches: Iterable[pa.RecordBatch], path: str, limits: Limits
) -> Iterator[tuple[int, pa.RecordBatch | Reject]]:
    """Small parts of the batches with the number of their first row; a row that is too heavy as a Reject.

    Raises:
        InputError: all texts together are far larger than the file.
    """
    row, total, packed_bytes = 1, 0, Path(path).stat().st_size
    for batch in batches:
        for part, weight in _cut(batch):
            total += weight
            limits.check_growth(total, packed_bytes, path)
            is_heavy = part.num_rows == 1 and weight > limits.max_row_bytes
            yield row, _too_large(path, row, weight, limits) if is_heavy else part
            row += part.num_rows


def _too_large(path: str, row: int, weight: int, limits: Limits) -> Reject:
    rule = f"expected at most {limits.max_row_bytes} bytes of text in a row, found about {weight}"
    return Reject(Place(path, row), None, rule, "split the conversation")


def _cut(batch: pa.RecordBatch) -> Iterator[tuple[pa.RecordBatch, int]]:
    """Parts of a batch that are small once unpacked, with their weight; a heavy row stands alone."""
    weight = sum(_weigh(column) for column in batch.columns) if batch.num_rows else 0
    if batch.num_rows > 1 and (weight > PART_BYTES or batch.num_rows > PART_ROWS):
        half = batch.num_rows // 2
        yield from _cut(batch.slice(0, half))
        yield from _cut(batch.slice(half))
    elif batch.num_rows:
        yield batch, weight


def _weigh(array: pa.Array) -> int:
    """About how many bytes an array's texts and nulls take as Python objects; numbers count nothing."""
    kind, types = array.type, pa.types
    if len(array) == 0:
        return 0
    if types.is_dictionary(kind):
        if not (types.is_string(kind.value_type) or types.is_large_string(kind.value_type)):
            return 0
        lengths = pc.binary_length(array.dictionary)
        return 8 * len(array) + int(pc.sum(lengths.take(array.indices)).as_py() or 0)
    if types.is_string(kind) or types.is_large_string(kind):
        return 8 * len(array) + int(pc.sum(pc.binary_length(array)).as_py() or 0)
    if types.is_fixed_size_list(kind):
        return 0 if types.is_primitive(kind.value_type) else 8 * len(array) + _weigh(array.flatten())
    if types.is_list(kind) or types.is_large_list(kind) or types.is_map(kind):
        first, last = array.offsets[0].as_py(), array.offsets[-1].as_py()
        return 8 * len(array) + _weigh(array.values.slice(first, last - first))
    if types.is_struct(kind):
        return 8 * len(array) + sum(_weigh(array.field(index)) for index in range(kind.num_fields))
    return 8 * len(array) if types.is_null(kind) else 0


class _ConversationColumns:
    """One part's columns, unpacked."""

    def __init__(self, part: pa.RecordBatch, columns: ColumnMap, limits: Limits) -> None:
        self.columns, self.limits = columns, limits
        self.arrays = dict(zip(part.schema.names, part.columns, strict=True))
        self.by_message = columns.messages in self.arrays
        scalars = ("conversation_id", "author_labels", "group", "split")
        self.scalars = {name: unpack(self._column(name)) for name in scalars}
        self.scalars["label"] = unpack_labels(self._column("label"))
        names = ("participants", "participant_labels", "attackers")
        converts = (unpack, unpack_labels, unpack)
        self.lists = {
            name: self._lists(self._column(name), each) for name, each in zip(names, converts, strict=True)
        }
        if self.by_message:
            self._open_messages(self.arrays[columns.messages])
        else:
            self._open_lists()

    def _column(self, name: str) -> pa.Array | None:
        return self.arrays.get(self.columns.name_of(name)) if self.columns.reads(name) else None

    def _lists(self, array: pa.Array | None, convert: Unpack = unpack) -> Lists | None:
        return None if array is None else Lists(array, convert)

    def _open_lists(self) -> None:
        self.authors = self._lists(self._column("authors"))
        self.texts = self._lists(self._column("text"))
        self.times = self._lists(self._column("timestamp"), unpack_times)
        features = self._column("features")
        self.features = None if features is None else Lists(features, None)
        self.names = self.columns.pick_features(self.arrays)
        self.numbers = [Lists(self.arrays[name], None) for name in self.names]

    def _open_messages(self, array: pa.Array) -> None:
        names = object_names(array.type)
        messages = Lists(array, None)
        fields = dict(zip(names, messages.values.flatten(), strict=True)) if names else {}

        def pick(name: str, convert: Any) -> Lists | None:  # noqa: ANN401 - a function or None
            values = fields.get(self.columns.name_of(name))
            return None if values is None else messages.with_values(values, convert)

        self.authors = pick("author", unpack)
        self.texts = pick("text", unpack)
        self.times = pick("timestamp", unpack_times)
        self.features = pick("features", None)
        self.names = self.columns.pick_features(names)
        self.numbers = [messages.with_values(fields[name], None) for name in self.names]
        if self.authors is None:  # no author field at all: as many missing authors
            self.authors = messages.with_values(pa.nulls(len(messages.values)), unpack)

    def row(self, index: int, place: Place) -> RawConversation:
        """One row's values.

        Raises:
            RowError: lists of unequal lengths, or values that no Python number can hold.
        """
        values = {name: column[index] if column else None for name, column in self.scalars.items()}
        participants, labels, attackers = (
            None if lists is None else lists.row(index, self.limits) for lists in self.lists.values()
        )
        if labels is not None:
            if values["author_labels"] is not None:
                raise RowError("participant_labels", "expected one kind of author labels, found two")
            values["author_labels"] = pair_labels(participants, labels)
        conversation_id = str(values["conversation_id"])
        return RawConversation(
            **values,
            authors=None if self.authors is None else self.authors.row(index, self.limits),
            texts=None if self.texts is None else self.texts.row(index, self.limits),
            timestamps=None if self.times is None else self.times.row(index, self.limits),
            features=self._features(index, conversation_id),
            attackers=attackers,
            feature_names=self.names,
            place=place,
        )

    def _features(self, index: int, conversation_id: str) -> object:
        vectors = None if self.features is None else self.features.array(index)
        if not self.names:
            return None if vectors is None else unpack_vectors(vectors)
        if vectors is not None:
            raise RowError("features", "expected one kind of features, found scalar feature columns too")
        numbers = [lists.array(index) for lists in self.numbers]
        if all(values is None for values in numbers):
            return None
        columns = [None if values is None else values.to_numpy(zero_copy_only=False) for values in numbers]
        return stack_columns(list(zip(self.names, columns, strict=True)), conversation_id)


def _read_conversations(
    part: pa.RecordBatch, path: str, first_row: int, columns: ColumnMap, limits: Limits, tally: Tally
) -> Iterator[Item]:
    reader = _ConversationColumns(part, columns, limits)
    for index in range(part.num_rows):
        tally.rows += 1
        place = Place(path, first_row + index)
        try:
            yield build_conversation(reader.row(index, place), limits, tally)
        except RowError as error:
            field = name_field(error, columns, message_objects=reader.by_message)
            yield Reject(place, field, error.rule, error.remedy)


#: Column of rows of messages -> how its values are unpacked, where there is more to it.
_CONVERTS: dict[str, Unpack] = {
    "timestamp": unpack_times,
    "label": unpack_labels,
    "author_label": unpack_labels,
}


def _read_messages(
    batches: Iterable[pa.RecordBatch], path: str, columns: ColumnMap, limits: Limits
) -> Iterator[MessageRow | BrokenRow]:
    for line, part in _read_parts(batches, path, limits):
        if isinstance(part, Reject):
            yield BrokenRow(part)
        else:
            yield from _pick_messages(part, path, line, columns)


def _pick_messages(
    part: pa.RecordBatch, path: str, first_line: int, columns: ColumnMap
) -> Iterator[MessageRow | BrokenRow]:
    arrays = dict(zip(part.schema.names, part.columns, strict=True))
    fields = ("conversation_id", "author", "text", "timestamp", "label", "author_label", "group", "split")
    values: dict[str, list[Any]] = {}
    for name in fields:
        array = arrays.get(columns.name_of(name)) if columns.reads(name) else None
        convert = _CONVERTS.get(name, unpack)
        values[name] = [None] * part.num_rows if array is None else convert(array)
    names = columns.pick_features(arrays)
    matrix = _stack_numbers([arrays[name] for name in names])
    vectors = None if names else arrays.get(columns.features)
    for index in range(part.num_rows):
        line = first_line + index
        try:
            conversation_id = parse_name(values["conversation_id"][index], "conversation_id")
        except RowError as error:
            field = columns.conversation_id
            yield BrokenRow(Reject(Place(path, line), field, error.rule, error.remedy))
            continue
        row = MessageRow(line, conversation_id, *(values[name][index] for name in fields[1:4]))
        row.label, row.author_label, row.group, row.split = (values[name][index] for name in fields[4:])
        row.feature_names = names
        try:
            if matrix is not None:
                row.features = matrix[index]
            elif vectors is not None and vectors[index].is_valid:
                row.features = _pack_cell(vectors[index].values)
        except RowError as error:
            row.fault = error
        yield row


def _stack_numbers(columns: list[pa.Array]) -> npt.NDArray[np.float32] | None:
    if not columns:
        return None
    with np.errstate(over="ignore"):  # found as infinite later
        return np.stack(
            [column.to_numpy(zero_copy_only=False).astype(np.float32) for column in columns], axis=1
        )


def _pack_cell(values: pa.Array) -> Features:
    if pa.types.is_floating(values.type) and values.null_count == 0:
        numbers = values.to_numpy(zero_copy_only=False)
        with np.errstate(over="ignore"):
            packed: Features = numbers if numbers.dtype == np.float16 else numbers.astype(np.float32)
            return packed
    return pack_vector(values.to_pylist())
