"""The surface of one conversation, or of one author in it, by a plain loop over its messages."""

from __future__ import annotations

import math
import unicodedata
from itertools import chain
from typing import Any

import numpy as np


def surface_by_loop(
    messages: list[dict[str, Any]], author: str | None, keep: list[bool] | None = None
) -> dict[str, float]:
    """The features by name.

    Args:
        messages: of the whole conversation, with author, text and perhaps timestamp in seconds.
        author: whose messages are the sequence's; None = all.
        keep: which of the sequence's messages are there; None = all.
    """
    central = author or (messages[0]["author"] if messages else "")
    own = iter(keep or [True] * len(messages))
    there = [each for each in messages if (author is not None and each["author"] != author) or next(own)]
    found = {}
    for role in ("central", "others"):
        some = [each for each in there if (each["author"] == central) == (role == "central")]
        found |= {f"{role}.{name}": value for name, value in describe_role([each["text"] for each in some])}
    texts = [each["text"] for each in there]
    logs = [math.log1p(len(text)) for text in texts]
    mine = [each["author"] == central for each in there]
    half = max(len(texts) // 2, 1)
    times = [each.get("timestamp") for each in there]
    gaps = [
        min(max(late - early, 0.0), 86_400.0)
        for early, late in zip(times, times[1:], strict=False)
        if early is not None and late is not None
    ]
    waits = [math.log1p(gap) for gap in gaps]
    pairs = max(len(texts) - 1, 1)
    own_characters = sum(len(text) for text, is_mine in zip(texts, mine, strict=True) if is_mine)
    return found | {
        "messages": math.log1p(len(texts)),
        "opens": float(bool(mine) and mine[0]),
        "closes": float(bool(mine) and mine[-1]),
        "message_share": mean(mine),
        "character_share": own_characters / max(sum(map(len, texts)), 1),
        "switches": sum(a != b for a, b in zip(mine, mine[1:], strict=False)) / pairs,
        "shrinking": mean(logs[:half]) - mean(logs[half:]) if len(texts) > 1 else 0.0,
        "first_length": logs[0] if logs else 0.0,
        "last_length": logs[-1] if logs else 0.0,
        "delays_known": len(gaps) / pairs,
        "duration": math.log1p(sum(gaps)),
        "delay_mean": mean(waits),
        "delay_max": max(waits, default=0.0),
    }


def describe_role(texts: list[str]) -> list[tuple[str, float]]:
    """Names and values of one role's features."""
    logs = [math.log1p(len(text)) for text in texts]
    words = [
        "".join(c if unicodedata.category(c)[0] in "LN" else " " for c in text).split() for text in texts
    ]
    characters = sum(map(len, texts))
    return [
        ("messages", math.log1p(len(texts))),
        ("characters", math.log1p(characters)),
        ("length_mean", mean(logs)),
        ("length_deviation", float(np.std(logs)) if logs else 0.0),
        ("length_max", max(logs, default=0.0)),
        ("questions", mean([any(mark in text for mark in "?？؟") for text in texts])),
        ("exclamations", mean([any(mark in text for mark in "!！") for text in texts])),
        ("capitals", sum(unicodedata.category(c) == "Lu" for c in "".join(texts)) / max(characters, 1)),
        ("word_length", len("".join(chain(*words))) / max(sum(map(len, words)), 1)),
        ("short", mean([len(each) <= 1 for each in words])),
    ]


def mean(values: list[Any]) -> float:
    """0 of nothing."""
    return float(sum(values)) / len(values) if values else 0.0
