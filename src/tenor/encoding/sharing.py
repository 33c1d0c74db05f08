"""Several processes share out an encoding: the first fits and writes, all encode blocks of conversations in turn.

The bytes written are those of one process: blocks are cut alike, and a block's vectors depend on nothing but the block.
Knows nothing of torch: the processes speak through a `Team`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tenor.corpus.schema import Conversation
from tenor.encoding.encoder import SumEncoder
from tenor.encoding.messages import Messages, flatten_conversations

#: Conversations are encoded together until they hold so many messages, or characters.
BLOCK_MESSAGES = 4096
BLOCK_CHARACTERS = 4_000_000


class Team(Protocol):
    """Processes that work together; see `tenor.devices.Runtime`."""

    @property
    def rank(self) -> int:
        """This process's number, 0 = the one that writes."""

    @property
    def world_size(self) -> int:
        """How many there are."""

    def share_bytes(self, data: bytes) -> bytes:
        """Process 0's bytes, on every process."""

    def gather_bytes(self, data: bytes) -> list[bytes]:
        """Every process's bytes, in order of rank."""


@dataclass(frozen=True, slots=True)
class Task:
    """What the first process tells the others.

    Attributes:
        source: the corpus to encode.
        encoder: the file of the fitted encoder.
        dtype: of the features.
        start: the first conversation to encode.
    """

    source: str
    encoder: str
    dtype: str
    start: int


def share_task(team: Team, task: Task | None) -> Task:
    """Hand the first process's task to all; the others give None."""
    data = b"" if task is None else json.dumps(asdict(task)).encode()
    return Task(**json.loads(team.share_bytes(data)))


def encode_blocks(
    conversations: Iterator[Conversation], encoder: SumEncoder, dtype: str, team: Team | None
) -> Iterator[Conversation]:
    """Conversations with their features: all of them on the first process, none on the others.

    Args:
        conversations: the same on every process, in order.
        encoder: the same on every process.
        dtype: of the features.
        team: the processes; None = this one alone.
    """
    blocks = _cut_blocks(conversations)
    rank, count = (0, 1) if team is None else (team.rank, team.world_size)
    while turn := list(islice(blocks, count)):
        messages = [flatten_conversations(block) for block in turn]
        own = _encode(messages[rank], encoder, dtype) if rank < len(turn) else np.empty(0, dtype)
        parts = [own]
        if team is not None:
            parts = [np.frombuffer(data, dtype) for data in team.gather_bytes(own.tobytes())]
        if rank == 0:
            for block, sizes, part in zip(turn, messages, parts, strict=False):
                features = part.reshape(-1, encoder.input_size)  # (M, F)
                for conversation, start, stop in zip(
                    block, sizes.offsets[:-1], sizes.offsets[1:], strict=True
                ):
                    conversation.features = features[start:stop]
                    yield conversation


def _encode(messages: Messages, encoder: SumEncoder, dtype: str) -> npt.NDArray[np.floating]:
    """(M, F) features of a block."""
    return encoder.encode(messages).astype(dtype)


def _cut_blocks(conversations: Iterator[Conversation]) -> Iterator[list[Conversation]]:
    block: list[Conversation] = []
    num_messages = num_characters = 0
    for conversation in conversations:
        block.append(conversation)
        num_messages += len(conversation.authors)
        num_characters += sum(map(len, conversation.texts)) if conversation.texts is not None else 0
        if num_messages >= BLOCK_MESSAGES or num_characters >= BLOCK_CHARACTERS:
            yield block
            block, num_messages, num_characters = [], 0, 0
    if block:
        yield block


def own_places(sources: list[str]) -> list[Path]:
    """Of an expression's sources, the folders on this machine, where a fitted encoder finds its model again."""
    return [Path(source) for source in sources if Path(source).expanduser().is_dir()]
