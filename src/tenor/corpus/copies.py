"""Before a fit: no sequence of validation or test may stand, nearly the same, in another split.

Near-duplicates by MinHash where that takes seconds; on more messages, or without datasketch, equal texts by their
hash. Knows nothing of models.
"""

from __future__ import annotations

import logging
import shlex
from typing import Literal, get_args

from tenor.corpus.audit import duplicate_findings
from tenor.corpus.near_duplicates import (
    DuplicateRules,
    DuplicateSearch,
    find_equal_texts,
    find_near_duplicates,
)
from tenor.corpus.views import SequenceView
from tenor.errors import MissingExtraError, SplitError, UsageError

logger = logging.getLogger(__name__)

#: What a fit does about copies in two splits.
OnCopies = Literal["refuse", "warn", "ignore"]

#: Up to so many messages are compared by MinHash, within some two seconds; more by the hash of their text, whose time
#: grows as the texts do (a second for some 130,000 messages).
MAX_MESSAGES = 50_000


def check_on_copies(value: str) -> None:
    """Refuse another word than those of `OnCopies`.

    Raises:
        UsageError: it is none of them.
    """
    if value not in get_args(OnCopies):
        raise UsageError(f"copies must be one of {', '.join(get_args(OnCopies))}, not {value!r}")


def require_no_copies(view: SequenceView, on_copies: OnCopies = "refuse", *, show: bool = True) -> None:
    """Refuse texts that stand, nearly the same, in two splits.

    Args:
        view: the sequences of a fit, of all splits.
        on_copies: ``warn`` logs what ``refuse`` raises; ``ignore`` does not look.
        show: log that only equal texts were looked for, and why.

    Raises:
        SplitError: naming up to three pairs and the remedy.
    """
    if on_copies == "ignore" or not view.corpus.has_text:
        return
    rules = DuplicateRules()
    search, reason = _search(view, rules)
    if reason and show:
        logger.warning("looked for equal texts in two splits only, not for similar ones: %s", reason)
    findings = duplicate_findings(view, search, rules)
    for finding in findings:
        if on_copies == "refuse":
            rest = "or train all the same with copies='warn' (--copies warn)"
            raise SplitError(f"{view.corpus.path}: {finding.message}; {rest}")
        if show:
            logger.warning("%s: %s", view.corpus.path, finding.message)


def _search(view: SequenceView, rules: DuplicateRules) -> tuple[DuplicateSearch, str]:
    """What was found, and why only equal texts were looked for; "" where similar ones were."""
    num_messages = int(view.lengths.sum())
    if num_messages > MAX_MESSAGES:
        reason = (
            f"{num_messages:,} messages (tenor audit {shlex.quote(str(view.corpus.path))} takes the time)"
        )
        return find_equal_texts(view, rules), reason
    try:
        return find_near_duplicates(view, rules), ""
    except MissingExtraError as error:
        return find_equal_texts(view, rules), str(error)
