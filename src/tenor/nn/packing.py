"""Sequences without their padding: all real messages as the rows of one matrix, sequence after sequence.

Linear layers, norms and dropout work on the rows as they are. What looks at whole sequences (attention, pooling)
takes them in blocks of one length, or padded within a block where lengths differ. A mask is bool (B, T), True = a
real message; real messages may stand anywhere in a row, and a row may have none. Knows nothing of weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional

from tenor.errors import UsageError

#: On CPU, how many messages of padding a block may hold: about what one more block costs.
BLOCK_OVERHEAD = 128

#: Where few shapes are wanted, rows are a multiple of this, at least.
ROWS = 64


@dataclass(frozen=True)
class Block:
    """Neighbouring sequences as (B, T, ·).

    Attributes:
        count: B.
        length: T, of the longest of them.
        lengths: (B,) int64.
        places: where the rows stand in (B * T, ·); None = they fill it.
    """

    count: int
    length: int
    lengths: Tensor
    places: Tensor | None

    @classmethod
    def of(cls, lengths: Tensor, count: int, length: int, num_rows: int) -> Block:
        """The block of sequences of these lengths, `num_rows` in all."""
        if num_rows == count * length:
            return cls(count, length, lengths, None)
        real = torch.arange(length, device=lengths.device) < lengths[:, None]  # (B, T)
        return cls(count, length, lengths, real.flatten().nonzero().squeeze(1))

    @cached_property
    def keys_mask(self) -> Tensor | None:
        """(B, 1, 1, T) bool, True = attend, as scaled_dot_product_attention reads it; None = to all."""
        if self.places is None:
            return None
        return (torch.arange(self.length, device=self.lengths.device) < self.lengths[:, None])[:, None, None]

    def pad(self, rows: Tensor, fill: float = 0.0) -> Tensor:
        """The block's rows (N, C) as (B, T, C), `fill` at padding."""
        if self.places is None:
            return rows.view(self.count, self.length, rows.shape[1])
        padded = rows.new_full((self.count * self.length, rows.shape[1]), fill)
        return padded.index_copy_(0, self.places, rows).view(self.count, self.length, rows.shape[1])

    def unpad(self, padded: Tensor) -> Tensor:
        """The rows (N, C) of (B, T, C)."""
        rows = padded.reshape(self.count * self.length, padded.shape[2])
        return rows if self.places is None else rows.index_select(0, self.places)


