"""The price of decisions: by hand, its interval beside that of the same draws of a plain loop."""

from __future__ import annotations

import numpy as np
import pytest

from tenor.errors import UsageError
from tenor.metrics.costs import measure_cost


def test_it_is_what_false_alarms_and_misses_cost() -> None:
    labels, decisions = [0, 0, 1, 1, 1, 0], [1, 0, 0, 1, 0, 1]
    found = measure_cost(labels, decisions, (1, 20), groups=["a", "a", "b", "b", "c", "c"])
    assert (found.total, found.per_row) == (42.0, 7.0)
    assert found.low is not None and found.high is not None and 0 <= found.low < 7 < found.high
    assert measure_cost(labels, labels, (1, 20)).total == 0
    assert measure_cost(labels, np.array(decisions) == 1, (0.5, 0)).total == 1.0
    alone = measure_cost(labels, decisions, (1, 20), groups=["a"] * 6)
    assert (alone.per_row, alone.low, alone.high) == (7.0, None, None)


def test_the_interval_is_that_of_resampled_groups() -> None:
    draws = np.random.default_rng(0)
    groups = np.repeat(np.arange(60), draws.integers(1, 9, 60))
    labels = (draws.random(len(groups)) < draws.random(60)[groups]).astype(int)
    decisions = (draws.random(len(groups)) < 0.3).astype(int)
    found = measure_cost(labels, decisions, (1, 5), groups=groups)
    costs = np.where(labels == 1, 5 * (decisions == 0), decisions)
    means = []
    for _ in range(4000):
        rows = np.concatenate([np.flatnonzero(groups == g) for g in draws.integers(0, 60, 60)])
        means.append(costs[rows].mean())
    assert found.low == pytest.approx(np.quantile(means, 0.025), abs=0.06)
    assert found.high == pytest.approx(np.quantile(means, 0.975), abs=0.06)
    lonely = measure_cost(labels, decisions, (1, 5))
    assert lonely.high is not None and lonely.low is not None
    assert found.high is not None and found.low is not None
    assert lonely.high - lonely.low < found.high - found.low  # rows of a group resemble each other


def test_no_error_at_all_is_no_proof_that_there_is_none() -> None:
    found = measure_cost([0, 1] * 6, [0, 1] * 6, (1, 20))
    assert (found.low, found.high) == (0.0, 0.0)
    assert found.warning == (  # 1 - .05^(1/12) = .221
        "no replicate differs, for none of about 12 groups does; up to 22% of all groups may"
    )
    assert measure_cost([0, 1] * 6, [0, 1] * 5 + [0, 0], (1, 20)).warning is None


def test_two_groups_in_effect_have_no_interval() -> None:
    found = measure_cost([0, 1] * 10, [0] * 20, (1, 20), groups=[0] * 10 + [1] * 9 + [2])
    assert (found.per_row, found.low, found.high) == (10.0, None, None)  # Kish: 20^2 / (100 + 81 + 1) = 2.2


@pytest.mark.parametrize(("labels", "decisions"), [([], []), ([0, 1], [0]), ([0, 2], [0, 1])])
def test_other_columns_are_refused(labels: list[int], decisions: list[int]) -> None:
    with pytest.raises(UsageError, match="cost: expected labels 0 and 1 and as many decisions"):
        measure_cost(labels, decisions, (1, 20))
