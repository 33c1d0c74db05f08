"""The rules for single values: names, labels, splits, timestamps, texts.

Each function takes a value as a format gives it and returns tenor's, or raises a RowError that never holds
the value's text. Knows nothing of formats.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from itertools import repeat
from typing import cast

from tenor.corpus.readers.records import Limits, RowError
from tenor.corpus.readers.tally import Tally
from tenor.corpus.schema import Label, Split

#: Ids, authors, groups and class names are names, not texts.
MAX_NAME_CHARACTERS = 1000

#: Years 1 to 9999 in seconds since 1970.
MIN_TIMESTAMP, MAX_TIMESTAMP = -62_135_596_800.0, 253_402_300_800.0

#: What users call the splits -> what tenor calls them.
SPLIT_NAMES: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}


#: What to do about a name that is absent or empty.
_NAMELESS = {
    "author": "who is not known any more gets a name of their own, such as one for each message; or leave the row out",
    "conversation_id": "give each conversation an id",
    "group": "write null where there is none",
    "label": "write null where there is none",
    "author_label": "write null where there is none",
    "author_labels": "name an author, and write null where there is no label",
}


class InvalidText:
    """Stands for bytes that should be UTF-8 and are not, so that the value's own rule names its place."""

    def __init__(self, offset: int) -> None:
        self.offset = offset


_SURROGATES = re.compile("[\ud800-\udfff]")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,17})")


