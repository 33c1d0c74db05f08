from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest

from tenor.errors import UsageError
from tenor.metrics.resampling import expanded_tail, interval_of_draws, resample_groups


def keep(weights: np.ndarray) -> dict[str, np.ndarray]:
    return {"weights": weights.copy()}


def test_each_replicate_draws_as_many_groups_as_there_are() -> None:
    weights = resample_groups(keep, rows=50, num_groups=7, replicates=45, seed=3)["weights"]
    assert weights.shape == (45, 7)
    assert weights.sum(axis=1).tolist() == [7] * 45
    assert weights.min() == 0
    assert len({tuple(w) for w in weights.tolist()}) > 40


def test_draws_follow_from_the_seed_alone() -> None:
    def draw(seed: int = 3, rows: int = 50, threads: int | None = 1, replicates: int = 45) -> np.ndarray:
        return resample_groups(
            keep, rows=rows, num_groups=7, replicates=replicates, seed=seed, threads=threads
        )["weights"]

    assert np.array_equal(draw(), draw(threads=4))
    assert np.array_equal(draw(), draw(rows=10_000_000, threads=2))  # smaller blocks, the same draws
    assert np.array_equal(draw(replicates=25), draw()[:25])
    assert not np.array_equal(draw(), draw(seed=4))


def test_the_expanded_tail_is_hesterbergs() -> None:
    # n = 10: t = 2.262157 with 9 degrees of freedom
    assert expanded_tail(0.95, 10) == pytest.approx(NormalDist().cdf(-math.sqrt(10 / 9) * 2.262157), rel=1e-5)
    assert expanded_tail(0.95, 1e9) == pytest.approx(0.025, rel=1e-6)
    assert expanded_tail(0.95, 1) == 0


def test_intervals_leave_undefined_replicates_out() -> None:
    draws = np.concatenate([np.arange(1001.0), np.full(10, np.nan)])
    assert interval_of_draws(draws, 0.95, 1e9) == pytest.approx((25, 975), abs=1e-3)
    assert interval_of_draws(draws, 0.95, 1) == (0, 1000)
    assert interval_of_draws(np.full(3, np.nan), 0.95, 100) is None


def test_ends_that_no_replicate_shows_are_extrapolated() -> None:
    draws = np.array([NormalDist().inv_cdf((i + 0.5) / 1000) for i in range(1000)])
    level = 1 - 2e-5  # 0.00001 on each side: a hundredth of a replicate
    assert interval_of_draws(draws, level, 1e9) == pytest.approx((-3.2905, 3.2905), abs=0.01)  # the extremes
    found = interval_of_draws(draws, level, 1e9, extrapolate=True)
    assert found == pytest.approx((-4.2649, 4.2649), abs=0.05)  # of a normal distribution
    # ten replicates lie beyond each end at 1%: each side keeps its own width
    skewed = np.where(draws > 0, 3 * draws, draws)
    low, high = interval_of_draws(skewed, level, 1e9, extrapolate=True)
    assert (low, high) == pytest.approx((-4.2649, 3 * 4.2649), abs=0.15)
    for groups in (1, 1e9):  # where replicates show the ends nothing changes
        assert interval_of_draws(draws, 0.95, groups, extrapolate=True) == interval_of_draws(
            draws, 0.95, groups
        )
    assert interval_of_draws(np.zeros(5), level, 1e9, extrapolate=True) == (0, 0)


def test_ends_so_far_off_that_their_tail_is_no_float_are_extrapolated_too() -> None:
    draws = np.array([NormalDist().inv_cdf((i + 0.5) / 1000) for i in range(1000)])
    assert expanded_tail(0.95, 2) == 0  # t = 12.7062 with 1 degree of freedom: Phi(-17.97)
    end = math.sqrt(2) * 12.7062
    assert interval_of_draws(draws, 0.95, 2, extrapolate=True) == pytest.approx((-end, end), rel=0.01)
    end = math.sqrt(3 / 2) * 99.9925  # of 3 groups at the level of many gaps together
    assert interval_of_draws(draws, 0.9999, 3, extrapolate=True) == pytest.approx((-end, end), rel=0.01)


def test_no_groups_or_replicates_is_an_error() -> None:
    with pytest.raises(UsageError, match="needs groups and replicates, found 0 and 5"):
        resample_groups(keep, rows=0, num_groups=0, replicates=5)
