"""Rows that an import sets aside: counted, and listed with place and reason, never with their text.

Knows nothing of why a row is set aside.
"""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from tenor.corpus.readers.records import Item, Reject
from tenor.corpus.schema import Conversation
from tenor.errors import InputError, StorageError, describe_os_error
from tenor.files import publish_file

REJECTS_NAME = "rejects.jsonl"
_SHOWN_REJECTS = 3
_SHOWN_KINDS = 3
#: So many kinds of rejects are told apart, whatever the source holds.
_MAX_KINDS = 1000
#: What differs between rows that break the same rule: the conversation's name, the message's number, what was found.
_CONVERSATION, _NUMBER = re.compile(r"^conversation '.*?': "), re.compile(r"\[\d+\]")
_FOUND = re.compile(r", (found|at) .*", re.DOTALL)


class Quarantine:
    """Rows set aside: counted, and written to a spool, which is a file where they are many."""

    def __init__(self, spool: IO[bytes], *, stop: bool) -> None:
        self.rows = 0
        self.first: list[Reject] = []
        self._count, self._kinds = 0, Counter[str]()
        self._spool, self._stop = spool, stop

    def sift(self, items: Iterator[Item]) -> Iterator[Conversation]:
        """Pass the conversations on and take the rejects out."""
        for item in items:
            if isinstance(item, Reject):
                self.take(item)
            else:
                yield item

    def take(self, reject: Reject) -> None:
        """Set rows aside.

        Raises:
            InputError: the import is to stop at the first broken rule.
        """
        if self._stop:
            raise reject.error()
        self.rows += reject.rows
        self._count += 1
        kind = _describe_kind(reject)
        if kind in self._kinds or len(self._kinds) < _MAX_KINDS:
            self._kinds[kind] += reject.rows
        if len(self.first) < _SHOWN_REJECTS:
            self.first.append(reject)
        try:
            self._spool.write(json.dumps(reject.to_json(), sort_keys=True).encode() + b"\n")
        except OSError as error:
            reason = describe_os_error(error).partition(" in [")[0]  # the list of folders is Python's
            raise StorageError(
                f"cannot write a temporary file: {reason} (TMPDIR names the folder for them)"
            ) from error

    def nothing_left(self, source: Path | str, rejects: Path | str | None, *, known: int) -> InputError:
        """The error for an import without any conversation; what was set aside is listed where a file is named.

        Args:
            source: what was read.
            rejects: a file of the user's; there is no corpus whose folder could hold the list.
            known: how many conversations were set aside since the corpus holds their ids to which is appended.

        Raises:
            StorageError: the list cannot be written.
        """
        if not self.first:
            return InputError("expected at least one conversation, found none", path=source)
        first = self.first[0]
        if known == self._count:
            rule = f"all {known:,} conversations are there already, nothing is new"
            return InputError(rule, path=source, remedy=first.remedy + self._tell_list(rejects))
        rule = f"no conversation is left: all {self.rows} rows break a rule, the first this: {first.rule}"
        if len(self._kinds) > 1:
            kinds = [f"{kind} ({count:,})" for kind, count in self._kinds.most_common(_SHOWN_KINDS)]
            rule += f"; the most frequent: {'; '.join(kinds)}"
        place, remedy = first.place, first.remedy + self._tell_list(rejects)
        return InputError(
            rule, path=place.path, line=place.line, field=first.field, remedy=remedy.lstrip("; ")
        )

    def _tell_list(self, rejects: Path | str | None) -> str:
        """Write the list where there is a place for it, and say where, or how to get it."""
        if rejects is None:
            return "; --rejects FILE lists them all"
        self.save(Path(), Path(), rejects)
        return f"; all are listed in {rejects}"

    def save(
        self, folder: Path, dest: Path, rejects: Path | str | None, *, earlier: bool = False
    ) -> Path | None:
        """Write the list, into the unpublished folder of `dest` where no file is given.

        Args:
            folder: the unpublished folder.
            dest: the corpus.
            rejects: a file of the user's.
            earlier: keep what `dest` lists already, at the beginning.

        Returns:
            Where the list will stand; None when there is nothing to list and no file was asked for.
        """
        if rejects is None and not self.rows:
            return None
        self._spool.seek(0)
        target = folder / REJECTS_NAME if rejects is None else Path(rejects)
        before = dest / REJECTS_NAME
        with publish_file(target) as temporary, temporary.open("wb") as handle:
            if earlier and rejects is None and before.is_file() and not before.is_symlink():
                handle.write(before.read_bytes())
            shutil.copyfileobj(self._spool, handle)
        return dest / REJECTS_NAME if rejects is None else target


def _describe_kind(reject: Reject) -> str:
    """What rows that break the same rule have in common."""
    rule = _FOUND.sub("", _CONVERSATION.sub("", reject.rule))
    return rule if reject.field is None else f"{_NUMBER.sub('[]', reject.field)}: {rule}"


def holds_rejects(path: Path) -> bool:
    """Whether a file is a list of rejects: its first line is an object with a place and a rule."""
    with path.open("rb") as handle:
        line = handle.readline(1 << 16)
    return line.startswith(b"{") and b'"rule"' in line and b'"sha256"' in line
