"""The lexical prior by a plain loop over the messages of one conversation."""

from __future__ import annotations

from typing import Any

import numpy as np
from surface_loop import surface_by_loop

from tenor.lexical import LexicalPrior
from tenor.lexical.surface import SURFACE_FEATURES


def prior_by_loop(
    prior: LexicalPrior, messages: list[dict[str, Any]], author: str | None, keep: list[bool] | None = None
) -> np.ndarray:
    """The logits (K,) of one conversation, or of one author in it.

    Args:
        prior: a LexicalPrior.
        messages: of the whole conversation, with author and text.
        author: whose messages are the sequence's; None = all.
        keep: which of the sequence's messages are there; None = all.
    """
    own = [message for message in messages if author in (None, message["author"])]
    if keep is not None:
        own = [message for message, is_kept in zip(own, keep, strict=True) if is_kept]
    opener = messages[0]["author"] if messages else None
    voices = {
        "own": own,
        "bayes": own,
        "characters": own,
        "character_bayes": own,
        "first": [message for message in own if message["author"] == opener],
        "rest": [message for message in own if message["author"] != opener],
        "others": [message for message in messages if message["author"] != author],
    }
    total = 0.0
    if prior.surface is not None:
        found = surface_by_loop(messages, author, keep)
        lowest, highest = prior.surface.bounds
        held = [
            min(max(found[name], lo), hi)
            for name, lo, hi in zip(SURFACE_FEATURES, lowest, highest, strict=True)
        ]
        total = np.array(held) @ prior.surface.linear.coefficients + prior.surface.linear.intercept
    for part, model in prior.models.items():
        if part == "peak":
            scores = [np.atleast_1d(model.logits([message["text"]])[0]) for message in own]
            total = total + (np.max(scores, axis=0) if scores else model.intercept)
        else:
            total = total + np.atleast_1d(model.logits(["\n".join(m["text"] for m in voices[part])])[0])
    return np.asarray(total, dtype=np.float64)