def describe(value: object) -> str:
    """Say what kind of value was found, without its text."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"the integer {value}" if abs(value) < 10**9 else "a large integer"
    if isinstance(value, float):
        return f"the number {value:.6g}"
    if isinstance(value, str):
        return f"a string of {len(value)} characters" if value else "an empty string"
    if isinstance(value, Mapping):
        return f"an object of {len(value)} fields"
    if isinstance(value, Sequence):
        return f"a list of {len(value)}"
    if isinstance(value, InvalidText):
        return f"invalid UTF-8 at byte {value.offset} of the value"
    return f"a value of type {type(value).__name__}"


def parse_name(value: object, field: str, *, index: int | None = None) -> str:
    """An id, author, group or class name: a string, or an integer written in decimal.

    Raises:
        RowError: it is missing, empty, of another type, too long, or holds half of a surrogate pair
            (replacing it could make two persons one).
    """
    if type(value) is int and abs(value) < 10**100:
        return str(value)
    if not isinstance(value, str) or not value:
        rule = "missing" if value is None else f"expected a string that is not empty, found {describe(value)}"
        remedy = _NAMELESS.get(field, "") if value in (None, "") else ""
        raise RowError(field, rule, remedy, index=index)
    if len(value) > MAX_NAME_CHARACTERS:
        rule = f"expected at most {MAX_NAME_CHARACTERS} characters, found {len(value)}"
        raise RowError(field, rule, index=index)
    if not value.isascii() and _SURROGATES.search(value):
        raise RowError(field, "holds half of a surrogate pair, which is no character", index=index)
    return value


def parse_authors(values: list[object], limits: Limits) -> list[str]:
    """The authors of a conversation's messages.

    Raises:
        RowError: there is none, there are too many, or one is not a name.
    """
    if not values:
        raise RowError("messages", "expected at least one message, found none")
    if len(values) > limits.max_messages:
        rule = f"expected at most {limits.max_messages} messages, found {len(values)}"
        raise RowError("messages", rule, "split the conversation")
    if set(map(type, values)) == {str}:
        names = cast(list[str], values)
        unique = set(names)
        if "" not in unique and max(map(len, unique)) <= MAX_NAME_CHARACTERS and "".join(unique).isascii():
            return names  # the common case, in a few passes of C
    return [parse_name(value, "author", index=index) for index, value in enumerate(values)]


def parse_texts(
    values: list[object] | None, limits: Limits, tally: Tally, *, surrogates: bool
) -> list[str] | None:
    """The texts of a conversation's messages; None when no message has one.

    Args:
        values: strings, or null for all.
        limits: longer texts are cut, more in all is an error.
        tally: counts cut texts and replaced surrogates.
        surrogates: whether there may be halves of surrogate pairs to replace.

    Raises:
        RowError: one is no string, or all together are too long.
    """
    if values is None or all(value is None for value in values):
        return None
    if set(map(type, values)) != {str}:
        index, value = next((i, value) for i, value in enumerate(values) if type(value) is not str)
        remedy = (
            "write an empty string for a text that is gone, or leave the message out" if value is None else ""
        )
        raise RowError("text", f"expected a string, found {describe(value)}", remedy, index=index)
    texts = cast(list[str], values)
    lengths = list(map(len, texts))
    if max(lengths) > limits.max_text_characters:
        tally.truncated_texts += sum(map(limits.max_text_characters.__lt__, lengths))
        texts = [text[: limits.max_text_characters] for text in texts]
        lengths = list(map(len, texts))
    if sum(lengths) > limits.max_row_bytes:
        rule = f"expected at most {limits.max_row_bytes} characters in a conversation, found {sum(lengths)}"
        raise RowError("text", rule, "split the conversation")
    if surrogates:
        replaced = [_SURROGATES.subn("\ufffd", text) for text in texts]
        tally.replaced_surrogates += sum(count for _, count in replaced)
        texts = [text for text, _ in replaced]
    return texts


def parse_timestamps(values: list[object] | None) -> list[float | None] | None:
    """Seconds since 1970 UTC in the given order, missing, equal or unordered; None when none is given.

    Raises:
        RowError: see `parse_timestamp`.
    """
    if values is None or all(value is None for value in values):
        return None
    if set(map(type, values)) == {float}:
        seconds = cast(list[float], values)
        if (
            MIN_TIMESTAMP <= min(seconds)
            and max(seconds) < MAX_TIMESTAMP
            and all(map(math.isfinite, seconds))
        ):
            return cast(list[float | None], seconds)
    return [parse_timestamp(value, index) for index, value in enumerate(values)]


def parse_timestamp(value: object, index: int | None = None) -> float | None:
    """Seconds since 1970 UTC of a number, a number as text, or ISO 8601 (UTC where it names no zone).

    Raises:
        RowError: it is none of these, not finite, or outside the years 1 to 9999, as milliseconds mostly are.
    """
    if value is None:
        return None
    seconds: float | None = None
    try:
        if isinstance(value, str):
            seconds = float(value) if _NUMBER.fullmatch(value) else _parse_iso(value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            seconds = float(value)
    except (ValueError, OverflowError):
        seconds = None
    if seconds is None or not math.isfinite(seconds):
        rule = f"expected seconds since 1970 or an ISO 8601 date and time, found {describe(value)}"
        raise RowError("timestamp", rule, index=index)
    if not MIN_TIMESTAMP <= seconds < MAX_TIMESTAMP:
        rule = f"expected seconds since 1970 in the years 1 to 9999, found {seconds:.6g}"
        raise RowError("timestamp", rule, "divide milliseconds by 1000", index=index)
    return seconds


def _parse_iso(value: str) -> float:
    moment = datetime.fromisoformat(value)
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()


def parse_label(value: object, field: str, *, index: int | None = None) -> Label | None:
    """A label: 0, 1, false or true; a string for a class of several; null = unlabelled.

    Raises:
        RowError: another integer, a number with a fraction, a list (several labels), an empty string.
    """
    if value is None:
        return None
    if isinstance(value, int):
        if value in (0, 1):
            return int(value)
        rule = f"outside the label set: expected 0, 1 or a string, found {describe(value)}"
        remedy = 'write classes as strings such as "class 2", and unlabelled as null'
        raise RowError(field, rule, remedy, index=index)
    if isinstance(value, str):
        return parse_name(value, field, index=index)
    if isinstance(value, float):
        rule = f"outside the label set: expected the integer 0 or 1 or a string, found {describe(value)}"
        raise RowError(field, rule, 'write integers (in pandas: astype("Int64")) and null', index=index)
    if isinstance(value, Sequence | Mapping):
        rule = f"multi-label is not supported yet: expected one label, found {describe(value)}"
        raise RowError(field, rule, "keep one label, or import the corpus once a label", index=index)
    raise RowError(field, f"expected 0, 1 or a string, found {describe(value)}", index=index)


def label_from_text(value: str) -> Label | None:
    """A label of a format that knows only texts, not checked yet; empty = unlabelled."""
    if not value:
        return None
    return int(value) if _INTEGER.fullmatch(value) else value


def parse_split(value: object) -> Split | None:
    """A split by one of its usual names, in any case; null = tenor is to choose.

    Raises:
        RowError: another name.
    """
    if value is None:
        return None
    split = SPLIT_NAMES.get(value.lower()) if isinstance(value, str) else None
    if split is None:
        rule = f"expected train, validation (valid, val, dev) or test, found {describe(value)}"
        raise RowError("split", rule, "rename it, or ignore the column with --column split=")
    return split


def parse_author_labels(labels: object, authors: list[str]) -> dict[str, Label]:
    """Labels by author, the unlabelled left out.

    Args:
        labels: mapping, or list of tuples, author -> label; null = none.
        authors: of the messages.

    Raises:
        RowError: no mapping, an author twice, a wrong label, or a label for an author who wrote no message.
    """
    if labels is None:
        return {}
    pairs = isinstance(labels, list) and set(map(type, labels)) <= {tuple}
    if not isinstance(labels, Mapping) and not pairs:
        raise RowError("author_labels", f"expected an object author -> label, found {describe(labels)}")
    present = set(authors)
    if type(labels) is dict and labels.keys() <= present and _are_binary(labels.values()):
        return cast(dict[str, Label], labels)  # the common case, in a few passes of C
    result: dict[str, Label] = {}
    seen: set[str] = set()
    entries = labels.items() if isinstance(labels, Mapping) else cast(list[tuple[object, object]], labels)
    for number, (key, value) in enumerate(entries, start=1):
        author = parse_name(key, "author_labels")
        label = parse_label(value, "author_labels")
        if author in seen:
            raise RowError("author_labels", f"entry {number}: an author named before")
        seen.add(author)
        if label is None:
            continue
        if author not in present:
            rule = f"entry {number}: a label for an author who wrote no message"
            raise RowError("author_labels", rule, "drop it, or give the author's messages")
        result[author] = label
    return result


def _are_binary(labels: Collection[object]) -> bool:
    return set(map(type, labels)) <= {int} and {0, 1}.issuperset(labels)


def pair_labels(participants: object, labels: object) -> list[tuple[object, object]]:
    """Two columns, authors and their labels, as pairs.

    Raises:
        RowError: they are not lists of one length.
    """
    if not isinstance(participants, list) or not isinstance(labels, list) or len(participants) != len(labels):
        rule = f"expected as many as participants, found {describe(labels)} beside {describe(participants)}"
        raise RowError("participant_labels", rule)
    return list(zip(participants, labels, strict=True))


def label_attackers(attackers: object, authors: list[str]) -> dict[str, Label]:
    """1 for every author in a list, 0 for the conversation's others.

    Raises:
        RowError: no list, or one of them wrote no message.
    """
    if not isinstance(attackers, list):
        raise RowError("attackers", f"expected a list of authors, found {describe(attackers)}")
    result: dict[str, Label] = dict(zip(authors, repeat(0)))  # noqa: B905 - the second never ends
    for number, value in enumerate(attackers, start=1):
        author = parse_name(value, "attackers")
        if author not in result:
            raise RowError("attackers", f"entry {number}: an author who wrote no message")
        result[author] = 1
    return result
