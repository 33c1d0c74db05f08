from __future__ import annotations

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from tenor.cutting import cut_by_length, share_cuts

LENGTHS = st.lists(st.integers(0, 60), max_size=40).map(lambda values: np.array(values, dtype=np.int64))


@given(LENGTHS, st.integers(1, 200))
def test_cuts_hold_each_sequence_once_within_the_bound(lengths: np.ndarray, bound: int) -> None:
    cuts = cut_by_length(lengths, bound)
    assert sorted(np.concatenate(cuts).tolist() if cuts else []) == list(range(len(lengths)))
    for cut in cuts:
        assert len(cut) == 1 or (lengths[cut].sum() <= bound and len(cut) * lengths[cut].max() <= 4 * bound)


@given(LENGTHS, st.integers(1, 200))
def test_cuts_rise_in_length(lengths: np.ndarray, bound: int) -> None:
    together = np.concatenate([np.empty(0, np.int64), *cut_by_length(lengths, bound)])
    assert together.tolist() == sorted(range(len(lengths)), key=lambda index: (lengths[index], index))


@given(st.lists(st.integers(1, 10), min_size=1, max_size=60).map(np.array), st.integers(30, 400))
def test_cuts_are_few_and_hold_about_as_many_messages_each(lengths: np.ndarray, bound: int) -> None:
    total, longest = int(lengths.sum()), int(lengths.max())
    fewest = -(-total // bound)
    assume(total // fewest + longest <= bound)  # else the longest decide
    assume(len(lengths) * longest <= 4 * bound)  # else padding does
    cuts = cut_by_length(lengths, bound)
    assert len(cuts) == fewest
    for cut in cuts[:-1]:
        assert total // fewest < lengths[cut].sum() <= total // fewest + longest


@given(LENGTHS, st.integers(1, 4))
def test_processes_share_out_every_cut_once(lengths: np.ndarray, world_size: int) -> None:
    cuts = cut_by_length(lengths, 100)
    shared = [share_cuts(cuts, lengths, rank, world_size) for rank in range(world_size)]
    everything = sorted(index for part in shared for cut in part for index in cut.tolist())
    assert everything == list(range(len(lengths)))
    assert sum(bool(part) for part in shared) == min(world_size, len(cuts))
