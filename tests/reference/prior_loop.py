"""The lexical prior by a plain loop over the messages of one conversation."""

from __future__ import annotations

from typing import Any

import numpy as np
from surface_loop import surface_by_loop

from tenor.lexical import AuthorsModel, LexicalPrior
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
    if prior.authors is not None:
        total = total + authors_by_loop(prior.authors, own)
    for part, model in prior.models.items():
        if part == "peak":
            scores = [np.atleast_1d(model.logits([message["text"]])[0]) for message in own]
            total = total + (np.max(scores, axis=0) if scores else model.intercept)
        else:
            total = total + np.atleast_1d(model.logits(["\n".join(m["text"] for m in voices[part])])[0])
    return np.asarray(total, dtype=np.float64)


def authors_by_loop(authors: AuthorsModel, messages: list[dict[str, Any]]) -> np.ndarray:
    """What the authors of a conversation's messages say of it: (K,)."""
    said: dict[str, list[str]] = {}
    for message in messages:
        said.setdefault(message["author"], []).append(message["text"])
    if not said:
        scores = [sum(model.intercept.astype(np.float64) for model in authors.models.values())]
    else:
        scores = [
            sum(np.atleast_1d(model.logits(["\n".join(texts)])[0]) for model in authors.models.values())
            for texts in said.values()
        ]
    row = np.concatenate([np.mean(scores, axis=0), np.max(scores, axis=0), np.min(scores, axis=0)])
    return np.asarray(row @ authors.linear.coefficients + authors.linear.intercept)