@dataclass(frozen=True)
class Packing:
    """Which rows belong to whom: M real messages of S sequences; those without messages left out.

    Those of a mask stand shortest first, those of a Bucket as they come. Fillers, sequences of one message of zeros,
    may stand behind them.

    Attributes:
        batch_size: sequences of the batch, with those left out.
        order: (S,) int64, each sequence's row in the batch; None = all, as they come.
        places: (M,) int64, each message's place in what `pack` is given; None = all, as they come.
        lengths: (S,) int64; fillers are among these, and all that follow.
        owners: (M,) int64, whose each message is, as a number from 0 to S - 1.
        positions: (M,) int64, each message's place in its sequence.
        sizes: rows of each block.
        blocks: the sequences again, cut for what looks at whole sequences.
        fillers: how many there are; `unpack` leaves them out.
    """

    batch_size: int
    order: Tensor | None
    places: Tensor | None
    lengths: Tensor
    owners: Tensor
    positions: Tensor
    sizes: list[int]
    blocks: list[Block]
    fillers: int = 0

    @classmethod
    def of(
        cls,
        mask: Tensor,
        *,
        overhead: int | None = None,
        is_packed: bool = False,
        few_shapes: bool = False,
        device: torch.device | None = None,
    ) -> Packing:
        """The packing of a mask; it is found on the CPU, where nothing has to be waited for.

        Args:
            mask: (B, T) bool, True = a real message, wherever they stand. One that lies on a GPU is fetched.
            overhead: messages of padding that a block may hold; None = BLOCK_OVERHEAD on CPU, elsewhere as many as
                one block of all sequences takes, for there a call costs more than padding.
            is_packed: `pack` is given the real messages alone, in the mask's order.
            few_shapes: let fillers take M up to a multiple of rows_step; on CPU.
            device: where the rows are; None = where the mask is.
        """
        device, mask = mask.device if device is None else device, mask.cpu()
        counts = mask.sum(dim=1)  # (B,)
        lengths, order = counts.sort(stable=True)
        distinct, groups = (found.tolist() for found in torch.unique_consecutive(lengths, return_counts=True))
        is_sorted = bool((order[1:] > order[:-1]).all())
        if distinct and distinct[0] == 0:
            lengths, order = lengths[groups[0] :], order[groups[0] :]
            distinct, groups = distinct[1:], groups[1:]
        num_rows = sum(length * group for length, group in zip(distinct, groups, strict=True))
        owners = torch.repeat_interleave(torch.arange(len(lengths)), lengths, output_size=num_rows)
        positions = torch.arange(num_rows) - (lengths.cumsum(0) - lengths)[owners]
        places = _find_places(mask, None if is_sorted else order, num_rows, is_packed=is_packed)
        if overhead is None:
            overhead = BLOCK_OVERHEAD if device.type == "cpu" else num_rows * max(distinct, default=0)
        sizes, blocks = _cut_blocks(lengths, distinct, groups, overhead)
        rows = None if is_sorted and len(lengths) == len(mask) else order
        packing = cls(len(mask), rows, places, lengths, owners, positions, sizes, blocks)
        if device.type != "cpu":
            return packing.to(device)
        return packing.fill_up() if few_shapes else packing

    def fill_up(self) -> Packing:
        """The same with fillers up to the next multiple of rows_step."""
        num_rows = len(self.owners)
        count = -num_rows % rows_step(num_rows)
        if count == 0:
            return self
        ones = torch.ones(count, dtype=torch.int64)
        return replace(
            self,
            lengths=torch.cat([self.lengths, ones]),
            owners=torch.cat([self.owners, len(self.lengths) + torch.arange(count)]),
            positions=torch.cat([self.positions, torch.zeros_like(ones)]),
            sizes=[*self.sizes, count],
            blocks=[*self.blocks, Block.of(ones, count, 1, count)],
            fillers=count,
        )

    def to(self, device: torch.device) -> Packing:
        """The same on another device, in one transfer that nothing waits for."""
        blocks = self.blocks
        optional = [self.order, self.places, *(block.places for block in blocks)]
        parts = [self.lengths, self.owners, self.positions, *(part for part in optional if part is not None)]
        flat = torch.cat(parts)
        flat = flat.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else flat.to(device)
        moved = iter(torch.split(flat, [len(part) for part in parts]))
        lengths, owners, positions = next(moved), next(moved), next(moved)
        order, places, *inside = (None if part is None else next(moved) for part in optional)
        cut = torch.split(lengths, [block.count for block in blocks])
        blocks = [
            replace(block, lengths=own, places=rows)
            for block, own, rows in zip(blocks, cut, inside, strict=True)
        ]
        return Packing(self.batch_size, order, places, lengths, owners, positions, self.sizes, blocks)

    @property
    def longest(self) -> int:
        """Messages of the longest sequence; 0 where there is none."""
        return max((block.length for block in self.blocks), default=0)

    @cached_property
    def offsets(self) -> Tensor:
        """(S + 1,) int32, where each sequence's rows begin, and the end."""
        return functional.pad(self.lengths.cumsum(0), (1, 0)).to(torch.int32)

    def pack(self, features: Tensor) -> Tensor:
        """The real messages (M, C), shortest sequence first, of (B, T, C), or of (M, C) in the mask's order."""
        rows = features.reshape(features.shape[:-1].numel(), features.shape[-1])
        return rows if self.places is None else rows.index_select(0, self.places)

    def fill(self, rows: Tensor) -> Tensor:
        """Rows (M, C) with the fillers' zeros behind the real messages that `pack` gave."""
        return functional.pad(rows, (0, 0, 0, self.fillers)) if self.fillers else rows

    def unpack(self, vectors: Tensor) -> Tensor:
        """One vector a sequence (S, E) in the batch's order, (B, E); 0 for those without messages."""
        vectors = vectors[: len(vectors) - self.fillers]
        if self.order is None:
            return vectors
        return vectors.new_zeros(self.batch_size, vectors.shape[1]).index_copy(0, self.order, vectors)

    def neighbours(self, shift: int) -> tuple[Tensor, Tensor]:
        """The rows that have a message `shift` >= 1 after them in their sequence, and the rows of those messages."""
        here = (self.positions + shift < self.lengths[self.owners]).nonzero().squeeze(1)
        return here, here + shift

    def map_blocks(self, function: Callable[[Block, Tensor], Tensor], rows: Tensor) -> Tensor:
        """Apply a function to each block and its rows (N, C), and put the results one after another."""
        parts = torch.split(rows, self.sizes)
        results = [function(block, part) for block, part in zip(self.blocks, parts, strict=True)]
        return results[0] if len(results) == 1 else torch.cat(results)


