"""What all encoders have in common, and the sum of several.

Knows nothing of files or of any particular encoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tenor.encoding.messages import Messages


class Encoder(Protocol):
    """Turns messages into feature vectors; a message's vector does not depend on what it is encoded with."""

    @property
    def name(self) -> str:
        """Such as ``lsa`` or ``sentence:all-MiniLM-L6-v2``; never holds a folder."""

    @property
    def feature_names(self) -> tuple[str, ...]:
        """F names, unique."""

    @property
    def input_size(self) -> int:
        """F, the length of a vector."""

    def encode(self, messages: Messages) -> npt.NDArray[np.float32]:
        """(M, F) float32, one vector a message.

        Raises:
            CorpusError: the encoder reads texts and there are none.
        """


@dataclass(frozen=True, slots=True)
class SumEncoder:
    """Several encoders side by side: the vectors are joined end to end, in the order of `parts`."""

    parts: Sequence[Encoder]

    @property
    def name(self) -> str:
        """The parts' names with ``+`` between."""
        return "+".join(part.name for part in self.parts)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The parts' feature names, in order."""
        return tuple(name for part in self.parts for name in part.feature_names)

    @property
    def input_size(self) -> int:
        """The sum of the parts' sizes."""
        return sum(part.input_size for part in self.parts)

    def encode(self, messages: Messages) -> npt.NDArray[np.float32]:
        """(M, F) float32; see `Encoder.encode`."""
        return np.concatenate([part.encode(messages) for part in self.parts], axis=1)
