"""What an import did, as numbers and as sentences.

Knows nothing of how it is done.
"""

from __future__ import annotations

import re
import shlex
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from tenor.corpus.class_order import describe_positive
from tenor.corpus.schema import Label, Level
from tenor.errors import describe_value

#: How pandas writes the integers of a column that has empty cells.
_DECIMAL = re.compile(r"-?[0-9]+\.0")
#: What usually stands for no label.
_MISSING = frozenset({"", "nan", "na", "n/a", "none", "null", "<na>"})


@dataclass(frozen=True, slots=True)
class ImportSummary:
    """What an import read, kept and set aside. Always ``rows == imported_rows + rejected_rows``.

    Attributes:
        path: the corpus.
        conversations: imported.
        messages: imported.
        unit: what a row of the source is, a conversation or a message.
        rows: rows of the source; blank lines and headers are none.
        imported_rows: rows that are in the corpus.
        rejected_rows: rows that were set aside.
        rejects_path: the file that lists them; None when there are none.
        first_rejects: the first few, as text with file, line, field and rule.
        replaced_surrogates: halves of surrogate pairs replaced by U+FFFD.
        truncated_texts: messages cut because they are too long.
        ignored_fields: fields that tenor does not know -> how many rows (or messages) carry them.
        earlier_conversations: that the corpus held before, where this import was appended to one.
        earlier_messages: likewise.
        new_classes: that no label of the earlier corpus had.
        left_out: conversations, and author sequences, that a strict plan left in no split, of the whole corpus.
        author_sequences: of the whole corpus.
        backwards: imported conversations in which some message is earlier than the one before it.
        classes: of the whole corpus, level -> its classes.
        alike_authors: names of authors that differ from another by case, spaces or Unicode's form alone, of the whole
            corpus.
        nobody_sequences: author sequences under a name that stands for nobody, such as ``[deleted]``, likewise.
        takeover: what became of the split plan of a corpus that was replaced; empty = nothing to say.
        replaced_classes: level -> its classes in a corpus that was replaced.
        lacking: optional fields that the earlier corpus has and no new conversation does.
    """

    path: Path
    conversations: int
    messages: int
    unit: str
    rows: int
    imported_rows: int
    rejected_rows: int
    rejects_path: Path | None
    first_rejects: tuple[str, ...]
    replaced_surrogates: int
    truncated_texts: int
    ignored_fields: dict[str, int]
    earlier_conversations: int = 0
    earlier_messages: int = 0
    new_classes: tuple[Label, ...] = ()
    left_out: tuple[int, int] = (0, 0)
    author_sequences: int = 0
    backwards: int = 0
    classes: Mapping[Level, tuple[Label, ...]] = field(default_factory=dict)
    alike_authors: int = 0
    nobody_sequences: int = 0
    takeover: str = ""
    replaced_classes: Mapping[Level, tuple[Label, ...]] = field(default_factory=dict)
    lacking: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """The summary as lines for a person; nothing that was changed or left out goes unsaid."""
        conversations = self.earlier_conversations + self.conversations
        messages = self.earlier_messages + self.messages
        line = f"{self.path}: {conversations:,} conversations, {messages:,} messages"
        if self.earlier_conversations:
            line += f" ({self.conversations:,} and {self.messages:,} of them new)"
        return [line, *self.remarks()]

    def remarks(self, *, with_positives: bool = True) -> list[str]:
        """What was changed or left out, or is seldom meant; with the positive classes, unless they were asked for."""
        lines, conversations = [], self.earlier_conversations + self.conversations
        if self.takeover:
            lines.append(self.takeover)
        if self.new_classes:
            names = describe_value(self.new_classes)
            lines.append(f"new classes: {names}; a model trained before does not know them: train anew")
        if any(self.left_out):
            lines.append(
                f"in no split, since the plan is strict: {self.left_out[0]:,} of {conversations:,} conversations, "
                f"{self.left_out[1]:,} of {self.author_sequences:,} author sequences"
            )
        lines += self._positives() if with_positives else []
        lines += self._doubts()
        if self.rejected_rows:
            rows = f"{self.rejected_rows:,} of {self.rows:,} rows (a row is a {self.unit})"
            lines.append(f"set aside {rows}: {self.rejects_path}")
            lines += [f"  {text}" for text in self.first_rejects]
        if self.replaced_surrogates:
            lines.append(f"replaced {self.replaced_surrogates:,} halves of surrogate pairs by U+FFFD")
        if self.truncated_texts:
            lines.append(f"cut {self.truncated_texts:,} messages that were too long")
        if self.ignored_fields:
            fields = ", ".join(f"{name} ({count:,})" for name, count in sorted(self.ignored_fields.items()))
            lines.append(f"ignored fields that tenor does not know: {fields}")
        return lines

    def _doubts(self) -> list[str]:
        """What is allowed and seldom meant."""
        lines = self._doubt_lacking()
        if self.backwards:
            lines.append(
                f"in {self.backwards:,} of {self.conversations:,} conversations a message is earlier than the one "
                "before it: the source's order is kept (sort by conversation and time if that is not theirs)"
            )
        if self.alike_authors:
            lines.append(
                f"{self.alike_authors:,} names of authors differ from another one by case, spaces or Unicode's form "
                "alone and count as different people: write them alike if they are one"
            )
        if self.nobody_sequences > 1:
            lines.append(
                f"{self.nobody_sequences:,} of {self.author_sequences:,} author sequences are of a name that stands "
                "for nobody ([deleted], unknown, none, ...), each of which counts as one person who spoke in all of "
                "them: give each row a name of its own, or leave it out"
            )
        return lines + _doubt_labels(dict.fromkeys(chain.from_iterable(self.classes.values())))

    def _doubt_lacking(self) -> list[str]:
        """What a renamed column would leave out; new chats have times, but seldom labels, so of these only a hint."""
        lines, others = [], [name for name in self.lacking if name != "timestamp"]
        if "timestamp" in self.lacking:
            lines.append(
                "no new conversation has a time, though the corpus has: is the column called otherwise (--column "
                "timestamp=...)?"
            )
        if others and self.ignored_fields:
            names = " or ".join(name.replace("_", " ") for name in others)
            if self.unit == "conversation":  # whose authors' labels stand in one field
                others = ["author_labels" if name == "author_label" else name for name in others]
            options = ", ".join(f"--column {name}=..." for name in others)
            lines.append(
                f"no new conversation has a {names}, though the corpus has: nothing is wrong if they are not known "
                f"yet, but if an ignored field holds them name it ({options})"
            )
        return lines

    def _positives(self) -> list[str]:
        """Which of two names is the positive one, said once where the levels have the same."""
        said = {}
        for level, classes in self.classes.items():
            text = describe_positive(classes)
            if text is not None and classes not in said:
                text += _compare_positive(classes, self.replaced_classes.get(level, ()))
                other = f"; --positive {shlex.quote(str(classes[0]))} chooses the other"
                other = "" if self.earlier_conversations else other
                said[classes] = f"level {level}: {text}{other}"
        return list(said.values())