def rows_step(num_rows: int) -> int:
    """What rows are a multiple of where few shapes are wanted: an eighth of the next power of 2, ROWS at least."""
    return max(ROWS, next_power(num_rows) // 8)


def next_power(number: int) -> int:
    """The least power of 2 that is not below a number; 1 of 0."""
    return 1 << max(number - 1, 0).bit_length()


def _find_places(mask: Tensor, order: Tensor | None, num_rows: int, *, is_packed: bool) -> Tensor | None:
    """Where the rows stand among (B * T) places, or among the real ones of them; None = as they come."""
    if order is None and (is_packed or num_rows == mask.numel()):
        return None
    found = (mask if order is None else mask[order]).nonzero()  # (M, 2)
    rows = found[:, 0] if order is None else order[found[:, 0]]
    places = rows * mask.shape[1] + found[:, 1]
    return mask.flatten().cumsum(0)[places] - 1 if is_packed else places


def _cut_blocks(
    lengths: Tensor, distinct: list[int], groups: list[int], overhead: int
) -> tuple[list[int], list[Block]]:
    """Rows and blocks of the sorted lengths; a block takes in the next length while padding stays within `overhead`."""
    sizes, blocks = [], []
    first = count = num_rows = 0
    for index, (length, group) in enumerate(zip(distinct, groups, strict=True)):
        count, num_rows = count + group, num_rows + group * length
        following = distinct[index + 1] if index + 1 < len(distinct) else None
        if following is not None and count * following - num_rows <= overhead:
            continue
        sizes.append(num_rows)
        blocks.append(Block.of(lengths[first : first + count], count, length, num_rows))
        first, count, num_rows = first + count, 0, 0
    return sizes, blocks


def check_mask(mask: Tensor, features: Tensor) -> None:
    """Refuse a mask that does not belong to the features.

    Args:
        mask: (B, T) expected, bool.
        features: (B, T, F), or (M, F) for a mask of M real messages.

    Raises:
        UsageError: another dtype or shape.
    """
    if mask.dtype != torch.bool:
        raise UsageError(f"mask must be torch.bool (True = a real message), found {mask.dtype}")
    if features.ndim == 2:
        if mask.ndim != 2 or int(mask.sum()) != len(features):
            raise UsageError(
                f"a mask of packed features must be (B, T) with {len(features)} real messages, found "
                f"{int(mask.sum())} in {tuple(mask.shape)}"
            )
        return
    expected = tuple(features.shape[:2])
    if mask.shape != expected:
        raise UsageError(f"mask must have shape {expected} as the features, found {tuple(mask.shape)}")


def pool_max(rows: Tensor, packing: Packing) -> Tensor:
    """The largest value over each sequence's messages: (M, C) to (S, C)."""

    def find_largest(block: Block, part: Tensor) -> Tensor:
        padded = block.pad(part, float("-inf"))
        # max also finds where it is, for the gradient to go there; amax takes a tenth of the time
        return padded.max(dim=1).values if padded.requires_grad else padded.amax(dim=1)

    return packing.map_blocks(find_largest, rows)


def pool_mean(rows: Tensor, packing: Packing) -> Tensor:
    """The mean over each sequence's messages: (M, C) to (S, C)."""
    sums = packing.map_blocks(lambda block, part: block.pad(part).sum(dim=1), rows)
    return sums / packing.lengths[:, None]
