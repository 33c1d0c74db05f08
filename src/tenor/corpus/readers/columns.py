"""Which column of a source is which: the map from the user's names to tenor's.

Knows nothing of formats: each reader asks it for names.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from tenor.arguments import describe_found
from tenor.errors import UsageError

#: Texts of one message; a conversation holds a list of them, or a list of message objects.
MESSAGE_FIELDS = ("author", "text", "timestamp", "features")


@dataclass(frozen=True, slots=True)
class ColumnMap:
    """Names of the columns (JSON keys, CSV headers, Parquet and Arrow columns) that a source uses.

    A source has one row a conversation, either with `messages` (a list of objects with `author`, `text`,
    `timestamp`, `features`) or with one list a column (`authors`, `text`, `timestamp`, `features`), or one
    row a message (`author`, `text`, `timestamp`, `author_label`).

    Analyzed corpora made elsewhere often hold several scalar columns, each with one number a message (a list
    where a row is a conversation). Those whose names begin with `feature_prefix`, in sorted order, or those
    in `feature_columns`, in the given order, become the feature vector; their names are kept.

    Attributes:
        conversation_id: identifies the conversation; a string or an integer.
        messages: list of message objects.
        authors: list of authors, one a message.
        author: who wrote a message; a string or an integer.
        text: a message's text.
        timestamp: seconds since 1970 UTC, ISO 8601, or a date and time of Arrow.
        features: a message's feature vector.
        label: of the conversation.
        author_labels: mapping author -> label.
        author_label: label of a message's author in this conversation, where a row is a message.
        participants: list of authors that `participant_labels` is about.
        participant_labels: their labels.
        attackers: list of authors with label 1; the conversation's other authors get 0.
        group: the named group (match, thread, household); None = ignore the column.
        split: train, validation (validation, valid, val, dev) or test; None = ignore the column, so that
            tenor splits anew.
        feature_prefix: of scalar feature columns; empty = none.
        feature_columns: scalar feature columns in order; empty = by `feature_prefix`.
    """

    conversation_id: str = "conversation_id"
    messages: str = "messages"
    authors: str = "authors"
    author: str = "author"
    text: str = "text"
    timestamp: str = "timestamp"
    features: str = "features"
    label: str = "label"
    author_labels: str = "author_labels"
    author_label: str = "author_label"
    participants: str = "participants"
    participant_labels: str = "participant_labels"
    attackers: str = "attackers"
    group: str | None = "group"
    split: str | None = "split"
    feature_prefix: str = "feat_"
    feature_columns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "feature_columns", tuple(self.feature_columns))
        used: dict[str, str] = {}
        for spec in dataclasses.fields(self):
            name = getattr(self, spec.name)
            if spec.name in ("feature_prefix", "feature_columns"):
                continue
            if name is None and spec.name in ("group", "split"):
                continue
            if not isinstance(name, str) or not name:
                raise UsageError(f"column map: {spec.name}: expected the name of a column, found {name!r}")
            if name in used:
                raise UsageError(f"column map: {spec.name} and {used[name]} both name the column {name!r}")
            used[name] = spec.name
        clash = sorted(used.keys() & set(self.feature_columns))
        if clash or len(set(self.feature_columns)) != len(self.feature_columns):
            which = f": {', '.join(clash)}" if clash else ""
            raise UsageError(
                f"column map: feature_columns repeat a name or name a column used already{which}"
            )
        if not all(isinstance(name, str) and name for name in self.feature_columns):
            raise UsageError("column map: feature_columns: expected names of columns")
        if not isinstance(self.feature_prefix, str):
            raise UsageError(f"column map: feature_prefix: expected text, found {self.feature_prefix!r}")

    @property
    def named(self) -> tuple[str, ...]:
        """The columns that go by another name than tenor's own: somebody has said that they are there."""
        specs = [spec for spec in dataclasses.fields(self) if not spec.name.startswith("feature_")]
        names = [(getattr(self, spec.name), spec.default) for spec in specs]
        others = (name for name, default in names if name is not None and name != default)
        return (*others, *self.feature_columns)

    @property
    def ignored(self) -> frozenset[str]:
        """The columns of tenor's own names that are not to be read: somebody knows that they are there."""
        return frozenset(spec.name for spec in dataclasses.fields(self) if getattr(self, spec.name) is None)

    def find_missing(self, names: Collection[str]) -> list[str]:
        """The `named` columns that a source's column names lack; ``x_*`` for a prefix of one's own."""
        missing = [name for name in self.named if name not in names]
        is_own = self.feature_prefix not in ("", "feat_") and not self.feature_columns
        return [*missing, f"{self.feature_prefix}*"] if is_own and not self.pick_features(names) else missing

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, str | None | Iterable[str]]) -> ColumnMap:
        """Make a map from tenor's name -> the source's column.

        Raises:
            UsageError: a name that tenor does not use, a column named twice.
        """
        known = {spec.name for spec in dataclasses.fields(cls)}
        for name in mapping:
            if name not in known:
                given = mapping[name]
                is_swapped = isinstance(given, str) and given in known
                swapped = f": turn it round, {given}={name}" if is_swapped else ""
                raise UsageError(
                    f"column map: expected one of {', '.join(sorted(known))}, found {name!r}{swapped}"
                )
        values = dict(mapping)
        if "feature_columns" in values:
            given = values["feature_columns"]
            if given is None or isinstance(given, str):
                raise UsageError("column map: feature_columns: expected a list of names")
            values["feature_columns"] = tuple(given)
        return cls(**values)  # type: ignore[arg-type]  # __post_init__ checks the types

    @classmethod
    def from_strings(cls, pairs: Iterable[str]) -> ColumnMap:
        """Make a map from texts such as ``author=user``, as the command line takes them.

        ``feature_columns`` takes several names with commas between; ``split=`` and ``group=`` ignore that
        column.

        Raises:
            UsageError: a text without ``=``, a name given twice, or as `from_mapping`.
        """
        values: dict[str, str | None | list[str]] = {}
        for pair in pairs:
            name, equals, column = pair.partition("=")
            if not equals:
                raise UsageError(f"column map: expected NAME=COLUMN, found {pair!r}")
            if name in values:
                raise UsageError(f"column map: {name} is given twice")
            if name == "feature_columns":
                values[name] = [part for part in column.split(",") if part]
            else:
                values[name] = None if name in ("split", "group") and not column else column
        return cls.from_mapping(values)

    def name_of(self, field: str) -> str:
        """The user's name of one of tenor's fields; any other text as it is."""
        if any(spec.name == field for spec in dataclasses.fields(self)):
            return str(getattr(self, field))
        return field

    def reads(self, field: str) -> bool:
        """Whether one of tenor's fields is read at all."""
        return getattr(self, field) is not None

    def known_names(self) -> frozenset[str]:
        """Every column name that the map gives a meaning, the feature columns aside."""
        skip = ("feature_prefix", "feature_columns")
        names = (getattr(self, spec.name) for spec in dataclasses.fields(self) if spec.name not in skip)
        return frozenset(name for name in names if name is not None)

    def pick_features(self, names: Collection[str]) -> tuple[str, ...]:
        """The scalar feature columns among a source's column names, in the order of the feature vector."""
        if self.feature_columns:
            return self.feature_columns if any(name in names for name in self.feature_columns) else ()
        if not self.feature_prefix:
            return ()
        begins = [name for name in names if name.startswith(self.feature_prefix)]
        return tuple(sorted(set(begins) - self.known_names())) if begins else ()


def make_column_map(columns: ColumnMap | Mapping[str, str | None | Iterable[str]] | None) -> ColumnMap:
    """The map that a caller meant: as given, from a mapping, or the default.

    Raises:
        UsageError: as `ColumnMap.from_mapping`.
    """
    if columns is None:
        return ColumnMap()
    if not isinstance(columns, ColumnMap | Mapping):
        raise UsageError(
            "columns: expected a mapping from tenor's name of a column to the source's, such as {'author': 'user'}, "
            f"found {describe_found(columns)}"
        )
    return columns if isinstance(columns, ColumnMap) else ColumnMap.from_mapping(columns)
