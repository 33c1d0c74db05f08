"""The dynamics of one conversation by plain loops: what the vectorised encoder must equal."""

from __future__ import annotations

import math


def dynamics_by_loop(
    authors: list[str], texts: list[str] | None, timestamps: list[float | None] | None
) -> list[list[float]]:
    """One list of eight numbers a message, in the order of DYNAMICS_FEATURES."""
    rows = []
    for t, author in enumerate(authors):
        now = None if timestamps is None else timestamps[t]
        before = None if timestamps is None or t == 0 else timestamps[t - 1]
        known = now is not None and before is not None
        delay = max(now - before, 0.0) if known else 0.0
        rows.append(
            [
                math.log(1 + delay),
                1.0 if known else 0.0,
                0.0 if texts is None else math.log(1 + len(texts[t])),
                0.0 if texts is None else math.log(1 + len(texts[t].split())),
                1.0 if t > 0 and authors[t - 1] != author else 0.0,
                authors[: t + 1].count(author) / (t + 1),
                0.0 if len(authors) == 1 else t / (len(authors) - 1),
                math.log(1 + t),
            ]
        )
    return rows
