"""The encoder expression that a user writes: ``lsa``, ``lsa+dynamics``, ``sentence:PATH``, ``like:CORPUS``.

Only its grammar; knows nothing of what the names stand for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from tenor.errors import UsageError

EncoderKind = Literal["lsa", "dynamics", "static", "sentence", "like"]

#: The encoders and how each is written; the first two take no argument.
ENCODERS: dict[EncoderKind, str] = {
    "lsa": "lsa",
    "dynamics": "dynamics",
    "static": "static:PATH_OR_HUB_ID",
    "sentence": "sentence:PATH_OR_HUB_ID",
    "like": "like:ANALYZED_CORPUS",
}
#: Encoders that read the messages' texts; dynamics makes do without.
TEXT_ENCODERS: frozenset[EncoderKind] = frozenset({"lsa", "static", "sentence"})

# A plus separates only where an encoder's name follows, so that a path may hold one.
_PLUS = re.compile(r"\+(?=\s*(?:lsa|dynamics)\s*(?:\+|$)|\s*(?:static|sentence|like):)")


@dataclass(frozen=True, slots=True)
class EncoderTerm:
    """One encoder of a sum.

    Attributes:
        kind: which.
        source: what follows the colon: a folder or a hub id; empty for lsa and dynamics.
    """

    kind: EncoderKind
    source: str = ""


def parse_encoder(expression: str) -> tuple[EncoderTerm, ...]:
    """Take an encoder expression apart.

    Returns:
        Its terms in the order written; at least one.

    Raises:
        UsageError: an unknown encoder, one without its argument or with one that it does not take, one named
            twice, or ``like`` in a sum; the message lists the encoders.
    """
    if not isinstance(expression, str):
        raise UsageError(
            f"encoder: expected a text such as 'lsa+dynamics', found {type(expression).__name__}"
        )
    terms = tuple(_parse_term(term.strip(), expression) for term in _PLUS.split(expression))
    for index, term in enumerate(terms):
        if term in terms[:index]:
            raise UsageError(
                f"encoder {expression!r}: {ENCODERS[term.kind]} is named twice: name each encoder once"
            )
        if term.kind == "like" and len(terms) > 1:
            raise UsageError(
                f"encoder {expression!r}: like:ANALYZED_CORPUS stands alone, it brings the whole encoder"
            )
    return terms


def _parse_term(term: str, expression: str) -> EncoderTerm:
    kind, colon, source = term.partition(":")
    if kind not in ENCODERS:
        known = ", ".join(ENCODERS.values())
        place = "" if term == expression.strip() else f" in {expression!r}"
        raise UsageError(f"unknown encoder {term!r}{place}: expected one of {known}, or a sum with +")
    needs_source = ENCODERS[kind].endswith(("ID", "CORPUS"))
    if needs_source != bool(source) or (colon and not source):
        raise UsageError(f"encoder {expression!r}: expected {ENCODERS[kind]}, found {term!r}")
    return EncoderTerm(kind, source)
