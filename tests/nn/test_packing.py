"""Packed sequences: rows, blocks, neighbours and pools, with empty, one-message and full rows side by side."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tenor.errors import UsageError
from tenor.nn.packing import Packing, check_mask, pool_max, pool_mean

NAN = float("nan")
VALUES = torch.tensor(
    [
        [[1.0, -4.0], [3.0, -2.0], [2.0, -6.0]],  # full
        [[NAN, NAN], [-5.0, 7.0], [NAN, NAN]],  # one message, in the middle
        [[NAN, 1.0], [9.0, NAN], [9.0, 9.0]],  # empty
        [[8.0, 1.0], [NAN, NAN], [6.0, 3.0]],  # two, with a gap
    ]
)
MASK = torch.tensor([[True, True, True], [False, True, False], [False] * 3, [True, False, True]])

MASKS = st.integers(0, 6).flatmap(
    lambda length: st.lists(st.lists(st.booleans(), min_size=length, max_size=length), min_size=1, max_size=7)
)


@pytest.mark.parametrize("overhead", [0, 2, 100])
def test_rows_are_the_real_messages_shortest_sequence_first(overhead: int) -> None:
    packing = Packing.of(MASK, overhead=overhead)
    expected = [[-5.0, 7.0], [8.0, 1.0], [6.0, 3.0], [1.0, -4.0], [3.0, -2.0], [2.0, -6.0]]
    assert packing.pack(VALUES).tolist() == expected
    assert packing.positions.tolist() == [0, 0, 1, 0, 1, 2]
    assert packing.lengths.tolist() == [1, 2, 3]
    assert packing.longest == 3
    vectors = torch.tensor([[1.0], [2.0], [3.0]])
    assert packing.unpack(vectors).tolist() == [[3.0], [1.0], [0.0], [2.0]]


def test_fillers_take_the_rows_to_a_multiple_and_are_left_out_in_the_end() -> None:
    packing = Packing.of(MASK, overhead=100, few_shapes=True)
    rows = packing.fill(packing.pack(VALUES))
    assert len(rows) == 64 and packing.fillers == 58
    assert torch.equal(rows[:6], Packing.of(MASK).pack(VALUES)) and not rows[6:].any()
    assert packing.owners.tolist() == [0, 1, 1, 2, 2, 2, *range(3, 61)]
    assert packing.positions.tolist() == [0, 0, 1, 0, 1, 2, *[0] * 58]
    assert packing.sizes == [6, 58] and packing.longest == 3
    assert len(packing.offsets) == 62 and packing.offsets[-1] == 64
    here, there = packing.neighbours(1)
    assert (here.tolist(), there.tolist()) == ([1, 3, 4], [2, 4, 5])
    assert packing.unpack(pool_max(rows, packing)).tolist() == [[3, -2], [-5, 7], [0, 0], [8, 3]]
    assert packing.unpack(pool_mean(rows, packing)).tolist() == [[2, -4], [-5, 7], [0, 0], [7, 2]]


@pytest.mark.parametrize(
    ("num_rows", "filled"), [(0, 0), (1, 64), (64, 64), (65, 128), (513, 640), (900, 1024), (5000, 5120)]
)
def test_few_shapes_are_multiples_of_an_eighth_of_the_next_power_of_two(num_rows: int, filled: int) -> None:
    packing = Packing.of(torch.ones(1, num_rows, dtype=torch.bool), few_shapes=True)
    assert len(packing.owners) == len(packing.fill(packing.pack(torch.zeros(1, num_rows, 2)))) == filled
    assert packing.unpack(torch.ones(len(packing.lengths), 3)).shape == (1, 3)


@pytest.mark.parametrize(
    ("overhead", "shapes"),
    [
        (0, [(1, 1), (1, 2), (1, 3)]),
        (1, [(2, 2), (1, 3)]),
        (3, [(3, 3)]),  # one block of 9, of which 3 are padding
    ],
)
def test_a_block_takes_in_longer_sequences_while_padding_stays_within_bounds(
    overhead: int, shapes: list[tuple[int, int]]
) -> None:
    packing = Packing.of(MASK, overhead=overhead)
    assert [(block.count, block.length) for block in packing.blocks] == shapes
    assert sum(packing.sizes) == 6


def test_nothing_is_copied_where_there_is_no_padding() -> None:
    packing = Packing.of(torch.ones(2, 3, dtype=torch.bool))
    values = torch.zeros(2, 3, 4)
    assert packing.pack(values).data_ptr() == values.data_ptr()
    assert packing.order is None and packing.places is None
    (block,) = packing.blocks
    assert block.keys_mask is None
    assert block.pad(packing.pack(values)).data_ptr() == values.data_ptr()


@pytest.mark.parametrize("overhead", [0, 100])
def test_a_packing_that_is_moved_is_the_same(overhead: int) -> None:
    packing = Packing.of(MASK, overhead=overhead)
    moved = packing.to(torch.device("cpu"))
    assert moved.pack(VALUES).tolist() == packing.pack(VALUES).tolist()
    assert moved.positions.tolist() == packing.positions.tolist()
    for one, other in zip(moved.blocks, packing.blocks, strict=True):
        rows = torch.arange(2.0 * int(one.lengths.sum())).view(-1, 2)
        assert one.pad(rows).tolist() == other.pad(rows).tolist()


def test_owners_and_offsets() -> None:
    packing = Packing.of(MASK)
    assert packing.owners.tolist() == [0, 1, 1, 2, 2, 2]
    assert packing.offsets.tolist() == [0, 1, 3, 6] and packing.offsets.dtype == torch.int32


def test_keys_of_a_padded_block_are_the_real_messages() -> None:
    (block,) = Packing.of(MASK, overhead=100).blocks
    assert block.keys_mask is not None
    assert block.keys_mask[:, 0, 0].tolist() == [[True, False, False], [True, True, False], [True] * 3]


@given(MASKS, st.integers(0, 20))
def test_blocks_and_pools_equal_a_loop_over_sequences(rows: list[list[bool]], overhead: int) -> None:
    mask = torch.tensor(rows, dtype=torch.bool).view(len(rows), -1)
    values = torch.randn(*mask.shape, 3, generator=torch.Generator().manual_seed(len(rows)))
    packing = Packing.of(mask, overhead=overhead)
    packed = packing.pack(values)
    assert sum(packing.sizes) == len(packed) == int(mask.sum())
    alone = [row[keep] for row, keep in zip(values, mask, strict=True)]
    if not packing.blocks:
        assert packing.unpack(values.new_zeros(0, 2)).tolist() == [[0.0, 0.0]] * len(rows)
        return
    assert torch.equal(packing.map_blocks(lambda block, part: block.unpad(block.pad(part)), packed), packed)
    for pool, plain in ((pool_max, lambda row: row.amax(0)), (pool_mean, lambda row: row.mean(0))):
        expected = torch.stack([plain(row) if len(row) else torch.zeros(3) for row in alone])
        torch.testing.assert_close(packing.unpack(pool(packed, packing)), expected)


def test_neighbours_stay_within_their_sequence() -> None:
    packing = Packing.of(torch.arange(4) < torch.tensor([4, 1, 2])[:, None])  # rows 0 | 1 2 | 3 4 5 6
    assert [rows.tolist() for rows in packing.neighbours(1)] == [[1, 3, 4, 5], [2, 4, 5, 6]]
    assert [rows.tolist() for rows in packing.neighbours(3)] == [[3], [6]]
    assert [rows.tolist() for rows in packing.neighbours(4)] == [[], []]


@pytest.mark.parametrize("pool", [pool_max, pool_mean])
def test_gradients_reach_real_messages_only(pool: Callable[..., torch.Tensor]) -> None:
    values = torch.randn(4, 3, 2, generator=torch.Generator().manual_seed(0), requires_grad=True)
    packing = Packing.of(MASK)
    pool(packing.pack(values), packing).sum().backward()
    assert values.grad is not None
    assert values.grad[~MASK].abs().sum() == 0
    assert values.grad[MASK].sum() == pytest.approx(6.0)  # 3 sequences, 2 columns, weights sum to 1


def test_check_mask_names_dtype_and_shapes() -> None:
    features = torch.zeros(2, 3, 4)
    with pytest.raises(UsageError, match=r"mask must be torch.bool .* found torch.int64"):
        check_mask(torch.ones(2, 3, dtype=torch.int64), features)
    with pytest.raises(UsageError, match=r"shape \(2, 3\) as the features, found \(3, 2\)"):
        check_mask(torch.ones(3, 2, dtype=torch.bool), features)
