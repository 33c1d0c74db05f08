from __future__ import annotations

from itertools import combinations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tenor.cutting import cut_by_length, share_cuts

LENGTHS = st.lists(st.integers(0, 60), max_size=40).map(lambda values: np.array(values, dtype=np.int64))


@given(LENGTHS, st.integers(1, 200))
def test_cuts_hold_each_sequence_once_within_the_bound(lengths: np.ndarray, bound: int) -> None:
    cuts = cut_by_length(lengths, bound)
    assert sorted(np.concatenate(cuts).tolist() if cuts else []) == list(range(len(lengths)))
    for cut in cuts:
        assert len(cut) == 1 or len(cut) * lengths[cut].max() <= bound


@given(st.lists(st.integers(1, 30), min_size=1, max_size=8), st.integers(1, 100))
def test_cuts_cost_no_more_than_any_other_cut_of_the_sorted_lengths(values: list[int], overhead: int) -> None:
    lengths = np.array(values, dtype=np.int64)
    cuts = cut_by_length(lengths, 10_000, overhead)
    cost = sum(len(cut) * lengths[cut].max() + overhead for cut in cuts)
    ordered = np.sort(lengths)
    best = min(
        sum(len(part) * part.max() + overhead for part in np.split(ordered, where))
        for number in range(len(values))
        for where in combinations(range(1, len(values)), number)
    )
    assert cost == best


@given(LENGTHS, st.integers(1, 4))
def test_processes_share_out_every_cut_once(lengths: np.ndarray, world_size: int) -> None:
    cuts = cut_by_length(lengths, 100, 20)
    shared = [share_cuts(cuts, lengths, rank, world_size) for rank in range(world_size)]
    everything = sorted(index for part in shared for cut in part for index in cut.tolist())
    assert everything == list(range(len(lengths)))
    assert sum(bool(part) for part in shared) == min(world_size, len(cuts))
