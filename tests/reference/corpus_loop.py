"""Sequences of a corpus by plain loops over conversations: what the vectorised views must equal."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np

from tenor.corpus.plan import SplitPlan, split_finder
from tenor.corpus.schema import Conversation


@dataclass
class LoopSequence:
    conversation_id: str
    author: str | None
    group: str
    split: str
    label: Any
    texts: list[str]
    features: list[list[float]]
    timestamps: list[float | None]


def loop_sequences(conversations: list[Conversation], level: str, plan: SplitPlan) -> list[LoopSequence]:
    sequences = []
    for conversation in conversations:
        owners: list[str | None] = [None]
        if level == "author":
            owners = []
            for author in conversation.authors:
                if author not in owners:
                    owners.append(author)
        for owner in owners:
            kept = [i for i, author in enumerate(conversation.authors) if owner is None or author == owner]
            label = conversation.label if owner is None else conversation.author_labels.get(owner)
            group = loop_group(conversation, owner, plan)
            split = conversation.split or split_finder(plan)(group)
            times = conversation.timestamps or [None] * len(conversation.authors)
            texts = conversation.texts or [""] * len(conversation.authors)
            features = [] if conversation.features is None else conversation.features
            sequences.append(
                LoopSequence(
                    conversation.conversation_id,
                    owner,
                    group,
                    split,
                    label,
                    [texts[i] for i in kept],
                    [[float(value) for value in features[i]] for i in kept] if len(features) else [],
                    [times[i] for i in kept],
                )
            )
    return sequences


def hash_ids(pairs: Iterable[tuple[str, str]]) -> str:
    """The hash of a set of (conversation_id, author) pairs: the sum of the pairs' own."""
    texts = (f"{len(name)}:{name}{author}" for name, author in pairs)
    total = sum(int(blake2b(text.encode(), digest_size=32).hexdigest(), 16) for text in texts)
    return f"{total % 2**256:064x}"


def loop_group(conversation: Conversation, owner: str | None, plan: SplitPlan) -> str:
    if plan.by == "conversation":
        return conversation.conversation_id
    if plan.by == "author":
        return conversation.authors[0] if owner is None else owner
    if conversation.group is not None:
        return conversation.group
    return conversation.conversation_id if owner is None else owner


def make_conversations(
    seed: int = 0,
    number: int = 40,
    *,
    num_authors: int = 12,
    max_messages: int = 9,
    input_size: int | None = 4,
    groups: bool = False,
    classes: tuple[Any, ...] = (0, 1),
) -> list[Conversation]:
    """Random conversations: some of one message, some unlabelled, some with a participant who never wrote."""
    generator = np.random.default_rng(seed)
    conversations = []
    for index in range(number):
        length = int(generator.integers(1, max_messages + 1))
        authors = [f"author {code}" for code in generator.integers(0, num_authors, length)]
        labels = {author: classes[int(generator.integers(len(classes)))] for author in authors[: length // 2]}
        if index % 7 == 3:
            labels["silent"] = classes[0]
        conversations.append(
            Conversation(
                conversation_id=f"conversation {index}",
                authors=authors,
                texts=[f"{index}:{place} é" * (place % 3) for place in range(length)],
                timestamps=None
                if index % 5 == 0
                else [None if i % 4 == 1 else 1e9 + i for i in range(length)],
                features=None
                if input_size is None
                else generator.normal(size=(length, input_size)).astype(np.float16),
                label=None if index % 6 == 2 else classes[int(generator.integers(len(classes)))],
                author_labels=labels,
                group=f"group {int(generator.integers(number // 3 + 1))}" if groups else None,
            )
        )
    return conversations