def _compare_positive(classes: tuple[Label, ...], replaced: tuple[Label, ...]) -> str:
    """Whether a corpus that was replaced had the same positive one of the same two names, where that matters."""
    if set(replaced) != set(classes):
        return ""
    if replaced != classes:
        return f", which was {replaced[1]!r} in the corpus that was replaced"
    return "" if list(classes) == sorted(classes, key=str) else ", as in the corpus that was replaced"


def _doubt_labels(labels: Iterable[Label]) -> list[str]:
    """What is allowed of labels and seldom meant."""
    lines, names = [], [label for label in labels if isinstance(label, str)]
    decimals = [name for name in names if _DECIMAL.fullmatch(name)]
    if decimals:
        lines.append(
            f"labels {', '.join(decimals)} are read as texts, not as numbers: write integers, or names "
            '(pandas: .astype("Int64"))'
        )
    missing = [name for name in names if name.strip().lower() in _MISSING]
    if missing:
        lines.append(
            f"labels {', '.join(name if name.strip() else repr(name) for name in missing)} count as classes: "
            "leave the cell empty, or null, where there is no label"
        )
    alike: dict[str, list[str]] = {}
    for name in names:
        if name not in missing:
            alike.setdefault(unicodedata.normalize("NFKC", name).strip().casefold(), []).append(name)
    for group in alike.values():
        if len(group) > 1:
            shown = [repr(unicodedata.normalize("NFC", name)) for name in group]
            if len(set(shown)) < len(shown):  # they look the same
                shown = list(map(ascii, group))
            lines.append(f"labels {', '.join(shown)} are different classes: write them alike if they are one")
    return lines
