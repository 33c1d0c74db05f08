"""Batches filled up to one of few shapes, so that a GPU can be told once what to do with each shape.

Behind the sequences stand others of zeros, which take the rows that are left. Knows nothing of weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tenor.nn.packing import Block, Packing, next_power, rows_step

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
        rows, longest = int(lengths.sum()), max(_LONGEST, next_power(int(lengths.max())))
        step = rows_step(rows)  # an eighth to a quarter of the rows
        fillers = -(-step // (longest - 1))  # room for the rows that are left, whatever their number
        return cls(len(lengths), fillers, -(-(rows + fillers) // step) * step, longest)

    def fill_up(self, lengths: Lengths) -> Lengths:
        """The lengths of these sequences and of the fillers behind them, (S + fillers,)."""
        left = self.rows - int(lengths.sum())
        fillers = np.full(self.fillers, left // self.fillers)
        fillers[: left % self.fillers] += 1
        return np.concatenate([lengths, fillers])

    def packing(self, lengths: Tensor) -> Packing:
        """The packing of what fill_up gives, found on the device where that is; nothing there is waited for."""
        owners = torch.repeat_interleave(lengths, output_size=self.rows)
        begins = lengths.cumsum(0) - lengths
        positions = torch.arange(self.rows, device=lengths.device) - begins.index_select(0, owners)
        block = Block(len(lengths), self.longest, lengths, owners * self.longest + positions)
        return Packing(len(lengths), None, None, lengths, owners, positions, [self.rows], [block])
