"""What Arrow columns may hold: one word for each kind of type, and which kinds a field of tenor's takes.

Knows nothing of values.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from tenor.corpus.readers.columns import ColumnMap
from tenor.corpus.readers.tally import Unit
from tenor.errors import InputError

NAME = ("text", "integer")
NUMBER = ("number", "integer")
TIME = (*NUMBER, "time", "text")
LABEL = ("text", "integer", "boolean")

#: So many columns are listed in an error.
_SHOWN_NAMES = 20

#: Field -> kinds it takes where a row is a conversation. ``empty`` (nothing but nulls) goes everywhere but in
#: ids.
CONVERSATION_KINDS: dict[str, tuple[str, ...]] = {
    "conversation_id": NAME,
    "messages": ("list<object>",),
    "authors": tuple(f"list<{kind}>" for kind in NAME),
    "text": ("list<text>",),
    "timestamp": tuple(f"list<{kind}>" for kind in TIME),
    "features": tuple(f"list<list<{kind}>>" for kind in NUMBER),
    "label": LABEL,
    "author_labels": ("object", "map"),
    "participants": tuple(f"list<{kind}>" for kind in NAME),
    "participant_labels": tuple(f"list<{kind}>" for kind in LABEL),
    "attackers": tuple(f"list<{kind}>" for kind in NAME),
    "group": NAME,
    "split": ("text",),
}

#: Field -> kinds it takes where a row is a message.
MESSAGE_KINDS: dict[str, tuple[str, ...]] = {
    "conversation_id": NAME,
    "author": NAME,
    "text": ("text",),
    "timestamp": TIME,
    "features": tuple(f"list<{kind}>" for kind in NUMBER),
    "label": LABEL,
    "author_label": LABEL,
    "group": NAME,
    "split": ("text",),
}

#: Field -> kinds it takes inside a message object.
OBJECT_KINDS: dict[str, tuple[str, ...]] = {
    "author": NAME,
    "text": ("text",),
    "timestamp": TIME,
    "features": tuple(f"list<{kind}>" for kind in NUMBER),
}


def kind_of(kind: pa.DataType) -> str:
    """One word for an Arrow type, the same for all its widths, such as ``integer`` or ``list<text>``."""
    types = pa.types
    if types.is_dictionary(kind):
        return kind_of(kind.value_type)
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return f"list<{kind_of(kind.value_type)}>"
    tests = {
        "text": types.is_string(kind) or types.is_large_string(kind),
        "integer": types.is_integer(kind),
        "number": types.is_floating(kind),
        "boolean": types.is_boolean(kind),
        "time": types.is_timestamp(kind) or types.is_date(kind),
        "map": types.is_map(kind),
        "object": types.is_struct(kind),
        "empty": types.is_null(kind),
    }
    return next((word for word, holds in tests.items() if holds), str(kind))


def decode_names(schema: pa.Schema) -> list[str]:
    """The columns' names, once all names, those of nested fields too, are known to be UTF-8.

    Raises:
        UnicodeDecodeError: one is not.
    """
    kinds = [field.type for field in schema]
    while kinds:
        kind = kinds.pop()
        if pa.types.is_struct(kind):
            fields = [kind.field(index) for index in range(kind.num_fields)]
            kinds += [field.type for field in fields if field.name is not None]
        elif pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
            kinds.append(kind.value_type)
    names: list[str] = schema.names
    return names


def find_unit(schema: pa.Schema, columns: ColumnMap, path: Path) -> Unit:
    """Whether a row is a conversation, or a message because there is one author a row.

    Raises:
        InputError: neither.
    """
    if columns.messages in schema.names or columns.authors in schema.names:
        return "conversation"
    if columns.author in schema.names:
        return "message"
    missing = columns.find_missing(schema.names)
    absent = f"the source has no column {missing[0]!r}, which the column map names: " if missing else ""
    raise InputError(
        f"{absent}expected a column {columns.messages!r} or {columns.authors!r} (a row a conversation) or "
        f"{columns.author!r} (a row a message), found {', '.join(schema.names[:_SHOWN_NAMES]) or 'none'}",
        path=path,
        remedy="name your columns in the column map",
    )


def check_schema(schema: pa.Schema, columns: ColumnMap, path: Path, unit: Unit) -> list[str]:
    """Refuse a schema with missing, repeated or misfit columns; unknown columns are let pass.

    Returns:
        Names of the columns that tenor reads.

    Raises:
        InputError: with the column and the kinds that are expected and found.
    """
    inner = object_names(schema.field(columns.messages).type) if columns.messages in schema.names else []
    missing = columns.find_missing([*schema.names, *inner])
    if missing:
        found = ", ".join([*schema.names, *(f"{columns.messages}[].{name}" for name in inner)][:_SHOWN_NAMES])
        raise InputError(
            f"expected a column {missing[0]!r}, found {found}",
            path=path,
            remedy="name yours in the column map",
        )
    kinds = CONVERSATION_KINDS if unit == "conversation" else MESSAGE_KINDS
    expected = {columns.name_of(name): allowed for name, allowed in kinds.items() if columns.reads(name)}
    feature = tuple(f"list<{kind}>" for kind in NUMBER) if unit == "conversation" else NUMBER
    expected |= dict.fromkeys(columns.pick_features(schema.names), feature)
    required = [columns.conversation_id, *columns.pick_features(schema.names)]
    for name in required:
        if name not in schema.names:
            raise InputError(
                "the column is missing", path=path, field=name, remedy="name yours in the column map"
            )
    used = [name for name in schema.names if name in expected]
    for name in used:
        if used.count(name) > 1:
            raise InputError("expected one column of this name, found several", path=path, field=name)
        _check_kind(name, kind_of(schema.field(name).type), expected[name], columns, path)
    if columns.messages in used and unit == "conversation":
        _check_objects(schema.field(columns.messages).type, columns, path)
    return used


def _check_kind(name: str, found: str, allowed: tuple[str, ...], columns: ColumnMap, path: Path) -> None:
    if found in allowed or (_is_empty(found, allowed) and name != columns.conversation_id):
        return
    labels = (columns.label, columns.author_label, columns.participant_labels)
    rule = f"expected {' or '.join(allowed)}, found {found}"
    remedy = "convert the column, or name another in the column map"
    if name in labels and "number" in found:
        remedy = 'write labels as integers 0 and 1 (in pandas: astype("Int64")) or as strings'
    elif name in labels and found.count("list<") > allowed[0].count("list<"):
        rule = f"multi-label is not supported yet: {rule}"
        remedy = "keep one label, or import the corpus once a label"
    raise InputError(rule, path=path, field=name, remedy=remedy)


def _is_empty(found: str, allowed: tuple[str, ...]) -> bool:
    """Whether a kind holds nothing but nulls where the allowed ones hold values."""
    known, is_null, _ = found.partition("empty")
    return bool(is_null) and any(kind.startswith(known) for kind in allowed)


def _check_objects(kind: pa.DataType, columns: ColumnMap, path: Path) -> None:
    names = [field.name for field in _object_fields(kind)]
    for name, allowed in OBJECT_KINDS.items():
        column = columns.name_of(name)
        if names.count(column) > 1:
            raise InputError("expected one field of this name, found several", path=path, field=column)
        if column in names:
            _check_kind(
                f"{columns.messages}[].{column}", kind_of(_field_type(kind, column)), allowed, columns, path
            )
    for column in columns.pick_features(names):
        if column not in names:
            raise InputError("the field is missing", path=path, field=f"{columns.messages}[].{column}")
        _check_kind(
            f"{columns.messages}[].{column}", kind_of(_field_type(kind, column)), NUMBER, columns, path
        )


def _object_fields(kind: pa.DataType) -> list[pa.Field]:
    inner = kind.value_type
    return [inner.field(index) for index in range(inner.num_fields)] if pa.types.is_struct(inner) else []


def _field_type(kind: pa.DataType, name: str) -> pa.DataType:
    return next(field.type for field in _object_fields(kind) if field.name == name)


def object_names(kind: pa.DataType) -> list[str]:
    """Names of the fields of the message objects in a column of lists."""
    return [field.name for field in _object_fields(kind)]
