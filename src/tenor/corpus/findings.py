"""What stands in more than one split: groups, authors, conversations; and what an audit says of a thing it found.

Knows nothing of what is done about it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tenor.corpus.ordering import Codes
from tenor.corpus.schema import SPLITS, Level
from tenor.corpus.views import SequenceView

#: error: a leak that spoils every number, a fit is refused. warning: a leak by the user's own choice, or a
#: likely one. note: worth knowing, no leak.
Severity = Literal["error", "warning", "note"]
FindingKind = Literal[
    "shared_groups",
    "shared_authors",
    "shared_conversations",
    "known_authors",
    "near_duplicates",
    "future_in_training",
    "fitted_state",
]

MAX_EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that an audit found.

    Attributes:
        kind: which check found it.
        severity: see `Severity`.
        level: where it matters.
        message: one sentence with what was found and the remedy; it names ids, never texts.
        count: how many groups, authors, conversations or sequences are concerned.
        examples: up to three of them.
    """

    kind: FindingKind
    severity: Severity
    level: Level
    message: str
    count: int
    examples: tuple[str, ...]


_REMEDIES: dict[FindingKind, str] = {
    "shared_groups": "import again without the given splits, or mend them so that each group has one",
    "shared_authors": "split by author, unless scores of authors already seen are what you want",
    "shared_conversations": "split strictly, if conversations must not be shared either",
}
#: Of groups that are authors: a given split is of a conversation, so that those who speak in two cannot have one each.
_SHARED_AUTHOR_GROUPS = (
    "import again without the given splits, --column split=: a given split belongs to a conversation, and whoever "
    "speaks in conversations of two splits stands in both; or name a group of all conversations that share people, "
    "and give each group one split"
)
_UNITS: dict[FindingKind, str] = {
    "shared_groups": "groups",
    "shared_authors": "authors",
    "shared_conversations": "conversations",
}


def find_shared(
    view: SequenceView, kind: FindingKind, codes: Codes, names: pa.ChunkedArray, severity: Severity
) -> list[Finding]:
    """One finding for the names that stand in more than one split; none when there are none.

    Args:
        view: the sequences.
        kind: of the finding.
        codes: (S,) the number of each sequence's name.
        names: the names.
        severity: of the finding.
    """
    is_in = np.zeros((len(names), len(SPLITS)), dtype=bool)
    placed = view.split_codes >= 0
    is_in[codes[placed], view.split_codes[placed]] = True
    shared = np.flatnonzero(is_in.sum(axis=1) > 1)
    if len(shared) == 0:
        return []
    shared = shared[np.argsort(_first_places(codes, shared))]
    examples = tuple(
        f"{names[int(code)].as_py()[:80]!r} in {' and '.join(np.array(SPLITS)[is_in[code]])}"
        for code in shared[:MAX_EXAMPLES]
    )
    more = ", ..." if len(shared) > MAX_EXAMPLES else ""
    is_of_authors = kind == "shared_groups" and view.group_names is view.author_names
    remedy = _SHARED_AUTHOR_GROUPS if is_of_authors else _REMEDIES[kind]
    message = (
        f"{len(shared)} {_UNITS[kind]} stand in more than one split at level {view.level}: "
        f"{'; '.join(examples)}{more} ({remedy})"
    )
    return [Finding(kind, severity, view.level, message, len(shared), examples)]


def find_known_authors(conversations: SequenceView, authors: SequenceView) -> tuple[list[Finding], str]:
    """Authors in test conversations who also speak in others: no leak, but test is then of people who were seen.

    Args:
        conversations: all of a corpus.
        authors: all of it.

    Returns:
        One finding or none, and a sentence with what was compared.
    """
    codes, names = authors.author_codes, authors.author_names
    if codes is None or names is None:
        return [], "authors known before test: not compared, not a view of authors"
    splits = conversations.split_codes[authors.rows]
    is_test = splits == SPLITS.index("test")
    tested = np.unique(codes[is_test])
    known = np.intersect1d(tested, codes[(splits >= 0) & ~is_test])
    sentence = f"authors known before test, level conversation: {len(tested):,} authors compared"
    if len(known) == 0:
        return [], sentence
    examples = tuple(repr(names[int(code)].as_py()[:80]) for code in known[:MAX_EXAMPLES])
    message = (
        f"{len(known):,} of {len(tested):,} authors in test conversations also speak in those of train or validation, "
        "so test tells how people who were seen are scored (import with --strict, to measure on people never seen)"
    )
    return [Finding("known_authors", "note", "conversation", message, len(known), examples)], sentence


def _first_places(codes: Codes, wanted: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Where each of the wanted codes stands first: (W,)."""
    distinct, places = np.unique(codes, return_index=True)
    return np.asarray(places[np.searchsorted(distinct, wanted)])
