"""Shapes that batches are filled up to: what stands in them is what stood in the batch, and few occur."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from tenor.nn.bucket import Bucket
from tenor.nn.packing import Packing

LENGTHS = st.lists(st.integers(1, 3000), min_size=1, max_size=40)


@given(LENGTHS)
def test_the_layout_is_the_packing_with_fillers_behind_it(lengths: list[int]) -> None:
    counts = np.sort(lengths)
    bucket = Bucket.of(counts)
    packing = bucket.packing(torch.from_numpy(bucket.fill_up(counts)))
    plain = Packing.of(torch.arange(max(lengths)) < torch.from_numpy(counts)[:, None])
    rows, count = len(plain.positions), len(lengths)
    assert packing.lengths[:count].tolist() == plain.lengths.tolist()
    assert packing.positions[:rows].tolist() == plain.positions.tolist()
    assert packing.owners[:rows].tolist() == plain.owners.tolist()
    assert packing.longest == bucket.longest >= max(lengths)
    fillers = packing.lengths[count:]
    assert len(fillers) == bucket.fillers >= 1
    assert 1 <= int(fillers.min()) and int(fillers.max()) <= bucket.longest
    assert int(packing.lengths.sum()) == len(packing.positions) == bucket.rows
    (block,) = packing.blocks
    assert block.places is not None
    assert block.places.tolist() == (packing.owners * bucket.longest + packing.positions).tolist()


@given(LENGTHS)
def test_a_shape_is_little_larger_than_what_it_holds(lengths: list[int]) -> None:
    bucket = Bucket.of(np.array(lengths))
    rows, longest = sum(lengths), max(lengths)
    assert rows < bucket.rows <= 1.25 * rows + 64 + bucket.fillers
    assert longest <= bucket.longest < max(17, 2 * longest)


def test_batches_alike_have_few_shapes() -> None:
    generator = np.random.default_rng(0)
    drawn = [generator.integers(1, 120, 256) for _ in range(50)]
    assert len({Bucket.of(lengths) for lengths in drawn}) <= 3
