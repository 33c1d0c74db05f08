"""What a reading counts and must remember, handed through the readers to the importer.

Knows nothing of any format.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tenor.corpus.info import SourceInfo, describe_source
from tenor.corpus.readers.agreement import Agreement
from tenor.corpus.readers.columns import ColumnMap
from tenor.corpus.readers.records import RowError, SeenIds
from tenor.corpus.schema import Place
from tenor.errors import InputError

#: A source row is a whole conversation, or one message of a conversation.
Unit = Literal["conversation", "message"]

#: At most so many different unknown field names are remembered; the rest count under OTHER_FIELDS.
MAX_UNKNOWN_FIELDS = 20
OTHER_FIELDS = "(others)"


@dataclass(slots=True)
class Tally:
    """What a reading counted; readers write it, the importer reads it.

    Attributes:
        unit: what a row of the source is; None as long as no row is read.
        rows: source rows read, good or bad; blank lines and headers are none.
        replaced_surrogates: halves of surrogate pairs in texts, each replaced by U+FFFD.
        truncated_texts: texts cut at `Limits.max_text_characters`.
        unknown_fields: field -> how many rows (or messages, for a message's field) carried it; they are
            ignored.
        ignored: columns that are not to be read, and not to be counted among the unknown.
        columns: column -> its kind, of the first file that has columns, and that file.
        paths: the files read, in order.
        missing: columns that the map names and no row of JSON has held so far; None as long as no such row is read.
        seen: conversation ids so far.
        appended_to: the corpus whose ids stand among them from the beginning; None where nothing is appended to.
        appended_sources: what that corpus was made of.
        known: conversations so far whose ids it holds.
        agreement: what the conversations so far have in common.
    """

    unit: Unit | None = None
    rows: int = 0
    replaced_surrogates: int = 0
    truncated_texts: int = 0
    unknown_fields: dict[str, int] = field(default_factory=dict)
    ignored: frozenset[str] = frozenset()
    columns: tuple[dict[str, str], str] | None = None
    paths: list[str] = field(default_factory=list)
    missing: set[str] | None = None
    seen: SeenIds = field(default_factory=SeenIds)
    appended_to: str | None = None
    appended_sources: tuple[SourceInfo, ...] = ()
    known: int = 0
    agreement: Agreement = field(default_factory=Agreement)
    _noted: Collection[str] = frozenset()
    _repeated: dict[str, bool] = field(default_factory=dict)

    def begin(self, path: str, unit: Unit) -> None:
        """Note that a file is read, and what its rows are.

        Raises:
            InputError: an earlier file of the source has the other kind of rows.
        """
        if self.unit not in (None, unit):
            raise InputError(f"has one row a {unit}, and {self.paths[0]} has one a {self.unit}", path=path)
        self.unit = unit
        self.paths.append(path)

    def require_new(self, conversation_id: str, place: Place) -> None:
        """Remember an id.

        Raises:
            RowError: it was read before; the error names both places.
        """
        earlier = self.seen.add(conversation_id, place)
        if earlier is not None:
            raise self.used_before(earlier)

    def used_before(self, earlier: Place) -> RowError:
        """The error about an id that was read before, or that the corpus holds to which is appended; then counted."""
        remedy = "make ids unique"
        if earlier.path == self.appended_to:
            self.known += 1
            if self.paths[-1] not in self._repeated:
                self._repeated[self.paths[-1]] = self._is_repeated(Path(self.paths[-1]))
            if self._repeated[self.paths[-1]]:
                remedy = "this very source was imported into it before, by its SHA-256: nothing in it is new"
            else:
                remedy += "; if the conversation went on, import all sources into the corpus anew (--replace)"
        return RowError("conversation_id", f"used before, at {earlier.path}:{earlier.line}", remedy)

    def _is_repeated(self, path: Path) -> bool:
        """Whether a file that is read is, byte for byte, one that the corpus was made of."""
        sizes = {source.num_bytes for source in self.appended_sources}
        if not path.is_dir() and path.stat().st_size not in sizes:
            return False  # without reading it again
        found = describe_source(path)
        return any(found.sha256 == source.sha256 for source in self.appended_sources)

    def note_names(self, names: Collection[str], columns: ColumnMap) -> None:
        """Strike the keys of a row off the columns that the map names: where one is missing is known at the end."""
        if self.missing is None:
            self.missing = set(columns.find_missing(()))
        if self.missing and names != self._noted:
            self._noted = frozenset(names)
            self.missing.intersection_update(columns.find_missing(names))

    def require_named(self, source: Path | str) -> None:
        """Refuse a source of whose rows none held a column that the map names.

        Raises:
            InputError: with the fields that have no meaning, of which one is likely meant.
        """
        if self.missing:
            names = " and ".join(repr(name) for name in sorted(self.missing))
            unknown = ", ".join(self.unknown_fields)
            raise InputError(
                f"expected {names}, as the column map says, found no row with it",
                path=source,
                remedy=f"fields without a meaning are {unknown}" if unknown else "check how it is written",
            )

    def count_unknown(self, name: str, rows: int = 1) -> None:
        """Count a field that tenor does not know and ignores, unless it was told to."""
        if name in self.ignored:
            return
        name = name[:40].encode("utf-8", "replace").decode()
        if name not in self.unknown_fields and len(self.unknown_fields) >= MAX_UNKNOWN_FIELDS:
            name = OTHER_FIELDS
        self.unknown_fields[name] = self.unknown_fields.get(name, 0) + rows

    def agree_on_columns(self, kinds: dict[str, str], path: str) -> None:
        """Check that the files of one source have the same columns of the same kinds, in any order.

        Args:
            kinds: column -> kind, such as ``text`` or ``list<number>``.
            path: the file.

        Raises:
            InputError: a file before has others; the error names both files.
        """
        if self.columns is None:
            self.columns = (kinds, path)
        first, first_path = self.columns
        for name in [*first, *kinds]:
            here, there = kinds.get(name, "absent"), first.get(name, "absent")
            if "empty" in here or "empty" in there:  # nothing but nulls goes with any type
                first[name] = there if "empty" in here else here
            elif here != there:
                raise InputError(
                    f"the column is {here} here and {there} in {first_path}",
                    path=path,
                    field=name,
                    remedy="give all files the same columns and types, or import them one by one",
                )
