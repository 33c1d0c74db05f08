"""Which sequences of a step are padded together: cuts of similar length, and who of several processes gets which.

Knows nothing of what the sequences hold.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]

#: What starting one more micro-batch costs, in padded messages, which cost little: the model reads real ones only.
#: A step of a single micro-batch needs no sum of gradients either.
OVERHEAD_MESSAGES = 8192

#: Distinct lengths whose cuts are priced together: a bound of memory where a step has thousands.
_LENGTHS_AT_A_TIME = 256


def cut_by_length(
    lengths: Indices, max_padded_messages: int, overhead_messages: int = OVERHEAD_MESSAGES
) -> list[Indices]:
    """Cut sequences into micro-batches of similar length, with the least padding and overhead together.

    Exact minimum over cuts of the sequences sorted by length of ``sum(B * T + overhead_messages)`` subject to
    ``B * T <= max_padded_messages``, by dynamic programming over the distinct lengths; a run of one length that
    is too large for one micro-batch is divided evenly afterwards.

    Args:
        lengths: (B,) messages of each sequence.
        max_padded_messages: bound of a micro-batch's padded size.
        overhead_messages: what one more micro-batch costs, in padded messages.

    Returns:
        Index arrays into `lengths`, shortest sequences first.
    """
    if len(lengths) == 0:
        return []
    order = np.argsort(lengths, kind="stable")
    together = len(lengths) * int(lengths[order[-1]])
    if together <= max_padded_messages and together - lengths.sum() <= overhead_messages:
        return [order]  # another micro-batch would cost more than all padding
    distinct, firsts = np.unique(lengths[order], return_index=True)
    ends = np.append(firsts[1:], len(order))  # sequences of a length: order[first:end]
    cost = np.zeros(len(distinct) + 1)
    start_of = np.zeros(len(distinct), dtype=np.int64)
    for last in range(len(distinct)):
        row = last % _LENGTHS_AT_A_TIME
        if row == 0:
            # prices of a micro-batch whose longest length is the row's and whose shortest the column's
            some = slice(last, last + _LENGTHS_AT_A_TIME)
            padded = np.maximum(ends[some, None] - firsts, 0) * distinct[some, None]
            price = padded + np.maximum(1, -(-padded // max(1, max_padded_messages))) * overhead_messages
        total = cost[: last + 1] + price[row, : last + 1]
        start_of[last] = start = int(total.argmin())
        cost[last + 1] = total[start]
    cuts: list[Indices] = []
    last = len(distinct) - 1
    while last >= 0:
        begin, end = firsts[start_of[last]], ends[last]
        fits = max(1, max_padded_messages // max(1, int(distinct[last])))
        cuts.extend(reversed(np.array_split(order[begin:end], -(-int(end - begin) // fits))))
        last = int(start_of[last]) - 1
    cuts.reverse()
    return cuts


def share_cuts(cuts: list[Indices], lengths: Indices, rank: int, world_size: int) -> list[Indices]:
    """This process's part of a step's micro-batches: largest first to the least loaded.

    The cuts themselves do not depend on the number of processes, so that N processes compute the very numbers of one; a
    process may get none.
    """
    if world_size == 1:
        return cuts
    sizes = [len(cut) * max(1, int(lengths[cut].max())) for cut in cuts]
    loads = [0] * world_size
    mine = []
    for index in sorted(range(len(cuts)), key=lambda index: -sizes[index]):
        owner = loads.index(min(loads))
        loads[owner] += sizes[index]
        if owner == rank:
            mine.append(index)
    return [cuts[index] for index in sorted(mine)]
