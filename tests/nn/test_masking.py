"""Masked operations with empty, one-message and full rows side by side."""

from __future__ import annotations

import pytest
import torch

from tenor.errors import UsageError
from tenor.nn.masking import (
    attention_mask,
    check_mask,
    drop_full_mask,
    masked_max,
    masked_mean,
    move_padding_last,
    zero_padding,
)

NAN = float("nan")
VALUES = torch.tensor(
    [
        [[1.0, -4.0], [3.0, -2.0], [2.0, -6.0]],  # full
        [[NAN, NAN], [-5.0, 7.0], [NAN, NAN]],  # one message, in the middle
        [[NAN, 1.0], [9.0, NAN], [9.0, 9.0]],  # empty
    ]
)
MASK = torch.tensor([[True, True, True], [False, True, False], [False, False, False]])


def test_masked_max_of_full_single_and_empty_rows() -> None:
    assert masked_max(VALUES, MASK).tolist() == [[3.0, -2.0], [-5.0, 7.0], [0.0, 0.0]]


def test_masked_max_without_mask_takes_all_messages() -> None:
    assert masked_max(VALUES[:1], None).tolist() == [[3.0, -2.0]]


def test_masked_mean_of_full_single_and_empty_rows() -> None:
    assert masked_mean(VALUES, MASK).tolist() == [[2.0, -4.0], [-5.0, 7.0], [0.0, 0.0]]


def test_masked_mean_without_mask_takes_all_messages() -> None:
    assert masked_mean(VALUES[:1], None).tolist() == [[2.0, -4.0]]


@pytest.mark.parametrize("pool", [masked_max, masked_mean])
def test_pool_over_no_messages_is_zero(pool: object) -> None:
    empty = torch.zeros(2, 0, 3)
    for mask in (None, torch.zeros(2, 0, dtype=torch.bool)):
        assert pool(empty, mask).tolist() == [[0.0] * 3] * 2  # type: ignore[operator]


@pytest.mark.parametrize("pool", [masked_max, masked_mean])
def test_no_gradient_reaches_padding(pool: object) -> None:
    values = torch.randn(3, 3, 2, generator=torch.Generator().manual_seed(0), requires_grad=True)
    pool(values, MASK).sum().backward()  # type: ignore[operator]
    assert values.grad is not None
    assert values.grad[~MASK].abs().sum() == 0
    assert values.grad[MASK].sum() == pytest.approx(4.0)  # 2 rows with messages, 2 columns, weights sum to 1


def test_zero_padding_replaces_whatever_stood_there() -> None:
    assert zero_padding(VALUES, MASK)[1].tolist() == [[0.0, 0.0], [-5.0, 7.0], [0.0, 0.0]]
    assert zero_padding(VALUES, MASK)[2].tolist() == [[0.0, 0.0]] * 3
    assert zero_padding(VALUES, None) is VALUES


def test_attention_mask_lets_an_empty_row_see_its_padding() -> None:
    keys = attention_mask(MASK)
    assert keys is not None
    assert keys.shape == (3, 1, 1, 3)
    assert keys[:, 0, 0].tolist() == [[True, True, True], [False, True, False], [True, True, True]]
    assert attention_mask(None) is None


def test_move_padding_last_keeps_the_order_of_real_messages() -> None:
    features = torch.arange(8.0).view(2, 4, 1)
    mask = torch.tensor([[False, True, False, True], [True, True, False, False]])
    moved, moved_mask = move_padding_last(features, mask)
    assert moved_mask.tolist() == [[True, True, False, False]] * 2
    assert moved[0, :2, 0].tolist() == [1.0, 3.0]
    assert moved[1, :2, 0].tolist() == [4.0, 5.0]


def test_move_padding_last_copies_nothing_where_it_is_last() -> None:
    features, mask = torch.zeros(2, 3, 1), torch.tensor([[True, True, False], [False] * 3])
    assert move_padding_last(features, mask)[0] is features
    assert move_padding_last(features[:, :0], mask[:, :0])[0].shape == (2, 0, 1)


def test_drop_full_mask_keeps_only_masks_with_padding() -> None:
    assert drop_full_mask(MASK[:1]) is None
    assert drop_full_mask(MASK) is MASK
    assert drop_full_mask(None) is None


def test_check_mask_names_dtype_and_shapes() -> None:
    features = torch.zeros(2, 3, 4)
    with pytest.raises(UsageError, match=r"mask must be torch.bool .* found torch.int64"):
        check_mask(torch.ones(2, 3, dtype=torch.int64), features)
    with pytest.raises(UsageError, match=r"shape \(2, 3\) as the features, found \(3, 2\)"):
        check_mask(torch.ones(3, 2, dtype=torch.bool), features)
