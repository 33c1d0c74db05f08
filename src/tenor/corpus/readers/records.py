"""What every reader shares: limits, rejected rows, and the memory of ids.

Knows nothing of any format.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from hashlib import blake2b, sha256
from struct import unpack
from typing import Any

import pyarrow as pa

from tenor.corpus.schema import Conversation, Place
from tenor.errors import InputError


@dataclass(frozen=True, slots=True)
class Limits:
    """What a reader accepts before it says no, so that memory and time are bounded whatever the bytes.

    Attributes:
        max_row_bytes: of one physical line or CSV record, and of the texts of one conversation; a larger one
            is rejected. A conversation of 100,000 messages and a message of 5 MB are far below it.
        max_messages: of one conversation; a longer one is rejected.
        max_text_characters: of one message; a longer text is cut there and counted.
        max_ratio: bytes that a file may grow to when it is unpacked, as a multiple of its size on disk ...
        ratio_free_bytes: ... which is only looked at once it has grown beyond so many bytes.
    """

    max_row_bytes: int = 64 << 20
    max_messages: int = 1_000_000
    max_text_characters: int = 10_000_000
    max_ratio: int = 200
    ratio_free_bytes: int = 64 << 20

    def check_growth(self, unpacked_bytes: int, packed_bytes: int, path: str) -> None:
        """Refuse a file that unpacks to more than it may.

        Raises:
            InputError: `unpacked_bytes` is over both limits.
        """
        if unpacked_bytes > max(self.ratio_free_bytes, self.max_ratio * packed_bytes):
            raise InputError(
                f"unpacks to over {self.max_ratio} times its size and over {self.ratio_free_bytes} bytes, "
                "as a decompression bomb does",
                path=path,
                remedy="if the file is sound, unpack it yourself and import the result",
            )


class RowError(Exception):
    """A rule that a row breaks; a reader turns it into a Reject, it never leaves the package.

    Attributes:
        field: the field's name in tenor's words, such as ``author``; None when the rule is about the whole
            row.
        rule: what was expected and what was found, never a message's text.
        remedy: what the user can do; may be empty.
        index: number of the message from 0, or None.
    """

    def __init__(self, field: str | None, rule: str, remedy: str = "", *, index: int | None = None) -> None:
        super().__init__(rule)
        self.field, self.rule, self.remedy, self.index = field, rule, remedy, index


@dataclass(frozen=True, slots=True)
class Reject:
    """Rows that break a rule and are not read.

    Attributes:
        place: the first of them.
        field: the field, such as ``messages[3].author``; None when the rule is about the whole row.
        rule: what was expected and what was found, never a message's text.
        remedy: what the user can do; may be empty.
        rows: how many source rows are left out by it.
        sha256: of the row's bytes as they stand in the file; None where a format has no such bytes.
    """

    place: Place
    field: str | None
    rule: str
    remedy: str = ""
    rows: int = 1
    sha256: str | None = None

    def error(self) -> InputError:
        """The same as an exception."""
        return InputError(
            self.rule, path=self.place.path, line=self.place.line, field=self.field, remedy=self.remedy
        )

    def to_json(self) -> dict[str, Any]:
        """The line of ``rejects.jsonl``."""
        return {
            "path": self.place.path,
            "line": self.place.line,
            "field": self.field,
            "rule": self.rule,
            "remedy": self.remedy,
            "rows": self.rows,
            "sha256": self.sha256,
        }


def hash_row(data: bytes) -> str:
    """Hex SHA-256 of a row's bytes: tells which row it was without telling what it said."""
    return sha256(data).hexdigest()


#: What pyarrow raises on damaged bytes; the last where a column's name is no UTF-8.
ARROW_ERRORS = (pa.ArrowException, OSError, MemoryError, UnicodeDecodeError)

#: What a reader hands on, in the order of the source.
Item = Conversation | Reject


class SeenIds:
    """Which conversation ids were read, and where, in 32 to 64 bytes an id whatever its length.

    Ids are kept as 16-byte BLAKE2b hashes: among 10^9 ids the chance of any collision is below 10^-20. They and
    their places lie in a hash table of plain numbers (open addressing, linear probing), which takes a quarter of
    what a dict of Python objects does.
    """

    def __init__(self) -> None:
        self._paths: list[str] = []
        self._count = 0
        self._allocate(1 << 12)

    def _allocate(self, slots: int) -> None:
        zeros = bytes(8 * slots)
        self._high, self._low, self._codes = array("Q", zeros), array("Q", zeros), array("Q", zeros)
        self._mask = slots - 1  # slots is a power of 2; a code is never 0, so 0 marks a free one

    def add(self, conversation_id: str, place: Place) -> Place | None:
        """Remember an id; returns where it was read before, or None when it is new."""
        if not self._paths or self._paths[-1] != place.path:
            self._paths.append(place.path)
        high, low = unpack("<QQ", blake2b(conversation_id.encode(), digest_size=16).digest())
        code = len(self._paths) << 44 | place.line
        earlier = self._find_or_put(high, low, code)
        if earlier == code:
            return None
        return Place(self._paths[(earlier >> 44) - 1], earlier & ((1 << 44) - 1))

    def _find_or_put(self, high: int, low: int, code: int) -> int:
        slot, codes = high & self._mask, self._codes
        while codes[slot]:
            if self._high[slot] == high and self._low[slot] == low:
                return codes[slot]
            slot = (slot + 1) & self._mask
        self._high[slot], self._low[slot], codes[slot] = high, low, code
        self._count += 1
        if 4 * self._count > 3 * self._mask:
            self._grow()
        return code

    def _grow(self) -> None:
        entries = zip(self._high, self._low, self._codes, strict=True)
        self._allocate(2 * (self._mask + 1))
        self._count = 0
        for high, low, code in entries:
            if code:
                self._find_or_put(high, low, code)
