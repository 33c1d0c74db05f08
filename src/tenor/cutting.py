"""Which sequences of a step go through the network together, and who of several processes gets which.

Knows nothing of what the sequences hold.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]

#: A micro-batch's messages with padding, at most, times those that it may hold: the network packs, but where a device
#: has no other way pooling and attention pad.
_PADDED = 4


def cut_by_length(lengths: Indices, max_messages: int) -> list[Indices]:
    """Cut sequences into few micro-batches of similar length, and of about as many messages each.

    Args:
        lengths: (B,) messages of each sequence.
        max_messages: of a micro-batch, at most; with padding four times as many. A longer sequence stands alone.

    Returns:
        Index arrays into `lengths`, shortest sequences first.
    """
    order = np.argsort(lengths, kind="stable")
    ordered = lengths[order]
    ends = np.cumsum(ordered)
    total, longest = int(ordered.sum()), int(ordered.max(initial=0))
    even = total // max(1, -(-total // max_messages))  # of each, if there are as few as may be
    most = min(max_messages, even + longest)
    cuts: list[Indices] = []
    first = 0
    while first < len(order):
        before = ends[first - 1] if first else 0
        last = max(first + 1, int(np.searchsorted(ends, before + most, side="right")))
        padded = ordered[first:last] * np.arange(1, last - first + 1)  # of the first, the first two, ...
        last = first + max(1, int(np.searchsorted(padded, _PADDED * max_messages, side="right")))
        cuts.append(order[first:last])
        first = last
    return cuts


def share_cuts(cuts: list[Indices], lengths: Indices, rank: int, world_size: int) -> list[Indices]:
    """This process's part of a step's micro-batches: largest first to the least loaded.

    The cuts themselves do not depend on the number of processes, so that N processes compute the very numbers of one; a
    process may get none.
    """
    if world_size == 1:
        return cuts
    sizes = [max(1, int(lengths[cut].sum())) for cut in cuts]
    loads = [0] * world_size
    mine = []
    for index in sorted(range(len(cuts)), key=lambda index: -sizes[index]):
        owner = loads.index(min(loads))
        loads[owner] += sizes[index]
        if owner == rank:
            mine.append(index)
    return [cuts[index] for index in sorted(mine)]
