"""Batches filled up to one of few shapes, so that a GPU can be told once what to do with each shape.

Behind the sequences stand others of zeros, which take the rows that are left. Knows nothing of weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tenor.nn.packing import Block, Packing

#: Rows of a shape are a multiple of this, at least.
_ROWS = 64
#: The longest sequence of a shape has a power of 2 of messages, this many at least.
_LONGEST = 16

Lengths = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Bucket:
    """A shape.

    Attributes:
        sequences: those that are meant; what stands behind them is to be left out of everything.
        fillers: sequences of zeros behind them, one message each at least.
        rows: messages of all of them.
        longest: messages of a sequence at most.
    """

    sequences: int
    fillers: int
    rows: int
    longest: int

    @classmethod
    def of(cls, lengths: Lengths) -> Bucket:
        """The smallest shape that holds sequences of these lengths, (S,), each at least 1."""
        rows, longest = int(lengths.sum()), max(_LONGEST, _next_power(int(lengths.max())))
        step = max(_ROWS, _next_power(rows) // 8)  # an eighth to a quarter of the rows
        fillers = -(-step // (longest - 1))  # room for the rows that are left, whatever their number
        return cls(len(lengths), fillers, -(-(rows + fillers) // step) * step, longest)

    def lay_out(self, lengths: Lengths) -> Lengths:
        """All that a packing of these sequences needs, (L,)."""
        left = self.rows - int(lengths.sum())
        fillers = np.full(self.fillers, left // self.fillers)
        fillers[: left % self.fillers] += 1
        lengths = np.concatenate([lengths, fillers])
        owners = np.repeat(np.arange(len(lengths)), lengths)
        positions = np.arange(self.rows) - (lengths.cumsum() - lengths)[owners]
        return np.concatenate([lengths, owners, positions, owners * self.longest + positions])

    def packing(self, layout: Tensor) -> Packing:
        """The packing of what lay_out gives, as a tensor on any device."""
        count = self.sequences + self.fillers
        lengths, owners, positions, places = torch.split(layout, [count, self.rows, self.rows, self.rows])
        block = Block(count, self.longest, lengths, places)
        return Packing(count, None, None, lengths, owners, positions, [self.rows], [block])


def _next_power(number: int) -> int:
    """The least power of 2 that is not below a number of at least 1."""
    return 1 << (number - 1).bit_length()
